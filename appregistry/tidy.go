package appregistry

// A record is open while it is used, and folded into a few bytes else: at a
// million tokens all but a handful wait for hours.

// find opens the node of that number; nil where there is none.
func (r *Registry) find(t table, id uint64) *node {
	at := r.where.get(id)
	if at == 0 {
		return nil
	}
	if at&openBit == 0 {
		if !r.is(at, t) {
			return nil
		}
		return r.unfold(id, at)
	}
	n := r.nodes[at&^openBit]
	if n.table != t {
		return nil
	}
	n.used = r.age
	return n
}

// is reports whether what is folded there belongs to a table.
func (r *Registry) is(at uint32, t table) bool {
	return table(r.shelf.get(shelfHandle(at))[0]&tableMask) == t
}

// holds reports whether there is a record of a table.
func (r *Registry) holds(at uint32, t table) bool {
	if at&openBit == 0 {
		head := r.shelf.get(shelfHandle(at))[0]
		return table(head&tableMask) == t && head&hasRecord != 0
	}
	n := r.nodes[at&^openBit]
	return n.table == t && (n.app != nil || n.entry != nil || n.token != nil)
}

// make is as find, but makes what is not there. It returns nil for the number 0,
// and for one that belongs to another table, which only a damaged store has.
func (r *Registry) make(t table, id uint64) *node {
	if n := r.find(t, id); n != nil {
		return n
	}
	if id == 0 || id > highestID || r.where.get(id) != 0 {
		return nil
	}
	n := r.newNode()
	n.id, n.table = id, t
	return r.add(n)
}

func (r *Registry) mustMake(t table, id uint64) *node {
	n := r.make(t, id)
	if n == nil {
		panic("appregistry: a record without a number of its own")
	}
	return n
}

func (r *Registry) add(n *node) *node {
	n.used = r.age
	place := uint32(len(r.nodes))
	if last := len(r.free) - 1; last >= 0 {
		place, r.free = r.free[last], r.free[:last]
		r.nodes[place] = n
	} else {
		r.nodes = append(r.nodes, n)
	}
	r.where.set(n.id, place|openBit)
	r.opened.push(n.id)
	return n
}

func (r *Registry) unfold(id uint64, at uint32) *node {
	n := r.newNode()
	n.id = id
	n.unfold(r.shelf.get(shelfHandle(at)), r.words)
	r.shelf.drop(shelfHandle(at))
	return r.add(n)
}

// close takes an open node out of its place.
func (r *Registry) close(n *node, at uint32) {
	place := r.where.get(n.id) &^ openBit
	r.nodes[place] = nil
	r.free = append(r.free, place)
	r.where.set(n.id, at)
}

func (r *Registry) dropEmpty(n *node) {
	if n.empty() {
		r.close(n, 0)
	}
}

// Turn begins a new age and returns the one that is over. Who keeps a record
// beyond a step knows by ages how long.
func (r *Registry) Turn() uint64 {
	r.age++
	return r.age - 1
}

// Tidy folds what was not asked for since the age before, beyond that many
// records, those open longest first. Records that fall under it, and their
// sessions, are not to be used any more. It looks at no more of them than were
// opened since the last time and some, so that a step takes the time it should.
func (r *Registry) Tidy(before uint64, keep int) {
	r.tidy(before, keep, 2*r.opened.fresh+4)
}

// TidyMany is as Tidy, keeps none open and looks at that many.
func (r *Registry) TidyMany(before uint64, most int) { r.tidy(before, 0, min(most, r.opened.len())) }

func (r *Registry) tidy(before uint64, keep, most int) {
	r.opened.fresh = 0
	for ; most > 0 && r.opened.len() > keep; most-- {
		id := r.opened.pop()
		at := r.where.get(id)
		if at&openBit == 0 {
			continue // deleted, or folded
		}
		if n := r.nodes[at&^openBit]; n.used >= before || n.dirty || r.awaited(n) || !r.foldNode(n) {
			r.opened.back(id)
		}
	}
}

// awaited reports whether a call about a token of the entry is out.
func (r *Registry) awaited(entry *node) bool {
	for _, id := range entry.tokens {
		at := r.where.get(uint64(id))
		if at&openBit == 0 {
			continue
		}
		if t := r.nodes[at&^openBit].token; t != nil && t.session != nil && t.session.Awaits() {
			return true
		}
	}
	return false
}

// Open is the number of records that are open.
func (r *Registry) Open() int { return len(r.nodes) - len(r.free) }

// Opened marks a moment for [Registry.FoldSince].
func (r *Registry) Opened() int { return r.opened.pushed }

// FoldSince folds the records that were opened since a moment.
func (r *Registry) FoldSince(moment int) {
	var busy []uint64
	for r.opened.pushed > moment {
		id := r.opened.popLast()
		at := r.where.get(id)
		if at&openBit == 0 {
			continue
		}
		if n := r.nodes[at&^openBit]; n.dirty || !r.foldNode(n) {
			busy = append(busy, id)
		}
	}
	for _, id := range busy {
		r.opened.back(id)
	}
}

func (r *Registry) foldNode(n *node) bool {
	r.fold.b = r.fold.b[:0]
	if !n.fold(&r.fold) {
		return false
	}
	if len(r.fold.b) > longestFolded {
		return false
	}
	r.close(n, uint32(r.shelf.put(r.fold.b)))
	if len(r.spare) < spareNodes {
		*n = node{}
		r.spare = append(r.spare, n)
	}
	return true
}

// spareNodes is how many folded nodes are used again: some for each step.
const spareNodes = 64

func (r *Registry) newNode() *node {
	if last := len(r.spare) - 1; last >= 0 {
		n := r.spare[last]
		r.spare = r.spare[:last]
		return n
	}
	return new(node)
}

// longestFolded bounds the work of a look at a record: what very many hold stays open.
const longestFolded = 1 << 16

// queue is numbers in a row.
type queue struct {
	ids   []uint64
	head  int
	fresh int // pushed since somebody asked
	// pushed counts those that were pushed and not taken from the end.
	pushed int
}

func (q *queue) len() int { return len(q.ids) - q.head }

func (q *queue) push(id uint64) {
	q.fresh++
	q.pushed++
	q.back(id)
}

func (q *queue) back(id uint64) {
	if q.head > len(q.ids)/2 && len(q.ids) == cap(q.ids) {
		q.ids = q.ids[:copy(q.ids, q.ids[q.head:])]
		q.head = 0
	}
	q.ids = append(q.ids, id)
}

func (q *queue) popLast() uint64 {
	last := len(q.ids) - 1
	id := q.ids[last]
	q.ids = q.ids[:last]
	q.pushed--
	return id
}

func (q *queue) pop() uint64 {
	id := q.ids[q.head]
	q.head++
	return id
}
