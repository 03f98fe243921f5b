package wheel

// bucketHeap is the set of non-empty buckets, the one with the earliest start on
// top. Spans of buckets in it never overlap, so their starts order all that is
// in them. The zero value is empty.
type bucketHeap struct {
	order    []uint16        // bucket numbers; a binary heap
	start    [buckets]tick   // of the buckets in order
	position [buckets]uint16 // in order
}

func (h *bucketHeap) empty() bool { return len(h.order) == 0 }

// first is the start of the earliest bucket.
func (h *bucketHeap) first() tick { return h.start[h.order[0]] }

func (h *bucketHeap) push(bucket int, start tick) {
	h.start[bucket] = start
	h.order = append(h.order, uint16(bucket))
	h.set(len(h.order)-1, uint16(bucket))
	h.up(len(h.order) - 1)
}

// pop takes out the earliest bucket and returns its number.
func (h *bucketHeap) pop() int {
	bucket := int(h.order[0])
	h.remove(bucket)
	return bucket
}

func (h *bucketHeap) remove(bucket int) {
	at, last := int(h.position[bucket]), len(h.order)-1
	moved := h.order[last]
	h.order = h.order[:last]
	if at == last {
		return
	}
	h.set(at, moved)
	h.up(at)
	h.down(int(h.position[moved]))
}

func (h *bucketHeap) up(at int) {
	for at > 0 {
		parent := (at - 1) / 2
		if !h.before(at, parent) {
			return
		}
		h.swap(at, parent)
		at = parent
	}
}

func (h *bucketHeap) down(at int) {
	for {
		child := 2*at + 1
		if child+1 < len(h.order) && h.before(child+1, child) {
			child++
		}
		if child >= len(h.order) || !h.before(child, at) {
			return
		}
		h.swap(at, child)
		at = child
	}
}

func (h *bucketHeap) before(a, b int) bool { return h.start[h.order[a]] < h.start[h.order[b]] }

func (h *bucketHeap) swap(a, b int) {
	x, y := h.order[a], h.order[b]
	h.set(a, y)
	h.set(b, x)
}

func (h *bucketHeap) set(at int, bucket uint16) {
	h.order[at] = bucket
	h.position[bucket] = uint16(at)
}
