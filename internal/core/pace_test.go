package core_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// An application's own lead is longer than any of its tokens live.
func TestT12_LeadBeyondTheLifeDoesNotSpin(t *testing.T) {
	for policy, bound := range map[string]int{"": 10, "spark2": 10} {
		t.Run(policy, func(t *testing.T) {
			w := newWorld(t, day, 7*day)
			a := app("a")
			a.Overlay = map[string]string{"renewal.min-lead": "48h", "policy": policy}
			if policy == "" {
				delete(a.Overlay, "policy")
			}
			w.mustDone(w.register(registration{app: a, plan: plan(ns1)}))
			w.run(2 * day)
			calls := w.svc.issued
			for _, n := range w.svc.renewals {
				calls += n
			}
			if calls > bound {
				t.Errorf("%d calls in two days, want at most %d", calls, bound)
			}
		})
	}
}

// A service whose tokens live for seconds is asked twice a life at most, and
// those are kept alive.
func TestT12_ShortestIntervalsDoNotSpin(t *testing.T) {
	for _, interval := range []time.Duration{time.Second, 1500 * time.Millisecond, 3 * time.Second} {
		w := newWorld(t, interval, day)
		tok := w.svc.issue("alice")
		w.mustDone(w.register(registration{app: app("a"), bring: bring(tok)}))
		w.run(time.Minute)
		if got, most := w.svc.renewals[string(tok.Identifier)], int(2*time.Minute/interval)+4; got < 10 || got > most {
			t.Errorf("interval %v: %d renewals in a minute, want 10 to %d", interval, got, most)
		}
	}
}

// The wait that a service asks for is heeded, but an hour at most, whatever the
// number. Shows: P8, B29.
func TestT12_RetryAfterIsHeededWithinAnHour(t *testing.T) {
	for asked, want := range map[time.Duration]int{
		math.MaxInt64: 24, 24 * time.Hour: 24, 30 * time.Minute: 48, math.MinInt64: 300, // as if it had not asked
	} {
		w := newWorld(t, day, 7*day)
		w.run(time.Hour)
		calls := 0
		w.svc.fault = func(op, _ string) error {
			calls++
			return &plugins.Error{RetryAfter: asked, Err: errDown}
		}
		w.step(w.event(registration{app: app("a"), plan: plan(ns1)}))
		w.run(day)
		if calls < want*9/10 || calls > want*11/10 {
			t.Errorf("asked to wait %v: %d obtains in a day, want about %d", asked, calls, want)
		}
	}
}

// A cancel hangs beyond its token's end: nothing is due until it is answered.
func TestT12_CancelThatOutlivesItsTokenDoesNotSpin(t *testing.T) {
	w := newWorld(t, time.Minute, time.Minute)
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
	w.step(core.Unregister{Request: w.ask(), Caller: alice, App: appregistry.AppKey{Owner: "alice", ID: "a"}})
	isCancel := func(a core.Action) bool { _, ok := a.(core.Cancel); return ok }
	for !slices.ContainsFunc(w.out, isCancel) {
		w.answer(0)
	}
	w.boot += 2 * time.Minute
	for range 10 {
		w.step(core.Tick{})
	}
	if next, ok := w.core.Next(); ok && next <= w.boot {
		t.Errorf("the next tick is wanted at %v, and it is %v", next, w.boot)
	}
	w.svc.fault = func(string, string) error { return errDown }
	w.run(time.Minute)
	if n := len(w.noted(core.CancelGivenUp)); n != 1 {
		t.Errorf("given up %d times, want once the answer is there", n)
	}
}

// Nobody knows when the old token ends: it gets the whole grace.
func TestP4_GraceOfATokenWhoseEndIsUnknown(t *testing.T) {
	w := newWorld(t, day, 365*day)
	w.cfg.Policy = core.Policy{ReplaceOnly: true, DefaultValidity: 40 * time.Hour, Grace: 40 * time.Second}
	w.crash()
	var looked, cancelled time.Duration
	w.step(w.event(registration{app: app("a"), plan: plan(ns1)}))
	for cancelled == 0 && w.boot < 3*day {
		if len(w.out) == 0 {
			next, _ := w.core.Next()
			w.boot = max(w.boot, next)
			w.step(core.Tick{})
			continue
		}
		switch act := w.out[0].(type) {
		case core.Obtain: // answered without any date
			w.out = w.out[1:]
			tok := w.svc.issue("alice")
			w.step(core.Obtained{Job: act.Job, Grants: []core.Grant{{Grant: plugins.Grant{Alias: "ns1", Token: tok}}}})
			continue
		case core.Stage:
			if looked == 0 {
				looked = act.Set.NextUpdate.Sub(w.wall)
			}
		case core.Cancel:
			cancelled = w.boot
		}
		w.answer(0)
	}
	if got := (cancelled - looked).Round(time.Second); got != 40*time.Second {
		t.Errorf("cancelled %v after its readers looked for the successor, want 40s", got)
	}
}

// A service that tells no date at all: a default validity keeps the cycle
// going, never infinity (SPARK-37787).
func TestF16_UnknownExpiryHasADefaultValidity(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.cfg.Policy = core.Policy{ReplaceOnly: true, Jitter: -1}
	w.crash()
	w.step(w.event(registration{app: app("a"), plan: plan(ns1)}))
	var at []time.Duration
	for w.boot < 3*day {
		if len(w.out) == 0 {
			next, ok := w.core.Next()
			if !ok {
				t.Fatalf("nothing is planned at %v", w.boot)
			}
			w.boot = max(w.boot, next)
			w.step(core.Tick{})
			continue
		}
		if act, ok := w.out[0].(core.Obtain); ok {
			w.out = w.out[1:]
			at = append(at, w.boot)
			w.step(core.Obtained{Job: act.Job, Grants: []core.Grant{{Grant: plugins.Grant{Alias: "ns1", Token: w.svc.issue("alice")}}}})
			continue
		}
		w.answer(0)
	}
	for i := 1; i < len(at); i++ {
		if got := at[i] - at[i-1]; got != 9*time.Hour {
			t.Errorf("obtained again after %v, want three quarters of 12 h", got)
		}
	}
	if len(at) < 8 {
		t.Errorf("obtained %d times in three days, want 8", len(at))
	}
}
