package wheel_test

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tokenwheel/tokenwheel/internal/wheel"
)

// fire advances w and returns what fired.
func fire(w *wheel.Wheel, now time.Duration) (ids []uint64) {
	w.Advance(now, func(id uint64) { ids = append(ids, id) })
	return ids
}

// TestB94_Edges: each timer is silent one tick before it is due and fires at
// that tick. The start is what the wheel came to before.
func TestB94_Edges(t *testing.T) {
	const century = 100 * 365 * 24 * time.Hour
	tests := map[string]struct{ start, due, fires time.Duration }{
		"zero":                       {0, 0, 0},
		"zero before any Advance":    {math.MinInt64, 0, 0},
		"negative":                   {0, -time.Hour, 0},
		"negative before Advance":    {math.MinInt64, -time.Hour, -time.Hour},
		"past":                       {time.Hour, time.Minute, time.Hour},
		"least":                      {0, math.MinInt64, 0},
		"one nanosecond":             {0, 1, wheel.Resolution},
		"just below a tick, in past": {math.MinInt64, -1, 0},
		"one tick":                   {0, wheel.Resolution, wheel.Resolution},
		"one tick, odd start":        {999_999, wheel.Resolution, wheel.Resolution},
		"a century":                  {0, century, century},
		"a century, off by one":      {1, century + 1, century + wheel.Resolution},
		"the end of time":            {0, math.MaxInt64, math.MaxInt64 / wheel.Resolution * wheel.Resolution},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := wheel.New()
			fire(w, tt.start)
			w.Insert(7, tt.due)
			if tt.fires > tt.start {
				if got := fire(w, tt.fires-1); got != nil {
					t.Errorf("fired %v before %v", got, tt.fires)
				}
			}
			if diff := cmp.Diff([]uint64{7}, fire(w, tt.fires)); diff != "" {
				t.Errorf("at %v (-want +got):\n%s", tt.fires, diff)
			}
		})
	}
}

// TestB94_LeastOnNewWheel: Next stays within time.Duration where the first bucket
// begins before it.
func TestB94_LeastOnNewWheel(t *testing.T) {
	p := newPair()
	p.insert(math.MinInt64)
	p.insert(math.MinInt64 + time.Hour)
	if err := p.check(); err != nil {
		t.Error(err)
	}
	if err := p.drain(); err != nil {
		t.Error(err)
	}
}

// TestB94_WrapOfEachLevel sets timers around the end of each level's span, from
// starts around that end, so that each kind of carry happens.
func TestB94_WrapOfEachLevel(t *testing.T) {
	for _, base := range spans()[:len(spans())-1] {
		for _, start := range []time.Duration{base - wheel.Resolution, base, base + wheel.Resolution} {
			p := newPair()
			if err := p.advance(start); err != nil {
				t.Fatal(err)
			}
			for _, span := range spans() {
				p.insert(after(start, span, false))
				p.insert(after(base, span, true))
			}
			if err := p.drain(); err != nil {
				t.Errorf("from %v: %v", start, err)
			}
		}
	}
}

// TestB94_MillionInOneSlot fires 10^6 timers of one tick in the order in which
// they were set, after every third was cancelled.
//
// Shows: B95, as far as it is the wheel's: the order of equal deadlines.
func TestB94_MillionInOneSlot(t *testing.T) {
	const n = 1_000_000
	w := wheel.New()
	names := make([]wheel.Timer, n)
	for id := range names {
		names[id] = w.Insert(uint64(id), 24*time.Hour)
	}
	for id := 0; id < n; id += 3 {
		if !w.Cancel(names[id]) {
			t.Fatalf("timer %d was not waiting", id)
		}
	}
	last, count := -1, 0
	w.Advance(24*time.Hour, func(id uint64) {
		if int(id) <= last || id%3 == 0 {
			t.Fatalf("%d fired after %d", id, last)
		}
		last = int(id)
		count++
	})
	if want := n - (n+2)/3; count != want || w.Len() != 0 {
		t.Errorf("%d fired and %d left, want %d and 0", count, w.Len(), want)
	}
}

func TestB94_CancelWhileFiring(t *testing.T) {
	w := wheel.New()
	var names [6]wheel.Timer
	for id := range names {
		names[id] = w.Insert(uint64(id), time.Duration(id/2)*time.Second)
	}
	var fired []uint64
	var cancelled []bool
	w.Advance(time.Minute, func(id uint64) {
		fired = append(fired, id)
		if id == 0 {
			for _, other := range []int{0, 1, 4, 4} { // itself, same tick, later tick, twice
				cancelled = append(cancelled, w.Cancel(names[other]))
			}
		}
	})
	if diff := cmp.Diff([]uint64{0, 2, 3, 5}, fired); diff != "" {
		t.Errorf("fired (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]bool{false, true, true, false}, cancelled); diff != "" {
		t.Errorf("cancelled (-want +got):\n%s", diff)
	}
}

// TestB94_RearmInsideCallback: a timer that sets itself anew for an instant that
// has passed fires once for each Advance, so it cannot hold the owner for ever,
// and Next says that it is due at once.
func TestB94_RearmInsideCallback(t *testing.T) {
	w := wheel.New()
	w.Insert(1, time.Second)
	fired := 0
	for round := 1; round <= 3; round++ {
		w.Advance(time.Minute, func(uint64) {
			fired++
			w.Insert(1, 0)
		})
		if fired != round {
			t.Fatalf("fired %d times after %d rounds", fired, round)
		}
		if at, ok := w.Next(); !ok || at != time.Minute {
			t.Fatalf("Next = %v, %v; want 1m, true", at, ok)
		}
	}
}

// TestB94_TimeGoesBackwards: an earlier now fires nothing that is not due, and
// does not bring the wheel back.
func TestB94_TimeGoesBackwards(t *testing.T) {
	w := wheel.New()
	fire(w, time.Hour)
	w.Insert(1, time.Hour+time.Second)
	w.Insert(2, time.Minute)
	if diff := cmp.Diff([]uint64{2}, fire(w, time.Second)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]uint64{1}, fire(w, time.Hour+time.Second)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestNamesAreNotReused: the name of a timer that fired or was cancelled does
// not reach the one that took its place.
func TestNamesAreNotReused(t *testing.T) {
	w := wheel.New()
	cancelled := w.Insert(1, time.Second)
	w.Cancel(cancelled)
	fired := w.Insert(2, time.Second)
	fire(w, time.Second)
	w.Insert(3, time.Minute)
	for what, name := range map[string]wheel.Timer{"cancelled": cancelled, "fired": fired, "zero": 0, "no such place": 1<<32 | 1<<31} {
		if w.Cancel(name) || w.Reschedule(name, 0) {
			t.Errorf("the %s name reaches a timer", what)
		}
	}
	if diff := cmp.Diff([]uint64{3}, fire(w, time.Minute)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestPanicLeavesTheRestDue: what was behind the timer whose callback panicked
// fires at the next Advance.
func TestPanicLeavesTheRestDue(t *testing.T) {
	w := wheel.New()
	for id := range uint64(3) {
		w.Insert(id, time.Duration(id))
	}
	func() {
		defer func() { _ = recover() }()
		w.Advance(time.Second, func(uint64) { panic("provider") })
	}()
	if at, ok := w.Next(); !ok || at != time.Second {
		t.Errorf("Next = %v, %v; want 1s, true", at, ok)
	}
	if diff := cmp.Diff([]uint64{1, 2}, fire(w, time.Second)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestM31_SteadyStateAllocatesNothing: as many timers come as go.
func TestM31_SteadyStateAllocatesNothing(t *testing.T) {
	const n = 10_000
	w := wheel.New()
	names := make([]wheel.Timer, n)
	var now time.Duration
	due := func(i int) time.Duration { return now + time.Duration(i*i)*time.Millisecond }
	fire := func(id uint64) { names[id] = w.Insert(id, due(int(id))) }
	for id := range names {
		names[id] = w.Insert(uint64(id), due(id))
	}
	round := func() {
		for id := 0; id < n; id += 7 {
			w.Cancel(names[id])
			names[id] = w.Insert(uint64(id), due(id))
			w.Reschedule(names[(id+1)%n], due(id/2))
		}
		now += time.Hour
		w.Advance(now, fire)
	}
	for range 10 {
		round() // the heap of buckets finds its size
	}
	if got := testing.AllocsPerRun(20, round); got != 0 {
		t.Errorf("%v allocations a round, want 0", got)
	}
}

// FuzzWheel reads a history from bytes: each operation is one byte for what it
// does, one for a timer or a distance's size, and two for the distance.
func FuzzWheel(f *testing.F) {
	f.Add([]byte{0, 40, 1, 2, 0, 40, 1, 2, 3, 40, 1, 3})
	f.Add([]byte{0, 62, 255, 255, 4, 62, 255, 255, 1, 1, 0, 0, 2, 1, 9, 9, 3, 63, 255, 255})
	f.Fuzz(func(t *testing.T, script []byte) {
		p := newPair()
		var now time.Duration
		for op := range slices.Chunk(script[:min(len(script), 4000)], 4) {
			if len(op) < 4 {
				break
			}
			span := time.Duration(uint64(binary.BigEndian.Uint16(op[2:])) << (op[1] % 64) >> 17)
			id := uint64(op[1])%(p.next+1) + 1
			var err error
			switch op[0] % 5 {
			case 0:
				p.insert(after(now, span, false))
			case 1:
				err = p.cancel(id)
			case 2:
				err = p.reschedule(id, after(now, time.Duration(op[2])<<(op[3]%55), false))
			case 3:
				now = after(now, span, false)
				err = p.advance(now)
			case 4:
				p.insert(after(now, span, true))
			}
			if err == nil {
				err = p.check()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := p.drain(); err != nil {
			t.Fatal(err)
		}
	})
}

// What is not taken on stays due, keeps its order before what becomes due later,
// and can be cancelled still.
func TestAdvanceSome_LeavesTheRestDue(t *testing.T) {
	w := wheel.New()
	fire(w, 0)
	var timers []wheel.Timer
	for i := range 7 {
		timers = append(timers, w.Insert(uint64(i), time.Duration(i+1)*wheel.Resolution))
	}
	some := func(now time.Duration, most int) (ids []uint64) {
		w.AdvanceSome(now, most, func(id uint64) { ids = append(ids, id) })
		return ids
	}
	if got := some(5*wheel.Resolution, 2); !slices.Equal(got, []uint64{0, 1}) {
		t.Fatalf("fired %v", got)
	}
	if next, ok := w.Next(); !ok || next > 5*wheel.Resolution {
		t.Errorf("next %v, %v, though timers are due", next, ok)
	}
	if !w.Cancel(timers[3]) {
		t.Error("a timer that is due and has not fired cannot be cancelled")
	}
	if got := some(7*wheel.Resolution, 3); !slices.Equal(got, []uint64{2, 4, 5}) {
		t.Errorf("fired %v", got)
	}
	if got := fire(w, 7*wheel.Resolution); !slices.Equal(got, []uint64{6}) {
		t.Errorf("fired %v", got)
	}
	if got := some(8*wheel.Resolution, 0); got != nil {
		t.Errorf("fired %v of none", got)
	}
}
