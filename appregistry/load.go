package appregistry

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"io"
	"slices"
)

// Loader fills a registry from what a store has. Each record is decoded, to see
// that it can be, and folded at once. Who holds an entry and what tokens it has
// follows from records that come in other places, so it is gathered first: the
// order of a store's keys brings applications, then entries, then tokens. Records
// that come otherwise are taken as well, by opening what they touch.
type Loader struct {
	r     *Registry
	app   func(*AppRecord)
	token func(*TokenRecord)

	tail     bool // the applications are through, and what they said is in order
	holds    row[hold]
	refs     row[tokenRef]
	currents currents
	scratch  struct { // used again for each record
		field   fieldReader
		app     AppRecord
		entry   EntryRecord
		token   TokenRecord
		holders []uint64
		tokens  []TokenID
	}
}

// hold is an application's on an entry.
type hold struct {
	entry, seq uint64
	lent       bool
}

// tokenRef is an application's reference to a token.
type tokenRef struct {
	token uint64
	kind  refKind
}

type refKind uint8

const (
	lentRef refKind = iota
	publishedRef
	offeredRef
)

func (k refKind) count(n *node) {
	switch k {
	case lentRef:
		n.lent++
	case publishedRef:
		n.published++
	case offeredRef:
		n.offered++
	}
}

// current is an entry's current token, which the entry was loaded with.
type current struct{ entry, token uint64 }

// Loader begins to load. The functions, of which each may be nil, are shown each
// application and token, for as long as they run. What one changes of a token's
// state is taken, and not noted as a change.
func (r *Registry) Loader(app func(*AppRecord), token func(*TokenRecord)) *Loader {
	return &Loader{
		r: r, app: app, token: token,
		holds: row[hold]{id: func(h hold) uint64 { return h.entry }},
		refs:  row[tokenRef]{id: func(t tokenRef) uint64 { return t.token }},
	}
}

// Format implements [fmt.Formatter]: unexported fields would be printed whole.
func (*Loader) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "loader of records") }

// Load takes one record as it was stored, and keeps no slice of it. It reports
// false for a key that is not the registry's.
func (l *Loader) Load(key, value []byte) (bool, error) {
	k, ok := parseKey(key)
	if !ok {
		return false, nil
	}
	if err := l.load(k, value); err != nil {
		return true, fmt.Errorf("load %s record %d: %w", tableNames[k.table], k.seq, err)
	}
	return true, nil
}

func (l *Loader) load(k recordKey, value []byte) error {
	if k.table != appTable && !l.tail {
		l.tail = true
		l.holds.sort(func(a, b hold) int { return cmp.Or(cmp.Compare(a.entry, b.entry), cmp.Compare(a.seq, b.seq)) })
		l.refs.sort(func(a, b tokenRef) int { return cmp.Compare(a.token, b.token) })
	}
	taken := false
	switch k.table {
	case appTable:
		a, err := l.decodeApp(k.seq, value)
		if err != nil {
			return err
		}
		if taken = l.loadApp(a); l.app != nil {
			l.app(a)
		}
	case entryTable:
		e, err := l.decodeEntry(k.seq, value)
		if err != nil {
			return err
		}
		taken = l.loadEntry(e)
	case tokenTable:
		t, err := l.decodeToken(k.seq, value)
		if err != nil {
			return err
		}
		if l.fresh(k.seq) {
			l.loadToken(t)
			return nil
		}
		if err = l.r.load(k, value); err == nil && l.token != nil {
			l.token(l.r.Token(t.ID))
		}
		return err
	}
	if taken {
		return nil
	}
	return l.r.load(k, value)
}

// A record is decoded into the same place as the last one, and has the bytes that
// it was decoded from.

func (l *Loader) decodeApp(seq uint64, value []byte) (*AppRecord, error) {
	if isV1(value) {
		return decodeAppV1(seq, value)
	}
	a := &l.scratch.app
	*a = AppRecord{Seq: seq, Holdings: a.Holdings[:0]}
	return a, l.decode(value, a)
}

func (l *Loader) decodeEntry(seq uint64, value []byte) (*EntryRecord, error) {
	if isV1(value) {
		return decodeEntryV1(seq, value)
	}
	e := &l.scratch.entry
	*e = EntryRecord{ID: EntryID(seq)}
	return e, l.decode(value, e)
}

func (l *Loader) decodeToken(seq uint64, value []byte) (*TokenRecord, error) {
	if isV1(value) {
		return decodeTokenV1(seq, value)
	}
	t := &l.scratch.token
	*t = TokenRecord{ID: TokenID(seq)}
	return t, l.decode(value, t)
}

func (l *Loader) decode(value []byte, rec interface{ decode(*fieldReader) }) error {
	if err := checkVersion(value); err != nil {
		return err
	}
	f := &l.scratch.field
	*f = fieldReader{rest: value[1:], lent: true, known: l.r.words}
	rec.decode(f)
	return f.finish()
}

// fresh reports whether nothing is known of a number yet, not even by reference.
func (l *Loader) fresh(id uint64) bool {
	return 0 < id && id <= highestID && l.r.where.get(id) == 0
}

// fold puts a record that no one has opened.
func (l *Loader) fold(n *node) {
	r := l.r
	r.fold.b = r.fold.b[:0]
	n.fold(&r.fold)
	r.where.set(n.id, uint32(r.shelf.put(r.fold.b)))
	r.counts[n.table]++
}

func (l *Loader) loadApp(a *AppRecord) bool {
	r := l.r
	named := a.Replaces == 0 && !a.Left
	if l.tail || !l.fresh(a.Seq) || (named && r.AppByKey(a.App.Key()) != nil) {
		return false
	}
	n := node{id: a.Seq, table: appTable, app: a, keyed: named}
	if n.keyed {
		r.byKey.add(maphash.Comparable(r.seed, a.App.Key()), a.Seq)
	}
	for i := range a.Holdings {
		h := &a.Holdings[i]
		if l.holds.add(hold{uint64(h.Entry), a.Seq, h.Lent}); h.Lent {
			l.refs.add(tokenRef{uint64(h.Token), lentRef})
		}
	}
	for _, t := range a.Published.Tokens {
		l.refs.add(tokenRef{uint64(t), publishedRef})
	}
	for _, t := range a.Offered {
		l.refs.add(tokenRef{uint64(t), offeredRef})
	}
	r.own(a.App.Owner, a.Seq)
	l.fold(&n)
	return true
}

func (l *Loader) loadEntry(e *EntryRecord) bool {
	r, id := l.r, uint64(e.ID)
	if !l.fresh(id) {
		return false
	}
	n := node{id: id, table: entryTable, entry: e, holders: l.scratch.holders[:0], tokens: l.scratch.tokens[:0]}
	for _, h := range l.holds.take(id) {
		n.hold(h)
	}
	if e.Current != 0 { // it has that one, unless it turns out that it has not
		n.tokens = append(n.tokens, e.Current)
		l.currents.all = append(l.currents.all, current{id, uint64(e.Current)})
	}
	if e.Supply != (Supply{}) && e.Supply.Entry == 0 {
		r.bySupply.add(maphash.Comparable(r.seed, e.Supply), id)
	}
	l.fold(&n)
	l.scratch.holders, l.scratch.tokens = n.holders, n.tokens
	return true
}

func (l *Loader) loadToken(t *TokenRecord) {
	r, id := l.r, uint64(t.ID)
	if l.token != nil {
		l.token(t)
	}
	n := node{id: id, table: tokenTable, token: t}
	for _, ref := range l.refs.take(id) {
		ref.kind.count(&n)
	}
	r.byName.add(r.hashOf(t.name()), id)
	if !l.currents.confirm(uint64(t.Entry), id) {
		if e := r.make(entryTable, uint64(t.Entry)); e != nil {
			e.addToken(t.ID)
		}
	}
	l.fold(&n)
}

// Done ends the loading. What was referred to and has no record is noted as well.
func (l *Loader) Done() {
	r := l.r
	for h := range l.holds.rest {
		if e := r.make(entryTable, h.entry); e != nil {
			e.hold(h)
		}
	}
	for ref := range l.refs.rest {
		if t := r.make(tokenTable, ref.token); t != nil {
			ref.kind.count(t)
		}
	}
	for _, c := range l.currents.all {
		if c.token == 0 {
			continue
		}
		if t := r.Token(TokenID(c.token)); t == nil || uint64(t.Entry) != c.entry {
			e := r.find(entryTable, c.entry)
			e.tokens = slices.DeleteFunc(e.tokens, func(id TokenID) bool { return uint64(id) == c.token })
		}
	}
	*l = Loader{r: r}
	r.Tidy(r.age+1, 0)
}

// hold takes note of an application's hold on the entry.
func (n *node) hold(h hold) {
	if !h.lent {
		n.plain++
	}
	n.addHolder(h.seq)
}

// row is what was gathered about many numbers, in their order once it is sorted.
type row[T any] struct {
	id   func(T) uint64
	all  []T
	at   int
	left []T // what take went past
}

func (r *row[T]) add(v T) { r.all = append(r.all, v) }

func (r *row[T]) sort(by func(a, b T) int) {
	if !slices.IsSortedFunc(r.all, by) {
		slices.SortFunc(r.all, by)
	}
}

// take is what is known of a number. Numbers come in ascending order.
func (r *row[T]) take(id uint64) []T {
	for ; r.at < len(r.all) && r.id(r.all[r.at]) < id; r.at++ {
		r.left = append(r.left, r.all[r.at])
	}
	from := r.at
	for r.at < len(r.all) && r.id(r.all[r.at]) == id {
		r.at++
	}
	return r.all[from:r.at]
}

// rest yields what nobody took.
func (r *row[T]) rest(yield func(T) bool) {
	for _, part := range [][]T{r.left, r.all[r.at:]} {
		for _, v := range part {
			if !yield(v) {
				return
			}
		}
	}
}

// currents are the entries' current tokens, in order of the entries.
type currents struct {
	all []current
	at  int
}

// confirm takes note that a token is its entry's current one; false: it is not.
func (c *currents) confirm(entry, token uint64) bool {
	if c.at >= len(c.all) || c.all[c.at].entry != entry { // it mostly is: both come in order
		at, ok := slices.BinarySearchFunc(c.all, entry, func(c current, entry uint64) int { return cmp.Compare(c.entry, entry) })
		if !ok {
			return false
		}
		c.at = at
	}
	one := &c.all[c.at]
	if one.token != token {
		return false
	}
	one.token = 0
	c.at++
	return true
}
