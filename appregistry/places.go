package appregistry

import (
	"iter"
	"slices"
)

// places says by number where a record is: a handle of the shelf, or the place of
// an open one with openBit. Numbers come in rows, so they are kept in pages.
type places struct {
	pages map[uint64]*page
	last  *page // the page asked for last, and its number
	lastN uint64
}

type page struct {
	at   [pageSize]uint32
	used int
}

const (
	pageSize = 64
	openBit  = 1 << 31
)

func (p *places) page(id uint64) *page {
	n := id / pageSize
	if p.last == nil || p.lastN != n {
		p.last, p.lastN = p.pages[n], n
	}
	return p.last
}

// get returns 0 where there is nothing.
func (p *places) get(id uint64) uint32 {
	if g := p.page(id); g != nil {
		return g.at[id%pageSize]
	}
	return 0
}

func (p *places) set(id uint64, at uint32) {
	g := p.page(id)
	if g == nil {
		if p.pages == nil {
			p.pages = map[uint64]*page{}
		}
		g = &page{}
		p.pages[id/pageSize], p.last = g, g
	}
	old := g.at[id%pageSize]
	g.at[id%pageSize] = at
	switch {
	case old == 0 && at != 0:
		g.used++
	case old != 0 && at == 0:
		if g.used--; g.used == 0 {
			delete(p.pages, id/pageSize)
			p.last = nil
		}
	}
}

// beyond yields the numbers above after in ascending order, with where they are.
// Records may be opened and folded meanwhile.
func (p *places) beyond(after uint64) iter.Seq2[uint64, uint32] {
	return func(yield func(uint64, uint32) bool) {
		var pages []uint64
		for n := range p.pages {
			if n >= after/pageSize {
				pages = append(pages, n)
			}
		}
		slices.Sort(pages)
		for _, n := range pages {
			g := p.pages[n]
			if g == nil {
				continue
			}
			for i := range g.at {
				id := n*pageSize + uint64(i)
				if at := g.at[i]; at != 0 && id > after && !yield(id, at) {
					return
				}
			}
		}
	}
}
