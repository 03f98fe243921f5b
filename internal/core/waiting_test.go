package core_test

import (
	"math"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// A call may wait long before it goes out. These are what the core says of it,
// and that its wait confuses nothing.

// until answers the calls that are out in order, up to the first of a kind.
func until[A core.Action](w *world) A {
	w.t.Helper()
	for steps := 0; steps < 1000; steps++ {
		for i, a := range w.out {
			if a, ok := a.(A); ok {
				return a
			}
			w.answer(i)
			break
		}
		if len(w.out) == 0 {
			next, ok := w.core.Next()
			if !ok {
				break
			}
			w.boot = max(w.boot, next)
			w.step(core.Tick{})
		}
	}
	var none A
	w.t.Fatalf("no %T is sent", none)
	return none
}

// Dates of an identifier are what anybody may have written. Until they are
// proved they put no call before those of others.
func TestT11_UnprovedDatesAreNoDeadline(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.step(w.event(registration{app: app("brought"), bring: bring(w.svc.issue("alice"))}))
	if a := until[core.Renew](w); !a.First || a.Tenant != "alice" {
		t.Errorf("the first renewal of a brought token: first %v, tenant %q; want it to wait alice's turn", a.First, a.Tenant)
	}
	w.run(time.Minute)
	if a := until[core.Renew](w); a.First || a.Before-w.boot > 8*time.Hour {
		t.Errorf("the next: first %v, %v before its deadline; want it to go by that", a.First, a.Before-w.boot)
	}
}

func TestT11_NewApplicationWaitsItsTurn(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.svc.noExpiry = true
	w.step(w.event(registration{app: app("a"), plan: plan(ns1)}))
	if a := until[core.Obtain](w); !a.First || a.Before != math.MaxInt64 || a.Tenant != "alice" {
		t.Errorf("its obtain: first %v, before %v, tenant %q", a.First, a.Before, a.Tenant)
	}
	if a := until[core.Renew](w); !a.First {
		t.Error("the renewal that teaches its expiry goes before those of others")
	}
}

// A successor is of use once its expiry is learnt: that call is as urgent as the
// token which it replaces, however long it lives itself.
func TestReplace_SuccessorIsAsUrgentAsWhatItReplaces(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.svc.noExpiry = true
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
	obtain := until[core.Obtain](w)
	ends := w.svc.tokens[w.held("a", "ns1")].expires.Sub(w.wall)
	if obtain.First || obtain.Before > ends {
		t.Errorf("the obtain: first %v, before %v; want %v, when the present token ends", obtain.First, obtain.Before, ends)
	}
	for i, a := range w.out {
		if _, ok := a.(core.Obtain); ok {
			w.answer(i)
			break
		}
	}
	if a := until[core.Renew](w); a.First || a.Before > ends {
		t.Errorf("its renewal: first %v, before %v; want %v", a.First, a.Before, ends)
	}
}

// What a service's clock shows is learnt from the time between the call and its
// answer, not from the time that the call waited for its turn.
func TestObtained_WaitForTurnIsNoSkew(t *testing.T) {
	const skew, wait = -10 * time.Minute, 40 * time.Second
	w := newWorld(t, time.Minute, time.Hour)
	w.svc.now = func() time.Time { return w.wall.Add(w.boot + skew) }
	w.step(w.event(registration{app: app("a"), plan: plan(ns1)}))
	a := until[core.Obtain](w)
	w.boot += wait
	grants, err := w.svc.obtain(a.Request)
	w.out = nil
	w.step(core.Obtained{Job: a.Job, Grants: grants, Err: err, Sent: w.boot})
	w.run(time.Second)
	next, ok := w.core.Next()
	if !ok || next-w.boot < 35*time.Second {
		t.Errorf("next at %v, want it most of the token's minute later", next-w.boot)
	}
}

// A renewal waits while its token is replaced, ends and is left by its last
// holder. Its late answer, good or bad, brings nothing back.
//
// Shows: Y17, C-Y22.
func TestRenewed_AnswerToWhatIsOverChangesNothing(t *testing.T) {
	for name, err := range map[string]error{"renewed": nil, "unknown": plugins.Replace(errDown), "failed": errDown} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, day, 7*day)
			w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
			first := w.held("a", "ns1")
			held := until[core.Renew](w)
			w.out = nil // it waits
			w.run(8 * day)
			if now := w.held("a", "ns1"); now == first || !w.valid("a", "ns1") {
				t.Fatalf("the app holds %s, valid %v; want a good successor of %s", now, w.valid("a", "ns1"), first)
			}
			second := w.held("a", "ns1")
			w.step(core.Renewed{Job: held.Job, Expires: w.svc.now().Add(day), Err: err})
			w.run(time.Hour)
			if now := w.held("a", "ns1"); now != second || !w.valid("a", "ns1") {
				t.Errorf("the app holds %s, valid %v; want %s on", now, w.valid("a", "ns1"), second)
			}
			w.mustDone(w.unregister(alice, "a"))
			w.run(time.Hour)
			live := 0
			for _, l := range w.svc.tokens {
				if l.good(w.svc.now()) {
					live++
				}
			}
			if live > 0 {
				t.Errorf("%d tokens live that nobody holds", live)
			}
			calls := w.svc.renewals[second]
			w.step(core.Renewed{Job: held.Job, Expires: w.svc.now().Add(day)})
			w.run(3 * day)
			if n := w.svc.renewals[second]; n != calls || len(w.core.Entries()) > 0 {
				t.Errorf("%d calls more, %d entries; want nothing of what left", n-calls, len(w.core.Entries()))
			}
		})
	}
}
