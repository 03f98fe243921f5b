package appregistry

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The shelf and the index are what a map would be, in less memory.
func TestShelf_IsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s shelf
		want := map[shelfHandle][]byte{}
		next := byte(0)
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				for range rapid.IntRange(1, 200).Draw(t, "many") {
					next++
					b := bytes.Repeat([]byte{next}, rapid.SampledFrom([]int{0, 1, 13, 14, 15, 100, 254, 255, 2046, 2047, 5000}).Draw(t, "size"))
					h := s.put(b)
					if _, twice := want[h]; twice || h == 0 || h&openBit != 0 {
						t.Fatalf("handle %x is given twice, or not one", h)
					}
					want[h] = b
				}
			},
			"drop": func(t *rapid.T) {
				for _, h := range slices.Sorted(maps.Keys(want)) {
					if rapid.IntRange(0, 2).Draw(t, "keep") > 0 {
						s.drop(h)
						delete(want, h)
					}
				}
			},
			"": func(t *rapid.T) {
				for h, b := range want {
					if !bytes.Equal(s.get(h), b) {
						t.Fatalf("%x: %d bytes, want %d of %v", h, len(s.get(h)), len(b), b[:min(1, len(b))])
					}
				}
				if s.count != len(want) {
					t.Fatalf("count %d, want %d", s.count, len(want))
				}
			},
		})
	})
}

// Memory is given back: what many came and left leaves no chunk behind.
func TestShelf_GivesMemoryBack(t *testing.T) {
	var s shelf
	for range 3 {
		var handles []shelfHandle
		for i := range 20_000 {
			handles = append(handles, s.put(make([]byte, i%300)))
		}
		for _, h := range handles {
			s.drop(h)
		}
	}
	left := map[int]int{}
	for i, c := range s.chunks {
		if c.used > 0 {
			t.Errorf("chunk %d of %d has %d places in use", i, len(s.chunks), c.used)
		}
		if c.bytes != nil {
			left[c.size]++
		}
	}
	for size, n := range left {
		if n > 1 {
			t.Errorf("%d chunks for places of %d bytes are left, want one at most", n, size)
		}
	}
	if most := 20_000 * 300 / chunkBytes * 2; len(s.chunks) > most {
		t.Errorf("%d chunks were made, want at most %d", len(s.chunks), most)
	}
}

func TestIndex_IsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var x index
		want := map[uint64]uint64{} // hash by number
		next := uint64(0)
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				for range rapid.IntRange(1, 60).Draw(t, "many") {
					next++
					// Few hashes, so that runs are long and go round the end.
					want[next] = rapid.SampledFrom([]uint64{0, 1 << 41, 7 << 40, 1 << 63, ^uint64(0), ^uint64(0) - 1<<40}).Draw(t, "hash")
					x.add(want[next], next)
				}
			},
			"remove": func(t *rapid.T) {
				for _, id := range slices.Sorted(maps.Keys(want)) {
					if rapid.Bool().Draw(t, "remove") {
						x.remove(want[id], id)
						x.remove(want[id], id) // no matter
						delete(want, id)
					}
				}
			},
			"": func(t *rapid.T) {
				for id, hash := range want {
					if !slices.Contains(slices.Collect(x.find(hash)), id) {
						t.Fatalf("%d of hash %x is not found", id, hash)
					}
				}
				if x.n != len(want) {
					t.Fatalf("%d in it, want %d", x.n, len(want))
				}
			},
		})
	})
}

// Taking one piece out of full chunks and putting one in, for ever, takes no more
// and more memory.
func TestShelf_ListsOfFreePlacesStayShort(t *testing.T) {
	var s shelf
	piece := make([]byte, 200)
	handles := make([]shelfHandle, 10*(chunkBytes/placeFor(len(piece))))
	for i := range handles {
		handles[i] = s.put(piece)
	}
	for i := range 10_000 {
		s.drop(handles[i%len(handles)])
		handles[i%len(handles)] = s.put(piece)
	}
	if n := len(s.partial[placeFor(len(piece))]); n > len(s.chunks)+16 {
		t.Errorf("%d numbers of chunks are listed, and there are %d", n, len(s.chunks))
	}
}
