package core_test

import (
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/core"
)

// caching has its service give the same token to all who ask, until it is told to
// give another one.
func caching(t *testing.T) (w *world, another func()) {
	w = newWorld(t, day, 7*day)
	var one *core.Grant
	w.svc.gives = func(g core.Grant) []core.Grant {
		if one == nil {
			one = &g
		}
		g = *one
		g.Expires = g.Expires.Add(w.boot)
		return []core.Grant{g}
	}
	return w, func() { one = nil }
}

// A service that gives a token again after its cancel has not given a new one.
func TestObtained_CancelledTokenIsNoAnswer(t *testing.T) {
	w, another := caching(t)
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
	w.run(time.Hour)
	r := w.ask()
	w.step(core.TokenCommand{Request: r, Caller: operator, Token: w.only().Tokens[0].ID, Verb: core.CancelNow, Force: true})
	w.run(time.Hour) // the state table is not left
	w.mustDone(r)
	if err := w.checkStates(); err != nil {
		t.Error(err)
	}
	another()
	if w.run(time.Hour); !w.valid("a", "ns1") {
		t.Errorf("holds %q", w.held("a", "ns1"))
	}
}

// An application that is there gets what its service gives it and has given to
// another before.
func TestObtained_SharedTokenReachesWhoIsThere(t *testing.T) {
	w, another := caching(t)
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
	another()
	w.mustDone(w.register(registration{app: app("b"), plan: plan(ns1)}))
	if w.held("a", "ns1") == w.held("b", "ns1") {
		t.Fatal("the test wants two tokens to begin with")
	}
	w.run(time.Hour)
	r := w.ask()
	w.step(core.TokenCommand{Request: r, Caller: operator, Token: w.core.Entries()[0].Tokens[0].ID, Verb: core.ReplaceNow})
	w.run(time.Minute)
	w.mustDone(r)
	if w.held("a", "ns1") != w.held("b", "ns1") || !w.valid("a", "ns1") {
		t.Errorf("holds %q, given is %q", w.held("a", "ns1"), w.held("b", "ns1"))
	}
}

// An answer may have one token under two aliases, as clients of two names want it.
func TestObtained_OneTokenUnderTwoAliases(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.svc.gives = func(g core.Grant) []core.Grant {
		other := g
		other.Alias = "other"
		return []core.Grant{g, other}
	}
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
	for range 9 {
		if one := w.held("a", "ns1"); w.held("a", "other") != one || !w.valid("a", "ns1") {
			t.Fatalf("holds %q and %q", one, w.held("a", "other"))
		}
		w.run(day)
	}
	w.mustDone(w.unregister(alice, "a"))
	if len(w.svc.cancels) != w.svc.issued {
		t.Errorf("cancels %v of %d issued", w.svc.cancels, w.svc.issued)
	}
}
