package core_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
)

// A hundred thousand applications bring the same token, and leave again. It has
// one timer and one renewal, and a step costs as much with all of them as with
// the first.
func TestB153_TokenOfAHundredThousandApplicationsIsOne(t *testing.T) {
	const n, part = 100_000, 1000
	w := newWorld(t, day, 7*day)
	tok := w.svc.issue("alice")
	timed := func(from, to int, event func(i int) core.Event) (median time.Duration) {
		var steps []time.Duration
		for i := from; i < to; i++ {
			ev := event(i)
			start := time.Now()
			w.step(ev)
			steps = append(steps, time.Since(start))
			for i%100 == 99 && len(w.out) > 0 {
				w.answer(0)
			}
		}
		slices.Sort(steps)
		t.Logf("steps %d to %d: median %v, p99 %v", from, to, steps[len(steps)/2], steps[len(steps)*99/100])
		return steps[len(steps)/2]
	}
	join := func(i int) core.Event {
		a := app(fmt.Sprint("a", i))
		a.AtEnd, a.StageTo = appregistry.CancelAll, []appregistry.Target{}
		return w.event(registration{app: a, bring: bring(tok)})
	}
	leave := func(i int) core.Event {
		return core.Unregister{Request: w.ask(), Caller: alice, App: appregistry.AppKey{Owner: "alice", ID: appregistry.AppID(fmt.Sprint("a", i))}}
	}
	first := timed(0, part, join)
	timed(part, n-part, join)
	if last := timed(n-part, n, join); last > 8*first+50*time.Microsecond {
		t.Errorf("one more registration takes %v with %d holders, and %v with none", last, n, first)
	}
	if got := w.svc.renewals[string(tok.Identifier)]; got != 1 {
		t.Errorf("%d renewals at registration, want one", got)
	}
	w.run(20 * time.Hour)
	if got := w.svc.renewals[string(tok.Identifier)]; got != 2 {
		t.Errorf("%d renewals after 20 h, want two", got)
	}
	// The oldest of all is the dearest to take out of the list. B153 allows 10 ms.
	if left := timed(0, part, leave); left > 10*time.Millisecond {
		t.Errorf("leaving takes %v with %d holders", left, n)
	}
	if len(w.svc.cancels) > 0 || len(w.only().Holders) != n-part {
		t.Errorf("%d cancels, %d holders; want none and %d", len(w.svc.cancels), len(w.only().Holders), n-part)
	}
}
