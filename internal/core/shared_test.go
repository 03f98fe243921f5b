package core_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
)

// sharing has applications join and leave a token that all of them bring.
type sharing struct {
	*world
	join, leave func(i int) core.Event
}

func newSharing(t fataler) sharing {
	w := newWorld(t, day, 7*day)
	tok := w.svc.issue("alice")
	return sharing{
		world: w,
		join: func(i int) core.Event {
			a := app(fmt.Sprint("a", i))
			a.AtEnd, a.StageTo = appregistry.CancelAll, []appregistry.Target{}
			return w.event(registration{app: a, bring: bring(tok)})
		},
		leave: func(i int) core.Event {
			return core.Unregister{Request: w.ask(), Caller: alice, App: appregistry.AppKey{Owner: "alice", ID: appregistry.AppID(fmt.Sprint("a", i))}}
		},
	}
}

// all steps through events, with answers to what comes of every hundred.
func (s sharing) all(from, to int, event func(i int) core.Event) {
	for i := from; i < to; i++ {
		s.step(event(i))
		for i%100 == 99 && len(s.out) > 0 {
			s.answer(0)
		}
		s.notes = nil
	}
}

// A hundred thousand applications bring the same token, and leave again. It has
// one timer and one renewal, and a step allocates as much with all of them as with
// the first: it copies no list and opens no records of others. What that does not
// show, such as a look at all that are open, BenchmarkSharedToken tells.
func TestB153_TokenOfAHundredThousandApplicationsIsOne(t *testing.T) {
	const n, part = 100_000, 1000
	s := newSharing(t)
	type work struct{ allocs, bytes uint64 } // of one step
	measured := func(from, to int, event func(i int) core.Event) work {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s.all(from, to, event)
		runtime.ReadMemStats(&after)
		steps := uint64(to - from)
		got := work{(after.Mallocs - before.Mallocs) / steps, (after.TotalAlloc - before.TotalAlloc) / steps}
		t.Logf("steps %d to %d: each %+v", from, to, got)
		return got
	}
	grows := func(few, many work) bool { return many.allocs > few.allocs*5/4 || many.bytes > 2*few.bytes }
	first := measured(0, part, s.join)
	s.all(part, n-part, s.join)
	if last := measured(n-part, n, s.join); grows(first, last) {
		t.Errorf("one more registration does %+v with %d holders, and %+v with none", last, n, first)
	}
	renewed := func() (n int) {
		for _, renewals := range s.svc.renewals {
			n += renewals
		}
		return n
	}
	if got := renewed(); got != 1 {
		t.Errorf("%d renewals at registration, want one", got)
	}
	s.run(20 * time.Hour)
	if got := renewed(); got != 2 {
		t.Errorf("%d renewals after 20 h, want two", got)
	}
	most := measured(0, part, s.leave)
	if len(s.svc.cancels) > 0 || len(s.only().Holders) != n-part {
		t.Errorf("%d cancels, %d holders; want none and %d", len(s.svc.cancels), len(s.only().Holders), n-part)
	}
	s = newSharing(t)
	s.all(0, part, s.join)
	if least := measured(0, part, s.leave); grows(least, most) {
		t.Errorf("leaving does %+v with %d holders, and %+v with few", most, n, least)
	}
	if s.run(time.Minute); len(s.svc.cancels) != 1 || len(s.core.Entries()) != 0 {
		t.Errorf("%d cancels, %d entries after the last has left; want one and none", len(s.svc.cancels), len(s.core.Entries()))
	}
}

// One more joins and leaves, with that many holders; the oldest is the dearest to
// take out of the list.
func BenchmarkSharedToken(b *testing.B) {
	for _, holders := range []int{1, 1000, 100_000} {
		s := newSharing(b)
		s.all(0, holders, s.join)
		b.Run(fmt.Sprintf("holders=%d", holders), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				s.all(holders+i, holders+i+1, s.join)
				s.all(i, i+1, s.leave)
			}
		})
	}
}
