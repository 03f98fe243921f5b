package appregistry

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strings"
	"time"

	"github.com/tokenwheel/tokenwheel/plugins"
)

// Records of version 1 were JSON. They are read for good and written no more.

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

func decodeAppV1(seq uint64, value []byte) (*AppRecord, error) {
	var w appRecordWire
	unknown, err := decodeRecordV1(value, &w, &w.V)
	if err != nil {
		return nil, err
	}
	return &AppRecord{
		Seq: seq, App: w.App.app(), Content: w.Content, UUID: w.UUID, Plan: w.Plan,
		Holdings: w.Holdings, Replaces: w.Replaces, Generation: w.Generation, EpochFloor: w.EpochFloor,
		Ready: w.Ready, Published: w.Published, Offered: w.Offered, LeaveAt: w.LeaveAt, unknown: unknown,
	}, nil
}

func decodeEntryV1(seq uint64, value []byte) (*EntryRecord, error) {
	var w entryWire
	unknown, err := decodeRecordV1(value, &w, &w.V)
	if err != nil {
		return nil, err
	}
	return &EntryRecord{
		ID: EntryID(seq), Authority: w.Authority, Supply: w.Supply, Alias: w.Alias,
		Current: w.Current, unknown: unknown,
	}, nil
}

func decodeTokenV1(seq uint64, value []byte) (*TokenRecord, error) {
	var w tokenRecordWire
	unknown, err := decodeRecordV1(value, &w, &w.V)
	if err != nil {
		return nil, err
	}
	if w.State > uint8(GivenUp) || w.Proof > uint8(ProofRenewed) || len(w.Key) != sha256.Size || len(w.Name) != sha256.Size {
		return nil, errors.New("state, proof or key out of range")
	}
	return &TokenRecord{
		ID: TokenID(seq), Entry: w.Entry, Authority: w.Authority,
		Token: plugins.Token{Kind: w.Token.Kind, Service: w.Token.Service, Identifier: w.Token.Identifier, Password: w.Token.Password},
		Known: &Digests{Fingerprint: w.Fingerprint, Key: [sha256.Size]byte(w.Key), Name: [sha256.Size]byte(w.Name)},
		State: State(w.State), Reason: w.Reason, Proof: Proof(w.Proof), ProvedAt: w.ProvedAt, Obtained: w.Obtained,
		Keep: w.Keep, Owner: w.Owner, Ours: w.Ours, Issued: w.Issued, Expires: w.Expires, Max: w.Max, Skew: w.Skew, ReadUntil: w.ReadUntil,
		unknown: unknown,
	}, nil
}

// decodeRecordV1 reads value into w, a pointer to a wire struct whose version is
// at v, and returns the fields that the struct does not have.
func decodeRecordV1(value []byte, w any, v *int) (unknown notKnown, err error) {
	strict := json.NewDecoder(bytes.NewReader(value))
	strict.DisallowUnknownFields()
	if strict.Decode(w) == nil && *v == 1 {
		return notKnown{}, nil
	}
	// The slow way, for records that a later release touched.
	if err := json.Unmarshal(value, w); err != nil {
		return notKnown{}, err
	}
	if *v != 1 {
		return notKnown{}, fmt.Errorf("version %d, want 1: %w", *v, ErrNewer)
	}
	others := map[string]json.RawMessage{}
	if err := json.Unmarshal(value, &others); err != nil {
		return notKnown{}, err
	}
	t := reflect.TypeOf(w).Elem()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		delete(others, name)
	}
	return keepV1(others)
}

// fieldsV1 is the number of the field that holds, as JSON, what a record of
// version 1 had besides its known fields.
const fieldsV1 = 1000

func keepV1(others map[string]json.RawMessage) (notKnown, error) {
	if len(others) == 0 {
		return notKnown{}, nil
	}
	b, err := json.Marshal(others)
	if err != nil {
		return notKnown{}, err
	}
	var w fieldWriter
	w.bytes(fieldsV1, b)
	return notKnown{fields: w.b}, nil
}

func contentDigestV1(a App, tokens iter.Seq2[string, plugins.Token]) []byte {
	w := wireApp(a)
	w.Tokens = map[string]tokenWire{}
	for alias, t := range tokens {
		w.Tokens[alias] = wireToken(t)
	}
	b, err := json.Marshal(w)
	if err != nil {
		panic("appregistry: " + err.Error()) // strings, numbers and bytes only
	}
	d := sha256.Sum256(b)
	return d[:]
}
