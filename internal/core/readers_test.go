package core_test

import (
	"slices"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
)

// Readers of a set from before their application was registered anew are waited for,
// whoever else held a token of it and leaves meanwhile.
func TestP4_WhoLeavesDoesNotHurryTheReadersOfAnother(t *testing.T) {
	for _, name := range []string{"both", "later"} {
		w := newWorld(t, day, 7*day)
		one, two := w.svc.issue("alice"), w.svc.issue("alice")
		w.mustDone(w.register(registration{app: ending("a", appregistry.CancelAll), bring: bring(one)}))
		b := registration{app: ending("b", appregistry.CancelAll), bring: bring(one)}
		if name == "both" {
			w.mustDone(w.register(b))
		}
		w.run(time.Minute)
		w.mustDone(w.register(registration{app: ending("a", appregistry.CancelAll), bring: bring(two)}))
		if name == "later" {
			w.mustDone(w.register(b))
		}
		w.mustDone(w.unregister(alice, "b"))
		w.run(10 * time.Minute)
		if slices.Contains(w.svc.cancels, string(one.Identifier)) {
			t.Errorf("%s: cancelled before the readers of a have looked", name)
		}
		w.run(7 * day)
		if !slices.Contains(w.svc.cancels, string(one.Identifier)) {
			t.Errorf("%s: never cancelled", name)
		}
	}
}
