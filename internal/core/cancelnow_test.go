package core_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// Who does not wait for the service is answered when the intent is durable, and
// not before; it outlives a crash.
func TestCV04_IntentIsAnsweredWhenDurable(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.mustDone(w.register(registration{app: app("a"), bring: bring(w.svc.issue("alice"))}))
	w.hold = func(act core.Action) bool { _, is := act.(core.Cancel); return is }
	id := w.only().Tokens[0].ID
	for _, intend := range []bool{true, false} { // the second finds it on its way
		r := w.ask()
		w.step(core.TokenCommand{Request: r, Caller: operator, Token: id, Verb: core.CancelNow, Force: true, Intend: intend})
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

// ordered registers an application with two tokens, of which an operator orders the
// first one's cancel while the service takes none: acknowledged is the intent.
func ordered(t *testing.T, w *world) (one plugins.Token) {
	one, two := w.svc.issue("alice"), w.svc.issue("alice")
	nothing := func(tok plugins.Token) core.Brought { // no successor can be had
		return core.Brought{Authority: ns1, Identity: w.svc.identity(tok)}
	}
	w.mustDone(w.register(registration{
		app: ending("a", appregistry.CancelAll), bring: map[string]plugins.Token{"one": one, "two": two},
		brought: map[string]core.Brought{"one": nothing(one), "two": nothing(two)},
	}))
	w.svc.fault = func(op, _ string) error {
		if op == "cancel" {
			return errDown
		}
		return nil
	}
	r := w.ask()
	w.step(core.TokenCommand{Request: r, Caller: operator, Token: w.idOf(one), Verb: core.CancelNow, Force: true, Intend: true})
	w.run(time.Minute)
	w.mustDone(r)
	if len(w.svc.cancels) != 0 || w.held("a", "one") != "" {
		t.Fatalf("cancels %v, held %q", w.svc.cancels, w.held("a", "one"))
	}
	return one
}

// An operator was told that the token goes: a restart does not let its holders keep
// it.
func TestCV04_OrderOutlivesARestart(t *testing.T) {
	w := newWorld(t, day, 7*day)
	one := ordered(t, w)
	w.crash()
	w.svc.fault = nil
	w.run(time.Hour)
	if !w.svc.tokens[string(one.Identifier)].cancelled {
		t.Error("the cancel that was acknowledged is forgotten")
	}
	if w.held("a", "one") != "" || !w.valid("a", "two") {
		t.Errorf("the holder has %q and %q", w.held("a", "one"), w.held("a", "two"))
	}
}

// Nor does anybody who has the token undo the order by registering it, as he may
// undo the cancel that his own leaving brought.
func TestCV04_RegisteringUndoesNoOrder(t *testing.T) {
	for _, restart := range []bool{false, true} {
		w := newWorld(t, day, 7*day)
		one := ordered(t, w)
		if restart {
			w.crash()
		}
		wantCode(t, w.done(w.register(registration{app: ending("b", appregistry.CancelAll), bring: bring(one)})), core.CodeTokenCancelled)
		w.svc.fault = nil
		if w.run(time.Hour); !w.svc.tokens[string(one.Identifier)].cancelled {
			t.Errorf("restart %v: the operator was told that the token goes, and it was renewed instead", restart)
		}
	}
}

// In a backup that another installation starts from nothing is proved, so that not
// even an order counts: who holds the token is given it back.
func TestCV04_OrderOfABackupIsNotProved(t *testing.T) {
	w := newWorld(t, day, 7*day)
	one := ordered(t, w)
	w.cfg.Instance = "another"
	w.svc.fault = nil
	w.crash()
	w.run(time.Hour)
	if len(w.svc.cancels) != 0 || w.held("a", "one") != string(one.Identifier) {
		t.Errorf("cancels %v, held %q", w.svc.cancels, w.held("a", "one"))
	}
}
