package appregistry

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/tokenwheel/tokenwheel/plugins"
)

// RecordVersion is the version of every record written. A record of a higher one
// is refused; fields that this version does not know are kept.
const RecordVersion = 2

// ErrNewer: a record was written by a later release than this one.
var ErrNewer = errors.New("record of a later version")

// AppRecord is one application as it is kept. Who holds an entry is not stored
// with the entry: it follows from these records alone.
type AppRecord struct {
	Seq     uint64
	App     App    // without its tokens: these are entries, held by Holdings
	Content []byte // digest of what was registered
	UUID    string
	// Plan is what to obtain: App.Obtain by authority.
	Plan     []Authority
	Holdings []Holding
	// Replaces is the record that this one will take the place of once its own
	// first set is complete; 0: none.
	Replaces uint64
	// Generation is the last one reserved. EpochFloor is the least epoch to
	// stage under, where a target was ahead of the store's.
	Generation uint32
	EpochFloor uint32
	Ready      bool
	Published  Published
	// Offered are the tokens of sets that may be at some target since then.
	Offered []TokenID
	// LeaveAt is when it leaves after its linger time; zero: it stays.
	LeaveAt time.Time
	// LeaseEnd is when its lease is over at the latest, by our wall clock; zero: it
	// has none, or nobody noted it.
	LeaseEnd time.Time
	// Left: the application is gone. What is left carries for its group what it had,
	// and is registered under no key.
	Left bool

	attachment

	unknown notKnown
}

// Published is the last set that is at every target of an application.
type Published struct {
	Generation uint32    `json:"generation,omitempty"`
	Digest     []byte    `json:"digest,omitempty"` // of aliases, token ids and texts
	Tokens     []TokenID `json:"tokens,omitempty"`
	// NextUpdate is when its readers look for the next one, by our wall clock.
	NextUpdate time.Time `json:"nextUpdate,omitzero"`
}

// Holding is an application's hold on an entry.
type Holding struct {
	Alias string `json:"alias,omitempty"`
	// Kind and Service are the texts the application knows the token by; "": the
	// token's own.
	Kind    string  `json:"kind,omitempty"`
	Service string  `json:"service,omitempty"`
	Entry   EntryID `json:"entry,omitempty"`
	Token   TokenID `json:"token,omitempty"` // the one it brought; 0: obtained for it
	// Lent: the application runs as somebody else than the token's owner. It
	// keeps the token it brought to its end and never gets a successor.
	Lent bool `json:"lent,omitempty"`
	// Carried: it holds the token for its group and is not given it. Such a
	// holding is lent and has no alias.
	Carried bool `json:"-"`
}

// Supply says where tokens and their successors come from. Records that name the
// same one are served by the same obtain. The zero value: nobody can get one.
type Supply struct {
	Authority Authority `json:"authority,omitzero"`
	User      string    `json:"user,omitempty"`
	App       AppKey    `json:"app,omitzero"`    // whose alone it is; zero: shared by the user's applications
	Entry     EntryID   `json:"entry,omitempty"` // for the successors of one brought token; else 0
}

// EntryRecord is one entry as it is kept.
type EntryRecord struct {
	ID        EntryID
	Authority Authority
	Supply    Supply
	Alias     string // the slot it fills in its supply's answers
	Current   TokenID

	unknown notKnown
}

// TokenRecord is one token as it is kept. A token that is only remembered
// (kept, cancelled, given up) has neither identifier nor password any more.
type TokenRecord struct {
	ID        TokenID
	Entry     EntryID // 0: it came too late for the application it was meant for
	Authority Authority
	Token     plugins.Token
	// Known is what the token is known by; nil: nobody has asked yet, and it follows
	// from the token's bytes. See [TokenRecord.Digests].
	Known    *Digests
	State    State
	Reason   string
	Proof    Proof
	ProvedAt time.Time
	Obtained bool
	Keep     bool
	Owner    string // short name; "": it cannot be read
	Ours     bool   // we may renew it
	// Issued, Expires and Max are by the service's clock; Issued is when it was
	// first seen where nobody says.
	Issued, Expires, Max time.Time
	// Skew is how far the service's clock was ahead of our wall clock.
	Skew time.Duration
	// ReadUntil is when the last readers of a set with this token look for the
	// next one, by our wall clock; set when it is replaced.
	ReadUntil time.Time
	// Ordered: an operator wants it cancelled, whoever holds it.
	Ordered bool
	// Tenant is on whose account it is cancelled: who registered what held it last.
	Tenant string

	attachment

	unknown notKnown
}

// Digests is what the token is known by. Most steps ask for none of it.
func (t *TokenRecord) Digests() *Digests {
	if t.Known == nil {
		t.Known = DigestsOf(t.Authority, t.Token)
	}
	return t.Known
}

// name is the digest of the token without its password.
func (t *TokenRecord) name() [sha256.Size]byte {
	if t.Known != nil {
		return t.Known.Name
	}
	return sha256.Sum256(appendName(make([]byte, 0, 512), t.Authority, t.Token))
}

// Forget drops the token's secret bytes; what it is known by stays.
func (t *TokenRecord) Forget() {
	t.Digests()
	t.Token.Identifier, t.Token.Password = nil, nil
}

// Digests are what a token is known by.
type Digests struct {
	// Key is the digest of what makes the token itself, Name that without the password.
	Key, Name   [sha256.Size]byte
	Fingerprint string
}

// DigestsOf digests a token of an authority.
func DigestsOf(a Authority, t plugins.Token) *Digests {
	d := &Digests{Fingerprint: t.Fingerprint()}
	d.Key, d.Name = tokenKeys(a, t)
	return d
}

// tokenKeys digests what makes a token itself, with and without its password:
// authority and identifier, or all texts where no authority is known. Services
// look at nothing else.
func tokenKeys(a Authority, t plugins.Token) (key, name [sha256.Size]byte) {
	b := appendName(make([]byte, 0, 512), a, t)
	return sha256.Sum256(appendPart(b, t.Password)), sha256.Sum256(b)
}

func appendName(b []byte, a Authority, t plugins.Token) []byte {
	b = appendPart(b, a.Instance)
	b = appendPart(b, a.Name)
	b = appendPart(b, t.Identifier)
	if a.IsZero() {
		b = appendPart(b, t.Kind)
		b = appendPart(b, t.Service)
	}
	return b
}

func appendPart[T ~string | ~[]byte](b []byte, part T) []byte {
	b = binary.AppendUvarint(b, uint64(len(part)))
	return append(b, part...)
}

// sortedKeys are a map's keys in order: of the few that such maps have, at the
// cost of one slice.
func sortedKeys[V any](m map[string]V) []string {
	if len(m) == 0 {
		return nil
	}
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// contentSize is the length of a digest of content.
const contentSize = 16

// ContentDigest digests all that a caller registers. Registering the same again
// changes nothing.
// Tokens are those it brings, in order of their aliases.
func ContentDigest(a App, tokens iter.Seq2[string, plugins.Token]) []byte {
	w := writers.Get().(*fieldWriter)
	defer w.putBack()
	a.encode(w, &notKnown{})
	a.encodeNewer(w)
	for alias, t := range tokens {
		w.nested(100, func() {
			w.text(1, alias)
			w.text(2, t.Kind)
			w.text(3, t.Service)
			w.bytes(4, t.Identifier)
			w.bytes(5, t.Password)
		})
	}
	d := sha256.Sum256(w.b)
	return bytes.Clone(d[:contentSize])
}

// writers are those of content, which is digested by many at once.
var writers = sync.Pool{New: func() any { return &fieldWriter{b: make([]byte, 0, 1<<10)} }}

func (w *fieldWriter) putBack() {
	clear(w.b) // passwords
	if w.b = w.b[:0]; cap(w.b) <= 1<<14 {
		writers.Put(w)
	}
}

// SameContent reports whether the record is of an application with that content
// and digest. Records of the first version have another kind of digest.
func (r *AppRecord) SameContent(a App, tokens iter.Seq2[string, plugins.Token], digest []byte) bool {
	if len(r.Content) == sha256.Size {
		return a.Group == "" && !a.Tolerate && bytes.Equal(r.Content, contentDigestV1(a, tokens))
	}
	return bytes.Equal(r.Content, digest)
}
