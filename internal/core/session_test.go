package core_test

import (
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/core"
)

// The first commit of a session is made, but its answer is lost, once or more:
// the session does not take its own header for another's.
func TestB81_UnansweredHeaderCommitDeposesNobody(t *testing.T) {
	for lost := 1; lost <= 3; lost++ {
		w := newWorld(t, day, 7*day)
		for range lost {
			w.loseCommit()
			w.boot += time.Minute
			w.step(core.Tick{})
		}
		w.run(time.Minute)
		w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
		if len(w.noted(core.StoreTaken)) != 0 {
			t.Errorf("%d answers lost: deposed by itself", lost)
		}
	}
}

// loseCommit makes the commit that is out, and says that it failed.
func (w *world) loseCommit() {
	w.t.Helper()
	c, ok := w.out[0].(core.Commit)
	if !ok {
		w.t.Fatalf("out: %v, want a commit", w.out)
	}
	w.out = w.out[1:]
	_ = w.save(c.Batch)
	w.step(core.Committed{Seq: c.Seq, Err: errDown})
}

// Another session of the same installation was first, with the same epoch.
func TestB82_HeaderOfAnotherSessionIsNotTakenForOurs(t *testing.T) {
	w := newWorld(t, day, 7*day)
	fails := true
	w.storeErr = func() error {
		if fails {
			return errDown
		}
		return nil
	}
	w.answer(0) // it fails, and was not made
	fails = false

	cfg := w.cfg
	cfg.Seed = 2
	for _, act := range core.New(cfg).Step(w.now(), core.Start{}) {
		if c, ok := act.(core.Commit); ok && w.save(c.Batch) != nil {
			t.Fatal("the other session's commit failed")
		}
	}
	w.run(time.Minute)
	if n := len(w.noted(core.StoreTaken)); n != 1 {
		t.Errorf("deposed %d times, want once", n)
	}
}
