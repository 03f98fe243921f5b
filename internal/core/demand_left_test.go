package core_test

import (
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
)

// Who waits for a renewal within the cooldown hears that it will not come, where
// the token is cancelled or left alone meanwhile, and does not take the cancel's
// answer for his.
func TestDemand_TokenLeavesMeanwhile(t *testing.T) {
	for _, kept := range []bool{false, true} {
		w := newWorld(t, day, 7*day)
		r := registration{app: app("a"), plan: plan(ns1)}
		if kept {
			r.plan, r.bring = nil, bring(w.svc.issue("alice"))
		}
		w.mustDone(w.register(r))
		id := w.only().Tokens[0].ID
		ask := func(v core.Verb) core.Request {
			r := w.ask()
			w.step(core.TokenCommand{Request: r, Caller: operator, Token: id, Verb: v, Force: true})
			w.run(time.Second)
			return r
		}
		w.mustDone(ask(core.RenewNow))
		waits := ask(core.RenewNow)
		if w.isDone(waits) {
			t.Fatal("it did not wait for the cooldown")
		}
		if kept {
			w.mustDone(w.unregister(alice, "a"))
		} else {
			w.mustDone(ask(core.CancelNow))
		}
		w.run(time.Minute)
		if w.done(waits) == nil {
			t.Errorf("kept %v: told that it was renewed", kept)
		}
	}
}

// Who asked for a cancel hears when it is given up: cancels were paused until the
// token's end.
func TestDemand_CancelIsGivenUp(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.cfg.Policy.CancelBurst = 1
	w.crash()
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
	w.mustDone(w.register(registration{app: app("b"), plan: plan(ns1)}))
	w.mustDone(w.unregister(alice, "a"))
	w.mustDone(w.unregister(alice, "b"))
	w.run(time.Hour)
	if len(w.noted(core.CancelsPaused)) == 0 || len(w.svc.cancels) != 1 {
		t.Fatal("want one cancelled and one paused")
	}
	asked := w.ask()
	for _, tok := range w.core.Remembered() {
		if tok.State == appregistry.CancelPending {
			w.step(core.TokenCommand{Request: asked, Caller: alice, Token: tok.ID, Verb: core.CancelNow})
		}
	}
	if w.run(time.Hour); w.isDone(asked) {
		t.Fatal("answered while cancels are paused")
	}
	w.run(7*day + time.Hour)
	_ = w.done(asked)
	if len(w.noted(core.CancelGivenUp)) == 0 {
		t.Error("it was not given up")
	}
}
