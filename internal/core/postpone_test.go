package core_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// What the simulator found: nothing that happens between two renewals may put
// the next one off. `tokenwheel simulate --crashes 100 --seed 2` lost tokens.
func TestP2_RestartsDoNotPutARenewalOff(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
	id := w.held("a", "ns1")
	began := w.svc.renewals[id]
	for range 18 {
		w.run(time.Hour)
		w.crash()
	}
	w.run(time.Minute)
	if n := w.svc.renewals[id] - began; n != 1 {
		t.Errorf("%d renewals in 18 h with a restart each hour, want the one due after 16 to 18 h", n)
	}
}

// A service whose tokens live an hour, and whose first renewal, which would have
// told so, fails.
func TestP2_AnExpiryNotLearntIsAskedForAgain(t *testing.T) {
	w := newWorld(t, time.Hour, day)
	w.svc.noExpiry = true
	failed := false
	w.svc.fault = func(op, _ string) error {
		if op == "renew" && !failed {
			failed = true
			return errDown
		}
		return nil
	}
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
	for range 12 {
		w.run(10 * time.Minute)
		if !w.valid("a", "ns1") {
			t.Fatalf("the reader's token is dead after %v", w.boot)
		}
	}
	if !failed {
		t.Error("no renewal failed")
	}
}

// Shows: B91.
func TestP4_ReadersOfAReplacedTokenKeepTheirTimeOverAWallStep(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
	first, sets := w.held("a", "ns1"), w.targets["/stage/a"]
	update := sets.all[0].NextUpdate.Sub(w.wall)
	began := w.wall
	w.svc.now = func() time.Time { return began.Add(w.boot) } // the service's clock is right
	w.wall = w.wall.AddDate(10, 0, 0)
	for w.held("a", "ns1") == first {
		w.run(time.Minute)
	}
	w.run(update - w.boot - time.Second)
	if len(w.svc.cancels) != 0 {
		t.Errorf("cancelled while its readers have not looked for the next set")
	}
	w.run(2 * time.Minute)
	if len(w.svc.cancels) != 1 {
		t.Errorf("%d cancels after they looked and a grace more, want 1", len(w.svc.cancels))
	}
}

// A set that comes after its readers looked for it: they look again an hour later.
func TestP4_ReadersThatLookedInVainKeepTheirToken(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
	first := w.held("a", "ns1")
	update := w.targets["/stage/a"].all[0].NextUpdate.Sub(w.wall)
	w.svc.fault = func(op, _ string) error {
		if op == "obtain" && w.boot < update+10*time.Minute {
			return errDown
		}
		return nil
	}
	for w.held("a", "ns1") == first {
		w.run(time.Minute)
	}
	if w.boot < update {
		t.Fatalf("replaced at %v, before its readers looked at %v", w.boot, update)
	}
	w.run(update + time.Hour - w.boot)
	if len(w.svc.cancels) != 0 {
		t.Error("cancelled before its readers looked again")
	}
	w.run(time.Hour)
	if len(w.svc.cancels) != 1 {
		t.Errorf("%d cancels two hours later, want 1", len(w.svc.cancels))
	}
}

// Of two sets with a token the earlier told its readers a later time: they are
// waited for.
func TestP4_ReadersOfAnEarlierSetAreWaitedFor(t *testing.T) {
	ns2 := appregistry.Authority{Instance: "hdfs", Name: "ns2"}
	w := newWorld(t, day, 30*time.Hour)
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1, ns2)}))
	first, latest := w.targets["/stage/a"].all[0], time.Duration(0)
	looks := first.NextUpdate.Sub(w.wall)
	for w.boot < looks-time.Second {
		w.run(time.Second)
	}
	for _, s := range w.targets["/stage/a"].all {
		latest = s.NextUpdate.Sub(w.wall)
		if s.Generation == 2 && latest >= looks {
			t.Fatalf("the second set's readers look at %v, want before the first's at %v", latest, looks)
		}
	}
	if len(w.svc.cancels) != 0 {
		t.Errorf("%v was cancelled before readers of the first set looked at %v", w.svc.cancels, looks)
	}
}

// A stock reader may look in vain, sleep an hour, take a set that tells a time long
// past, and look in vain again, while sets with later times come and go. Whatever it
// has read by then stays good: `tokenwheel simulate --renew-interval 2h
// --max-lifetime 2h --fail 30% --seed 852357` had cancels under its hands.
func TestP4_ReadersThatLookInVainAgainAndAgainKeepTheirTokens(t *testing.T) {
	ns2 := appregistry.Authority{Instance: "hdfs", Name: "ns2"}
	w := newWorld(t, 2*time.Hour, 2*time.Hour)
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1, ns2)}))
	random := rand.New(rand.NewPCG(1, 1))
	w.svc.fault = func(op, _ string) error {
		if op == "obtain" && random.IntN(10) < 8 {
			return errDown
		}
		return nil
	}
	sets, read, at, vain := w.targets["/stage/a"], 0, time.Duration(0), 0
	for w.boot < 20*day {
		if w.boot >= at {
			at = w.boot + time.Hour
			if read == len(sets.all) {
				vain++
			} else {
				read = len(sets.all)
				at = max(w.boot, sets.all[read-1].NextUpdate.Sub(w.wall))
			}
		}
		w.run(min(30*time.Second, max(at-w.boot, time.Second)))
		for alias, tok := range sets.all[read-1].Credentials.Tokens {
			if slices.Contains(w.svc.cancels, string(tok.Identifier)) {
				t.Fatalf("%s of set %d was cancelled by %v under the hands of a reader that looks at %v", alias, read, w.boot, at)
			}
		}
	}
	if vain < 20 {
		t.Errorf("%d looks in vain, want many", vain)
	}
}

// A machine that sleeps finds a token's end and the end of its grace together.
func TestP10_EndAndReleaseAtOnceLeaveNothingBehind(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.mustDone(w.register(registration{app: ending("a", appregistry.KeepAll), plan: plan(ns1)}))
	first := w.held("a", "ns1")
	w.svc.fault = func(op, id string) error {
		if op == "renew" && id == first {
			return terminal(plugins.KindReplace, "unknown token")
		}
		return nil
	}
	for w.held("a", "ns1") == first {
		w.run(time.Hour)
	}
	w.boot = 7*day - 4*time.Hour // its readers have looked, and its max date is still to come
	w.step(core.Tick{})
	w.run(time.Minute)
	for _, s := range w.core.Remembered() {
		t.Errorf("token %d is remembered as %v beyond its end", s.ID, s.State)
	}
}

// A service whose clock is a day behind ours, a restart, and a first call that
// fails: by our own clock alone every token is past its max date.
// `tokenwheel simulate --skew -24h --crashes 100` lost tokens.
//
// Shows: B21.
func TestB21_ClockBehindOursIsRememberedOverARestart(t *testing.T) {
	w := newWorld(t, 2*time.Hour, day)
	began := w.wall
	w.svc.now = func() time.Time { return began.Add(w.boot - day) }
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)})) // which shows the service's clock
	lent := registration{app: app("b"), bring: bring(w.svc.issue("alice")), caller: core.Caller{Name: "alice", ActsFor: []string{"guest"}}}
	lent.app.User = "guest" // nobody may replace its token
	w.mustDone(w.register(lent))
	w.run(time.Hour)
	failures := 2
	w.svc.fault = func(op, _ string) error {
		if op == "renew" && failures > 0 {
			failures--
			return errDown
		}
		return nil
	}
	w.crash()
	for range 20 {
		w.run(time.Hour)
		if !w.valid("a", "ns1") || !w.valid("b", "ns1") {
			t.Fatalf("after %v a reader's token is dead: a %v, b %v", w.boot, w.valid("a", "ns1"), w.valid("b", "ns1"))
		}
	}
	if n := len(w.noted(core.TokenLost)); n > 0 {
		t.Errorf("%d tokens are told to be lost", n)
	}
}

// A service whose clock is a day ahead of ours, known by nothing but a token that
// was brought: its first renewal proves the date in it.
//
// Shows: B21.
func TestB21_FirstRenewalShowsThatAClockIsAhead(t *testing.T) {
	w := newWorld(t, day, 7*day)
	began := w.wall
	w.svc.now = func() time.Time { return began.Add(w.boot + day) }
	w.mustDone(w.register(registration{app: app("a"), bring: bring(w.svc.issue("alice"))}))
	for range 48 {
		w.run(time.Hour)
		if !w.valid("a", "ns1") {
			t.Fatalf("the reader's token is dead after %v", w.boot)
		}
	}
}

// The readers of the last set look when they were told to, though another
// registration has taken the place of the one that told them.
func TestP4_ReadersOfTheLastSetOutliveAReregistration(t *testing.T) {
	w := newWorld(t, day, 7*day)
	old, fresh := w.svc.issue("alice"), w.svc.issue("alice")
	w.mustDone(w.register(registration{app: ending("a", appregistry.CancelAll), bring: bring(old)}))
	w.run(time.Hour)
	look := w.targets["/stage/a"].all[0].NextUpdate
	w.mustDone(w.register(registration{app: ending("a", appregistry.CancelAll), bring: bring(fresh)}))
	w.run(10 * time.Minute)
	if w.svc.tokens[string(old.Identifier)].cancelled {
		t.Errorf("cancelled at %s; a stock reader of its set looks at %s", w.wall.Add(w.boot).Format(time.DateTime), look.Format(time.DateTime))
	}
}

func TestP4_ARoundThatWaitsForItsRetryKeepsItsWord(t *testing.T) {
	w := newWorld(t, day, 7*day)
	a := ending("a", appregistry.CancelAll)
	a.StageTo = []appregistry.Target{{Dir: "/one"}, {Dir: "/two"}}
	w.stageErr = func(s appregistry.Set) error {
		if s.Target.Dir == "/two" {
			return errDown
		}
		return nil
	}
	w.register(registration{app: a, plan: plan(ns1)})
	first := w.targets["/one"].creds.Tokens["ns1"].Identifier
	look := w.targets["/one"].all[0].NextUpdate
	w.stageErr = nil
	w.step(core.TokenCommand{Request: w.ask(), Caller: operator, Token: w.only().Tokens[0].ID, Verb: core.ReplaceNow})
	w.run(100 * time.Millisecond)
	b := a
	b.Tolerate = true // other content, the same targets and plan
	w.register(registration{app: b, plan: plan(ns1)})
	w.run(20 * time.Minute)
	if w.svc.tokens[string(first)].cancelled {
		t.Errorf("cancelled by %s; its reader looks at %s", w.wall.Add(w.boot).Format(time.DateTime), look.Format(time.DateTime))
	}
}
