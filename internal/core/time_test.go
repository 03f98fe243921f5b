package core_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
)

// schedule runs 16 days of three applications and returns when each call went
// out, by boot time, with what it was about.
func schedule(t *testing.T, skew time.Duration, wall func(start time.Time, boot time.Duration) time.Time) map[string][]time.Duration {
	w := newWorld(t, day, 7*day)
	start := w.wall
	w.svc.now = func() time.Time { return start.Add(w.boot + skew) }
	step := func() { w.wall = wall(start, w.boot).Add(-w.boot) }
	calls := map[string][]time.Duration{}
	w.hold = func(act core.Action) bool {
		switch act := act.(type) {
		case core.Renew:
			calls["renew "+string(act.Token.Identifier)] = append(calls["renew "+string(act.Token.Identifier)], w.boot)
		case core.Cancel:
			calls["cancel "+string(act.Token.Identifier)] = append(calls["cancel "+string(act.Token.Identifier)], w.boot)
		case core.Obtain:
			calls["obtain "+act.Request.App] = append(calls["obtain "+act.Request.App], w.boot)
		}
		return false
	}
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
	w.mustDone(w.register(registration{app: app("b"), bring: bring(w.svc.issue("alice"))}))
	c := ending("c", appregistry.CancelAll)
	c.Overlay = map[string]string{"linger": "30h"}
	w.mustDone(w.register(registration{app: c, plan: plan(ns1)}))
	for range 16 * 24 * 4 {
		step()
		w.run(15 * time.Minute)
		if w.boot > 9*day && w.boot < 9*day+20*time.Minute {
			w.unregister(alice, "c")
		}
		for _, id := range []appregistry.AppID{"a", "b"} {
			if !w.valid(id, "ns1") {
				t.Fatalf("the token of %s is dead at %v", id, w.boot)
			}
		}
	}
	return calls
}

// However our wall clock steps, while a service's clock is right or hours off,
// every call goes out when it does with a quiet clock, within a hundredth of the
// token's life. Shows: B91, P11, F23, B21.
func TestM10_WallClockStepsMoveNoCall(t *testing.T) {
	for _, skew := range []time.Duration{0, 3 * time.Hour, -3 * time.Hour} {
		quiet := schedule(t, skew, func(start time.Time, boot time.Duration) time.Time { return start.Add(boot) })
		for name, wall := range map[string]func(time.Time, time.Duration) time.Time{
			"an hour to and fro": func(s time.Time, b time.Duration) time.Time {
				return s.Add(b + time.Duration(int(b/time.Hour)%3-1)*time.Hour)
			},
			"ten years to and fro": func(s time.Time, b time.Duration) time.Time { return s.Add(b).AddDate((int(b/time.Hour)%3-1)*10, 0, 0) },
			"1970":                 func(_ time.Time, b time.Duration) time.Time { return time.Unix(0, 0).Add(b) },
			"it stands":            func(s time.Time, _ time.Duration) time.Time { return s },
		} {
			stepped := schedule(t, skew, func(s time.Time, b time.Duration) time.Time {
				if b < time.Minute {
					return s.Add(b) // the start sees a right clock
				}
				return wall(s, b)
			})
			worst := time.Duration(0)
			for what, at := range quiet {
				if len(stepped[what]) != len(at) {
					t.Errorf("skew %v, %s: %d calls of %q, want %d", skew, name, len(stepped[what]), what, len(at))
					continue
				}
				for i := range at {
					worst = max(worst, time.Duration(math.Abs(float64(at[i]-stepped[what][i]))))
				}
			}
			if worst > day/100 {
				t.Errorf("skew %v, %s: a call is off by %v, more than 1 %% of a day", skew, name, worst)
			}
		}
	}
}

// After ten hours asleep everything that is due goes out at the first look at the
// clock, and every token that can be renewed is alive at once. Shows: M10.
func TestB92_SuspendIsCaughtUpWith(t *testing.T) {
	w := newWorld(t, day, 7*day)
	const apps = 20
	for i := range apps {
		w.mustDone(w.register(registration{app: app(fmt.Sprintf("app%d", i)), bring: bring(w.svc.issue("alice"))}))
		w.run(10 * time.Minute)
	}
	w.run(12 * time.Hour) // the first are due in an hour or two
	w.boot += 10 * time.Hour
	w.wall = w.wall.Add(-10 * time.Hour) // suspended with its wall clock, say
	w.svc.now = func() time.Time { return time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).Add(w.boot) }
	for range apps { // which a step takes on one by one here
		w.step(core.Tick{})
	}
	var due []core.Renew
	for _, act := range w.out {
		if r, ok := act.(core.Renew); ok {
			due = append(due, r)
		}
	}
	if len(due) != apps {
		t.Fatalf("%d renewals at the first look, want %d", len(due), apps)
	}
	if slices.ContainsFunc(due, func(r core.Renew) bool { return r.Before == 0 }) {
		t.Error("a call without a deadline to be ordered by")
	}
	w.run(10 * time.Second)
	for i := range apps {
		if !w.valid(appregistry.AppID(fmt.Sprintf("app%d", i)), "ns1") {
			t.Errorf("app%d lost its token", i)
		}
	}
}

// However much falls due at one moment, a step takes on some of it, and what comes
// in between does not wait for the rest.
func TestP8_AHerdOfDueTokensHoldsUpNobody(t *testing.T) {
	w := newWorld(t, day, 7*day)
	const apps = 30
	for i := range apps {
		w.mustDone(w.register(registration{app: app(fmt.Sprintf("app%d", i)), bring: bring(w.svc.issue("alice"))}))
	}
	w.cfg.AtOnce = 7
	w.crash()
	w.run(time.Minute)
	w.boot += 20 * time.Hour
	ev := w.event(registration{app: app("another"), bring: bring(w.svc.issue("alice"))})
	for left := apps; left > 0; left -= w.cfg.AtOnce {
		before := len(w.out)
		if left == apps {
			w.step(ev)
			if outAt[core.Commit](w) < 0 {
				t.Error("the registration waits for the herd")
			}
		} else {
			w.step(core.Tick{})
		}
		renewals := 0
		for _, act := range w.out[before:] {
			if _, ok := act.(core.Renew); ok {
				renewals++
			}
		}
		if want := min(left, w.cfg.AtOnce); renewals != want {
			t.Fatalf("%d renewals in a step with %d tokens due, want %d", renewals, left, want)
		}
		if next, ok := w.core.Next(); left > w.cfg.AtOnce && (!ok || next > w.boot) {
			t.Fatalf("the next look is at %v, though more is due", next)
		}
	}
}
