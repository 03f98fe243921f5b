package appregistry

import (
	"encoding/binary"
	"slices"
)

// table is what a record is about.
type table uint8

const (
	appTable table = iota
	entryTable
	tokenTable
	seqTable   // one record: the numbers reserved
	pauseTable // one record, there while cancels are paused
)

// node is a record that is open, with what the registry knows of it besides. An
// entry or token that is only referred to has a node without a record. Nodes are
// folded into a few bytes when nobody asks for them; see [Registry.Tidy].
type node struct {
	id    uint64
	table table
	dirty bool   // to be written
	used  uint64 // the age in which it was last asked for

	app   *AppRecord
	had   indexed // what the indexes hold of app
	keyed bool    // it is what is registered under its key

	entry *EntryRecord
	// Who needs what. All of it follows from the app records, and is never stored.
	holders []uint64
	tokens  []TokenID // of the entry, oldest first
	plain   int       // holdings that follow the entry's current token

	token                    *TokenRecord
	lent, published, offered int
}

// indexed is what the indexes hold of an application.
type indexed struct {
	holdings  []Holding
	published []TokenID
	offered   []TokenID
}

// now is x brought up to date: the record's owner changes its lists, so that
// what changed of them is copied.
func (x indexed) now(a *AppRecord) indexed {
	return indexed{renewed(x.holdings, a.Holdings), renewed(x.published, a.Published.Tokens), renewed(x.offered, a.Offered)}
}

func renewed[T comparable](had, has []T) []T {
	if slices.Equal(had, has) {
		return had
	}
	return slices.Clone(has)
}

func (x indexed) is(a *AppRecord) bool {
	return slices.Equal(x.holdings, a.Holdings) && slices.Equal(x.published, a.Published.Tokens) && slices.Equal(x.offered, a.Offered)
}

// beside is what of x is not y: where both begin and end alike is left out.
func (x indexed) beside(y indexed) indexed {
	return indexed{beside(x.holdings, y.holdings), beside(x.published, y.published), beside(x.offered, y.offered)}
}

func beside[T comparable](x, y []T) []T {
	for len(x) > 0 && len(y) > 0 && x[0] == y[0] {
		x, y = x[1:], y[1:]
	}
	for len(x) > 0 && len(y) > 0 && x[len(x)-1] == y[len(y)-1] {
		x, y = x[:len(x)-1], y[:len(y)-1]
	}
	return x
}

// addHolder takes note of an application that holds the entry, once.
func (n *node) addHolder(seq uint64) {
	if at, ok := slices.BinarySearch(n.holders, seq); !ok {
		n.holders = slices.Insert(n.holders, at, seq)
	}
}

// addToken takes note of a token of the entry, once.
func (n *node) addToken(id TokenID) {
	if at, ok := slices.BinarySearch(n.tokens, id); !ok {
		n.tokens = slices.Insert(n.tokens, at, id)
	}
}

// empty reports whether nothing is known of the number any more.
func (n *node) empty() bool {
	return n.app == nil && n.entry == nil && n.token == nil && len(n.holders)+len(n.tokens) == 0 &&
		n.plain == 0 && n.lent == 0 && n.published == 0 && n.offered == 0
}

// attachment is what the engine keeps with a record while it runs, so that both
// are found at once. It is never stored.
type attachment struct {
	session Session
	folded  []byte
}

// Session is what the engine attaches to a record.
type Session interface {
	// Fold appends what makes it anew, and reports false where it is in use.
	Fold([]byte) ([]byte, bool)
	// Awaits reports whether a call about it is out, whose answer will ask for the
	// token's entry as well.
	Awaits() bool
}

// Attach keeps s with the record, in the place of what was attached before.
func (a *attachment) Attach(s Session) { a.session, a.folded = s, nil }

// Attached is what is kept with the record; nil: nothing since it was opened.
func (a *attachment) Attached() Session { return a.session }

// Folded is what the last session was folded into; empty: there was none.
func (a *attachment) Folded() []byte { return a.folded }

func (n *node) attachment() *attachment {
	switch {
	case n.app != nil:
		return &n.app.attachment
	case n.token != nil:
		return &n.token.attachment
	}
	return nil
}

// The first byte of a folded node: its table, whether it has a record, and
// whether it is keyed.
const (
	tableMask = 1<<3 - 1
	hasRecord = 1 << 3
	isKeyed   = 1 << 4
)

// fold appends the node; false where it is in use.
func (n *node) fold(w *fieldWriter) bool {
	head := byte(n.table)
	if n.app != nil || n.entry != nil || n.token != nil {
		head |= hasRecord
	}
	if n.keyed {
		head |= isKeyed
	}
	w.b = append(w.b, head)
	uvarint := func(v uint64) { w.b = binary.AppendUvarint(w.b, v) }
	switch n.table {
	case entryTable:
		uvarint(uint64(n.plain))
		uvarint(uint64(len(n.holders)))
		at := n.id
		for _, h := range n.holders {
			uvarint(zigzag(int64(h - at)))
			at = h
		}
		uvarint(uint64(len(n.tokens)))
		at = n.id
		for _, t := range n.tokens {
			uvarint(zigzag(int64(uint64(t) - at)))
			at = uint64(t)
		}
	case tokenTable:
		uvarint(uint64(n.lent))
		uvarint(uint64(n.published))
		uvarint(uint64(n.offered))
	}
	if a := n.attachment(); a != nil && !a.fold(w) {
		return false
	}
	switch {
	case n.app != nil:
		n.app.encode(w)
	case n.entry != nil:
		n.entry.encode(w)
	case n.token != nil:
		n.token.encode(w)
	}
	return true
}

func (a *attachment) fold(w *fieldWriter) bool {
	if a.session == nil {
		w.b = binary.AppendUvarint(w.b, uint64(len(a.folded)))
		w.b = append(w.b, a.folded...)
		return true
	}
	at := len(w.b)
	w.b = append(w.b, 0)
	b, ok := a.session.Fold(w.b)
	if length := len(b) - at - 1; !ok || length > 0x7f {
		return false // a long one has something unusual, which will end
	}
	b[at] = byte(len(b) - at - 1)
	w.b = b
	return true
}

// unfold fills a new node with what fold wrote: from our own memory, so that
// there is nothing to check.
func (n *node) unfold(b []byte, words *words) {
	id := n.id
	n.table, n.keyed = table(b[0]&tableMask), b[0]&isKeyed != 0
	record := b[0]&hasRecord != 0
	b = b[1:]
	uvarint := func() uint64 {
		v, size := binary.Uvarint(b)
		b = b[size:]
		return v
	}
	switch n.table {
	case entryTable:
		n.plain = int(uvarint())
		at := id
		n.holders = make([]uint64, uvarint())
		for i := range n.holders {
			at += uint64(unzigzag(uvarint()))
			n.holders[i] = at
		}
		at = id
		n.tokens = make([]TokenID, uvarint())
		for i := range n.tokens {
			at += uint64(unzigzag(uvarint()))
			n.tokens[i] = TokenID(at)
		}
	case tokenTable:
		n.lent, n.published, n.offered = int(uvarint()), int(uvarint()), int(uvarint())
	}
	if !record {
		return
	}
	var a attachment
	if n.table != entryTable {
		length := uvarint()
		if length > 0 {
			a.folded = append([]byte(nil), b[:length]...)
		}
		b = b[length:]
	}
	f := &fieldReader{rest: b, words: words}
	switch n.table {
	case appTable:
		n.app = &AppRecord{Seq: id, attachment: a}
		n.app.decode(f)
		n.had = indexed{}.now(n.app)
	case entryTable:
		n.entry = &EntryRecord{ID: EntryID(id)}
		n.entry.decode(f)
	case tokenTable:
		n.token = &TokenRecord{ID: TokenID(id), attachment: a}
		n.token.decode(f)
	}
	if f.err != nil {
		panic("appregistry: a folded record cannot be read: " + f.err.Error()) // it is our own memory
	}
}
