package appregistry

import (
	"encoding/binary"
	"slices"
)

// shelf keeps many small pieces of bytes without a pointer to each, so that the
// collector has nothing to follow: places of one size side by side in chunks,
// found by a handle. The zero value is empty.
type shelf struct {
	chunks  []chunk
	freed   []uint32               // chunks without memory, to be used again
	partial map[int][]uint32       // by size: chunks that may have a free place
	spare   map[int]uint32         // by size: the chunk that was left without a piece
	large   map[shelfHandle][]byte // what no chunk takes
	count   int
	nextBig uint32
}

// shelfHandle names a piece: its chunk above, its place below. 0 names none.
type shelfHandle uint32

const (
	chunkBytes = 1 << 14
	placeBits  = 10
	leastPlace = chunkBytes >> placeBits
	mostPlace  = 2048
	largeBit   = 1 << 30 // the highest bit is left to others
)

type chunk struct {
	bytes []byte
	size  int // of a place
	used  int
	fresh int // places that were never used begin here
	free  int // the first place given back, plus one; each names the next in its first bytes
}

// placeFor is the size of the place for that many bytes, with one more that says
// how much of it is free.
func placeFor(n int) int {
	n++
	switch {
	case n <= leastPlace:
		return leastPlace
	case n <= 256:
		return (n + 3) &^ 3
	case n <= mostPlace:
		return (n + 127) &^ 127
	}
	return 0
}

// put copies b in and returns its handle.
func (s *shelf) put(b []byte) shelfHandle {
	s.count++
	size := placeFor(len(b))
	if size == 0 {
		return s.putLarge(b)
	}
	n := s.chunkFor(size)
	c := &s.chunks[n]
	place := c.fresh
	if c.free != 0 {
		place = c.free - 1
		c.free = int(binary.LittleEndian.Uint16(c.bytes[place*size:]))
	} else {
		c.fresh++
	}
	c.used++
	at := c.bytes[place*size : (place+1)*size]
	at[0] = byte(size - 1 - len(b))
	copy(at[1:], b)
	return shelfHandle(n+1)<<placeBits | shelfHandle(place)
}

// chunkFor is a chunk with a free place of that size.
func (s *shelf) chunkFor(size int) uint32 {
	list := s.partial[size]
	for len(list) > 0 {
		n := list[len(list)-1]
		if c := &s.chunks[n]; c.size == size && (c.free != 0 || (c.fresh+1)*size <= len(c.bytes)) {
			return n
		}
		list = list[:len(list)-1]
		s.partial[size] = list
	}
	var n uint32
	if last := len(s.freed) - 1; last >= 0 {
		n, s.freed = s.freed[last], s.freed[:last]
	} else {
		n = uint32(len(s.chunks))
		s.chunks = append(s.chunks, chunk{})
	}
	if n >= largeBit>>placeBits-1 {
		panic("appregistry: more than 16 GB of records") // a hundred million tokens
	}
	s.chunks[n] = chunk{bytes: make([]byte, min(chunkBytes, size<<placeBits)), size: size}
	if s.partial == nil {
		s.partial = map[int][]uint32{}
	}
	s.partial[size] = list
	s.list(size, n)
	return n
}

func (s *shelf) putLarge(b []byte) shelfHandle {
	if s.large == nil {
		s.large = map[shelfHandle][]byte{}
	}
	for {
		s.nextBig = (s.nextBig + 1) % largeBit
		if h := shelfHandle(largeBit | s.nextBig); s.large[h] == nil {
			s.large[h] = append([]byte(nil), b...)
			return h
		}
	}
}

// get is the piece; it is valid until the next put or drop.
func (s *shelf) get(h shelfHandle) []byte {
	if h&largeBit != 0 {
		return s.large[h]
	}
	c := &s.chunks[h>>placeBits-1]
	end := (int(h%(1<<placeBits)) + 1) * c.size
	at := c.bytes[end-c.size : end]
	return at[1 : c.size-int(at[0])]
}

// keep leaves an empty chunk for the next of its size, of which there is one.
func (s *shelf) keep(n uint32) {
	c := &s.chunks[n]
	c.fresh, c.free = 0, 0
	if s.spare == nil {
		s.spare = map[int]uint32{}
	}
	s.spare[c.size] = n
}

// drop gives a place back, and its chunk where it was the last one there.
func (s *shelf) drop(h shelfHandle) {
	s.count--
	if h&largeBit != 0 {
		delete(s.large, h)
		return
	}
	n := uint32(h>>placeBits - 1)
	c := &s.chunks[n]
	place := int(h % (1 << placeBits))
	at := c.bytes[place*c.size : (place+1)*c.size]
	clear(at) // it may have held a password
	if c.used--; c.used == 0 {
		if other, ok := s.spare[c.size]; !ok || other == n || s.chunks[other].size != c.size || s.chunks[other].used > 0 {
			s.keep(n) // the next of that size goes here
			return
		}
		*c = chunk{}
		s.freed = append(s.freed, n)
		return
	}
	full := c.free == 0 && (c.fresh+1)*c.size > len(c.bytes)
	binary.LittleEndian.PutUint16(at, uint16(c.free))
	c.free = place + 1
	if full {
		s.list(c.size, n)
	}
}

// list notes that a chunk has a free place again. It may stand there from before:
// a list that is longer than there are chunks is made anew.
func (s *shelf) list(size int, n uint32) {
	list := append(s.partial[size], n)
	if len(list) > len(s.chunks)+16 {
		slices.Sort(list)
		list = slices.Compact(list)
	}
	s.partial[size] = list
}
