package sim_test

import (
	"bytes"
	"maps"
	"math"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/internal/sim"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// The judge is judged: each of these bugs stands between the core and the world,
// in a month whose only faults they are, and must be seen for what it does.
// Shows: M09.
func TestJudge_SeesPlantedBugs(t *testing.T) {
	clean := sim.Config{Seed: 9, Apps: 60, Length: 12 * day}
	kept(t, run(t, clean))
	for name, bug := range map[string]struct {
		tamper        func() func(core.Action) []core.Action
		lost, harmful bool
	}{
		"renewals that are never sent":      {tamper: swallowRenewals, lost: true},
		"stagings that are never made":      {tamper: swallowSecondSets, lost: true},
		"a set without one of its tokens":   {tamper: dropFromSet, lost: true},
		"a cancel of what is in use":        {tamper: cancelStaged, harmful: true},
		"a cancel under the readers' hands": {tamper: cancelReplaced, harmful: true},
		"a cancel of what nobody proved":    {tamper: cancelUnproved, harmful: true},
		"a cancel of what is to be kept":    {tamper: cancelBrought, harmful: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := clean
			c.Tamper = bug.tamper()
			r := run(t, c)
			if bug.lost != (r.Lost > 0) || bug.harmful != (r.Harmful > 0) {
				t.Errorf("%d lost (want some: %v), %d harmful cancels (want some: %v): %v", r.Lost, bug.lost, r.Harmful, bug.harmful, r.Harms)
			}
		})
	}
}

func same(a core.Action) []core.Action { return []core.Action{a} }

// every calls f for each n-th.
func every(n int, f func(core.Action) []core.Action) func(core.Action) []core.Action {
	seen := 0
	return func(a core.Action) []core.Action {
		if seen++; seen%n == 0 {
			return f(a)
		}
		return same(a)
	}
}

func swallowRenewals() func(core.Action) []core.Action {
	swallow := every(50, func(core.Action) []core.Action { return nil })
	return func(a core.Action) []core.Action {
		if _, ok := a.(core.Renew); ok {
			return swallow(a)
		}
		return same(a)
	}
}

func swallowSecondSets() func(core.Action) []core.Action {
	return func(a core.Action) []core.Action {
		s, ok := a.(core.Stage)
		if !ok || s.Set.Generation == 1 {
			return same(a)
		}
		return nil
	}
}

func dropFromSet() func(core.Action) []core.Action {
	return func(a core.Action) []core.Action {
		s, ok := a.(core.Stage)
		if !ok || s.Set.Generation != 2 {
			return same(a)
		}
		s.Set.Credentials.Tokens = maps.Clone(s.Set.Credentials.Tokens)
		delete(s.Set.Credentials.Tokens, "ns2")
		return same(s)
	}
}

// cancelOf is a cancel that the core did not ask for.
func cancelOf(tok plugins.Token) core.Cancel {
	return core.Cancel{Job: 1 << 60, Authority: appregistry.Authority{Instance: "hdfs", Name: tok.Service}, Token: tok}
}

func cancelStaged() func(core.Action) []core.Action {
	var last plugins.Token
	cancel := every(30, func(a core.Action) []core.Action { return []core.Action{a, cancelOf(last)} })
	return func(a core.Action) []core.Action {
		if s, ok := a.(core.Stage); ok {
			if tok, ok := s.Set.Credentials.Tokens["ns1"]; ok {
				last = tok
				return cancel(a)
			}
		}
		return same(a)
	}
}

// cancelReplaced does not wait for the readers of the set before, as the engine
// would.
func cancelReplaced() func(core.Action) []core.Action {
	before := map[appregistry.AppKey]plugins.Token{}
	return func(a core.Action) []core.Action {
		s, ok := a.(core.Stage)
		if !ok {
			return same(a)
		}
		tok, old := s.Set.Credentials.Tokens["ns1"], before[s.Set.App]
		before[s.Set.App] = tok
		if old.Identifier == nil || bytes.Equal(old.Identifier, tok.Identifier) {
			return same(a)
		}
		// With the set, so that nobody has it in the newest one any more.
		return []core.Action{a, cancelOf(old)}
	}
}

func cancelUnproved() func(core.Action) []core.Action {
	return func(a core.Action) []core.Action {
		r, ok := a.(core.Renew)
		if ok && bytes.HasPrefix(r.Token.Password, []byte("made up")) {
			return []core.Action{a, cancelOf(r.Token)}
		}
		return same(a)
	}
}

func cancelBrought() func(core.Action) []core.Action {
	// What is cancelled here was brought and proved; the core would remember it.
	var held []plugins.Token
	return func(a core.Action) []core.Action {
		switch a := a.(type) {
		case core.Renew:
			if a.First && len(held) < 1000 {
				held = append(held, a.Token)
			}
		case core.Notify:
			if a.What == core.AppLeft && len(held) > 0 {
				tok := held[0]
				held = held[1:]
				return []core.Action{a, cancelOf(tok)}
			}
		}
		return same(a)
	}
}

// What could not be helped is not held against the engine.
func TestJudge_KnowsWhatCouldNotBeHelped(t *testing.T) {
	t.Run("down for longer than tokens live", func(t *testing.T) {
		r := run(t, sim.Config{Seed: 1, Apps: 60, Length: 10 * day, Faults: sim.Faults{
			Outages: []sim.Outage{{Part: sim.Service, Service: 1, At: 5 * day, For: 36 * time.Hour}},
		}})
		for _, l := range r.Losses {
			// It was in the second half of its life when the service went down.
			if l.At < 5*day || l.At > 5*day+12*time.Hour {
				t.Errorf("lost at %v: %+v", l.At, l)
			}
			if down := 1 - (l.At-5*day).Hours()/l.Life.Hours(); math.Abs(l.UpUntil-down) > 0.001 {
				t.Errorf("up until %.3f of the life, want %.3f: %+v", l.UpUntil, down, l)
			}
		}
		if r.Closed == 0 || r.Dark.N == 0 {
			t.Errorf("%d ended since the service was down, %d times dark", r.Closed, r.Dark.N)
		}
	})
	t.Run("nobody may extend it", func(t *testing.T) {
		r := run(t, sim.Config{Seed: 1, Apps: 200, Length: 10 * day})
		kept(t, r)
		if r.Finished == 0 || r.Closed+r.OverCap+r.Asleep > 0 {
			t.Errorf("%+v, want tokens that came to their natural end and nothing else", r)
		}
	})
}

// An outage no longer than the slack, and no more tokens than cap times slack
// (M33): what queues up is caught up with in time.
//
// Shows: M33.
func TestB30_OutageWithinTheSlack(t *testing.T) {
	// Renewals begin with a quarter of two hours to live, or more: half an hour at
	// 0.1 calls a second is 180 tokens.
	r := run(t, sim.Config{
		Seed: 6, Apps: 180, Services: 1, Length: 4 * day, CallsPerSecond: 0.1,
		Lifetimes: hadooptest.Lifetimes{RenewInterval: 2 * time.Hour, MaxLifetime: 2 * day},
		Faults:    sim.Faults{Fail: 0.05, Outages: []sim.Outage{{Part: sim.Service, For: 24 * time.Minute, Every: 6 * time.Hour}}},
	})
	kept(t, r)
	if r.Closed+r.OverCap > 0 {
		t.Errorf("%d ended for the outage and %d for the cap, want none", r.Closed, r.OverCap)
	}
	if r.Lateness.Max < 20*time.Minute {
		t.Errorf("the latest renewal was %v late: nothing queued up", r.Lateness.Max)
	}
}
