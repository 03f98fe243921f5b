package renewer

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tokenwheel/tokenwheel/internal/core"
)

// Who writes an alert needs every word that there is, and its level.
func TestEvents_PageHasEveryOneWithItsLevel(t *testing.T) {
	page, err := os.ReadFile("../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for w := core.What(0); w.String() != "unknown"; w++ {
		level := levelOf(w)
		if w == core.TokenObtained {
			level = 0 // unless its end is not known, which the page says
		}
		if line := fmt.Sprintf("\n| `%s` | %s | ", w, level); !strings.Contains(string(page), line) {
			t.Errorf("docs/events.md has no line that begins with %q", line)
		}
		n++
	}
	if rows := strings.Count(string(page), "\n| `"); rows != n {
		t.Errorf("docs/events.md has %d events, there are %d", rows, n)
	}
}

// What is the error already is no reason beside it.
func TestEvents_SayAnErrorOnce(t *testing.T) {
	for _, c := range []struct {
		ev   Event
		want int
	}{
		{Event{Err: errors.New("no such user"), Reason: "no such user"}, 1},
		{Event{Err: errors.New("no such user"), Reason: "its first answer was a no"}, 2},
		{Event{Reason: "unregistered"}, 1},
	} {
		if got := len(c.ev.attrs()); got != c.want {
			t.Errorf("%+v is told by %d fields, want %d", c.ev, got, c.want)
		}
	}
}
