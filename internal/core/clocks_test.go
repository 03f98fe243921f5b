package core_test

import (
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// Our clock was ten years ahead and then an hour less, and records of before and after
// that tell how far behind it the service was. After a restart the earlier ones would
// have it an hour too early, and tokens live an hour longer than they do.
func TestB91_OfSeveralClocksThatAServiceMayHaveTheLatestIsTaken(t *testing.T) {
	w := newWorld(t, 2*time.Hour, 12*time.Hour)
	w.cfg.Policy.Jitter = -1
	w.crash()
	start := w.wall
	w.svc.now = func() time.Time { return start.Add(w.boot) }
	register := func(id string) string {
		tok := w.svc.issue("alice")
		b := core.Brought{Authority: ns1, Identity: w.svc.identity(tok)} // nothing can be obtained
		w.mustDone(w.register(registration{app: app(id), bring: bring(tok), brought: map[string]core.Brought{"ns1": b}}))
		return string(tok.Identifier)
	}
	until := func(at time.Duration) { w.run(at - w.boot) }
	until(45 * time.Minute)
	register("old") // renewed each hour and a half
	until(8 * time.Hour)
	young := register("young")
	w.wall = start.AddDate(10, 0, 0)
	until(9*time.Hour + 40*time.Minute) // young was renewed ten minutes ago
	w.wall = w.wall.Add(-time.Hour)
	until(10*time.Hour + 50*time.Minute) // old was renewed
	w.crash()
	failed := false
	w.svc.fault = func(op, id string) error {
		if id == young && !failed {
			failed = true
			return errDown
		}
		return nil
	}
	for range 12 * 6 { // old is renewed to its max date first, which tells no life
		w.run(10 * time.Minute)
		if !w.valid("young", "ns1") {
			t.Fatalf("the token is dead at %v", w.boot)
		}
		if w.boot > 19*time.Hour {
			break
		}
	}
}

// Under a clock that is years behind, a token that cannot be renewed tells nothing of
// its service's. A new one does, so restarts before it would be due put nothing off.
func TestB91_RestartsUnderAWrongClockPutNoReplacementOff(t *testing.T) {
	w := newWorld(t, day, day)
	start := w.wall
	w.svc.now = func() time.Time { return start.Add(w.boot) }
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
	w.run(6 * time.Hour)
	w.wall = start.AddDate(-10, 0, 0)
	for range 20 {
		w.crash()
		for range 5 {
			if w.run(time.Hour); !w.valid("a", "ns1") {
				t.Fatalf("the token is dead at %v", w.boot)
			}
		}
	}
	if w.svc.issued > 8 {
		t.Errorf("%d tokens in four days", w.svc.issued)
	}
}

// A token that is renewed no more keeps the distance of its service's clock from what
// ours was then. That of the last one proved counts after a restart, when ours has
// been set right.
func TestB91_AnOldDistanceFromAWrongClockIsNotBelieved(t *testing.T) {
	for _, proved := range []bool{false, true} { // another one, since it was set right
		oldDistance(t, proved)
	}
}

func oldDistance(t *testing.T, proved bool) {
	ns2 := appregistry.Authority{Instance: "hdfs", Name: "ns2"}
	w := newWorld(t, 7*day, 7*day)
	start := w.wall
	w.svc.now = func() time.Time { return start.Add(w.boot) }
	w.wall = start.AddDate(-10, 0, 0)
	w.crash()
	old, other := w.svc.issue("alice"), w.svc.issue("alice")
	w.mustDone(w.register(registration{app: app("a"), bring: map[string]plugins.Token{"ns1": old, "ns2": other}, brought: map[string]core.Brought{
		"ns1": {Authority: ns1, Identity: w.svc.identity(old)}, // nothing can be obtained
		"ns2": {Authority: ns2, Identity: w.svc.identity(other), Obtains: true},
	}}))
	w.run(time.Hour)
	w.wall = start
	w.run(time.Hour)
	if proved {
		young := w.svc.issue("alice")
		w.mustDone(w.register(registration{app: app("b"), bring: bring(young), brought: map[string]core.Brought{"ns1": {Authority: ns1, Identity: w.svc.identity(young)}}}))
	}
	w.run(time.Hour)
	w.crash()
	w.run(time.Hour)
	if n := w.noted(core.TokenEnded); len(n) > 0 {
		t.Errorf("told to have ended: %+v", n)
	}
	w.step(core.TokenCommand{Request: w.ask(), Caller: operator, Token: w.idOf(old) + 2, Verb: core.ReplaceNow})
	w.run(time.Hour)
	if !w.valid("a", "ns1") {
		t.Errorf("its set has %q in the place of a token that is good for days", w.held("a", "ns1"))
	}
}

// Readers are told to look by the clock that is believed, not by one that is only held
// possible before anything is given up.
func TestB91_ReadersAreNotToldToSleepForYears(t *testing.T) {
	for _, by := range []int{-10, 10} {
		w := newWorld(t, day, 7*day)
		start := w.wall
		w.svc.now = func() time.Time { return start.Add(w.boot) }
		w.wall = start.AddDate(by, 0, 0)
		w.crash()
		w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
		w.run(time.Hour)
		w.wall = start
		w.crash()
		w.run(time.Minute)
		w.mustDone(w.register(registration{app: app("b"), bring: map[string]plugins.Token{"ns1": w.targets["/stage/a"].creds.Tokens["ns1"]}}))
		if all := w.targets["/stage/b"].all; all[0].NextUpdate.Sub(w.now().Wall) > 8*day {
			t.Errorf("stepped by %d years: told to look at %v, now %v", -by, all[0].NextUpdate, w.now().Wall)
		}
	}
}
