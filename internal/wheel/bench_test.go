package wheel_test

import (
	"container/heap"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/wheel"
)

// Each benchmark keeps 10^6 timers waiting, due within 24 hours as renewals are,
// and measures one operation among them. docs/performance.md has the command and
// a table.
const benchTimers = 1_000_000

// benchDues are the distances of due instants, drawn before the clock runs.
var benchDues = func() []time.Duration {
	r := rand.New(rand.NewPCG(1, 2))
	dues := make([]time.Duration, benchTimers)
	for i := range dues {
		dues[i] = time.Minute + time.Duration(r.Int64N(int64(24*time.Hour)))
	}
	return dues
}()

// benchOrder is a random order of timers: those that leave are not neighbours in
// memory.
var benchOrder = rand.New(rand.NewPCG(3, 4)).Perm(benchTimers)

func fullWheel() (*wheel.Wheel, []wheel.Timer) {
	w := wheel.New()
	w.Advance(0, nil)
	names := make([]wheel.Timer, benchTimers)
	for i, due := range benchDues {
		names[i] = w.Insert(uint64(i), due)
	}
	return w, names
}

// BenchmarkInsert sets a timer among 10^6. What was set is taken out again, in
// batches while the clock stands, or the number would grow with b.N.
func BenchmarkInsert(b *testing.B) {
	const batch = 100_000
	b.Run("wheel", func(b *testing.B) {
		w, _ := fullWheel()
		extra := make([]wheel.Timer, 0, batch)
		undo := func() {
			for _, name := range extra {
				w.Cancel(name)
			}
			extra = extra[:0]
		}
		inBatches(b, batch, func(i int) {
			extra = append(extra, w.Insert(uint64(i), benchDues[i%benchTimers]))
		}, undo)
	})
	b.Run("heap", func(b *testing.B) {
		h := fullHeap()
		extra := make([]*heapTimer, 0, batch)
		undo := func() {
			for _, x := range extra {
				heap.Remove(h, x.position)
			}
			extra = extra[:0]
		}
		inBatches(b, batch, func(i int) {
			x := &heapTimer{due: benchDues[i%benchTimers]}
			heap.Push(h, x)
			extra = append(extra, x)
		}, undo)
	})
	b.Run("runtime", func(b *testing.B) {
		defer stopAll(fullRuntime())
		extra := make([]*time.Timer, 0, batch)
		undo := func() {
			stopAll(extra)
			extra = extra[:0]
		}
		inBatches(b, batch, func(i int) {
			extra = append(extra, time.AfterFunc(benchDues[i%benchTimers], func() {}))
		}, undo)
	})
}

// BenchmarkCancel takes a timer out from among 10^6, in random order.
func BenchmarkCancel(b *testing.B) {
	const batch = 100_000
	b.Run("wheel", func(b *testing.B) {
		w, names := fullWheel()
		inBatches(b, batch, func(i int) { w.Cancel(names[benchOrder[i%batch]]) }, func() {
			for _, i := range benchOrder[:batch] {
				w.Cancel(names[i])
				names[i] = w.Insert(uint64(i), benchDues[i])
			}
		})
	})
	b.Run("heap", func(b *testing.B) {
		h := fullHeap()
		all := append([]*heapTimer(nil), *h...)
		inBatches(b, batch, func(i int) { heap.Remove(h, all[benchOrder[i%batch]].position) }, func() {
			for _, i := range benchOrder[:batch] {
				if all[i].position < 0 {
					heap.Push(h, all[i])
				}
			}
		})
	})
	b.Run("runtime", func(b *testing.B) {
		all := fullRuntime()
		defer stopAll(all)
		inBatches(b, batch, func(i int) { all[benchOrder[i%batch]].Stop() }, func() {
			for _, i := range benchOrder[:batch] {
				all[i].Reset(benchDues[i])
			}
		})
	})
}

// BenchmarkFire takes the earliest of 10^6 timers and sets it anew, 24 hours
// later: the life of a renewal. The runtime's timers are not in it: they cannot be
// told the time.
func BenchmarkFire(b *testing.B) {
	b.Run("wheel", func(b *testing.B) {
		w, _ := fullWheel()
		b.ReportAllocs()
		b.ResetTimer()
		for fired := 0; fired < b.N; {
			at, _ := w.Next()
			w.Advance(at, func(id uint64) {
				fired++
				w.Insert(id, at+24*time.Hour)
			})
		}
	})
	b.Run("heap", func(b *testing.B) {
		h := fullHeap()
		b.ReportAllocs()
		for b.Loop() {
			(*h)[0].due += 24 * time.Hour
			heap.Fix(h, 0)
		}
	})
}

// inBatches calls op b.N times and undo, off the clock, after each batch.
func inBatches(b *testing.B, batch int, op func(i int), undo func()) {
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		op(i)
		if (i+1)%batch == 0 {
			b.StopTimer()
			undo()
			b.StartTimer()
		}
	}
}

type heapTimer struct {
	due      time.Duration
	position int // in the heap; -1: not there
}

// timerHeap is what one would write with container/heap.
type timerHeap []*heapTimer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].due < h[j].due }
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].position, h[j].position = i, j
}

func (h *timerHeap) Push(x any) {
	t := x.(*heapTimer)
	t.position = len(*h)
	*h = append(*h, t)
}

func (h *timerHeap) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	t.position = -1
	*h = (*h)[:last]
	return t
}

func fullHeap() *timerHeap {
	h := make(timerHeap, benchTimers)
	for i, due := range benchDues {
		h[i] = &heapTimer{due: due, position: i}
	}
	heap.Init(&h)
	return &h
}

func fullRuntime() []*time.Timer {
	all := make([]*time.Timer, benchTimers)
	for i, due := range benchDues {
		all[i] = time.AfterFunc(due, func() {})
	}
	return all
}

func stopAll(all []*time.Timer) {
	for _, t := range all {
		t.Stop()
	}
}
