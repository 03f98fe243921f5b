package core_test

import (
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// asking is a world with one application, whose token is asked for by verb.
type asking struct {
	*world
	verb core.Verb
	id   appregistry.TokenID
}

// eachVerb runs a test for both things that can be asked for.
func eachVerb(t *testing.T, interval, max time.Duration, f func(*testing.T, asking)) {
	for name, verb := range map[string]core.Verb{"renew": core.RenewNow, "replace": core.ReplaceNow} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, interval, max)
			w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
			w.run(time.Minute)
			f(t, asking{w, verb, w.only().Tokens[0].ID})
		})
	}
}

// demand asks, and leaves calls unanswered.
func (a asking) demand() core.Request {
	r := a.ask()
	if a.verb == core.ReplaceNow {
		a.id = a.only().Tokens[0].ID // the current one
	}
	a.step(core.TokenCommand{Request: r, Caller: operator, Token: a.id, Verb: a.verb})
	return r
}

// calls is how many of the calls asked for the service has had.
func (a asking) calls() int {
	if a.verb == core.ReplaceNow {
		return a.svc.issued
	}
	n := 0
	for _, r := range a.svc.renewals {
		n += r
	}
	return n
}

// out is how many of these calls wait for their answer.
func (a asking) callsOut() int {
	n := 0
	for _, act := range a.world.out {
		switch act.(type) {
		case core.Renew:
			n++
		case core.Obtain:
			n++
		}
	}
	return n
}

// Who asks while a call is out is served by it: one call, all answered.
// Shows: F19, C-F41, C-F35.
func TestCF20_DemandsAtOnceAreOneCall(t *testing.T) {
	eachVerb(t, day, 7*day, func(t *testing.T, a asking) {
		before := a.calls()
		var asked []core.Request
		for range 6 {
			asked = append(asked, a.demand())
			if n := a.callsOut(); n != 1 {
				t.Fatalf("%d calls out, want 1", n)
			}
		}
		a.run(time.Second)
		for _, r := range asked {
			a.mustDone(r)
		}
		if got := a.calls() - before; got != 1 {
			t.Errorf("%d calls for six demands, want 1", got)
		}
	})
}

// Executions are spaced by the cooldown, whatever is asked when; within it a
// demand waits for the rest, and after it runs at once. Steps of the wall clock
// change nothing of that. Shows: F19, F23, C-F23, C-F25, C-F52.
func TestCF48_CooldownSpacesExecutions(t *testing.T) {
	for _, step := range []time.Duration{0, -time.Hour, 2 * time.Hour, -10 * 365 * day} {
		eachVerb(t, day, 7*day, func(t *testing.T, a asking) {
			start := a.wall
			a.svc.now = func() time.Time { return start.Add(a.boot) }
			before := a.calls()
			a.mustDone(func() core.Request { r := a.demand(); a.run(time.Second); return r }())
			if got := a.calls() - before; got != 1 {
				t.Fatalf("the first demand made %d calls at once, want 1", got)
			}
			a.wall = a.wall.Add(step)
			var asked []core.Request
			for range 4 { // at 1, 3, 5, 7 s after the first
				asked = append(asked, a.demand())
				a.run(2 * time.Second)
			}
			if got := a.calls() - before; got != 1 {
				t.Fatalf("%d calls within the cooldown, want none", got-1)
			}
			a.run(1900 * time.Millisecond)
			for _, r := range asked {
				a.mustDone(r)
			}
			if got := a.calls() - before; got != 2 {
				t.Fatalf("%d calls for four demands within the cooldown, want 1", got-1)
			}
			// The anchor is when the second call ran, at 10 s, not when it was asked for.
			late := a.demand()
			if a.run(9 * time.Second); a.isDone(late) {
				t.Error("served before the cooldown of the execution was over")
			}
			if a.run(2 * time.Second); !a.isDone(late) {
				t.Error("not served after the cooldown")
			}
			a.run(time.Minute)
			if at := a.demand(); a.callsOut() != 1 {
				t.Errorf("after the cooldown %d calls at once for request %d, want 1", a.callsOut(), at)
			}
		})
	}
}

// A demand that waits does not put off what is planned sooner, and is served by
// it; a plan's own call starts no cooldown. Shows: F18, F19, C-F22, C-F39, C-F48.
func TestCF21_DemandPutsOffNothing(t *testing.T) {
	w := newWorld(t, 40*time.Second, time.Hour) // renewed every 27 to 30 s
	w.cfg.Policy.Cooldown, w.cfg.Policy.Jitter = time.Minute, -1
	w.crash()
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
	w.run(30 * time.Second) // a planned renewal: no anchor
	a := asking{w, core.RenewNow, w.only().Tokens[0].ID}
	before := a.calls()
	w.mustDone(func() core.Request { r := a.demand(); w.run(time.Second); return r }())
	if a.calls()-before != 1 {
		t.Fatalf("%d calls, want one at once", a.calls()-before)
	}
	deferred := a.demand()
	if w.run(28 * time.Second); w.isDone(deferred) {
		t.Fatal("served early")
	}
	if w.run(2 * time.Second); !w.isDone(deferred) {
		t.Error("the planned renewal, 30 s after the last, was put off or did not serve the demand")
	}
	if got := a.calls() - before; got != 2 {
		t.Errorf("%d calls, want 2", got)
	}
}

// One that was asked for and failed leaves what was planned sooner where it was.
func TestCF32_FailedDemandKeepsThePlan(t *testing.T) {
	w := newWorld(t, 40*time.Second, time.Hour)
	w.cfg.Policy.Jitter = -1
	w.crash()
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
	w.run(26 * time.Second) // planned 30 s after the obtain
	w.svc.fault = func(op, _ string) error { return errDown }
	a := asking{w, core.RenewNow, w.only().Tokens[0].ID}
	planned := w.only().Tokens[0].Next
	r := a.demand()
	for len(w.out) > 0 {
		w.answer(0)
	}
	if err := w.done(r); err == nil {
		t.Error("the failure was not told")
	}
	if next := w.only().Tokens[0].Next; next.After(planned) {
		t.Errorf("planned for %v, now %v", planned, next)
	}
}

// A demand that waits is not carried into another session, and neither is the
// cooldown. Shows: F20, C-F42, C-F49.
func TestCF24_NewSessionHasNoCooldown(t *testing.T) {
	eachVerb(t, day, 7*day, func(t *testing.T, a asking) {
		a.mustDone(func() core.Request { r := a.demand(); a.run(time.Second); return r }())
		before := a.calls()
		a.demand()
		a.crash()
		if a.run(time.Minute); a.calls() != before {
			t.Errorf("%d calls: the demand of the session before was served", a.calls()-before)
		}
		a.mustDone(func() core.Request { r := a.demand(); a.run(time.Second); return r }())
		a.demand()
		a.crash()
		a.run(time.Second)
		before = a.calls()
		r := a.demand()
		if a.run(time.Second); !a.isDone(r) || a.calls() != before+1 {
			t.Error("the cooldown of the session before holds")
		}
	})
}

// One who asks for new tokens gets them in the one order of all replacements, and
// who may not have any is told so. A demand during the wait after a failure goes
// out at once. Shows: C-V02.
func TestDemand_NewTokens(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
	foreign := w.svc.issue("alice")
	foreign.Service = "elsewhere"
	w.mustDone(w.register(registration{app: app("b"), bring: bring(foreign), brought: map[string]core.Brought{"ns1": {Reason: "no provider"}}}))
	first := w.held("a", "ns1")
	ask := func(i int, verb core.Verb) core.Request {
		r := w.ask()
		w.step(core.TokenCommand{Request: r, Caller: operator, Token: w.core.Entries()[i].Tokens[0].ID, Verb: verb})
		w.run(time.Second)
		return r
	}
	w.svc.fault = func(op, _ string) error {
		if op == "obtain" {
			return errDown
		}
		return nil
	}
	if err := w.done(ask(0, core.ReplaceNow)); plugins.KindOf(err) != plugins.KindRetry || err == nil {
		t.Errorf("while the service is down: %v", err)
	}
	if !w.valid("a", "ns1") || w.held("a", "ns1") != first {
		t.Error("a failed demand cost the token")
	}
	w.svc.fault = nil
	w.run(8 * time.Second)
	r := ask(0, core.ReplaceNow)
	if w.run(2 * time.Second); w.done(r) != nil || w.held("a", "ns1") == first || !w.valid("a", "ns1") {
		t.Errorf("%v; held %s, want a new one", w.done(r), w.held("a", "ns1"))
	}
	for _, verb := range []core.Verb{core.RenewNow, core.ReplaceNow} {
		if err := w.done(ask(1, verb)); plugins.KindOf(err) != plugins.KindRefused {
			t.Errorf("verb %d on a foreign token: %v", verb, err)
		}
	}
}
