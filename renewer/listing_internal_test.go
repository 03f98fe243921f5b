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

// withApps runs a renewer that has alice's applications.
func withApps(t *testing.T, apps int, do func(context.Context, *Renewer) error) {
	t.Helper()
	r, err := New(Config{Providers: map[string]plugins.Provider{"none": idle{}}})
	if err != nil {
		t.Fatal(err)
	}
	err = r.Run(t.Context(), func(ctx context.Context) error {
		for i := range apps {
			if err := r.Register(ctx, appWith("alice", i, "x")); err != nil {
				return err
			}
		}
		return do(ctx, r)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func appWith(owner string, n int, secret string) appregistry.App {
	app := appregistry.App{ID: appregistry.AppID(fmt.Sprint("app-", n)), Owner: owner, User: "alice"}
	app.Credentials.Secrets = map[string]plugins.Secret{"key": plugins.Secret(secret)}
	return app
}

// Who lists everything holds up nobody: what comes in while a part is made goes
// before the next one. Shows: P8.
func TestP8_ListingsLetOthersGoBetweenTheirParts(t *testing.T) {
	const apps = 2*partOfList + 1
	withApps(t, apps, func(ctx context.Context, r *Renewer) error {
		var order []string // written by the loop alone
		list, err := listed(ctx, r.itself(), func(k *core.Core, numbers []uint64) []core.AppStatus {
			if order = append(order, "part"); len(order) == 1 {
				r.inbox.put(item{ask: func(*core.Core) { order = append(order, "another") }})
			}
			return k.AppsAmong(numbers)
		})
		if len(list) != apps {
			t.Errorf("%d of %d applications are listed", len(list), apps)
		}
		if want := []string{"part", "another", "part", "part", "part"}; !slices.Equal(order, want) { // the last one for what is new
			t.Errorf("the loop did %q, want %q", order, want)
		}
		return err
	})
}

// An application that is replaced while a listing is made was there all the time.
func TestListing_HasWhatIsReplacedMeanwhile(t *testing.T) {
	const apps = 2 * partOfList
	for name, n := range map[string]int{"after its part": 0, "before its part": apps - 1} {
		t.Run(name, func(t *testing.T) {
			withApps(t, apps, func(ctx context.Context, r *Renewer) error {
				c := r.itself()
				again, err := c.registration(ctx, appWith("alice", n, "y"))
				if err != nil {
					return err
				}
				parts := 0
				list, err := c.apps(ctx, func(k *core.Core, numbers []uint64) []core.AppStatus {
					if parts++; parts == 1 {
						r.inbox.put(item{event: again})
					}
					return k.AppsAmong(numbers)
				})
				keys := map[appregistry.AppKey]bool{}
				for _, a := range list {
					keys[a.Key] = true
				}
				if len(list) != apps || len(keys) != apps {
					t.Errorf("%d applications are listed, of them %d different ones; there are %d", len(list), len(keys), apps)
				}
				return err
			})
		})
	}
}

// What others have costs a caller nothing.
func TestListing_LooksAtTheCallersOwn(t *testing.T) {
	withApps(t, partOfList+1, func(ctx context.Context, r *Renewer) error {
		if err := r.Register(ctx, appWith("bob", 0, "x")); err != nil {
			return err
		}
		var looked int
		list, err := r.As(Caller{Name: "bob"}).apps(ctx, func(k *core.Core, numbers []uint64) []core.AppStatus {
			looked += len(numbers)
			return k.AppsAmong(numbers)
		})
		if len(list) != 1 || list[0].Key.Owner != "bob" || looked != 1 {
			t.Errorf("%d records were looked at for %d applications; want bob's one", looked, len(list))
		}
		return err
	})
}
