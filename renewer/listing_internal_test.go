package renewer

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// idle is a provider whom nobody asks for anything.
type idle struct{ plugins.Provider }

func (idle) Kinds() []string { return []string{"IDLE"} }

// Who lists everything holds up nobody: what comes in while a part is made goes
// before the next one. Shows: P8.
func TestP8_ListingsLetOthersGoBetweenTheirParts(t *testing.T) {
	const apps = 2*partOfList + 1
	r, err := New(Config{Providers: map[string]plugins.Provider{"none": idle{}}})
	if err != nil {
		t.Fatal(err)
	}
	err = r.Run(t.Context(), func(ctx context.Context) error {
		for i := range apps {
			app := appregistry.App{ID: appregistry.AppID(fmt.Sprint("app-", i)), User: "alice"}
			app.Credentials.Secrets = map[string]plugins.Secret{"key": plugins.Secret("x")}
			if err := r.Register(ctx, app); err != nil {
				return err
			}
		}
		var order []string // written by the loop alone
		list, err := inParts(ctx, r, func(k *core.Core, numbers []uint64) []core.AppStatus {
			if order = append(order, "part"); len(order) == 1 {
				r.inbox.put(item{ask: func(*core.Core) { order = append(order, "another") }})
			}
			return k.AppsAmong(numbers)
		})
		if err != nil {
			return err
		}
		if len(list) != apps {
			t.Errorf("%d of %d applications are listed", len(list), apps)
		}
		if want := []string{"part", "another", "part", "part"}; !slices.Equal(order, want) {
			t.Errorf("the loop did %q, want %q", order, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
