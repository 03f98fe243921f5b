package core_test

import (
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
)

// refuseCancels has the service take no cancels.
func (w *world) refuseCancels() {
	w.svc.fault = func(op, _ string) error {
		if op == "cancel" {
			return errDown
		}
		return nil
	}
}

// A cancel that failed is due again at a core whose store another one has by now,
// which has taken the intent back: its token is held. It is not sent.
func TestB81_DeposedCoreRepeatsNoCancel(t *testing.T) {
	for _, paused := range []bool{false, true} {
		w := newWorld(t, day, 7*day)
		if paused {
			w.cfg.Policy.CancelBurst = 1
			w.crash()
			w.mustDone(w.register(registration{app: ending("other", appregistry.CancelAll), bring: bring(w.svc.issue("alice"))}))
			w.mustDone(w.unregister(alice, "other"))
		}
		tok := w.svc.issue("alice")
		w.mustDone(w.register(registration{app: ending("a", appregistry.CancelAll), bring: bring(tok)}))
		w.refuseCancels()
		w.mustDone(w.unregister(alice, "a"))
		w.run(2 * time.Second) // what is written behind is written
		cancels := len(w.svc.cancels)

		old := w.core
		w.crash() // another one takes the store
		w.run(time.Second)
		w.mustDone(w.register(registration{app: ending("b", appregistry.CancelAll), bring: bring(tok)}))
		w.svc.fault = nil
		successor := w.core
		w.core = old
		if paused {
			w.step(core.ResumeCancels{Request: w.ask(), Caller: operator})
		}
		w.run(20 * time.Second)
		if len(w.svc.cancels) != cancels || len(w.noted(core.StoreTaken)) != 1 {
			t.Errorf("paused %v: cancels %v by a deposed core, which heard of it %d times", paused, w.svc.cancels[cancels:], len(w.noted(core.StoreTaken)))
		}
		w.core = successor
		if w.run(time.Minute); !w.valid("b", "ns1") {
			t.Errorf("paused %v: a token that is held was cancelled", paused)
		}
	}
}

// Cancels that are due together ask the store once, with a commit of nothing. While
// it does not answer none goes out, and none is forgotten.
func TestCancel_RepeatedOnesAskTheStoreTogether(t *testing.T) {
	const n = 30
	w := newWorld(t, day, 7*day)
	w.come(alice, many(n, "alice")...)
	w.refuseCancels()
	w.leaveAll(alice, n)
	w.run(time.Minute)
	w.cfg.AtOnce = n // all are due at once
	w.crash()
	asked, sent, records := 0, 0, -1
	w.hold = func(act core.Action) bool {
		switch act := act.(type) {
		case core.Commit:
			if records = len(act.Batch.Put) + len(act.Batch.Delete); records == 0 {
				asked++
			}
			if act.Batch.Fence == nil {
				t.Error("a commit without a fence")
			}
		case core.Cancel:
			sent++
			return true
		}
		return false
	}
	w.storeErr = func() error {
		if records == 0 && asked <= 3 {
			return errDown
		}
		return nil
	}
	for asked < 4 {
		if sent > 0 {
			t.Fatal("a cancel went out although the store did not answer")
		}
		if len(w.out) > 0 {
			w.answer(0)
			continue
		}
		next, ok := w.core.Next()
		if !ok {
			t.Fatal("nothing is planned")
		}
		w.boot = max(w.boot, next)
		w.step(core.Tick{})
	}
	if w.run(time.Minute); sent != n || asked != 4 {
		t.Errorf("%d cancels, %d commits of nothing; want %d, and one after three that failed", sent, asked, n)
	}
}

// A cancel that is paused asks nobody each hour that it waits.
func TestCancel_PausedOnesDoNotAskTheStore(t *testing.T) {
	w := burst(t, 4)
	w.come(alice, many(12, "alice")...)
	w.leaveAll(alice, 12)
	w.run(time.Hour)
	commits := 0
	w.hold = func(act core.Action) bool {
		if _, ok := act.(core.Commit); ok {
			commits++
		}
		return false
	}
	if w.run(day); commits != 0 || len(w.svc.cancels) != 4 {
		t.Errorf("%d commits, %d cancels in a day of waiting", commits, len(w.svc.cancels))
	}
}
