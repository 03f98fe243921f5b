package core_test

import (
	"slices"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// A successor is in the registry as any token is: who brings it later shares the
// entry. All former holders who may have it do, by decision 2.
//
// Shows: Y25, Y26, C-H28 (tokens that an application knows under several texts).
func TestY26_SuccessorIsSharedAndDeduplicated(t *testing.T) {
	w := newWorld(t, day, 7*day)
	old := w.svc.issue("alice")
	clone := old.Clone()
	clone.Service = "10.0.0.1:8020" // a client's private copy of its logical token
	both := registration{app: app("a"), bring: map[string]plugins.Token{"ns1": old, "ha-hdfs://10.0.0.1:8020": clone}}
	w.mustDone(w.register(both))
	w.mustDone(w.register(registration{app: app("b"), bring: bring(old)}))
	w.run(7 * day)
	next := w.held("a", "ns1")
	if next == string(old.Identifier) || w.held("b", "ns1") != next {
		t.Fatalf("a holds %q and b %q, want one successor of %q", next, w.held("b", "ns1"), old.Identifier)
	}
	copied := w.targets["/stage/a"].creds.Tokens["ha-hdfs://10.0.0.1:8020"]
	if string(copied.Identifier) != next || copied.Service != "10.0.0.1:8020" {
		t.Errorf("the private copy is %v of %q, want the successor under its own service", copied, copied.Identifier)
	}
	renewals := w.svc.renewals[next]
	successor := w.targets["/stage/a"].creds.Tokens["ns1"].Clone()
	w.mustDone(w.register(registration{app: app("late"), bring: bring(successor)}))
	if n := len(w.core.Entries()); n != 1 {
		t.Errorf("%d entries after the successor was brought, want 1", n)
	}
	if got := w.svc.renewals[next]; got != renewals {
		t.Errorf("renewed %d times more to prove what is proved", got-renewals)
	}
}

// Where nothing can be obtained, the token goes on to its end, with a word.
//
// Shows: Y30.
func TestY30_WithoutTheRightToObtainTokensGoOnToTheirEnd(t *testing.T) {
	w := newWorld(t, day, 7*day)
	tok := w.svc.issue("alice")
	asked := 0
	w.svc.fault = func(op, _ string) error {
		if op == "obtain" {
			asked++
		}
		return nil
	}
	w.mustDone(w.register(registration{app: app("a"), bring: bring(tok), brought: map[string]core.Brought{
		"ns1": {Authority: ns1, Identity: w.svc.identity(tok)}, // the router found no right
	}}))
	w.run(7*day - time.Hour)
	if !w.valid("a", "ns1") {
		t.Error("it is not renewed to its max date")
	}
	w.run(2 * time.Hour)
	if asked != 0 {
		t.Errorf("asked %d times for a successor", asked)
	}
	if n := len(w.noted(core.TokenEnded)); n != 1 {
		t.Errorf("its end was told %d times, want once", n)
	}
}

// A cancel that never got through is kept, listed, not tried again, and forgotten
// a day after; over restarts too.
func TestCV05_CancelThatNeverGotThroughIsKeptAndListed(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
	tries := 0
	w.svc.fault = func(op, _ string) error {
		if op == "cancel" {
			tries++
			return terminal(plugins.KindDenied, "not authorized")
		}
		return nil
	}
	w.mustDone(w.unregister(alice, "a"))
	w.run(7*day + 2*time.Hour)
	before := tries
	if before < 10 {
		t.Errorf("%d tries in a week", before)
	}
	w.crash()
	w.run(time.Hour)
	left := w.core.Remembered()
	if len(left) != 1 || left[0].State != appregistry.GivenUp || left[0].Reason == "" {
		t.Fatalf("remembered: %+v, want it as given up, with the reason", left)
	}
	if tries != before {
		t.Errorf("tried %d times more after giving up", tries-before)
	}
	w.run(2 * day)
	if left := w.core.Remembered(); len(left) != 0 {
		t.Errorf("still remembered long after its end: %+v", left)
	}
}

// Each answer resets the plan, and a failure is tried again while there is time:
// the opposite of what YARN does.
//
// Shows: C-Y28, B24 (a service that shortens its interval), C-V14.
func TestCY28_EachRenewalIsPlannedFromTheLatestAnswer(t *testing.T) {
	w := newWorld(t, day, 30*day)
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
	id := w.held("a", "ns1")
	w.run(2 * day)
	w.svc.interval = time.Hour // the operator cut dfs.namenode.delegation.token.renew-interval
	fails := 0
	w.svc.fault = func(op, _ string) error {
		if op == "renew" && fails%3 != 2 {
			fails++
			return errDown
		}
		fails++
		return nil
	}
	for w.boot < 10*day {
		w.run(time.Minute)
		if !w.valid("a", "ns1") {
			t.Fatalf("dead at %v: a failed renewal was not tried again in time", w.boot)
		}
	}
	if n := w.svc.renewals[id]; n < 100 {
		t.Errorf("%d renewals in a week of hourly tokens", n)
	}
}

// Two failures and a success are three calls, and then none until the plan says so.
func TestCF08_FailuresThenASuccessAreThreeCalls(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
	calls := 0
	w.svc.fault = func(op, _ string) error {
		if op != "renew" {
			return nil
		}
		if calls++; calls <= 2 {
			return errDown
		}
		return nil
	}
	w.run(19 * time.Hour)
	if calls != 3 {
		t.Errorf("%d calls around the planned renewal, want 3", calls)
	}
	w.run(12 * time.Hour)
	if calls != 3 {
		t.Errorf("%d calls half a day later, want 3 still", calls)
	}
}

// Who brings a token that has a successor has it in his hands until he is given a set:
// it is cancelled neither before, over a restart either, nor forgotten after.
func TestP4_ReplacedTokenStaysForWhoBringsItLate(t *testing.T) {
	for _, restart := range []bool{false, true} {
		w := newWorld(t, day, 7*day)
		tok := w.svc.issue("alice")
		w.mustDone(w.register(registration{app: ending("a", appregistry.CancelAll), bring: bring(tok)}))
		w.run(time.Hour)
		w.step(core.TokenCommand{Request: w.ask(), Caller: operator, Token: w.idOf(tok), Verb: core.ReplaceNow})
		w.run(time.Minute)
		down := true
		w.stageErr = func(s appregistry.Set) error {
			if down && s.App.ID == "b" {
				return errDown
			}
			return nil
		}
		w.register(registration{app: ending("b", appregistry.CancelAll), bring: bring(tok)})
		if restart {
			w.crash()
		}
		w.run(6*day + 12*time.Hour)
		if slices.Contains(w.svc.cancels, string(tok.Identifier)) {
			t.Errorf("restart %v: cancelled in the hands of b", restart)
		}
		down = false
		w.run(3 * time.Hour)
		if !slices.Contains(w.svc.cancels, string(tok.Identifier)) {
			t.Errorf("restart %v: never cancelled: %v; b holds %s", restart, w.svc.cancels, w.held("b", "ns1"))
		}
	}
}
