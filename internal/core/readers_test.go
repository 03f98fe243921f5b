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

// Readers of a set keep their time whatever our clock was stepped by at a restart, or
// before it, and whether its successor was staged before or after.
func TestP4_ReadersKeepTheirTimeOverAStepAndARestart(t *testing.T) {
	for _, by := range []time.Duration{20 * time.Hour, 10 * 365 * day, -20 * time.Hour, -10 * 365 * day} {
		for _, replaced := range []bool{false, true} { // before the restart
			for _, running := range []bool{false, true} { // when the clock was stepped
				w := newWorld(t, day, 7*day)
				start := w.wall
				w.svc.now = func() time.Time { return start.Add(w.boot) }
				one, two := w.svc.issue("alice"), w.svc.issue("alice")
				w.mustDone(w.register(registration{app: ending("a", appregistry.CancelAll), bring: bring(one)}))
				look := w.boot + w.targets["/stage/a"].all[0].NextUpdate.Sub(w.now().Wall)
				w.run(time.Hour)
				again := func() {
					w.mustDone(w.register(registration{app: ending("a", appregistry.CancelAll), bring: bring(two)}))
				}
				if replaced {
					again()
				}
				if w.wall = start.Add(by); running {
					w.run(20 * time.Hour)
				}
				w.crash()
				w.run(time.Minute)
				if !replaced {
					again()
				}
				w.run(look - w.boot)
				if slices.Contains(w.svc.cancels, string(one.Identifier)) {
					t.Errorf("stepped by %v, replaced before the restart: %v, stepped before it: %v: cancelled before its readers have looked", by, replaced, running)
				}
			}
		}
	}
}
