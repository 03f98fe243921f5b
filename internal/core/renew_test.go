package core_test

import (
	"slices"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

const day = 24 * time.Hour

// A brought token is renewed once at registration, then each day, and replaced
// before its max date; its reader never holds a dead one.
// Shows: Y9, Y16, Y28, C-Y11, C-Y21, P2.
func TestY31_JobStartedInWeekOneIsServedInWeekTwo(t *testing.T) {
	w := newWorld(t, day, 7*day)
	tok := w.svc.issue("alice")
	w.mustDone(w.register(registration{app: app("a"), bring: bring(tok)}))
	if got := w.svc.renewals[string(tok.Identifier)]; got != 1 {
		t.Errorf("%d renewals at registration, want 1", got)
	}
	for i := range 16 * 24 {
		w.run(time.Hour)
		if !w.valid("a", "ns1") {
			t.Fatalf("hour %d: the reader's token %s is dead", i, w.held("a", "ns1"))
		}
	}
	if n := len(w.noted(core.TokenReplaced)); n != 2 {
		t.Errorf("%d replacements in 16 days, want 2", n)
	}
	for i, s := range w.targets["/stage/a"].all {
		if s.Generation != uint32(i+1) {
			t.Errorf("staging %d has generation %d: it rises only with the credentials", i, s.Generation)
		}
	}
	if e := w.only(); len(e.Tokens) != 1 {
		t.Errorf("%d tokens in the entry, want the current one alone", len(e.Tokens))
	}
}

func TestY20_FailedRenewalIsRetriedBeforeTheEnd(t *testing.T) {
	w := newWorld(t, day, 7*day)
	tok := w.svc.issue("alice")
	w.mustDone(w.register(registration{app: app("a"), bring: bring(tok)}))
	failures := 0
	w.svc.fault = func(op, _ string) error {
		if op == "renew" && failures < 5 {
			failures++
			return errDown
		}
		return nil
	}
	w.run(day)
	if failures != 5 || !w.valid("a", "ns1") {
		t.Errorf("%d failures, valid %v; want 5 failures and a good token", failures, w.valid("a", "ns1"))
	}
	for _, n := range w.noted(core.TryFailed) {
		if n.Next.IsZero() || n.Op != "renew" {
			t.Errorf("failure told without a next attempt: %+v", n)
		}
	}
}

func TestB23_RenewalStopsWhereItNoLongerExtends(t *testing.T) {
	// Without a max date only the standing expiry tells.
	w := newWorld(t, day, 3*day)
	tok := w.svc.issue("alice")
	id := *w.svc.identity(tok)
	id.Max = time.Time{}
	w.mustDone(w.register(registration{
		app: app("a"), bring: bring(tok),
		brought: map[string]core.Brought{"ns1": {Authority: ns1, Identity: &id, Obtains: true}},
	}))
	for range 30 * 24 {
		w.run(time.Hour)
		if !w.valid("a", "ns1") {
			t.Fatalf("dead token at %v", w.boot)
		}
	}
	// From the first renewal on: every 16 to 18 hours, one that stands still.
	if got := w.svc.renewals[string(tok.Identifier)]; got > 6 {
		t.Errorf("%d renewals in 3 days", got)
	}
}

func TestB25_AnswersWithoutSenseDoNotSpin(t *testing.T) {
	for name, date := range map[string]time.Time{
		"zero": {}, "epoch": time.Unix(0, 0), "minus one": time.UnixMilli(-1), "past": time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC),
		"year 9999": time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), "most": time.UnixMilli(1<<63 - 1),
	} {
		for _, obtains := range []bool{true, false} {
			w := newWorld(t, day, 7*day)
			tok := w.svc.issue("alice")
			w.mustDone(w.register(registration{
				app: app("a"), bring: bring(tok),
				brought: map[string]core.Brought{"ns1": {Authority: ns1, Identity: w.svc.identity(tok), Obtains: obtains}},
			}))
			calls := 0
			for range 24 * 60 {
				for len(w.out) > 0 {
					w.answer(0)
				}
				w.boot += time.Minute
				w.step(core.Tick{})
				for i := 0; i < len(w.out); {
					if r, ok := w.out[i].(core.Renew); ok {
						calls++
						w.out = append(w.out[:i], w.out[i+1:]...)
						w.step(core.Renewed{Job: r.Job, Expires: date})
						continue
					}
					i++
				}
			}
			if calls == 0 || calls > 250 {
				t.Errorf("%s: %d renewals in a day", name, calls)
			}
			for _, s := range w.only().Tokens {
				if s.Expires.Before(w.wall) || s.Expires.After(w.wall.Add(31*day)) {
					t.Errorf("%s: believed %v", name, s.Expires)
				}
			}
		}
	}
}

func TestCV06_NoKindOfErrorDropsAToken(t *testing.T) {
	for name, err := range map[string]error{
		"plain": errDown, "retry": &plugins.Error{RetryAfter: time.Minute}, "denied": terminal(plugins.KindDenied, "not renewer"),
		"replace": terminal(plugins.KindReplace, "unknown"), "refused": plugins.Refused("x", errDown), "suspect": plugins.Suspect(errDown),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, day, 7*day)
			tok := w.svc.issue("alice")
			b := map[string]core.Brought{"ns1": {Authority: ns1, Identity: w.svc.identity(tok)}}
			w.mustDone(w.register(registration{app: app("a"), bring: bring(tok), brought: b}))
			w.svc.fault = func(string, string) error { return err }
			w.run(20 * time.Hour)
			s := w.only().Tokens[0]
			if s.Next.IsZero() || s.Reason == "" {
				t.Errorf("state %v, reason %q, next %v: want a reason and a next attempt", s.State, s.Reason, s.Next)
			}
			if got := w.held("a", "ns1"); got != string(tok.Identifier) {
				t.Errorf("the set lost its token: %q", got)
			}
		})
	}
}

// A terminal answer that came unprotected counts when it comes twice, far enough
// apart. Shows: B34, T-15.
func TestB34_ForgedTerminalAnswerReplacesNothing(t *testing.T) {
	for _, answers := range []int{1, 2} {
		w := newWorld(t, day, 7*day)
		w.mustDone(w.register(registration{app: app("a"), bring: bring(w.svc.issue("alice"))}))
		forged := 0
		w.svc.fault = func(op, _ string) error {
			if op == "renew" && forged < answers {
				forged++
				return plugins.Replace(errDown)
			}
			return nil
		}
		w.run(day)
		if got, want := len(w.noted(core.TokenReplaced)), answers-1; got != want {
			t.Errorf("after %d answers: %d replacements, want %d", answers, got, want)
		}
	}
}

func TestB21_ServerClockIsLearntFromIssueDates(t *testing.T) {
	for _, skew := range []time.Duration{-23 * time.Hour, -2 * time.Hour, 2 * time.Hour, 23 * time.Hour} {
		w := newWorld(t, time.Hour, 6*time.Hour)
		w.svc.now = func() time.Time { return w.wall.Add(w.boot + skew) }
		w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
		for i := range 20 * 12 {
			if i == 100 {
				w.crash()
			}
			w.run(5 * time.Minute)
			if !w.valid("a", "ns1") {
				t.Fatalf("skew %v: dead token at %v", skew, w.boot)
			}
		}
	}
}

func TestB91_StepsOfTheWallClockMoveNothing(t *testing.T) {
	w := newWorld(t, day, 7*day)
	start := w.wall
	w.svc.now = func() time.Time { return start.Add(w.boot) }
	w.mustDone(w.register(registration{app: app("a"), bring: bring(w.svc.issue("alice"))}))
	for i := range 20 * 24 {
		w.wall = start.AddDate((i%3-1)*10, 0, 0) // ten years back and forth
		w.run(time.Hour)
		if !w.valid("a", "ns1") {
			t.Fatalf("dead token at %v", w.boot)
		}
	}
	total := 0
	for _, n := range w.svc.renewals {
		total += n
	}
	if total > 45 {
		t.Errorf("%d renewals in 20 days", total)
	}
}

// Our wall clock was wrong for a while and set right, before a restart or with
// it: what was learnt of the service's clock meanwhile lets no token die.
func TestP11_WallClockSetRightBeforeARestart(t *testing.T) {
	for _, wrong := range []time.Duration{20 * time.Hour, -20 * time.Hour, 10 * 365 * day} {
		for _, between := range []time.Duration{0, time.Hour} {
			w := newWorld(t, day, 7*day)
			right := w.wall
			w.svc.now = func() time.Time { return right.Add(w.boot) }
			w.wall = right.Add(wrong)
			w.crash()
			w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
			w.run(10 * time.Hour)
			w.wall = right
			w.run(between)
			w.crash()
			for range 8 * 24 {
				w.run(time.Hour)
				if !w.valid("a", "ns1") {
					t.Fatalf("wrong by %v, restart %v after it was set right: dead at %v", wrong, between, w.boot)
				}
			}
		}
	}
}

// A service gives the same token to all who ask: the issue date of one that we
// have says nothing of the service's clock now.
func TestP11_OldTokenGivenAgainDoesNotTurnTheClockBack(t *testing.T) {
	w := newWorld(t, day, 7*day)
	tok := w.svc.issue("alice")
	give := func() bool {
		for i, a := range w.out {
			if act, ok := a.(core.Obtain); ok {
				w.out = slices.Delete(w.out, i, i+1)
				l := w.svc.tokens[string(tok.Identifier)]
				w.step(core.Obtained{Job: act.Job, Grants: []core.Grant{{Grant: plugins.Grant{
					Alias: "ns1", Token: tok.Clone(),
					Expires: l.expires, Max: l.max,
				}, Identity: w.svc.identity(tok)}}})
				return true
			}
		}
		return false
	}
	register := func(id string) {
		w.step(w.event(registration{app: app(id), plan: plan(ns1)}))
		for len(w.out) > 0 {
			if !give() {
				w.answer(0)
			}
		}
	}
	register("a")
	w.run(12 * time.Hour)
	register("b")
	for range 4 * 24 {
		w.run(time.Hour)
		if !w.valid("a", "ns1") {
			t.Fatalf("dead at %v", w.boot)
		}
	}
}

// Shows: P10, Y7, C-Y04.
func TestP10_EveryTokenHasAStateAndANextStep(t *testing.T) {
	w := newWorld(t, day, 7*day)
	none := w.svc.issue("alice")
	id := *w.svc.identity(none)
	id.Renewer, id.Ours = "", false
	w.mustDone(w.register(registration{
		app: app("a"), bring: bring(none),
		brought: map[string]core.Brought{"ns1": {Authority: ns1, Identity: &id}},
	}))
	w.run(day / 2)
	s := w.only().Tokens[0]
	if s.State != appregistry.Foreign || s.Reason != "not-renewable: no renewer" {
		t.Errorf("state %v because %q, want foreign: C-Y04", s.State, s.Reason)
	}
	if w.svc.renewals[string(none.Identifier)] != 0 {
		t.Error("a token without renewer was renewed")
	}
	w.mustDone(w.unregister(alice, "a"))
	if len(w.svc.cancels) != 0 {
		t.Error("a foreign token was cancelled")
	}
}
