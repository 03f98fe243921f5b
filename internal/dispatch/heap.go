package dispatch

// heap is a binary heap, the first element before all others. It tells elements
// where they stand and gives memory back as it shrinks.
type heap[E element[E]] []E

type element[E any] interface {
	before(E) bool
	at(place int)
}

func (h *heap[E]) push(e E) {
	*h = append(*h, e)
	h.up(len(*h) - 1)
}

func (h *heap[E]) pop() E {
	first := (*h)[0]
	h.remove(0)
	return first
}

func (h *heap[E]) remove(i int) {
	s := *h
	last := len(s) - 1
	moved := s[last]
	var none E
	s[last] = none
	s = s[:last]
	if cap(s) > 16 && last < cap(s)/4 {
		s = append(make([]E, 0, cap(s)/2), s...)
	}
	*h = s
	if i < last {
		s[i] = moved
		h.fix(i)
	}
}

// fix puts an element right that has changed.
func (h *heap[E]) fix(i int) {
	if !h.down(i) {
		h.up(i)
	}
}

func (h heap[E]) up(i int) {
	e := h[i]
	for i > 0 {
		parent := (i - 1) / 2
		if !e.before(h[parent]) {
			break
		}
		h[i] = h[parent]
		h[i].at(i)
		i = parent
	}
	h[i] = e
	e.at(i)
}

// down reports whether the element moved.
func (h heap[E]) down(i int) bool {
	e, from := h[i], i
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if right := child + 1; right < len(h) && h[right].before(h[child]) {
			child = right
		}
		if !h[child].before(e) {
			break
		}
		h[i] = h[child]
		h[i].at(i)
		i = child
	}
	h[i] = e
	e.at(i)
	return i != from
}
