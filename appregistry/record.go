package appregistry

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/tokenwheel/tokenwheel/plugins"
)

// RecordVersion is the version of every record written. A record of a higher one
// is refused; fields that this version does not know are kept.
const RecordVersion = 1

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

	attachment

	unknown map[string]json.RawMessage
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

	unknown map[string]json.RawMessage
}

// TokenRecord is one token as it is kept. A token that is only remembered
// (kept, cancelled, given up) has neither identifier nor password any more.
type TokenRecord struct {
	ID          TokenID
	Entry       EntryID // 0: it came too late for the application it was meant for
	Authority   Authority
	Token       plugins.Token
	Fingerprint string
	// Key is the digest of what makes the token itself, Name that without the password.
	Key, Name [sha256.Size]byte
	State     State
	Reason    string
	Proof     Proof
	ProvedAt  time.Time
	Obtained  bool
	Keep      bool
	Owner     string // short name; "": it cannot be read
	Ours      bool   // we may renew it
	// Issued, Expires and Max are by the service's clock; Issued is when it was
	// first seen where nobody says.
	Issued, Expires, Max time.Time
	// Skew is how far the service's clock was ahead of our wall clock.
	Skew time.Duration
	// ReadUntil is when the last readers of a set with this token look for the
	// next one, by our wall clock; set when it is replaced.
	ReadUntil time.Time

	attachment

	unknown map[string]json.RawMessage
}

// attachment is what the engine keeps with a record while it runs, so that both
// are found at once. It is never stored.
type attachment struct{ session any }

// Attach keeps v with the record, in the place of what was attached before.
func (a *attachment) Attach(v any) { a.session = v }

// Attached is what is kept with the record; nil: nothing yet.
func (a *attachment) Attached() any { return a.session }

// Forget drops the token's secret bytes; its key and fingerprint stay.
func (t *TokenRecord) Forget() { t.Token.Identifier, t.Token.Password = nil, nil }

// TokenKeys digests what makes a token itself, with and without its password:
// authority and identifier, or all texts where no authority is known. Services
// look at nothing else.
func TokenKeys(a Authority, t plugins.Token) (key, name [sha256.Size]byte) {
	parts := [][]byte{[]byte(a.Instance), []byte(a.Name), t.Identifier}
	if a.IsZero() {
		parts = append(parts, []byte(t.Kind), []byte(t.Service))
	}
	name = digest(parts...)
	return digest(append(parts, t.Password)...), name
}

// ContentDigest digests all that a caller registers. Registering the same again
// changes nothing.
func ContentDigest(a App) []byte {
	w := wireApp(a)
	w.Tokens = make(map[string]tokenWire, len(a.Credentials.Tokens))
	for alias, t := range a.Credentials.Tokens {
		w.Tokens[alias] = wireToken(t)
	}
	b, err := json.Marshal(w)
	if err != nil {
		panic("appregistry: " + err.Error()) // strings, numbers and bytes only
	}
	d := sha256.Sum256(b)
	return d[:]
}

func digest(parts ...[]byte) [sha256.Size]byte {
	var b []byte
	for _, p := range parts {
		b = binary.AppendUvarint(b, uint64(len(p)))
		b = append(b, p...)
	}
	return sha256.Sum256(b)
}

// The wire structs are JSON: it needs no dependency, an operator can read it,
// and keeping what a later release added is a map beside the struct. Passwords
// are plain bytes here and nowhere else; a store that must hide them seals values.

type tokenWire struct {
	Kind       string `json:"kind,omitempty"`
	Service    string `json:"service,omitempty"`
	Identifier []byte `json:"identifier,omitempty"`
	Password   []byte `json:"password,omitempty"`
}

type appWire struct {
	ID      AppID                `json:"id"`
	Owner   string               `json:"owner,omitempty"`
	User    string               `json:"user,omitempty"`
	Obtain  []string             `json:"obtain,omitempty"`
	StageTo []Target             `json:"stageTo,omitempty"`
	AtEnd   AtEnd                `json:"atEnd,omitempty"`
	Verify  Verify               `json:"verify,omitempty"`
	Share   Share                `json:"share,omitempty"`
	Overlay map[string]string    `json:"overlay,omitempty"`
	Secrets map[string][]byte    `json:"secrets,omitempty"`
	Tokens  map[string]tokenWire `json:"tokens,omitempty"` // in digests only
}

type appRecordWire struct {
	V          int         `json:"v"`
	App        appWire     `json:"app"`
	Content    []byte      `json:"content"`
	UUID       string      `json:"uuid"`
	Plan       []Authority `json:"plan,omitempty"`
	Holdings   []Holding   `json:"holdings,omitempty"`
	Replaces   uint64      `json:"replaces,omitempty"`
	Generation uint32      `json:"generation,omitempty"`
	EpochFloor uint32      `json:"epochFloor,omitempty"`
	Ready      bool        `json:"ready,omitempty"`
	Published  Published   `json:"published,omitzero"`
	Offered    []TokenID   `json:"offered,omitempty"`
	LeaveAt    time.Time   `json:"leaveAt,omitzero"`
}

type entryWire struct {
	V         int       `json:"v"`
	Authority Authority `json:"authority,omitzero"`
	Supply    Supply    `json:"supply,omitzero"`
	Alias     string    `json:"alias,omitempty"`
	Current   TokenID   `json:"current"`
}

type tokenRecordWire struct {
	V           int           `json:"v"`
	Entry       EntryID       `json:"entry,omitempty"`
	Authority   Authority     `json:"authority,omitzero"`
	Token       tokenWire     `json:"token"`
	Fingerprint string        `json:"fingerprint"`
	Key         []byte        `json:"key"`
	Name        []byte        `json:"name"`
	State       uint8         `json:"state"`
	Reason      string        `json:"reason,omitempty"`
	Proof       uint8         `json:"proof,omitempty"`
	ProvedAt    time.Time     `json:"provedAt,omitzero"`
	Obtained    bool          `json:"obtained,omitempty"`
	Keep        bool          `json:"keep,omitempty"`
	Owner       string        `json:"owner,omitempty"`
	Ours        bool          `json:"ours,omitempty"`
	Issued      time.Time     `json:"issued,omitzero"`
	Expires     time.Time     `json:"expires,omitzero"`
	Max         time.Time     `json:"max,omitzero"`
	Skew        time.Duration `json:"skew,omitempty"`
	ReadUntil   time.Time     `json:"readUntil,omitzero"`
}

func wireToken(t plugins.Token) tokenWire {
	return tokenWire{Kind: t.Kind, Service: t.Service, Identifier: t.Identifier, Password: t.Password}
}

func wireApp(a App) appWire {
	w := appWire{
		ID: a.ID, Owner: a.Owner, User: a.User, Obtain: a.Obtain, StageTo: a.StageTo,
		AtEnd: a.AtEnd, Verify: a.Verify, Share: a.Share, Overlay: a.Overlay,
	}
	if len(a.Credentials.Secrets) > 0 {
		w.Secrets = make(map[string][]byte, len(a.Credentials.Secrets))
	}
	for alias, s := range a.Credentials.Secrets {
		w.Secrets[alias] = s
	}
	return w
}

func (w appWire) app() App {
	a := App{
		ID: w.ID, Owner: w.Owner, User: w.User, Obtain: w.Obtain, StageTo: w.StageTo,
		AtEnd: w.AtEnd, Verify: w.Verify, Share: w.Share, Overlay: w.Overlay,
	}
	if len(w.Secrets) > 0 {
		a.Credentials.Secrets = make(map[string]plugins.Secret, len(w.Secrets))
	}
	for alias, s := range w.Secrets {
		a.Credentials.Secrets[alias] = s
	}
	return a
}

func (r *AppRecord) encode() ([]byte, error) {
	return encodeRecord(appRecordWire{
		RecordVersion, wireApp(r.App), r.Content, r.UUID, r.Plan, r.Holdings,
		r.Replaces, r.Generation, r.EpochFloor, r.Ready, r.Published, r.Offered, r.LeaveAt,
	}, r.unknown)
}

func decodeApp(seq uint64, value []byte) (*AppRecord, error) {
	var w appRecordWire
	unknown, err := decodeRecord(value, &w, &w.V)
	if err != nil {
		return nil, err
	}
	return &AppRecord{
		Seq: seq, App: w.App.app(), Content: w.Content, UUID: w.UUID, Plan: w.Plan,
		Holdings: w.Holdings, Replaces: w.Replaces, Generation: w.Generation, EpochFloor: w.EpochFloor,
		Ready: w.Ready, Published: w.Published, Offered: w.Offered, LeaveAt: w.LeaveAt, unknown: unknown,
	}, nil
}

func (r *EntryRecord) encode() ([]byte, error) {
	return encodeRecord(entryWire{RecordVersion, r.Authority, r.Supply, r.Alias, r.Current}, r.unknown)
}

func decodeEntry(seq uint64, value []byte) (*EntryRecord, error) {
	var w entryWire
	unknown, err := decodeRecord(value, &w, &w.V)
	if err != nil {
		return nil, err
	}
	return &EntryRecord{
		ID: EntryID(seq), Authority: w.Authority, Supply: w.Supply, Alias: w.Alias,
		Current: w.Current, unknown: unknown,
	}, nil
}

func (t *TokenRecord) encode() ([]byte, error) {
	return encodeRecord(tokenRecordWire{
		V: RecordVersion, Entry: t.Entry, Authority: t.Authority, Token: wireToken(t.Token), Fingerprint: t.Fingerprint,
		Key: t.Key[:], Name: t.Name[:], State: uint8(t.State), Reason: t.Reason, Proof: uint8(t.Proof), ProvedAt: t.ProvedAt,
		Obtained: t.Obtained, Keep: t.Keep, Owner: t.Owner, Ours: t.Ours, Issued: t.Issued, Expires: t.Expires, Max: t.Max,
		Skew: t.Skew, ReadUntil: t.ReadUntil,
	}, t.unknown)
}

func decodeToken(seq uint64, value []byte) (*TokenRecord, error) {
	var w tokenRecordWire
	unknown, err := decodeRecord(value, &w, &w.V)
	if err != nil {
		return nil, err
	}
	if w.State > uint8(GivenUp) || w.Proof > uint8(ProofRenewed) || len(w.Key) != sha256.Size || len(w.Name) != sha256.Size {
		return nil, errors.New("state, proof or key out of range")
	}
	return &TokenRecord{
		ID: TokenID(seq), Entry: w.Entry, Authority: w.Authority,
		Token:       plugins.Token{Kind: w.Token.Kind, Service: w.Token.Service, Identifier: w.Token.Identifier, Password: w.Token.Password},
		Fingerprint: w.Fingerprint, Key: [sha256.Size]byte(w.Key), Name: [sha256.Size]byte(w.Name),
		State: State(w.State), Reason: w.Reason, Proof: Proof(w.Proof), ProvedAt: w.ProvedAt, Obtained: w.Obtained,
		Keep: w.Keep, Owner: w.Owner, Ours: w.Ours, Issued: w.Issued, Expires: w.Expires, Max: w.Max, Skew: w.Skew, ReadUntil: w.ReadUntil,
		unknown: unknown,
	}, nil
}

// encodeRecord writes w with the unknown fields beside its own.
func encodeRecord(w any, unknown map[string]json.RawMessage) ([]byte, error) {
	b, err := json.Marshal(w)
	if err != nil || len(unknown) == 0 {
		return b, err
	}
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, err
	}
	for name, v := range unknown {
		all[name] = v
	}
	return json.Marshal(all)
}

// decodeRecord reads value into w, a pointer to a wire struct whose version is
// at v, and returns the fields that the struct does not have.
func decodeRecord(value []byte, w any, v *int) (unknown map[string]json.RawMessage, err error) {
	strict := json.NewDecoder(bytes.NewReader(value))
	strict.DisallowUnknownFields()
	if strict.Decode(w) == nil && *v == RecordVersion {
		return nil, nil
	}
	// The slow way, for records that a later release touched.
	if err := json.Unmarshal(value, w); err != nil {
		return nil, err
	}
	if *v != RecordVersion {
		return nil, fmt.Errorf("version %d, want %d: %w", *v, RecordVersion, ErrNewer)
	}
	if err := json.Unmarshal(value, &unknown); err != nil {
		return nil, err
	}
	t := reflect.TypeOf(w).Elem()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		delete(unknown, name)
	}
	return unknown, nil
}
