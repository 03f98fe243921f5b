package appregistry

import (
	"errors"
	"maps"
	"slices"
)

// Registry holds applications, entries and tokens, and knows which of their
// records changed since they were last written. It is a plain value without a
// lock: one goroutine owns it. Records it hands out are its own; who changes one
// calls the Put of its type again, which keeps the indexes right.
type Registry struct {
	apps    map[uint64]*AppRecord
	entries map[EntryID]*EntryRecord
	tokens  map[TokenID]*TokenRecord
	byKey   map[AppKey]uint64 // what is registered under a key; candidates are not in it

	byToken  map[[32]byte]TokenID
	byName   map[[32]byte][]TokenID
	bySupply map[Supply]map[string]EntryID
	tokensOf map[EntryID][]TokenID
	// Who needs what. All of it follows from the app records, and is never stored.
	indexed   map[uint64]indexedApp
	holders   map[EntryID][]uint64
	plain     map[EntryID]int // holdings that follow the current token
	lent      map[TokenID]int
	published map[TokenID]int
	offered   map[TokenID]int

	cancelsPaused bool

	last     uint64 // the highest number given
	reserved uint64 // up to which numbers are reserved in the store
	dirty    map[recordKey]struct{}
	volatile bool
}

// indexedApp is what the indexes hold of an application.
type indexedApp struct {
	holdings  []Holding
	published []TokenID
	offered   []TokenID
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry {
	return &Registry{
		apps: map[uint64]*AppRecord{}, entries: map[EntryID]*EntryRecord{}, tokens: map[TokenID]*TokenRecord{},
		byKey: map[AppKey]uint64{}, byToken: map[[32]byte]TokenID{}, byName: map[[32]byte][]TokenID{},
		bySupply: map[Supply]map[string]EntryID{}, tokensOf: map[EntryID][]TokenID{},
		indexed: map[uint64]indexedApp{}, holders: map[EntryID][]uint64{}, plain: map[EntryID]int{},
		lent: map[TokenID]int{}, published: map[TokenID]int{}, offered: map[TokenID]int{}, dirty: map[recordKey]struct{}{},
	}
}

// Volatile says that nobody will store anything: changes are not noted from now
// on, and [Registry.Dirty] stays false.
func (r *Registry) Volatile() {
	r.volatile = true
	clear(r.dirty)
}

// NewID gives a number that was never given before in this store.
func (r *Registry) NewID() uint64 {
	if r.last == r.reserved {
		r.reserved += reserveAhead
		r.touch(seqTable, 0)
	}
	r.last++
	return r.last
}

// App returns the record of that number, or nil.
func (r *Registry) App(seq uint64) *AppRecord { return r.apps[seq] }

// AppByKey returns what is registered under key, or nil.
func (r *Registry) AppByKey(key AppKey) *AppRecord { return r.apps[r.byKey[key]] }

// Entry returns the entry, or nil.
func (r *Registry) Entry(id EntryID) *EntryRecord { return r.entries[id] }

// Token returns the token's record, or nil.
func (r *Registry) Token(id TokenID) *TokenRecord { return r.tokens[id] }

// TokenByKey returns the token with that key, or nil.
func (r *Registry) TokenByKey(key [32]byte) *TokenRecord { return r.tokens[r.byToken[key]] }

// TokensByName returns the tokens that share authority and identifier, whatever
// their passwords.
func (r *Registry) TokensByName(name [32]byte) []TokenID { return r.byName[name] }

// TokensOf returns the entry's tokens, oldest first. The slice is the registry's.
func (r *Registry) TokensOf(id EntryID) []TokenID { return r.tokensOf[id] }

// SuppliedEntries returns the supply's entries by alias. The map is the registry's.
func (r *Registry) SuppliedEntries(s Supply) map[string]EntryID { return r.bySupply[s] }

// Holders returns the numbers of the applications that hold the entry, in order
// of registration. The slice is the registry's.
func (r *Registry) Holders(id EntryID) []uint64 { return r.holders[id] }

// AppSeqs returns the numbers of all application records in ascending order.
func (r *Registry) AppSeqs() []uint64 { return slices.Sorted(maps.Keys(r.apps)) }

// EntryIDs returns all entries in ascending order.
func (r *Registry) EntryIDs() []EntryID { return slices.Sorted(maps.Keys(r.entries)) }

// TokenIDs returns all tokens in ascending order.
func (r *Registry) TokenIDs() []TokenID { return slices.Sorted(maps.Keys(r.tokens)) }

// Tokens is the number of token records.
func (r *Registry) Tokens() int { return len(r.tokens) }

// CancelsPaused reports whether cancels wait for an operator.
func (r *Registry) CancelsPaused() bool { return r.cancelsPaused }

// PauseCancels records whether cancels wait for an operator, so that a restart
// does not let them go.
func (r *Registry) PauseCancels(paused bool) {
	r.cancelsPaused = paused
	r.touch(pauseTable, 0)
}

// PutApp adds the record or takes note of its change.
func (r *Registry) PutApp(a *AppRecord) {
	r.apps[a.Seq] = a
	if a.Replaces == 0 {
		r.byKey[a.App.Key()] = a.Seq
	}
	r.index(a.Seq, indexedApp{slices.Clone(a.Holdings), slices.Clone(a.Published.Tokens), slices.Clone(a.Offered)})
	r.touch(appTable, a.Seq)
}

// DeleteApp removes the application and all its holds.
func (r *Registry) DeleteApp(seq uint64) {
	a := r.apps[seq]
	if a == nil {
		return
	}
	delete(r.apps, seq)
	if r.byKey[a.App.Key()] == seq {
		delete(r.byKey, a.App.Key())
	}
	r.index(seq, indexedApp{})
	r.touch(appTable, seq)
}

// index replaces what the indexes hold of an application.
func (r *Registry) index(seq uint64, want indexedApp) {
	had := r.indexed[seq]
	r.count(seq, want, 1)
	r.count(seq, had, -1)
	for _, h := range had.holdings {
		if !slices.ContainsFunc(want.holdings, func(w Holding) bool { return w.Entry == h.Entry }) {
			r.dropHolder(h.Entry, seq)
		}
	}
	r.indexed[seq] = want
	if len(want.holdings)+len(want.published)+len(want.offered) == 0 {
		delete(r.indexed, seq)
	}
}

func (r *Registry) count(seq uint64, a indexedApp, by int) {
	for _, h := range a.holdings {
		if h.Lent {
			add(r.lent, h.Token, by)
		} else {
			add(r.plain, h.Entry, by)
		}
		if at, ok := slices.BinarySearch(r.holders[h.Entry], seq); by > 0 && !ok {
			r.holders[h.Entry] = slices.Insert(r.holders[h.Entry], at, seq)
		}
	}
	for _, t := range a.published {
		add(r.published, t, by)
	}
	for _, t := range a.offered {
		add(r.offered, t, by)
	}
}

func (r *Registry) dropHolder(id EntryID, seq uint64) {
	if at, ok := slices.BinarySearch(r.holders[id], seq); ok {
		r.holders[id] = slices.Delete(r.holders[id], at, at+1)
	}
	if len(r.holders[id]) == 0 {
		delete(r.holders, id)
	}
}

func add[K comparable](m map[K]int, k K, by int) {
	if m[k] += by; m[k] == 0 {
		delete(m, k)
	}
}

// PutEntry adds the entry or takes note of its change. Its supply and alias
// never change.
func (r *Registry) PutEntry(e *EntryRecord) {
	r.entries[e.ID] = e
	if e.Supply != (Supply{}) {
		if r.bySupply[e.Supply] == nil {
			r.bySupply[e.Supply] = map[string]EntryID{}
		}
		r.bySupply[e.Supply][e.Alias] = e.ID
	}
	r.touch(entryTable, uint64(e.ID))
}

// DeleteEntry removes an entry that nobody holds.
func (r *Registry) DeleteEntry(id EntryID) {
	e := r.entries[id]
	if e == nil {
		return
	}
	delete(r.entries, id)
	if aliases := r.bySupply[e.Supply]; aliases[e.Alias] == id {
		delete(aliases, e.Alias)
		if len(aliases) == 0 {
			delete(r.bySupply, e.Supply)
		}
	}
	r.touch(entryTable, uint64(id))
}

// PutToken adds the token or takes note of its change. Its keys and entry never
// change.
func (r *Registry) PutToken(t *TokenRecord) {
	if r.tokens[t.ID] == nil {
		r.byToken[t.Key] = t.ID
		r.byName[t.Name] = append(r.byName[t.Name], t.ID)
		if t.Entry != 0 {
			r.tokensOf[t.Entry] = append(r.tokensOf[t.Entry], t.ID)
		}
	}
	r.tokens[t.ID] = t
	r.touch(tokenTable, uint64(t.ID))
}

// DeleteToken forgets a token altogether.
func (r *Registry) DeleteToken(id TokenID) {
	t := r.tokens[id]
	if t == nil {
		return
	}
	delete(r.tokens, id)
	if r.byToken[t.Key] == id {
		delete(r.byToken, t.Key)
	}
	remove(r.byName, t.Name, id)
	remove(r.tokensOf, t.Entry, id)
	r.touch(tokenTable, uint64(id))
}

func remove[K comparable](m map[K][]TokenID, k K, id TokenID) {
	rest := slices.DeleteFunc(m[k], func(t TokenID) bool { return t == id })
	if len(rest) == 0 {
		delete(m, k)
		return
	}
	m[k] = rest
}

// Resolve is the token that a holding yields now.
func (r *Registry) Resolve(h Holding) *TokenRecord {
	if h.Lent {
		return r.tokens[h.Token]
	}
	if e := r.entries[h.Entry]; e != nil {
		return r.tokens[e.Current]
	}
	return nil
}

// Followed reports whether some application would get a successor of the
// entry's current token.
func (r *Registry) Followed(id EntryID) bool { return r.plain[id] > 0 }

// IsPublished reports whether some application has the token in the set it was
// last given.
func (r *Registry) IsPublished(id TokenID) bool { return r.published[id] > 0 }

// Referenced reports whether a live application holds the token, or may have it
// in a set it was given.
func (r *Registry) Referenced(id TokenID) bool {
	t := r.tokens[id]
	if t == nil {
		return false
	}
	if e := r.entries[t.Entry]; e != nil && e.Current == id && r.plain[t.Entry] > 0 {
		return true
	}
	return r.lent[id] > 0 || r.published[id] > 0 || r.offered[id] > 0
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
	t := r.tokens[id]
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
