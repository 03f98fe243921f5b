package wheel

import (
	"math"
	"testing"
)

// TestNamesRunOut: a place of the slab whose generations are used up is not used
// again, or the oldest name would reach its newest timer.
func TestNamesRunOut(t *testing.T) {
	w := New()
	w.Cancel(w.Insert(1, 0))
	w.slab[firstTimer].generation = math.MaxUint32
	last := w.Insert(1, 0)
	if uint32(last) != firstTimer || !w.Cancel(last) {
		t.Fatalf("%x is not a timer of the place under test", last)
	}
	if next := w.Insert(1, 0); uint32(next) == firstTimer {
		t.Errorf("place %d is used again after its last generation", uint32(next))
	}
}
