package core_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// The old token lives, and is in the files, until the new one is staged. Shows: C-Y29.
func TestP4_OldTokenStaysUntilTheNewOneIsStaged(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
	old := w.held("a", "ns1")
	w.stageErr = func(appregistry.Set) error { return errDown }
	w.run(7*day - 2*time.Hour)
	if len(w.noted(core.TokenReplaced)) == 0 {
		t.Fatal("nothing was replaced")
	}
	if slices.Contains(w.svc.cancels, old) || w.svc.renewals[old] < 7 || !w.valid("a", "ns1") {
		t.Fatalf("cancels %v, %d renewals: the staged token must go on", w.svc.cancels, w.svc.renewals[old])
	}
	w.stageErr = nil
	w.run(80 * time.Minute) // its readers looked in vain, and look again after an hour
	if w.held("a", "ns1") == old || !slices.Contains(w.svc.cancels, old) {
		t.Errorf("held %q, cancels %v: want the new one held and the old one cancelled", w.held("a", "ns1"), w.svc.cancels)
	}
}

func TestY27_UnknownExpiryIsLearntByOneRenewal(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.svc.noExpiry = true
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
	if got := w.svc.renewals[w.held("a", "ns1")]; got != 1 {
		t.Errorf("%d renewals, want 1 before the first set", got)
	}
	if s := w.only().Tokens[0]; s.Expires.IsZero() {
		t.Error("the expiry is still not known")
	}
}

func TestY33_AppLeavesWhileItsObtainIsOut(t *testing.T) {
	for _, end := range []appregistry.AtEnd{appregistry.CancelObtained, appregistry.KeepAll} {
		w := newWorld(t, day, 7*day)
		ev := w.event(registration{app: ending("a", end), plan: plan(ns1)})
		w.step(ev)
		for !slices.ContainsFunc(w.out, func(a core.Action) bool { _, ok := a.(core.Obtain); return ok }) {
			w.answer(0)
		}
		w.step(core.Unregister{Request: w.ask(), Caller: alice, App: appregistry.AppKey{Owner: "alice", ID: "a"}})
		w.run(time.Minute)
		want := 1
		if end == appregistry.KeepAll {
			want = 0
		}
		if len(w.svc.cancels) != want {
			t.Errorf("at end %v: %d cancels, want %d", end, len(w.svc.cancels), want)
		}
		if err := w.done(ev.Request); err == nil {
			t.Error("the registration was called ready")
		}
	}
}

func TestTokenThatCannotBeReplacedSimplyEnds(t *testing.T) {
	w := newWorld(t, day, 7*day)
	tok := w.svc.issue("alice")
	w.mustDone(w.register(registration{
		app: app("a"), bring: bring(tok),
		brought: map[string]core.Brought{"ns1": {Authority: ns1, Identity: w.svc.identity(tok)}},
	}))
	w.run(8 * day)
	if len(w.noted(core.TokenEnded)) != 1 || len(w.noted(core.TokenLost)) != 0 {
		t.Errorf("ended %d, lost %d; want 1 and 0", len(w.noted(core.TokenEnded)), len(w.noted(core.TokenLost)))
	}
	if n := w.svc.renewals[string(tok.Identifier)]; n > 12 {
		t.Errorf("%d renewals in 7 days", n)
	}
}

func TestP2_LostIsSaidAtTheEndAndHealedAfterIt(t *testing.T) {
	w := newWorld(t, time.Hour, 6*time.Hour)
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
	w.svc.fault = func(string, string) error { return errDown }
	w.run(58 * time.Minute)
	if len(w.noted(core.TokenLost)) != 0 {
		t.Error("lost before its end")
	}
	w.run(time.Hour)
	if len(w.noted(core.TokenLost)) != 1 {
		t.Errorf("lost %d times, want once", len(w.noted(core.TokenLost)))
	}
	w.svc.fault = nil
	w.run(8 * time.Minute)
	if !w.valid("a", "ns1") {
		t.Error("the service is back, the token is not")
	}
}

func TestB27_DenialIsRetriedSlowlyAndAlarmed(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
	calls := 0
	w.svc.fault = func(string, string) error {
		calls++
		return terminal(plugins.KindDenied, "not the renewer")
	}
	w.run(20 * time.Hour)
	if calls == 0 || calls > 150 || len(w.noted(core.TryAlarmed)) == 0 {
		t.Errorf("%d calls, %d alarms", calls, len(w.noted(core.TryAlarmed)))
	}
	w.svc.fault = nil
	w.run(6 * time.Minute)
	if s := w.only().Tokens[0].State; s != appregistry.Live {
		t.Errorf("state %v six minutes after it was put right", s)
	}
}

func TestB54_B59_NonsenseGrantsAreNotPublished(t *testing.T) {
	grant := func(w *world, user string) core.Grant {
		tok := w.svc.issue(user)
		return core.Grant{Grant: plugins.Grant{Alias: "ns1", Token: tok, Expires: w.svc.now().Add(time.Hour)}, Identity: w.svc.identity(tok)}
	}
	for name, grants := range map[string]func(*world) []core.Grant{
		"none":          func(*world) []core.Grant { return nil },
		"other's":       func(w *world) []core.Grant { return []core.Grant{grant(w, "bob")} },
		"ended":         func(w *world) []core.Grant { g := grant(w, "alice"); g.Expires = w.svc.now(); return []core.Grant{g} },
		"no identifier": func(w *world) []core.Grant { g := grant(w, "alice"); g.Token.Identifier = nil; return []core.Grant{g} },
		"1970":          func(w *world) []core.Grant { g := grant(w, "alice"); g.Max = time.Unix(9, 0); return []core.Grant{g} },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, day, 7*day)
			w.step(w.event(registration{app: app("a"), plan: plan(ns1)}))
			answered := false
			for len(w.out) > 0 {
				if o, ok := w.out[0].(core.Obtain); ok && !answered {
					w.out, answered = w.out[1:], true
					w.step(core.Obtained{Job: o.Job, Grants: grants(w)})
					continue
				}
				w.answer(0)
			}
			if w.targets["/stage/a"] != nil {
				t.Errorf("staged %v", w.targets["/stage/a"].creds)
			}
			w.run(time.Minute)
			if !w.valid("a", "ns1") {
				t.Error("not tried again")
			}
		})
	}
}

// A set that reached one of two targets is in use there, even if it was
// overtaken before it reached the other.
func TestP4_HalfStagedTokenIsNotCancelled(t *testing.T) {
	w := newWorld(t, time.Hour, 12*time.Hour)
	a := app("a")
	a.StageTo = []appregistry.Target{{Dir: "/one"}, {Dir: "/two"}}
	w.mustDone(w.register(registration{app: a, plan: plan(ns1)}))
	down := map[string]bool{"/two": true}
	w.stageErr = func(s appregistry.Set) error {
		if down[s.Target.Dir] {
			return errDown
		}
		return nil
	}
	w.run(10*time.Hour + 30*time.Minute)
	down["/one"] = true
	w.run(9 * time.Hour)
	held := string(w.targets["/one"].creds.Tokens["ns1"].Identifier)
	if held != "alice#2" || w.svc.issued < 3 {
		t.Fatalf("/one holds %s of %d issued; the test wants the second of three", held, w.svc.issued)
	}
	if slices.Contains(w.svc.cancels, held) || !w.svc.tokens[held].good(w.svc.now()) {
		t.Errorf("%s is in use at /one and dead: cancels %v", held, w.svc.cancels)
	}
	down = nil
	w.run(80 * time.Minute)
	if !slices.Contains(w.svc.cancels, held) {
		t.Errorf("cancels %v: %s is nowhere any more", w.svc.cancels, held)
	}
}

// A token that its service renews at the very moment of its max date, for the
// last time, is dead when it is let go: no cancel is sent for it.
func TestP3_DeadTokenIsNotCancelled(t *testing.T) {
	w := newWorld(t, day, 7*day)
	tok := w.svc.issue("alice")
	w.run(7 * day)
	w.mustDone(w.register(registration{app: ending("a", appregistry.CancelAll), bring: bring(tok)}))
	w.run(time.Hour)
	if w.held("a", "ns1") == string(tok.Identifier) || len(w.svc.cancels) != 0 {
		t.Errorf("held %s, cancels %v: want a successor, and no cancel of what is dead", w.held("a", "ns1"), w.svc.cancels)
	}
}

// What an application brought is in its hands until it is given a set. The first
// one may come late: here the first answer about its other token does.
func TestP4_ABroughtTokenStaysUntilTheFirstSetIsStaged(t *testing.T) {
	ns2 := appregistry.Authority{Instance: "hdfs", Name: "ns2"}
	w := newWorld(t, 7*day, 7*day)
	first := w.svc.issue("alice")
	w.run(3 * day)
	slow := w.svc.issue("alice")
	var held core.Renew
	w.hold = func(act core.Action) bool {
		renew, ok := act.(core.Renew)
		if ok = ok && held.Job == 0 && bytes.Equal(renew.Token.Identifier, slow.Identifier); ok {
			held = renew
		}
		return ok
	}
	w.step(w.event(registration{
		app: ending("a", appregistry.CancelAll), bring: map[string]plugins.Token{"ns1": slow, "ns2": first},
		brought: map[string]core.Brought{
			"ns1": {Authority: ns1, Identity: w.svc.identity(slow), Obtains: true},
			"ns2": {Authority: ns2, Identity: w.svc.identity(first), Obtains: true},
		},
	}))
	for range 3 * 24 {
		w.run(time.Hour)
	}
	if len(w.noted(core.TokenReplaced)) == 0 || w.targets["/stage/a"] != nil {
		t.Fatalf("%d tokens were replaced, and the first set is %v", len(w.noted(core.TokenReplaced)), w.targets["/stage/a"])
	}
	if slices.Contains(w.svc.cancels, string(first.Identifier)) {
		t.Error("cancelled in the hands of who brought it")
	}
	w.crash()
	w.run(time.Minute)
	if slices.Contains(w.svc.cancels, string(first.Identifier)) {
		t.Error("cancelled after a restart, before its readers looked")
	}
	w.run(14 * time.Hour)
	if w.targets["/stage/a"] == nil || !slices.Contains(w.svc.cancels, string(first.Identifier)) {
		t.Errorf("cancelled are %q after the first set was staged, want what was brought too", w.svc.cancels)
	}
}
