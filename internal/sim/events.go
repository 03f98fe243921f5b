package sim

import "time"

// event is something that will happen in the world.
type event struct {
	at    time.Duration
	order uint64 // of those at one instant, the first planned comes first
	run   func()
}

func (e event) before(f event) bool {
	return e.at < f.at || (e.at == f.at && e.order < f.order)
}

// events is a binary heap; container/heap would box each event.
type events struct {
	heap  []event
	order uint64
}

func (q *events) add(at time.Duration, run func()) {
	q.order++
	h := append(q.heap, event{at, q.order, run})
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !h[i].before(h[up]) {
			break
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
	q.heap = h
}

// next is when the next event happens; false: none is planned.
func (q *events) next() (time.Duration, bool) {
	if len(q.heap) == 0 {
		return 0, false
	}
	return q.heap[0].at, true
}

func (q *events) take() event {
	h := q.heap
	first, last := h[0], len(h)-1
	h[0], h[last] = h[last], event{}
	h = h[:last]
	for i := 0; ; {
		least := i
		for _, below := range []int{2*i + 1, 2*i + 2} {
			if below < len(h) && h[below].before(h[least]) {
				least = below
			}
		}
		if least == i {
			break
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
	q.heap = h
	return first
}
