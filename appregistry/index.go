package appregistry

import "iter"

// index finds record numbers by a hash of what they are looked up by. It keeps
// no keys: whoever asks compares what he finds. One slot of 8 bytes holds the
// number and what of the hash gives its place; runs are linear, and taking one
// out closes the gap. The zero value is empty.
type index struct {
	slots []uint64 // a power of two of them; 0: empty
	n     int
}

const (
	idBits  = 40 // a trillion numbers; a store has not given so many
	tagBits = 64 - idBits
	// highestID is the highest number of a record.
	highestID = 1<<idBits - 1
)

// home is the slot at which a tag's run begins.
func (x *index) home(slot uint64) int {
	tag := slot >> idBits
	return int(tag * uint64(len(x.slots)) >> tagBits)
}

// find yields the numbers that may have that hash.
func (x *index) find(hash uint64) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		if x.n == 0 {
			return
		}
		tag := hash >> idBits << idBits
		for i := x.home(tag); x.slots[i] != 0; i = (i + 1) & (len(x.slots) - 1) {
			if x.slots[i]>>idBits == tag>>idBits && !yield(x.slots[i]&highestID) {
				return
			}
		}
	}
}

func (x *index) add(hash, id uint64) {
	if x.n >= len(x.slots)*4/5 {
		x.grow()
	}
	x.n++
	x.put(hash>>idBits<<idBits | id)
}

func (x *index) put(slot uint64) {
	i := x.home(slot)
	for x.slots[i] != 0 {
		i = (i + 1) & (len(x.slots) - 1)
	}
	x.slots[i] = slot
}

func (x *index) grow() {
	old := x.slots
	x.slots = make([]uint64, max(64, 2*len(old)))
	for _, slot := range old {
		if slot != 0 {
			x.put(slot)
		}
	}
}

// remove takes one number out; one that is not there is no matter.
func (x *index) remove(hash, id uint64) {
	if x.n == 0 {
		return
	}
	slot, mask := hash>>idBits<<idBits|id, len(x.slots)-1
	i := x.home(slot)
	for x.slots[i] != slot {
		if x.slots[i] == 0 {
			return
		}
		i = (i + 1) & mask
	}
	x.n--
	for j := (i + 1) & mask; x.slots[j] != 0; j = (j + 1) & mask {
		// It may move up where its run began at or before the gap.
		if (j-x.home(x.slots[j]))&mask >= (j-i)&mask {
			x.slots[i] = x.slots[j]
			i = j
		}
	}
	x.slots[i] = 0
}
