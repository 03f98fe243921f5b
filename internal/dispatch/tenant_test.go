package dispatch_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/dispatch"
)

// stalls has some tenants' calls hang for half a minute each, as those of users
// whom the service cannot look up. From a time on alice asks once a second for
// something that takes 10 ms; it returns how long her calls waited.
func stalls(q *queue, class dispatch.Class, tenants []string, from time.Duration) (waited []time.Duration) {
	for _, name := range tenants {
		flood(q, name, class, 18*time.Hour, 200)
	}
	type under struct {
		call
		until time.Duration
	}
	var out []under
	asked := map[string]time.Duration{}
	next := from
	for now := time.Duration(0); now < from+10*time.Minute; now += 10 * time.Millisecond {
		rest := out[:0]
		for _, u := range out {
			switch {
			case u.until > now:
				rest = append(rest, u)
			case u.Tenant == "alice":
				q.Done(now, u.call, dispatch.OK)
			default:
				q.Done(now, u.call, dispatch.TimedOut)
			}
		}
		out = rest
		if now >= next {
			next += time.Second
			name := fmt.Sprint("alice", now)
			asked[name] = now
			q.Add(call{Service: "ns", Tenant: "alice", Class: class, Before: now + 6*time.Hour, Value: name})
		}
		q.Start(now, func(c call) {
			took := 30 * time.Second
			if c.Tenant == "alice" {
				took = 10 * time.Millisecond
				waited = append(waited, now-asked[c.Value])
			}
			out = append(out, under{c, now + took})
		})
	}
	return waited
}

func TestTenant_WhoseCallsHangDelaysNobodyElse(t *testing.T) {
	for name, class := range map[string]dispatch.Class{"due": dispatch.Due, "first": dispatch.First} {
		t.Run(name, func(t *testing.T) {
			for i, w := range stalls(of(dispatch.Limits{Share: 4, Rate: 100}), class, []string{"mallory"}, time.Minute) {
				if w > time.Second {
					t.Fatalf("alice's call %d waited %v", i, w)
				}
			}
			waited := stalls(of(dispatch.Limits{Share: 4, Rate: 100}), class, []string{"mallory", "trudy"}, 0)
			if len(waited) < 600 {
				t.Fatalf("%d of alice's 600 calls began", len(waited))
			}
			for i, w := range waited[121:] { // it takes some answers to others to see that it is not the service
				if w > time.Second {
					t.Fatalf("alice's call %d waited %v, beside two tenants whose calls hang", i+121, w)
				}
			}
		})
	}
}

// What several tenants meet, and nobody is spared, is the service's pace.
func TestTimedOut_OfSeveralTenantsSlowsTheService(t *testing.T) {
	q := of(dispatch.Limits{Share: 8})
	for i := range 40 {
		q.Add(call{Service: "ns", Tenant: fmt.Sprint(i % 8), Class: dispatch.First})
	}
	var out []call
	start := func(now time.Duration) (n int) {
		q.Start(now, func(c call) {
			out = append(out, c)
			n++
		})
		return n
	}
	if n := start(0); n != 8 {
		t.Fatalf("%d begun, want 8", n)
	}
	for _, c := range out {
		q.Done(time.Minute, c, dispatch.TimedOut)
	}
	if n := start(time.Minute); n != 4 {
		t.Errorf("%d begun after nobody was answered, want 4", n)
	}
}

// A provider that ignores its context for one tenant keeps some places for good.
func TestTenant_WhoseCallsNeverReturnLeavesAPlace(t *testing.T) {
	q := of(dispatch.Limits{Share: 3})
	for now := time.Duration(0); now < time.Hour; now += time.Minute {
		flood(q, "mallory", dispatch.First, never, 1)
		var out []call
		q.Start(now, func(c call) { out = append(out, c) })
		for _, c := range out {
			q.GiveUp(now+30*time.Second, c)
		}
	}
	flood(q, "alice", dispatch.First, never, 1)
	if got := started(q, time.Hour); len(got) != 1 {
		t.Errorf("%q begun beside mallory's that hang, want alice's", got)
	}
}

// Turns are by call, so that one whose calls are slow would hold all places
// between two calls of another.
func TestTenant_WhoHoldsHalfOfThePlacesLetsOthersGoFirst(t *testing.T) {
	q := of(dispatch.Limits{Share: 4})
	flood(q, "mallory", dispatch.First, never, 10)
	flood(q, "alice", dispatch.First, never, 10)
	var out []call
	q.Start(0, func(c call) { out = append(out, c) })
	for range 3 { // only alice's return
		for i, c := range out {
			if c.Tenant == "alice" {
				out = append(out[:i], out[i+1:]...)
				q.Done(time.Second, c, dispatch.OK)
				break
			}
		}
		q.Start(time.Second, func(c call) { out = append(out, c) })
	}
	slow := 0
	for _, c := range out {
		if c.Tenant == "mallory" {
			slow++
		}
	}
	if slow != 2 {
		t.Errorf("mallory holds %d of 4 places while alice waits, want 2", slow)
	}
}

// The time that a call held a place is on its tenant's account, and on nobody
// else's.
func TestTenant_PaysForTheTimeOfHisCalls(t *testing.T) {
	q := of(dispatch.Limits{Share: 1})
	q.Add(call{Service: "ns", Tenant: "slow", Before: time.Hour, Value: "slow"})
	var out call
	start := func(now time.Duration) string {
		q.Start(now, func(c call) { out = c })
		return out.Value
	}
	start(0)
	for _, name := range []string{"slow", "quick"} {
		for i := range 2 {
			q.Add(call{Service: "ns", Tenant: name, Before: 40*time.Second + time.Duration(len(name)+i)*time.Second, Value: name})
		}
	}
	now := 30 * time.Second
	var order []string
	for range 4 {
		q.Done(now, out, dispatch.OK)
		order = append(order, start(now))
		now += 10 * time.Millisecond
	}
	if got := fmt.Sprint(order); got != "[quick quick slow slow]" {
		t.Errorf("order %s, want the quick one's first, though his deadlines are later", got)
	}
}
