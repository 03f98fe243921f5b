package core_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

func ending(id string, e appregistry.AtEnd) appregistry.App {
	a := app(id)
	a.AtEnd = e
	return a
}

// Shows: Y1, C-Y16.
func TestY2_SharedTokenIsOneEntryAndOneRenewal(t *testing.T) {
	w := newWorld(t, day, 7*day)
	tok := w.svc.issue("alice")
	for _, id := range []string{"a", "b", "c"} {
		w.mustDone(w.register(registration{app: app(id), bring: bring(tok)}))
	}
	want := []appregistry.AppKey{{Owner: "alice", ID: "a"}, {Owner: "alice", ID: "b"}, {Owner: "alice", ID: "c"}}
	if diff := cmp.Diff(want, w.only().Holders); diff != "" {
		t.Errorf("holders (-want +got):\n%s", diff)
	}
	w.run(day)
	if got := w.svc.renewals[string(tok.Identifier)]; got != 2 {
		t.Errorf("%d renewals in a day for three holders, want 2", got)
	}
}

func TestY4_ServiceTextsOfOneAuthorityAreAliases(t *testing.T) {
	w := newWorld(t, day, 7*day)
	tok := w.svc.issue("alice")
	other := tok.Clone()
	other.Service = "127.0.0.1:8020"
	w.mustDone(w.register(registration{app: app("a"), bring: map[string]plugins.Token{"logical": tok, "address": other}}))
	w.only()
	w.run(8 * day)
	creds := w.targets["/stage/a"].creds
	if a, b := creds.Tokens["logical"], creds.Tokens["address"]; string(a.Identifier) != string(b.Identifier) || a.Service != "ns1" || b.Service != "127.0.0.1:8020" {
		t.Errorf("aliases went apart: %v and %v", a, b)
	}
}

func TestY34_CancelOnlyWhenTheLastHolderLeaves(t *testing.T) {
	w := newWorld(t, day, 7*day)
	tok := w.svc.issue("alice")
	for _, id := range []string{"a", "b"} {
		w.mustDone(w.register(registration{app: ending(id, appregistry.CancelAll), bring: bring(tok)}))
	}
	w.mustDone(w.unregister(alice, "b"))
	w.run(time.Hour)
	if len(w.svc.cancels) != 0 {
		t.Fatal("cancelled while a held it")
	}
	w.mustDone(w.unregister(alice, "a"))
	if diff := cmp.Diff([]string{string(tok.Identifier)}, w.svc.cancels); diff != "" {
		t.Errorf("cancels (-want +got):\n%s", diff)
	}
	if e := w.core.Entries(); len(e) != 0 {
		t.Errorf("entries are left: %+v", e)
	}
	// KP18: it is remembered, and refused.
	r := w.register(registration{app: app("c"), bring: bring(tok)})
	wantCode(t, w.done(r), core.CodeTokenCancelled)
}

// Whichever holder leaves first, and after a restart. Shows: C-Y14, C-Y05.
// Shows: Y36, Y35, C-Y05, C-Y14.
func TestY36_OneHolderWhoKeepsIsEnough(t *testing.T) {
	for name, order := range map[string][]string{"keeper first": {"keep", "cancel"}, "keeper last": {"cancel", "keep"}} {
		for _, restart := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, day, 7*day)
				tok := w.svc.issue("alice")
				w.mustDone(w.register(registration{app: ending("keep", appregistry.KeepAll), bring: bring(tok)}))
				w.mustDone(w.register(registration{app: ending("cancel", appregistry.CancelAll), bring: bring(tok)}))
				for _, id := range order {
					w.mustDone(w.unregister(alice, appregistry.AppID(id)))
					if restart {
						w.crash()
					}
					w.run(time.Hour)
				}
				// Another who asks for cancel comes and goes: nothing is forgotten.
				w.mustDone(w.register(registration{app: ending("late", appregistry.CancelAll), bring: bring(tok)}))
				w.mustDone(w.unregister(alice, "late"))
				w.run(time.Hour)
				if len(w.svc.cancels) != 0 {
					t.Errorf("cancelled, restart %v", restart)
				}
			})
		}
	}
}

func TestT01_ForgedPasswordCancelsNothing(t *testing.T) {
	for _, verify := range []appregistry.Verify{appregistry.VerifyRenew, appregistry.VerifyNone} {
		for _, first := range []bool{true, false} {
			w := newWorld(t, day, 7*day)
			real := w.svc.issue("alice")
			forged := real.Clone()
			forged.Password = make(plugins.Secret, 20)
			bad := registration{app: ending("bad", appregistry.CancelAll), bring: bring(forged)}
			bad.app.Verify = verify
			if !first {
				w.mustDone(w.register(registration{app: app("good"), bring: bring(real)}))
			}
			r := w.register(bad)
			if first {
				w.mustDone(w.register(registration{app: app("good"), bring: bring(real)}))
			} else {
				wantCode(t, w.done(r), core.CodePasswordConflict)
			}
			w.run(time.Hour)
			w.unregister(alice, "bad")
			w.run(10 * time.Hour)
			if len(w.svc.cancels) != 0 || !w.valid("good", "ns1") {
				t.Errorf("verify %v, forged first %v: cancels %v", verify, first, w.svc.cancels)
			}
		}
	}
}

// While the service cannot be asked, nobody's password is the right one; then
// the one that renews wins.
func TestT01_ContestOfUnprovenPasswords(t *testing.T) {
	w := newWorld(t, day, 7*day)
	real := w.svc.issue("alice")
	forged := real.Clone()
	forged.Password = plugins.Secret("made up")
	down := true
	w.svc.fault = func(string, string) error {
		if down {
			return errDown
		}
		return nil
	}
	w.mustDone(w.register(registration{app: ending("bad", appregistry.CancelAll), bring: bring(forged)}))
	w.mustDone(w.register(registration{app: app("good"), bring: bring(real)}))
	down = false
	w.run(10 * time.Minute)
	if n := w.svc.renewals[string(real.Identifier)]; n == 0 {
		t.Fatal("the owner was locked out")
	}
	states := map[appregistry.State]int{}
	for _, e := range w.core.Entries() {
		states[e.Tokens[0].State]++
	}
	if states[appregistry.Denied] != 1 || states[appregistry.Live] != 1 {
		t.Errorf("states %v, want one live and one denied", states)
	}
	w.mustDone(w.unregister(alice, "bad"))
	if len(w.svc.cancels) != 0 {
		t.Error("a forged cancel went out")
	}
}

func TestT02_OnlyWhoMayActForTheOwnerBringsHisToken(t *testing.T) {
	for name, c := range map[string]struct {
		caller core.Caller
		user   string
		real   string
		code   string
	}{
		"owner":            {caller: alice, user: "alice"},
		"stranger":         {caller: mallory, user: "mallory", code: core.CodeNotOwner},
		"real user":        {caller: mallory, user: "mallory", real: "mallory"},
		"acts for owner":   {caller: core.Caller{Name: "oozie", ActsFor: []string{"alice"}}, user: "alice"},
		"operator":         {caller: operator, user: "alice"},
		"as somebody else": {caller: mallory, user: "alice", code: core.CodeNotAllowed}, // T-05
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, day, 7*day)
			tok := w.svc.issue("alice")
			id := *w.svc.identity(tok)
			id.RealShort = c.real
			r := registration{
				app: app("a"), caller: c.caller, bring: bring(tok),
				brought: map[string]core.Brought{"ns1": {Authority: ns1, Identity: &id, Obtains: true}},
			}
			r.app.User = c.user
			wantCode(t, w.done(w.register(r)), c.code)
		})
	}
}

// Who only borrowed a token keeps it to its end and gets no successor.
func TestDecision2_LentTokenGetsNoSuccessor(t *testing.T) {
	w := newWorld(t, day, 7*day)
	tok := w.svc.issue("alice")
	w.mustDone(w.register(registration{app: app("own"), bring: bring(tok)}))
	guest := registration{app: app("guest"), caller: core.Caller{Name: "bob", ActsFor: []string{"alice"}}, bring: bring(tok)}
	guest.app.User = "bob"
	w.mustDone(w.register(guest))
	w.run(7*day - time.Hour)
	if got := w.held("guest", "ns1"); got != string(tok.Identifier) || !w.valid("guest", "ns1") {
		t.Errorf("the guest holds %q, want the old token, alive", got)
	}
	if got := w.held("own", "ns1"); got == string(tok.Identifier) {
		t.Error("the owner still holds the old token")
	}
	// The retired token buys the new one for its owner only.
	late := guest
	late.app.ID = "late"
	wantCode(t, w.done(w.register(late)), core.CodeTokenReplaced)
	w.mustDone(w.register(registration{app: app("again"), bring: bring(tok)}))
	if w.held("again", "ns1") != w.held("own", "ns1") {
		t.Error("the owner did not get the current token for the retired one")
	}
}

func TestT56_CancelStormIsPaused(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.cfg.Policy.CancelBurst = 3
	w.crash()
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		w.mustDone(w.register(registration{app: app(id), plan: plan(ns1)}))
	}
	for _, id := range []appregistry.AppID{"a", "b", "c", "d", "e"} {
		w.mustDone(w.unregister(alice, id))
	}
	w.run(time.Hour)
	if len(w.svc.cancels) != 3 || len(w.noted(core.CancelsPaused)) != 1 {
		t.Fatalf("%d cancels, %d alarms; want 3 and 1", len(w.svc.cancels), len(w.noted(core.CancelsPaused)))
	}
	w.crash() // which lets nothing through, and says again that it waits
	w.run(time.Hour)
	if len(w.svc.cancels) != 3 || len(w.noted(core.CancelsPaused)) != 2 {
		t.Fatalf("after a restart %d cancels, %d alarms; want 3 and 2", len(w.svc.cancels), len(w.noted(core.CancelsPaused)))
	}
	r := w.ask()
	w.step(core.ResumeCancels{Request: r, Caller: operator})
	w.run(time.Minute)
	w.mustDone(r)
	if len(w.svc.cancels) != 5 {
		t.Errorf("%d cancels after resuming, want 5", len(w.svc.cancels))
	}
	w.crash()
	w.run(time.Minute)
	if n := len(w.noted(core.CancelsPaused)); n != 2 {
		t.Errorf("%d alarms: paused again by a restart", n)
	}
}

// Who brings a token first may not obtain its successor; its owner may, who brings
// it later.
func TestP2_TheOwnerOfASharedTokenGetsItsSuccessor(t *testing.T) {
	w := newWorld(t, day, 7*day)
	tok := w.svc.issue("alice")
	w.mustDone(w.byRealUser(tok, nil))
	w.mustDone(w.register(registration{app: app("a"), bring: bring(tok)})) // alice's own: a successor can be obtained
	w.run(8 * day)
	if !w.valid("a", "ns1") {
		t.Errorf("lost, though its owner could have had another; %d issued", w.svc.issued)
	}
}
