package dispatch_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwheel/tokenwheel/internal/dispatch"
)

type (
	queue = dispatch.Queue[string]
	call  = dispatch.Call[string]
)

const (
	none  = ""
	never = time.Duration(math.MaxInt64)
)

func of(l dispatch.Limits) *queue {
	return dispatch.New[string](func(string) dispatch.Limits { return l })
}

// started is what begins now.
func started(q *queue, now time.Duration) (names []string) {
	q.Start(now, func(c call) { names = append(names, c.Value) })
	return names
}

// done is the end of a call of alice's at ns.
func done(q *queue, now time.Duration, o dispatch.Outcome) {
	q.Done(now, call{Service: "ns", Tenant: "alice"}, o)
}

// serial makes calls one after the other, each in no time, until nothing waits.
func serial(q *queue, now time.Duration) (names []string) {
	for {
		var begun []call
		q.Start(now, func(c call) {
			names = append(names, c.Value)
			begun = append(begun, c)
		})
		if len(begun) == 0 {
			next, ok := q.Next()
			if !ok {
				return names
			}
			now = max(now, next)
		}
		for _, c := range begun {
			q.Done(now, c, dispatch.OK)
		}
	}
}

func TestStart_GivesEachServiceItsShare(t *testing.T) {
	q := of(dispatch.Limits{Share: 2})
	for i := range 4 {
		q.Add(call{Service: "hung", Value: fmt.Sprint("h", i)})
	}
	q.Add(call{Service: "well", Value: "w0"})
	got := started(q, 0)
	slices.Sort(got)
	if diff := cmp.Diff([]string{"h0", "h1", "w0"}, got); diff != "" {
		t.Errorf("begun (-want +got):\n%s", diff)
	}
	q.Done(time.Hour, call{Service: "hung"}, dispatch.OK)
	if got := started(q, time.Hour); !slices.Equal(got, []string{"h2"}) {
		t.Errorf("begun %q after one place was given back, want h2", got)
	}
	if n := q.Drop(); n != 1 || q.Len() != 0 {
		t.Errorf("%d dropped, %d left; want the one that waits", n, q.Len())
	}
}

func TestStart_GoesByClassDeadlineAndArrival(t *testing.T) {
	q := of(dispatch.Limits{Share: 1})
	for _, c := range []call{
		{Class: dispatch.Last, Before: time.Minute, Value: "cancel near"},
		{Class: dispatch.First, Before: time.Minute, Value: "proof"},
		{Before: 5 * time.Hour, Value: "far"},
		{Before: 2 * time.Minute, Value: "near"},
		{Before: 2 * time.Minute, Value: "near too"},
		{Before: -time.Second, Value: "too late"},
		{Class: dispatch.Last, Before: time.Second, Value: "cancel nearer"},
	} {
		c.Service = "ns"
		q.Add(c)
	}
	want := []string{"near", "near too", "far", "too late", "proof", "cancel nearer", "cancel near"}
	if diff := cmp.Diff(want, serial(q, 0)); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// pace makes calls that take no time for a while and returns when they began.
func pace(q *queue, from, to time.Duration, o func(at time.Duration) dispatch.Outcome) (at []time.Duration) {
	for now := from; now < to; {
		var begun []call
		q.Start(now, func(c call) {
			begun = append(begun, c)
			at = append(at, now)
		})
		for _, c := range begun {
			q.Done(now, c, o(now))
		}
		next, ok := q.Next()
		if !ok {
			return at
		}
		now = max(now, next)
	}
	return at
}

func always(o dispatch.Outcome) func(time.Duration) dispatch.Outcome {
	return func(time.Duration) dispatch.Outcome { return o }
}

func flood(q *queue, tenant string, class dispatch.Class, before time.Duration, n int) {
	for i := range n {
		q.Add(call{Service: "ns", Tenant: tenant, Class: class, Before: before, Value: fmt.Sprint(tenant, i)})
	}
}

// peak is the greatest number of calls within any window.
func peak(at []time.Duration, window time.Duration) (most int) {
	from := 0
	for i := range at {
		for at[i]-at[from] >= window {
			from++
		}
		most = max(most, i-from+1)
	}
	return most
}

func TestM36_PeakStaysWithinATenthOfTheBudget(t *testing.T) {
	q := of(dispatch.Limits{Share: 4, Rate: 100})
	flood(q, "alice", dispatch.Due, never, 5000)
	at := pace(q, time.Hour, 2*time.Hour, always(dispatch.OK))
	if len(at) != 5000 {
		t.Fatalf("%d calls, want them all", len(at))
	}
	if n := peak(at, time.Second); n < 100 || n > 110 {
		t.Errorf("%d calls in a second, want 100 and a tenth more at most", n)
	}
	if took := at[len(at)-1] - at[0]; took < 49*time.Second || took > 50*time.Second {
		t.Errorf("5000 calls took %v, want 50 s", took)
	}
}

func TestB29_OverloadHalvesThePaceAndSuccessesRaiseIt(t *testing.T) {
	q := of(dispatch.Limits{Share: 4, Rate: 100})
	flood(q, "alice", dispatch.Due, never, 50_000)
	const busyFrom, busyTo = time.Minute, 2 * time.Minute
	at := pace(q, 0, 5*time.Minute, func(now time.Duration) dispatch.Outcome {
		if now >= busyFrom && now < busyTo {
			return dispatch.Overloaded
		}
		return dispatch.OK
	})
	within := func(from, to time.Duration) (n int) {
		for _, a := range at {
			if a >= from && a < to {
				n++
			}
		}
		return n
	}
	before := within(busyFrom-10*time.Second, busyFrom)
	if before < 990 {
		t.Fatalf("%d calls in 10 s before, want the budget of 1000", before)
	}
	if n := within(busyFrom+2*time.Second, busyFrom+3*time.Second); n > 30 {
		t.Errorf("%d calls in the third second, want a quarter of 100 at most", n)
	}
	if n := within(busyFrom, busyFrom+10*time.Second); n > before/2 {
		t.Errorf("%d calls in the first 10 s, want half of %d at most", n, before)
	}
	if n := within(busyTo-10*time.Second, busyTo); n < 5 || n > 20 {
		t.Errorf("%d calls in 10 s at the end, want about one a second", n)
	}
	if n := within(busyTo+30*time.Second, busyTo+40*time.Second); n < 200 || n > 500 {
		t.Errorf("%d calls in 10 s half a minute after, want it to climb", n)
	}
	if n := within(5*time.Minute-10*time.Second, 5*time.Minute); n < 990 {
		t.Errorf("%d calls in 10 s three minutes after, want the budget again", n)
	}
}

// A service that is slow rather than strict is limited by its share, so that is
// halved as well; calls that hang for good must not use up what is left of it.
func TestB29_OverloadHalvesTheShare(t *testing.T) {
	q := of(dispatch.Limits{Share: 8})
	flood(q, "alice", dispatch.Due, never, 100)
	if n := len(started(q, 0)); n != 8 {
		t.Fatalf("%d begun, want 8", n)
	}
	for range 8 {
		done(q, time.Minute, dispatch.Overloaded)
	}
	if n := len(started(q, time.Minute)); n != 4 {
		t.Errorf("%d begun after an overload, want 4: its answers at one moment count once", n)
	}
	q.GiveUp(2*time.Minute, call{Service: "ns", Tenant: "alice"})
	q.GiveUp(3*time.Minute, call{Service: "ns", Tenant: "alice"})
	if n := len(started(q, 3*time.Minute)); n != 0 {
		t.Errorf("%d begun, want none with two calls running and a share of one", n)
	}
	done(q, 4*time.Minute, dispatch.Failed)
	done(q, 4*time.Minute, dispatch.Failed)
	if n := len(started(q, 4*time.Minute)); n != 1 {
		t.Errorf("%d begun beside two that hang, want 1", n)
	}
	done(q, 5*time.Minute, dispatch.GivenUp)
	done(q, 5*time.Minute, dispatch.GivenUp)
	for range 100 {
		done(q, 6*time.Minute, dispatch.OK)
		started(q, 6*time.Minute)
	}
	if n := q.Len(); n > 0 {
		t.Errorf("%d wait, want the share to climb and all to go", n)
	}
}

func TestT11_FloodOfRegistrationsTakesTurnsWithOthers(t *testing.T) {
	q := of(dispatch.Limits{Share: 1, Rate: 100})
	flood(q, "mallory", dispatch.First, never, 100_000)
	started(q, 0)
	flood(q, "alice", dispatch.First, never, 3)
	q.Done(0, call{Service: "ns", Tenant: "mallory"}, dispatch.OK)
	got := serial(q, time.Minute)[:6]
	if n := count(got, "alice"); n != 3 {
		t.Errorf("%q begin first, want alice's three among them", got)
	}
}

func count(names []string, tenant string) (n int) {
	for _, s := range names {
		if len(s) >= len(tenant) && s[:len(tenant)] == tenant {
			n++
		}
	}
	return n
}

// Whoever has more calls that are due than the service bears must not push others
// past their deadline.
func TestT11_FloodOfDueCallsPushesNobodyPastHisDeadline(t *testing.T) {
	const deadline = 15 * time.Minute
	q := of(dispatch.Limits{Share: 4, Rate: 100})
	for i := range 300_000 { // three times the budget, evenly to beyond alice's deadline
		q.Add(call{Service: "ns", Tenant: "mallory", Before: time.Minute + time.Duration(i)*time.Second/300})
	}
	flood(q, "alice", dispatch.Due, deadline, 2000)
	last, inTime := time.Duration(0), 0
	for now := time.Duration(0); now < deadline; {
		var begun []call
		q.Start(now, func(c call) {
			begun = append(begun, c)
			if c.Tenant == "alice" {
				last = now
				inTime++
			}
		})
		for _, c := range begun {
			q.Done(now, c, dispatch.OK)
		}
		next, _ := q.Next()
		now = max(now, next)
	}
	if inTime < 2000 || last > deadline-time.Minute {
		t.Errorf("%d of alice's 2000 calls in time, the last at %v; want all a minute before %v", inTime, last, deadline)
	}
}

func TestStart_CatchUpShutsOutNothingNew(t *testing.T) {
	q := of(dispatch.Limits{Share: 1, Rate: 100})
	flood(q, "alice", dispatch.Due, 8*time.Hour, 100_000)
	flood(q, "bob", dispatch.First, never, 10)
	if n := count(serial(q, 0)[:100], "bob"); n != 10 {
		t.Errorf("%d of bob's first calls among 100, want 10: deadlines are hours away", n)
	}
	q = of(dispatch.Limits{Share: 1, Rate: 100})
	flood(q, "alice", dispatch.Due, 30*time.Minute, 1000)
	flood(q, "bob", dispatch.First, never, 10)
	if n := count(serial(q, 0)[:1000], "bob"); n != 0 {
		t.Errorf("%d of bob's first calls before what ends soon", n)
	}
}

func TestB152_CancelsWaitForEverythingElse(t *testing.T) {
	q := of(dispatch.Limits{Share: 4, Rate: 100})
	flood(q, "cancel", dispatch.Last, time.Minute, 1_000_000)
	pace(q, 0, time.Second, always(dispatch.OK))
	flood(q, "renew", dispatch.Due, 5*time.Hour, 100)
	flood(q, "obtain", dispatch.First, never, 100)
	var got []string
	for now := time.Second; len(got) < 200; {
		var begun []call
		q.Start(now, func(c call) {
			begun = append(begun, c)
			got = append(got, c.Value)
		})
		for _, c := range begun {
			q.Done(now, c, dispatch.OK)
		}
		next, _ := q.Next()
		now = max(now, next)
	}
	if n := count(got, "cancel"); n != 0 {
		t.Errorf("%d cancels among the next 200 calls", n)
	}
}

// A budget of one call in ten seconds, and a service that hung for half an hour:
// what waits behind it has no hours to live. The simulator lost tokens here.
func TestB30_SmallBudgetIsNotHalvedToNothing(t *testing.T) {
	q := of(dispatch.Limits{Share: 1, Rate: 0.1})
	for i := range 100 {
		q.Add(call{Service: "ns", Value: fmt.Sprint(i)})
	}
	now := time.Duration(0)
	for range 60 {
		next, _ := q.Next()
		now = max(now, next)
		if len(started(q, now)) != 1 {
			t.Fatalf("nothing begins at %v", now)
		}
		now += 30 * time.Second
		q.Done(now, call{Service: "ns"}, dispatch.Overloaded)
	}
	if next, ok := q.Next(); !ok || next-now > 10*time.Second {
		t.Errorf("the next call goes %v after the last answer, want 10 s at most", next-now)
	}
}
