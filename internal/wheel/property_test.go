package wheel_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/wheel"
	"pgregory.net/rapid"
)

// pair drives a wheel and its model with the same calls and says where they
// differ. What a timer does when it fires follows from its id alone, so both
// sides do the same.
type pair struct {
	wheel *wheel.Wheel
	model *model
	names map[uint64]wheel.Timer // every id that was ever set, fired ones too
	next  uint64
}

func newPair() *pair {
	return &pair{wheel: wheel.New(), model: newModel(), names: map[uint64]wheel.Timer{}}
}

func (p *pair) insert(due time.Duration) uint64 {
	p.next++
	p.names[p.next] = p.wheel.Insert(p.next, due)
	p.model.set(p.next, due)
	return p.next
}

func (p *pair) cancel(id uint64) error {
	return differ("cancel", p.wheel.Cancel(p.names[id]), p.model.cancel(id))
}

func (p *pair) reschedule(id uint64, due time.Duration) error {
	return differ("reschedule", p.wheel.Reschedule(p.names[id], due), p.model.reschedule(id, due))
}

// advance fires on both sides. On the way every fourth timer cancels its
// successor, every fifth moves the one after that, and every seventh sets itself
// anew, by turns in the past, now and later; ids set on the way are the same on
// both sides, because each starts to count at p.next.
func (p *pair) advance(now time.Duration) error {
	var fired [2][]string
	start := p.next
	for side := range fired {
		next := start
		act := func(id uint64) {
			fired[side] = append(fired[side], fmt.Sprint(id))
			if id%4 == 0 {
				fired[side] = append(fired[side], fmt.Sprint("cancel ", p.cancelOn(side, id+1)))
			}
			if id%5 == 0 {
				fired[side] = append(fired[side], fmt.Sprint("move ", p.rescheduleOn(side, id+2, now+time.Duration(id%600)*time.Millisecond)))
			}
			if id%7 == 0 {
				next++
				p.insertOn(side, next, now+time.Duration(int64(id%3)-1)*time.Millisecond)
			}
		}
		if side == 0 {
			p.wheel.Advance(now, act)
		} else {
			p.model.advance(now, act)
		}
		p.next = next
	}
	return differ("fired", fmt.Sprint(fired[0]), fmt.Sprint(fired[1]))
}

func (p *pair) cancelOn(side int, id uint64) bool {
	if side == 0 {
		return p.wheel.Cancel(p.names[id])
	}
	return p.model.cancel(id)
}

func (p *pair) rescheduleOn(side int, id uint64, due time.Duration) bool {
	if side == 0 {
		return p.wheel.Reschedule(p.names[id], due)
	}
	return p.model.reschedule(id, due)
}

func (p *pair) insertOn(side int, id uint64, due time.Duration) {
	if side == 0 {
		p.names[id] = p.wheel.Insert(id, due)
		return
	}
	p.model.set(id, due)
}

// check compares what can be seen from outside.
func (p *pair) check() error {
	if err := differ("Len", p.wheel.Len(), len(p.model.waiting)); err != nil {
		return err
	}
	at, ok := p.wheel.Next()
	first, some := p.model.first()
	if ok != some {
		return fmt.Errorf("Next reports %v, the model %v", ok, some)
	}
	if at > first {
		return fmt.Errorf("Next is %v, later than the first timer's %v", at, first)
	}
	return nil
}

// drain goes from Next to Next until nothing waits, and checks that each step
// either fires or sorts, and that nothing fires early.
func (p *pair) drain() error {
	for idle := 0; ; {
		at, ok := p.wheel.Next()
		if !ok {
			return p.check()
		}
		before := p.wheel.Len()
		if err := p.advance(at); err != nil {
			return err
		}
		if p.wheel.Len() == before {
			idle++
		} else {
			idle = 0
		}
		if idle > 64 {
			return fmt.Errorf("Next does not move on at %v with %d timers", at, before)
		}
	}
}

func differ[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s: wheel %v, model %v", what, got, want)
	}
	return nil
}

// spans are distances that matter: a tick and its neighbours, the span of each
// level and its neighbours, and all of time.
func spans() []time.Duration {
	all := []time.Duration{0, 1, wheel.Resolution - 1, wheel.Resolution, wheel.Resolution + 1}
	for level := 1; level < 5; level++ {
		span := time.Duration(int64(1)<<(10*level)) * wheel.Resolution
		all = append(all, span-wheel.Resolution, span-1, span, span+1, span+wheel.Resolution)
	}
	return append(all, 100*365*24*time.Hour, math.MaxInt64)
}

// after is base moved by span to either side, kept within time.Duration.
func after(base, span time.Duration, backwards bool) time.Duration {
	switch {
	case backwards && base < math.MinInt64+span:
		return math.MinInt64
	case backwards:
		return base - span
	case base > math.MaxInt64-span:
		return math.MaxInt64
	}
	return base + span
}

// TestM11_SortedList draws short histories and shrinks one that differs.
func TestM11_SortedList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPair()
		var now time.Duration
		span := rapid.Custom(func(t *rapid.T) time.Duration {
			if rapid.Bool().Draw(t, "edge") {
				return rapid.SampledFrom(spans()).Draw(t, "span")
			}
			return time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "near"))
		})
		due := func(t *rapid.T) time.Duration {
			return after(now, span.Draw(t, "distance"), rapid.IntRange(0, 7).Draw(t, "past") == 0)
		}
		id := func(t *rapid.T) uint64 { return rapid.Uint64Range(1, p.next+1).Draw(t, "id") }
		must := func(t *rapid.T, err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"insert":     func(t *rapid.T) { p.insert(due(t)) },
			"cancel":     func(t *rapid.T) { must(t, p.cancel(id(t))) },
			"reschedule": func(t *rapid.T) { must(t, p.reschedule(id(t), due(t))) },
			"advance": func(t *rapid.T) {
				now = due(t)
				must(t, p.advance(now))
			},
			"": func(t *rapid.T) { must(t, p.check()) },
		})
		must(t, p.drain())
	})
}

// TestM11_RandomOperations runs long random histories: 10^5 operations, or as
// many as TOKENWHEEL_WHEEL_OPS says. The seed is printed where they differ.
//
// Shows: B94.
func TestM11_RandomOperations(t *testing.T) {
	left := 100_000
	if s := os.Getenv("TOKENWHEEL_WHEEL_OPS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		left = n
	}
	edges := spans()
	for ; left > 0; left -= 2000 {
		seed := rand.Uint64()
		if err := randomHistory(rand.New(rand.NewPCG(seed, 0)), edges, min(left, 2000)); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func randomHistory(r *rand.Rand, edges []time.Duration, operations int) error {
	p := newPair()
	var now time.Duration
	due := func() time.Duration {
		span := edges[r.IntN(len(edges)-2)] // the two longest would end the history early
		if r.IntN(2) == 0 {
			span = time.Duration(r.Int64N(int64(1) << (20 + r.IntN(24))))
		}
		return after(now, span, r.IntN(8) == 0)
	}
	for range operations {
		var err error
		switch id := r.Uint64N(p.next+1) + 1; r.IntN(8) {
		case 0, 1, 2, 3:
			p.insert(due())
		case 4, 5:
			err = p.cancel(id)
		case 6:
			err = p.reschedule(id, due())
		case 7:
			now = after(now, time.Duration(r.Int64N(int64(1)<<(20+r.IntN(20)))), false)
			err = p.advance(now)
		}
		if err == nil {
			err = p.check()
		}
		if err != nil {
			return err
		}
	}
	return p.drain()
}
