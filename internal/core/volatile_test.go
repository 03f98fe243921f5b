package core_test

import (
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/core"
)

// Without a store nothing is committed, and everything else is as with one.
func TestVolatile_NothingIsCommittedAndNothingWaits(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.cfg.Volatile = true
	w.crash()
	ev := w.event(registration{app: app("a"), bring: bring(w.svc.issue("alice"))})
	w.step(ev)
	for len(w.out) > 0 {
		if _, ok := w.out[0].(core.Commit); ok {
			t.Fatal("a commit is asked for")
		}
		w.answer(0)
	}
	w.mustDone(ev.Request)
	if !w.valid("a", "ns1") {
		t.Error("the application has no good token")
	}
	w.run(8 * time.Hour)
	if len(w.store) > 0 {
		t.Errorf("%d records are stored", len(w.store))
	}
	if _, err := w.core.Current(ev.App.Key()); err != nil {
		t.Error(err)
	}
}
