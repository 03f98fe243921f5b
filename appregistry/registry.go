package appregistry

import (
	"errors"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
)

// Registry holds applications, entries and tokens, and knows which of their
// records changed since they were last written. It is a plain value without a
// lock: one goroutine owns it. Records it hands out are its own and stay the
// same until [Registry.Tidy]; who changes one calls the Put of its type again,
// which keeps the indexes right.
type Registry struct {
	where  places
	nodes  []*node // the open ones, by place; nil: free
	free   []uint32
	spare  []*node // folded, to be used again
	opened queue   // the open ones, longest open first
	shelf  shelf
	words  *words
	fold   fieldWriter // its buffer is used again and again
	glance glance
	age    uint64

	seed     maphash.Seed
	byKey    index // what is registered under a key; candidates are not in it
	byName   index
	bySupply index
	byOwner  map[string]map[uint64]struct{} // applications, of owners who have a name

	counts [tokenTable + 1]int // of records
	pause  Pause

	last     uint64 // the highest number given
	reserved uint64 // up to which numbers are reserved in the store
	dirty    []recordKey
	volatile bool
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry {
	r := &Registry{words: newWords(), seed: maphash.MakeSeed(), byOwner: map[string]map[uint64]struct{}{}, age: 1}
	r.fold.words = r.words
	return r
}

// Volatile says that nobody will store anything: changes are not noted from now
// on, and [Registry.Dirty] stays false.
func (r *Registry) Volatile() { r.volatile, r.dirty = true, nil }

// NewID gives a number that was never given before in this store.
func (r *Registry) NewID() uint64 {
	if r.last == r.reserved {
		r.reserved += reserveAhead
		r.touch(recordKey{table: seqTable})
	}
	r.last++
	return r.last
}

// App returns the record of that number, or nil.
func (r *Registry) App(seq uint64) *AppRecord {
	if n := r.find(appTable, seq); n != nil {
		return n.app
	}
	return nil
}

// AppByKey returns what is registered under key, or nil.
func (r *Registry) AppByKey(key AppKey) *AppRecord {
	for seq := range r.byKey.find(maphash.Comparable(r.seed, key)) {
		if a := r.App(seq); a != nil && a.App.Key() == key {
			return a
		}
	}
	return nil
}

// Entry returns the entry, or nil.
func (r *Registry) Entry(id EntryID) *EntryRecord {
	if n := r.find(entryTable, uint64(id)); n != nil {
		return n.entry
	}
	return nil
}

// Token returns the token's record, or nil.
func (r *Registry) Token(id TokenID) *TokenRecord {
	if n := r.find(tokenTable, uint64(id)); n != nil {
		return n.token
	}
	return nil
}

// TokenByKey returns the token with these digests, or nil.
func (r *Registry) TokenByKey(d *Digests) *TokenRecord {
	for id := range r.byName.find(r.hashOf(d.Name)) {
		if t := r.Token(TokenID(id)); t != nil && t.Digests().Key == d.Key {
			return t
		}
	}
	return nil
}

// TokensByName returns the tokens that share authority and identifier, whatever
// their passwords, oldest first.
func (r *Registry) TokensByName(name [32]byte) (ids []TokenID) {
	for id := range r.byName.find(r.hashOf(name)) {
		if t := r.Token(TokenID(id)); t != nil && t.Digests().Name == name {
			ids = append(ids, t.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// hashOf: names are made from what others bring, so the seed is needed.
func (r *Registry) hashOf(name [32]byte) uint64 { return maphash.Bytes(r.seed, name[:]) }

// TokensOf returns the entry's tokens, oldest first. The slice is the registry's.
func (r *Registry) TokensOf(id EntryID) []TokenID {
	if n := r.find(entryTable, uint64(id)); n != nil {
		return n.tokens
	}
	return nil
}

// SuppliedEntries returns the supply's entries by alias.
func (r *Registry) SuppliedEntries(s Supply) map[string]EntryID {
	if s.Entry != 0 { // for the successors of its one token
		if e := r.Entry(s.Entry); e != nil && e.Supply == s {
			return map[string]EntryID{e.Alias: e.ID}
		}
		return nil
	}
	var entries map[string]EntryID
	for id := range r.bySupply.find(maphash.Comparable(r.seed, s)) {
		e := r.Entry(EntryID(id))
		if e == nil || e.Supply != s {
			continue
		}
		if entries == nil {
			entries = map[string]EntryID{}
		}
		entries[e.Alias] = max(e.ID, entries[e.Alias])
	}
	return entries
}

// Holders returns the numbers of the applications that hold the entry, in order
// of registration. The slice is the registry's.
func (r *Registry) Holders(id EntryID) []uint64 {
	if n := r.find(entryTable, uint64(id)); n != nil {
		return n.holders
	}
	return nil
}

// Numbers returns those beyond after of everything there is, in ascending order,
// and looks at none of it.
func (r *Registry) Numbers(after uint64) (all []uint64) {
	if after == 0 {
		all = make([]uint64, 0, r.counts[appTable]+r.counts[entryTable]+r.counts[tokenTable])
	}
	for id := range r.where.beyond(after) {
		all = append(all, id)
	}
	return all
}

// AppsOf returns the numbers of an owner's applications in ascending order. Those
// of nobody, whose owner is "", are not kept apart.
func (r *Registry) AppsOf(owner string) []uint64 { return slices.Sorted(maps.Keys(r.byOwner[owner])) }

// AppSeqs returns the numbers of all application records in ascending order.
func (r *Registry) AppSeqs() []uint64 { return numbers[uint64](r, appTable) }

// TokenIDs returns all tokens in ascending order.
func (r *Registry) TokenIDs() []TokenID { return numbers[TokenID](r, tokenTable) }

func numbers[T ~uint64](r *Registry, t table) []T {
	ids := make([]T, 0, r.counts[t])
	for id, at := range r.where.beyond(0) {
		if r.holds(at, t) {
			ids = append(ids, T(id))
		}
	}
	return ids
}

// Apps is the number of application records.
func (r *Registry) Apps() int { return r.counts[appTable] }

// Entries is the number of entries.
func (r *Registry) Entries() int { return r.counts[entryTable] }

// Tokens is the number of token records.
func (r *Registry) Tokens() int { return r.counts[tokenTable] }

// Pause says whose cancels wait for an operator. Who changes it calls
// [Registry.PutPause].
func (r *Registry) Pause() *Pause { return &r.pause }

// PutPause takes note that the pause has changed, so that a restart lets no cancels go.
func (r *Registry) PutPause() { r.touch(recordKey{table: pauseTable}) }

// PutApp adds the record or takes note of its change.
func (r *Registry) PutApp(a *AppRecord) {
	n := r.mustMake(appTable, a.Seq)
	if n.app == nil {
		r.counts[appTable]++
		r.own(a.App.Owner, a.Seq)
	}
	if a.Left {
		r.unkey(n) // by what it was
	}
	n.app = a
	if a.Replaces == 0 && !a.Left && !n.keyed {
		r.key(n)
	}
	if !n.had.is(a) {
		r.index(n, n.had.now(a))
	}
	r.touchNode(n)
}

// key puts the application under its key, in the place of what was there.
func (r *Registry) key(n *node) {
	key := n.app.App.Key()
	hash := maphash.Comparable(r.seed, key)
	if before := r.AppByKey(key); before != nil {
		r.byKey.remove(hash, before.Seq)
		r.find(appTable, before.Seq).keyed = false
	}
	r.byKey.add(hash, n.id)
	n.keyed = true
}

func (r *Registry) unkey(n *node) {
	if n.keyed {
		r.byKey.remove(maphash.Comparable(r.seed, n.app.App.Key()), n.id)
		n.keyed = false
	}
}

// DeleteApp removes the application and all its holds.
func (r *Registry) DeleteApp(seq uint64) {
	n := r.find(appTable, seq)
	if n == nil {
		return
	}
	r.unkey(n)
	r.index(n, indexed{})
	r.disown(n.app.App.Owner, seq)
	n.app = nil
	r.deleted(n)
}

func (r *Registry) own(owner string, seq uint64) {
	if owner == "" {
		return
	}
	of := r.byOwner[owner]
	if of == nil {
		of = map[uint64]struct{}{}
		r.byOwner[strings.Clone(owner)] = of // the record's may be part of something larger
	}
	of[seq] = struct{}{}
}

func (r *Registry) disown(owner string, seq uint64) {
	if delete(r.byOwner[owner], seq); len(r.byOwner[owner]) == 0 {
		delete(r.byOwner, owner)
	}
}

// deleted takes note that a node has no record any more.
func (r *Registry) deleted(n *node) {
	r.counts[n.table]--
	r.touch(recordKey{n.table, n.id})
	r.dropEmpty(n)
}

// index replaces what the indexes hold of an application. Only what differs is
// looked at: a member of a group may carry thousands of tokens, one more each time.
func (r *Registry) index(n *node, want indexed) {
	had := n.had
	n.had = want
	was, is := had.beside(want), want.beside(had)
	r.count(n.id, is, 1)
	r.count(n.id, was, -1)
	if len(was.holdings) == 0 {
		return
	}
	still := map[EntryID]struct{}{}
	for _, h := range want.holdings {
		still[h.Entry] = struct{}{}
	}
	for _, h := range was.holdings {
		if _, ok := still[h.Entry]; !ok {
			r.dropHolder(h.Entry, n.id)
		}
	}
}

func (r *Registry) count(seq uint64, x indexed, by int) {
	for _, h := range x.holdings {
		e := r.make(entryTable, uint64(h.Entry))
		if e == nil {
			continue
		}
		if h.Lent {
			r.countToken(h.Token, func(t *node) { t.lent += by })
		} else {
			e.plain += by
		}
		if by > 0 {
			e.addHolder(seq)
		}
		r.dropEmpty(e)
	}
	for _, id := range x.published {
		r.countToken(id, func(t *node) { t.published += by })
	}
	for _, id := range x.offered {
		r.countToken(id, func(t *node) { t.offered += by })
	}
}

func (r *Registry) countToken(id TokenID, add func(*node)) {
	if t := r.make(tokenTable, uint64(id)); t != nil {
		add(t)
		r.dropEmpty(t)
	}
}

func (r *Registry) dropHolder(id EntryID, seq uint64) {
	e := r.find(entryTable, uint64(id))
	if e == nil {
		return
	}
	if at, ok := slices.BinarySearch(e.holders, seq); ok {
		e.holders = slices.Delete(e.holders, at, at+1)
	}
	r.dropEmpty(e)
}

// PutEntry adds the entry or takes note of its change. Its supply and alias
// never change.
func (r *Registry) PutEntry(e *EntryRecord) {
	n := r.mustMake(entryTable, uint64(e.ID))
	if n.entry == nil {
		r.counts[entryTable]++
		if e.Supply != (Supply{}) && e.Supply.Entry == 0 {
			r.bySupply.add(maphash.Comparable(r.seed, e.Supply), n.id)
		}
	}
	n.entry = e
	r.touchNode(n)
}

// DeleteEntry removes an entry that nobody holds.
func (r *Registry) DeleteEntry(id EntryID) {
	n := r.find(entryTable, uint64(id))
	if n == nil || n.entry == nil {
		return
	}
	r.bySupply.remove(maphash.Comparable(r.seed, n.entry.Supply), n.id)
	n.entry = nil
	r.deleted(n)
}

// PutToken adds the token or takes note of its change. Its digests and entry never
// change.
func (r *Registry) PutToken(t *TokenRecord) {
	n := r.mustMake(tokenTable, uint64(t.ID))
	if n.token == nil {
		r.counts[tokenTable]++
		r.byName.add(r.hashOf(t.Digests().Name), n.id)
		if e := r.make(entryTable, uint64(t.Entry)); e != nil {
			e.addToken(t.ID)
		}
	}
	n.token = t
	r.touchNode(n)
}

// DeleteToken forgets a token altogether.
func (r *Registry) DeleteToken(id TokenID) {
	n := r.find(tokenTable, uint64(id))
	if n == nil || n.token == nil {
		return
	}
	r.byName.remove(r.hashOf(n.token.Digests().Name), n.id)
	if e := r.find(entryTable, uint64(n.token.Entry)); e != nil {
		e.tokens = slices.DeleteFunc(e.tokens, func(t TokenID) bool { return t == id })
		r.dropEmpty(e)
	}
	n.token = nil
	r.deleted(n)
}

// Resolve is the token that a holding yields now.
func (r *Registry) Resolve(h Holding) *TokenRecord {
	if h.Lent {
		return r.Token(h.Token)
	}
	if e := r.Entry(h.Entry); e != nil {
		return r.Token(e.Current)
	}
	return nil
}

// Followed reports whether some application would get a successor of the
// entry's current token.
func (r *Registry) Followed(id EntryID) bool {
	n := r.find(entryTable, uint64(id))
	return n != nil && n.plain > 0
}

// IsPublished reports whether some application has the token in the set it was
// last given.
func (r *Registry) IsPublished(id TokenID) bool {
	n := r.find(tokenTable, uint64(id))
	return n != nil && n.published > 0
}

// Referenced reports whether a live application holds the token, or may have it
// in a set it was given.
func (r *Registry) Referenced(id TokenID) bool {
	n := r.find(tokenTable, uint64(id))
	if n == nil || n.token == nil {
		return false
	}
	e := r.find(entryTable, uint64(n.token.Entry))
	if e != nil && e.entry != nil && e.entry.Current == id && e.plain > 0 {
		return true
	}
	return n.lent > 0 || n.published > 0 || n.offered > 0
}

// Why a token must not be cancelled.
var (
	ErrHeld     = errors.New("an application holds it")
	ErrKeep     = errors.New("an application that held it did not ask for cancel")
	ErrUnproven = errors.New("nothing proves its password")
	ErrForeign  = errors.New("it is not ours to cancel")
)

// MayCancel returns nil where the token may be cancelled: nobody refers to it,
// everybody who ever did asked for it, and its password is proved. Services
// check no password on cancel, so an unproven one could be a weapon in the hand
// of whoever brought it.
func (r *Registry) MayCancel(id TokenID) error {
	t := r.Token(id)
	switch {
	case t == nil:
		return ErrNotFound
	case !t.Ours:
		return ErrForeign
	case r.Referenced(id):
		return ErrHeld
	case t.Keep:
		return ErrKeep
	case t.Proof == ProofNone:
		return ErrUnproven
	}
	return nil
}

// AsksCancel reports whether an application with that holding wants the token
// cancelled in the end: by default what was obtained, not what it brought.
func (a AtEnd) AsksCancel(h Holding, id TokenID) bool {
	switch a {
	case CancelAll:
		return true
	case CancelObtained:
		return h.Token != id
	}
	return false
}
