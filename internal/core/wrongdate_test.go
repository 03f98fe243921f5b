package core_test

import (
	"slices"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
)

// A host without a battery begins with a wrong date, and is set right later: a
// session that began in between neither lets a live token go nor forgets to renew it.
func TestP11_SessionThatBeganUnderAWrongDateLosesNothing(t *testing.T) {
	for name, off := range map[string]time.Duration{
		"a month ahead": 30 * day, "30 years ahead": 30 * 365 * day, "two days ahead": 2 * day,
		"a month behind": -30 * day, "since 1970": -56 * 365 * day,
	} {
		for how, obtains := range map[string]bool{"and nobody can replace it": false, "and it can be replaced": true} {
			t.Run(name+", "+how, func(t *testing.T) {
				w := newWorld(t, day, 7*day)
				right := w.wall
				w.svc.now = func() time.Time { return right.Add(w.boot) }
				tok := w.svc.issue("alice")
				a := ending("a", appregistry.CancelAll)
				w.mustDone(w.register(registration{
					app: a, bring: bring(tok), brought: map[string]core.Brought{"ns1": {Authority: ns1, Identity: w.svc.identity(tok), Obtains: obtains}},
				}))
				w.run(6 * time.Hour)
				w.wall = right.Add(off)
				w.crash()
				w.run(10 * time.Minute)
				w.wall = right
				for range 5 * 24 {
					w.run(time.Hour)
					if !w.valid("a", "ns1") {
						t.Fatalf("after %v it holds nothing valid: %+v", w.boot, w.only())
					}
				}
			})
		}
	}
}

// The same where the session that begins then has an empty store: all it learns of
// the service's clock is that the token was issued before now.
func TestP11_RegistrationUnderAWrongDateIsRenewedInTime(t *testing.T) {
	for _, off := range []time.Duration{-30 * day, -56 * 365 * day} {
		w := newWorld(t, day, 7*day)
		right := w.wall
		w.svc.now = func() time.Time { return right.Add(w.boot) }
		tok := w.svc.issue("alice")
		w.run(10 * time.Hour) // the token is older than it is new to us
		w.wall = right.Add(off)
		w.crash()
		w.mustDone(w.register(registration{app: ending("a", appregistry.CancelAll), bring: bring(tok)}))
		w.run(10 * time.Minute)
		w.wall = right
		for range 5 * 24 {
			w.run(time.Hour)
			if !w.valid("a", "ns1") {
				t.Fatalf("off by %v: after %v it holds nothing valid: %+v", off, w.boot, w.only())
			}
		}
	}
}

// A session that begins under a date far ahead takes the time that readers were
// told for past: they sleep on.
func TestP4_ReadersKeepTheirTokensInASessionThatBeganUnderAWrongDate(t *testing.T) {
	w := newWorld(t, day, 7*day)
	right := w.wall
	w.svc.now = func() time.Time { return right.Add(w.boot) }
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
	first, looks := w.held("a", "ns1"), w.targets["/stage/a"].all[0].NextUpdate.Sub(w.wall)
	w.run(3 * day)
	w.wall = right.Add(4 * 365 * day)
	w.crash()
	for w.held("a", "ns1") == first && w.boot < looks {
		w.run(time.Minute)
	}
	w.run(looks - w.boot - time.Second)
	if w.held("a", "ns1") == first || slices.Contains(w.svc.cancels, first) {
		t.Errorf("cancelled are %q before its readers looked at %v", w.svc.cancels, looks)
	}
	w.run(time.Hour)
	if !slices.Contains(w.svc.cancels, first) {
		t.Error("not cancelled after its readers looked")
	}
}
