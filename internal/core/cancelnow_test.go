package core_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
)

// Who does not wait for the service is answered when the intent is durable, and
// not before; it outlives a crash.
func TestCV04_IntentIsAnsweredWhenDurable(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.mustDone(w.register(registration{app: app("a"), bring: bring(w.svc.issue("alice"))}))
	w.hold = func(act core.Action) bool { _, is := act.(core.Cancel); return is }
	for _, intend := range []bool{true, false} { // the second finds it on its way
		r := w.ask()
		w.step(core.TokenCommand{Request: r, Caller: operator, Token: w.only().Tokens[0].ID, Verb: core.CancelNow, Force: true, Intend: intend})
		if intend && w.isDone(r) {
			t.Fatal("answered before the intent is durable")
		}
		w.run(time.Second)
		if w.isDone(r) != intend {
			t.Errorf("answered %v while the service is silent, want %v", !intend, intend)
		}
	}
	w.hold = nil
	w.crash()
	if w.run(time.Minute); len(w.svc.cancels) != 1 {
		t.Errorf("cancels %v after a crash, want the one", w.svc.cancels)
	}
}

// What an operator orders goes out although cancels are paused, and pauses none:
// he has said which. What a tenant asks for waits like the rest.
func TestCV04_OperatorsOrderIsNoStorm(t *testing.T) {
	const n = 5
	w := newWorld(t, day, 7*day)
	w.cfg.Policy.CancelBurst = n - 2
	w.crash()
	for i := range 2 * n {
		w.mustDone(w.register(registration{app: ending(fmt.Sprint(i), appregistry.CancelAll), bring: bring(w.svc.issue("alice"))}))
	}
	order := func(caller core.Caller, id appregistry.TokenID) {
		w.step(core.TokenCommand{Request: w.ask(), Caller: caller, Token: id, Verb: core.CancelNow, Force: caller.Trusted, Intend: true})
		w.run(time.Second)
	}
	for _, e := range w.core.Entries()[n:] {
		order(operator, e.Tokens[0].ID)
	}
	if len(w.svc.cancels) != n || len(w.noted(core.CancelsPaused)) != 0 {
		t.Fatalf("%d cancels, %d alarms; want %d and none", len(w.svc.cancels), len(w.noted(core.CancelsPaused)), n)
	}
	for i := range n {
		w.mustDone(w.unregister(alice, appregistry.AppID(fmt.Sprint(i))))
	}
	var waiting []appregistry.TokenID
	for _, tok := range w.core.Remembered() {
		if tok.State == appregistry.CancelPending {
			waiting = append(waiting, tok.ID)
		}
	}
	if len(waiting) != 2 || len(w.noted(core.CancelsPaused)) != 1 {
		t.Fatalf("%d wait, %d alarms; want 2 and 1", len(waiting), len(w.noted(core.CancelsPaused)))
	}
	before := len(w.svc.cancels)
	if order(alice, waiting[0]); len(w.svc.cancels) != before {
		t.Error("a tenant's order went out while cancels are paused")
	}
	if order(operator, waiting[1]); len(w.svc.cancels) != before+1 {
		t.Errorf("%d cancels, want the operator's one more than %d", len(w.svc.cancels), before)
	}
}
