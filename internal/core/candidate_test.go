package core_test

import (
	"slices"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// A new token whose first renewal takes so long that a later one takes the place before
// it is cancelled, not renewed to its max date with nobody to use it.
func TestCandidate_OvertakenIsLetGo(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
	w.run(time.Hour)
	w.svc.noExpiry = true
	var held core.Renew
	w.hold = func(a core.Action) bool {
		r, ok := a.(core.Renew)
		if ok && held.Job == 0 && string(r.Token.Identifier) == "alice#2" {
			held = r
			return true
		}
		return false
	}
	cmd := func() {
		w.step(core.TokenCommand{Request: w.ask(), Caller: operator, Token: w.only().Tokens[0].ID, Verb: core.ReplaceNow})
		w.run(11 * time.Second)
	}
	cmd()
	cmd()
	if w.svc.issued != 3 {
		t.Fatalf("%d issued", w.svc.issued)
	}
	exp, err := w.svc.renew(held.Token)
	w.step(core.Renewed{Job: held.Job, Expires: exp, Err: err})
	w.run(3 * day)
	if !slices.Contains(w.svc.cancels, "alice#2") {
		t.Errorf("held %s; cancels %v; renewals %v", w.held("a", "ns1"), w.svc.cancels, w.svc.renewals)
	}
}

// An operator cancels a new token before it has taken its place: another one is
// obtained in its stead.
func TestCandidate_CancelledIsObtainedAgain(t *testing.T) {
	for _, first := range []bool{true, false} {
		w := newWorld(t, day, 7*day)
		if !first {
			w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
			w.run(time.Hour)
		}
		w.svc.noExpiry = true
		w.svc.fault = func(op, id string) error {
			if op == "renew" {
				return terminal(plugins.KindReplace, "unknown")
			}
			return nil
		}
		if first {
			w.step(w.event(registration{app: app("a"), plan: plan(ns1)}))
		} else {
			w.step(core.TokenCommand{Request: w.ask(), Caller: operator, Token: w.only().Tokens[0].ID, Verb: core.ReplaceNow})
		}
		w.run(2 * time.Second)
		var cand appregistry.TokenID
		for _, s := range w.only().Tokens {
			cand = max(cand, s.ID)
		}
		w.step(core.TokenCommand{Request: w.ask(), Caller: operator, Token: cand, Verb: core.CancelNow})
		w.svc.fault = nil
		w.run(10 * time.Minute)
		if !w.valid("a", "ns1") || w.svc.issued < 2 {
			t.Errorf("first %v: held %q, issued %d", first, w.held("a", "ns1"), w.svc.issued)
		}
		for h := range 24 * 8 {
			w.run(time.Hour)
			if !w.valid("a", "ns1") {
				t.Fatalf("first %v: a dead after %d h", first, h)
			}
		}
	}
}
