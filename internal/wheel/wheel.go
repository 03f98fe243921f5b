// Package wheel keeps due times: a hierarchical timer wheel whose non-empty
// buckets sit in a heap, so that idle time costs nothing however far the next
// timer is.
//
// A Wheel is a plain value. It starts no goroutine, reads no clock and has no
// lock: whoever owns it says what time it is. It is not safe for concurrent
// use. Timers fire in the order of their due instants, and those of the same
// instant in the order in which they were set. Insert, Cancel and Reschedule
// take constant time plus, where a bucket becomes empty or stops being so, one
// step in a heap of at most 5,120 buckets. Nothing is allocated except when
// more timers wait than ever before.
package wheel

import (
	"math"
	"math/bits"
	"time"
)

// Resolution is the length of a tick. A timer never fires before its due
// instant, and at most one tick after it if Advance is called often enough. One
// millisecond is the resolution of the dates that token services send, and far
// below the second that is the least lead of a renewal.
const Resolution = time.Millisecond

// A tick is a due instant in units of Resolution, shifted so that the earliest
// time.Duration is positive too. All of time.Duration (292 years to either side)
// takes 44 bits; the wheel's five levels of 1,024 slots count 50, so there is no
// list of timers beyond the last level.
type tick uint64

// With 1,024 slots a timer of 24 hours is sorted into a finer bucket twice before
// it fires; smaller levels would touch it more often.
const (
	slotBits = 10
	slots    = 1 << slotBits
	levels   = 5
	buckets  = levels * slots

	zero     tick = 1 << (slotBits*levels - 1) // the tick of instant 0
	earliest      = zero - tick(-(math.MinInt64 / int64(Resolution)))
	latest        = zero + tick(math.MaxInt64/int64(Resolution))
)

// tickAtOrAfter rounds up, so that nothing fires early. The last tick of all is
// the exception: there is no later one to round up to.
func tickAtOrAfter(d time.Duration) tick {
	t := zero + tick(d/Resolution)
	if d%Resolution > 0 && t < latest {
		t++
	}
	return t
}

func tickAtOrBefore(d time.Duration) tick {
	t := zero + tick(d/Resolution)
	if d%Resolution < 0 && t > earliest {
		t--
	}
	return t
}

func (t tick) instant() time.Duration { return time.Duration(t-zero) * Resolution }

// Timer names one waiting timer. It becomes invalid when the timer fires or is
// cancelled, and never names another one afterwards. The zero value names none.
type Timer uint64

func timerOf(slot, generation uint32) Timer { return Timer(generation)<<32 | Timer(slot) }

// node is one place of the slab: a waiting timer, a free place, or the head of a
// list. Lists are circular, so that taking a node out needs no knowledge of the
// list it is in.
type node struct {
	id         uint64
	due        tick
	prev, next uint32
	generation uint32 // counts the timers that had this place; heads have none
}

// The slab begins with the heads of all lists: one for each bucket, then that of
// the timers that are being fired, then that of the free places.
const (
	firing = buckets + iota
	free
	firstTimer
)

// Wheel is a set of timers. Make one with [New].
type Wheel struct {
	slab  []node
	ready bucketHeap // the buckets that hold a timer
	// now is the tick that the wheel has come to. No bucket spans it, but for
	// the lowest level's bucket of exactly this tick, which holds timers set too
	// late. So a timer's bucket follows from its due tick and now alone, and
	// timers of the same tick are always in the same bucket, in order.
	now     tick
	waiting int
}

// New returns an empty wheel. It has not come to any instant yet: timers set
// before the first Advance keep their order, however long ago they were due.
func New() *Wheel {
	w := &Wheel{slab: make([]node, firstTimer)}
	for head := range w.slab {
		w.slab[head].prev, w.slab[head].next = uint32(head), uint32(head)
	}
	return w
}

// Len is the number of waiting timers.
func (w *Wheel) Len() int { return w.waiting }

// Insert sets a timer for the instant due; id is what it will be fired with. A
// due instant that the wheel is past counts as the one it has come to: the timer
// fires at the next Advance.
func (w *Wheel) Insert(id uint64, due time.Duration) Timer {
	n := w.slab[free].next
	if n == free {
		n = uint32(len(w.slab))
		w.slab = append(w.slab, node{generation: 1})
	} else {
		w.unlink(n)
	}
	w.slab[n].id = id
	w.place(n, tickAtOrAfter(due))
	w.waiting++
	return timerOf(n, w.slab[n].generation)
}

// Reschedule moves a waiting timer to another instant, as if it were set anew,
// under the same name. It reports false, and does nothing, where t is not
// waiting.
func (w *Wheel) Reschedule(t Timer, due time.Duration) bool {
	n, ok := w.find(t)
	if !ok {
		return false
	}
	w.take(n)
	w.place(n, tickAtOrAfter(due))
	return true
}

// Cancel takes a waiting timer out. It reports false where t is not waiting: it
// fired, or was cancelled before.
func (w *Wheel) Cancel(t Timer) bool {
	n, ok := w.find(t)
	if !ok {
		return false
	}
	w.take(n)
	w.release(n)
	return true
}

// Next returns the instant at which Advance is worth calling: never later than
// the first due timer, and possibly earlier, for the wheel to sort what is far
// away into finer buckets. That happens at most four times in the life of a
// timer. It reports false where no timer waits.
func (w *Wheel) Next() (time.Duration, bool) {
	switch {
	case w.slab[firing].next != firing:
		return max(w.now, earliest).instant(), true
	case w.ready.empty():
		return 0, false
	}
	return max(w.ready.first(), earliest).instant(), true
}

// Advance brings the wheel to now and fires what is due by then, in order. An
// earlier now than before counts as the one before. fire may set, move and
// cancel timers, those that are about to fire included; what it sets at or
// before now waits for the next Advance, so that Advance always ends. It must not
// call Advance. If fire panics, the timers behind the one it was called for stay
// due.
func (w *Wheel) Advance(now time.Duration, fire func(id uint64)) {
	w.AdvanceSome(now, math.MaxInt, fire)
}

// AdvanceSome is as Advance, but fires at most so many timers. The rest stay due,
// which Next tells, and go before what becomes due later.
func (w *Wheel) AdvanceSome(now time.Duration, most int, fire func(id uint64)) {
	w.collect(max(w.now, tickAtOrBefore(now)))
	for ; most > 0; most-- {
		n := w.slab[firing].next
		if n == firing {
			return
		}
		id := w.slab[n].id
		// Freed first: within fire this timer is not waiting any more.
		w.unlink(n)
		w.release(n)
		fire(id)
	}
}

// collect appends all that is due at now to the list of firing timers.
func (w *Wheel) collect(now tick) {
	for !w.ready.empty() && w.ready.first() <= now {
		start := w.ready.first()
		bucket := w.ready.pop()
		if bucket < slots {
			w.splice(bucket, firing)
			continue
		}
		w.now = start
		for n := w.slab[bucket].next; n != uint32(bucket); n = w.slab[bucket].next {
			w.unlink(n)
			w.place(n, w.slab[n].due)
		}
	}
	w.now = now
}

// place puts a node that is in no list into the bucket of its due tick. The
// level is that of the highest digit in which due differs from now.
func (w *Wheel) place(n uint32, due tick) {
	due = max(due, w.now)
	w.slab[n].due = due
	level := (bits.Len64(uint64(due^w.now)|1) - 1) / slotBits
	shift := level * slotBits
	bucket := level*slots + int(due>>shift)%slots
	if w.slab[bucket].next == uint32(bucket) {
		w.ready.push(bucket, due>>shift<<shift)
	}
	w.link(n, uint32(bucket))
}

// take removes a waiting timer from its list, and the bucket from the heap where
// it was the last one there.
func (w *Wheel) take(n uint32) {
	prev, next := w.slab[n].prev, w.slab[n].next
	w.unlink(n)
	if prev == next && prev < buckets { // only the head is left
		w.ready.remove(int(prev))
	}
}

// release puts a place that is in no list among the free ones. A place whose
// generations are used up is never used again: an old name could match.
func (w *Wheel) release(n uint32) {
	w.waiting--
	if w.slab[n].generation++; w.slab[n].generation == 0 {
		return
	}
	w.link(n, w.slab[free].next) // in front: the place used last is the warmest
}

func (w *Wheel) find(t Timer) (n uint32, ok bool) {
	n = uint32(t)
	ok = n >= firstTimer && int(n) < len(w.slab) && w.slab[n].generation == uint32(t>>32)
	return n, ok
}

// link puts a node before another one; before a head means at the list's end.
func (w *Wheel) link(n, before uint32) {
	prev := w.slab[before].prev
	w.slab[n].prev, w.slab[n].next = prev, before
	w.slab[prev].next = n
	w.slab[before].prev = n
}

func (w *Wheel) unlink(n uint32) {
	prev, next := w.slab[n].prev, w.slab[n].next
	w.slab[prev].next = next
	w.slab[next].prev = prev
}

// splice moves all nodes of one list to the end of another one.
func (w *Wheel) splice(from, to int) {
	first, last := w.slab[from].next, w.slab[from].prev
	tail := w.slab[to].prev
	w.slab[tail].next, w.slab[first].prev = first, tail
	w.slab[last].next, w.slab[to].prev = uint32(to), last
	w.slab[from].next, w.slab[from].prev = uint32(from), uint32(from)
}
