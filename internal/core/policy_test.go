package core_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
)

var random = func() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

func TestY14_PresetOfYARNRenewsAtNineTenths(t *testing.T) {
	p, _ := core.Preset("yarn")
	if got, want := p.RenewAfter(10*time.Hour, random()), 9*time.Hour; got != want {
		t.Errorf("after %v, want %v", got, want)
	}
}

// Shows: F13.
func TestCV14_RenewalsSpreadBelowThreeQuarters(t *testing.T) {
	r, seen := random(), map[time.Duration]bool{}
	for range 1000 {
		got := core.Policy{}.RenewAfter(24*time.Hour, r)
		if got > 18*time.Hour || got < 18*time.Hour*9/10 {
			t.Fatalf("after %v, want 16h12m to 18h", got)
		}
		seen[got] = true
	}
	if len(seen) < 900 {
		t.Errorf("%d of 1000 differ", len(seen))
	}
	for _, remains := range []time.Duration{0, time.Second, 1500 * time.Millisecond, 4 * time.Second} {
		if got := (core.Policy{}).RenewAfter(remains, r); got > remains-min(time.Second, remains/2) {
			t.Errorf("%v left: after %v, which leaves less than the least lead", remains, got)
		}
	}
}

func TestY23_ReplaceLead(t *testing.T) {
	for _, c := range []struct{ life, want time.Duration }{
		{7 * 24 * time.Hour, 16*time.Hour + 48*time.Minute}, {45 * time.Second, 11250 * time.Millisecond}, {24 * time.Hour, 3 * time.Hour},
	} {
		if got := (core.Policy{}).LeadBeforeMax(c.life); got != c.want {
			t.Errorf("life %v: lead %v, want %v", c.life, got, c.want)
		}
	}
	if p, _ := core.Preset("yarn"); p.LeadBeforeMax(7*24*time.Hour) != 3*time.Hour {
		t.Error("YARN's lead is 3 h")
	}
}

// Shows: C-F10, C-F12, F15.
func TestF14_RetryDoublesAndStaysWithinAThird(t *testing.T) {
	r := random()
	for n, base := range []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, 5 * time.Minute, 5 * time.Minute} {
		for range 100 {
			if got := (core.Policy{}).RetryAfter(n+1, 0, r); got < base/2 || got > base*3/2 {
				t.Fatalf("failure %d: after %v, want %v ± half", n+1, got, base)
			}
		}
	}
	if got := (core.Policy{}).RetryAfter(9, time.Minute, r); got > 20*time.Second {
		t.Errorf("a minute left: after %v", got)
	}
	if got := (core.Policy{}).RetryAfter(1, time.Millisecond, r); got != time.Second {
		t.Errorf("nearly nothing left: after %v, want the floor", got)
	}
}

func TestCF09_DelayIsARatioOfWhatRemains(t *testing.T) {
	if got := (core.Policy{Ratio: 0.5, Jitter: -1}).RenewAfter(100*time.Second, random()); got != 50*time.Second {
		t.Errorf("100 s left at ratio 0.5: after %v, want 50s", got)
	}
}

func TestF15_ThreeMoreTriesInFifteenMinutes(t *testing.T) {
	r := random()
	for range 1000 {
		left, tries := 15*time.Minute/4, 0
		for n := 1; left > time.Second; n++ {
			left -= (core.Policy{}).RetryAfter(n, left, r)
			tries++
		}
		if tries < 3 {
			t.Fatalf("%d tries", tries)
		}
	}
}

func TestF12_ReplaceOnlyNeverRenews(t *testing.T) {
	w := newWorld(t, day, 7*day)
	a := app("a")
	a.Overlay = map[string]string{"policy": "flink"}
	w.mustDone(w.register(registration{app: a, plan: plan(ns1)}))
	for range 10 * 24 {
		w.run(time.Hour)
		if !w.valid("a", "ns1") {
			t.Fatal("dead token")
		}
	}
	if len(w.svc.renewals) != 0 || w.svc.issued < 12 {
		t.Errorf("%d tokens were renewed, %d issued in 10 days", len(w.svc.renewals), w.svc.issued)
	}
}

func TestStates_TableIsClosed(t *testing.T) {
	for from := appregistry.New; from <= appregistry.GivenUp; from++ {
		if !core.MayFollow(from, from) {
			t.Errorf("%v may not stay", from)
		}
		if core.MayFollow(appregistry.Cancelled, from) != (from == appregistry.Cancelled) {
			t.Errorf("a cancelled token may become %v", from)
		}
		if from != appregistry.CancelPending && from != appregistry.Cancelling && core.MayFollow(from, appregistry.Cancelling) {
			t.Errorf("%v goes to cancelling without an intent", from)
		}
	}
}
