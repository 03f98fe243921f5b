package appregistry_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/plugins"
)

var ns1 = appregistry.Authority{Instance: "hdfs", Name: "ns1"}

func sample(r *appregistry.Registry) {
	when := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tok := plugins.Token{Kind: "K", Service: "ns1", Identifier: []byte{1, 0xff}, Password: plugins.Secret("pw")}
	r.PutToken(&appregistry.TokenRecord{
		ID: 2, Entry: 3, Authority: ns1, Token: tok, Known: appregistry.DigestsOf(ns1, tok),
		State: appregistry.Live, Reason: "r", Proof: appregistry.ProofRenewed, ProvedAt: when, Keep: true, Owner: "alice", Ours: true,
		Issued: when, Expires: when.Add(time.Hour), Max: when.Add(2 * time.Hour), Skew: time.Second,
	})
	r.PutEntry(&appregistry.EntryRecord{ID: 3, Authority: ns1, Supply: appregistry.Supply{Authority: ns1, User: "alice", Entry: 3}, Alias: "ns1", Current: 2})
	r.PutApp(&appregistry.AppRecord{
		Seq: 4, App: appregistry.App{
			ID: "a", Owner: "o", User: "alice", Obtain: []string{"hdfs"},
			Credentials: plugins.Credentials{Secrets: map[string]plugins.Secret{"s": plugins.Secret("shh")}},
			StageTo:     []appregistry.Target{{Dir: "/d"}}, AtEnd: appregistry.KeepAll, Overlay: map[string]string{"policy": "yarn"},
		},
		Content: []byte{9}, UUID: "u", Plan: []appregistry.Authority{ns1}, Generation: 7, EpochFloor: 2, Ready: true,
		Holdings:  []appregistry.Holding{{Alias: "ns1", Kind: "K", Service: "ns1", Entry: 3, Token: 2}},
		Published: appregistry.Published{Generation: 7, Digest: []byte{8}, Tokens: []appregistry.TokenID{2}}, LeaveAt: when,
	})
}

// Shows: C-Y17.
func TestCV07_RecordsSurviveStoreAndLoad(t *testing.T) {
	r := appregistry.NewRegistry()
	sample(r)
	b := r.TakeBatch()
	got := appregistry.NewRegistry()
	for _, rec := range b.Put {
		if ok, err := got.Load(rec.Key, rec.Value); !ok || err != nil {
			t.Fatalf("load %q: %v, %v", rec.Key, ok, err)
		}
	}
	if got.Dirty() || r.Dirty() {
		t.Error("what was just written is called changed")
	}
	got.Token(2).Digests() // what it is known by is found out when somebody asks
	opts := cmp.Options{
		cmpopts.IgnoreUnexported(appregistry.AppRecord{}, appregistry.EntryRecord{}, appregistry.TokenRecord{}),
		cmp.Comparer(func(a, b plugins.Token) bool { return a.Equal(b) }), cmp.Comparer(func(a, b plugins.Credentials) bool { return a.Equal(b) }),
	}
	for what, d := range map[string]string{
		"app": cmp.Diff(r.App(4), got.App(4), opts), "entry": cmp.Diff(r.Entry(3), got.Entry(3), opts), "token": cmp.Diff(r.Token(2), got.Token(2), opts),
	} {
		if d != "" {
			t.Errorf("%s (-want +got):\n%s", what, d)
		}
	}
	if !got.Referenced(2) || got.AppByKey(appregistry.AppKey{Owner: "o", ID: "a"}) == nil {
		t.Error("the indexes were not made anew")
	}
}

// later is a field of a release to come: number 900, and the text "later".
var later = []byte{0x89, 0x0e, 5, 'l', 'a', 't', 'e', 'r'}

func TestCV07_UnknownFieldsAndLaterVersions(t *testing.T) {
	r := appregistry.NewRegistry()
	sample(r)
	seen := 0
	for _, rec := range r.TakeBatch().Put {
		if rec.Value[0] != appregistry.RecordVersion {
			continue // the sequence record
		}
		seen++
		end := len(rec.Value) - 1
		value := slices.Concat(rec.Value[:end], later, rec.Value[end:])
		got := appregistry.NewRegistry()
		if _, err := got.Load(rec.Key, value); err != nil {
			t.Fatal(err)
		}
		got.Redo(appregistry.Batch{Put: []appregistry.Record{rec}})
		if again := got.TakeBatch(); len(again.Put) != 1 || !bytes.Equal(again.Put[0].Value, value) {
			t.Errorf("%q: the unknown field is gone: %q", rec.Key, again.Put)
		}
		value[0]++
		if _, err := got.Load(rec.Key, value); !errors.Is(err, appregistry.ErrNewer) {
			t.Errorf("%q: a later version: %v, want %v", rec.Key, err, appregistry.ErrNewer)
		}
		for n := range rec.Value {
			if _, err := appregistry.NewRegistry().Load(rec.Key, rec.Value[:n]); err == nil {
				t.Fatalf("%q: %d of %d bytes were taken", rec.Key, n, len(rec.Value))
			}
		}
	}
	if seen != 3 {
		t.Errorf("%d records, want an application, an entry and a token", seen)
	}
}

// What a later release put into a holding, a target, a setting or a secret goes
// with that, also while the record is folded, and as long as it stays what it is.
func TestCV07_UnknownFieldsWithinFields(t *testing.T) {
	r := appregistry.NewRegistry()
	sample(r)
	for _, rec := range r.TakeBatch().Put {
		if !bytes.HasPrefix(rec.Key, []byte("app/")) {
			continue
		}
		value, added := withinFields(rec.Value, 5, 9, 10, 14)
		if added != 4 {
			t.Fatalf("%d fields of fields, want a target, a setting, a secret and a holding", added)
		}
		got := appregistry.NewRegistry()
		if _, err := got.Load(rec.Key, value); err != nil {
			t.Fatal(err)
		}
		got.TidyMany(got.Turn()+1, 100)
		if n := got.Open(); n > 0 {
			t.Fatalf("%d records are open", n)
		}
		a := got.App(4)
		got.PutApp(a)
		if again := got.TakeBatch(); len(again.Put) != 1 || !bytes.Equal(again.Put[0].Value, value) {
			t.Errorf("unknown fields are gone:\n%q, want\n%q", again.Put, value)
		}
		a.Holdings = append(a.Holdings, appregistry.Holding{Alias: "more", Entry: 3, Token: 2, Lent: true})
		a.App.StageTo[0].Dir = "/elsewhere"
		got.PutApp(a)
		if n := bytes.Count(got.TakeBatch().Put[0].Value, later); n != 3 {
			t.Errorf("%d unknown fields, want those of the three that have not changed", n)
		}
	}
}

// A record of the first version is written in the present form, and what it had
// besides its known fields goes along.
func TestCV07_FirstVersionIsReadWithWhatElseItHas(t *testing.T) {
	key := append([]byte("entry/"), 0, 0, 0, 0, 0, 0, 0, 7)
	r := appregistry.NewRegistry()
	if _, err := r.Load(key, []byte(`{"v":1,"alias":"nn","current":5,"later":{"x":1.5}}`)); err != nil {
		t.Fatal(err)
	}
	r.Redo(appregistry.Batch{Put: []appregistry.Record{{Key: key}}})
	b := r.TakeBatch()
	if len(b.Put) != 1 || !bytes.Contains(b.Put[0].Value, []byte(`{"later":{"x":1.5}}`)) {
		t.Fatalf("%q", b.Put)
	}
	again := appregistry.NewRegistry()
	if _, err := again.Load(key, b.Put[0].Value); err != nil {
		t.Fatal(err)
	}
	if e := again.Entry(7); e.Alias != "nn" || e.Current != 5 {
		t.Errorf("%+v", e)
	}
	if _, err := again.Load(key, []byte(`{"v":2,"alias":"nn"}`)); !errors.Is(err, appregistry.ErrNewer) {
		t.Errorf("JSON of a later version: %v", err)
	}
}

// withinFields adds a field to the fields of these numbers.
func withinFields(record []byte, numbers ...uint64) (out []byte, added int) {
	out = append(out, record[0])
	for rest := record[1 : len(record)-1]; len(rest) > 0; {
		head, n := binary.Uvarint(rest)
		value, m := binary.Uvarint(rest[n:])
		rest = rest[n+m:]
		out = binary.AppendUvarint(out, head)
		if head&1 == 0 {
			out = binary.AppendUvarint(out, value)
			continue
		}
		body := rest[:value:value]
		rest = rest[value:]
		if slices.Contains(numbers, head>>1) {
			body = append(body, later...)
			added++
		}
		out = append(binary.AppendUvarint(out, uint64(len(body))), body...)
	}
	return append(out, 0), added
}

func FuzzLoad(f *testing.F) {
	r := appregistry.NewRegistry()
	sample(r)
	b := r.TakeBatch()
	for _, rec := range b.Put {
		f.Add(rec.Key, rec.Value)
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		r := appregistry.NewRegistry()
		if ok, err := r.Load(key, value); !ok || err != nil {
			return
		}
		r.Redo(appregistry.Batch{Put: []appregistry.Record{{Key: key, Value: value}}})
		again := r.TakeBatch()
		if len(again.Put) == 0 {
			return // the numbers reserved may be none
		}
		got := appregistry.NewRegistry()
		if _, err := got.Load(again.Put[0].Key, again.Put[0].Value); err != nil {
			t.Errorf("written, and not read again: %v", err)
		}
	})
}

func TestNewID_IsNeverGivenTwice(t *testing.T) {
	r := appregistry.NewRegistry()
	first := r.NewID()
	b := r.TakeBatch()
	after := appregistry.NewRegistry()
	for _, rec := range b.Put {
		if _, err := after.Load(rec.Key, rec.Value); err != nil {
			t.Fatal(err)
		}
	}
	if next := after.NewID(); next <= first {
		t.Errorf("%d after %d", next, first)
	}
}

func TestT09_OverlayKeys(t *testing.T) {
	long := make([]byte, appregistry.MaxOverlay)
	for name, c := range map[string]struct {
		overlay map[string]string
		ok      bool
	}{
		"none": {nil, true}, "good": {map[string]string{"renewal.ratio": "0.5", "linger": "10m", "policy": "yarn", "cancel-at-end": "true"}, true},
		"address": {map[string]string{"dfs.namenode.rpc-address": "evil:1"}, false}, "principal": {map[string]string{"principal": "hdfs"}, false},
		"ratio of 0": {map[string]string{"renewal.ratio": "0"}, false}, "no number": {map[string]string{"renewal.ratio": "NaN"}, false},
		"infinite": {map[string]string{"lease": "100000h"}, false}, "path": {map[string]string{"cluster": "../x"}, false},
		"too large": {map[string]string{"policy": string(long)}, false},
	} {
		if err := appregistry.ValidateOverlay(c.overlay); (err == nil) != c.ok {
			t.Errorf("%s: %v, want ok %v", name, err, c.ok)
		}
	}
}

// Each byte of each field makes another token, and another key; where the issuer
// is known, kind and service are texts that it never looks at.
func TestCH14_EqualityAndKeysFollowAllBytes(t *testing.T) {
	base := plugins.Token{Kind: "kind", Service: "service", Identifier: []byte("identifier"), Password: plugins.Secret("password")}
	known := appregistry.Authority{Instance: "hdfs", Name: "ns"}
	same := base.Clone()
	if !base.Equal(same) {
		t.Error("a token is not equal to its copy")
	}
	key := appregistry.DigestsOf(appregistry.Authority{}, base).Key
	knownBase := appregistry.DigestsOf(known, base)
	change := func(field string, i int) plugins.Token {
		c := base.Clone()
		switch field {
		case "kind":
			b := []byte(c.Kind)
			b[i] ^= 1
			c.Kind = string(b)
		case "service":
			b := []byte(c.Service)
			b[i] ^= 1
			c.Service = string(b)
		case "identifier":
			c.Identifier[i] ^= 1
		case "password":
			c.Password[i] ^= 1
		}
		return c
	}
	for field, n := range map[string]int{"kind": len(base.Kind), "service": len(base.Service), "identifier": len(base.Identifier), "password": len(base.Password)} {
		for i := range n {
			other := change(field, i)
			if base.Equal(other) {
				t.Errorf("equal although byte %d of its %s differs", i, field)
			}
			if k := appregistry.DigestsOf(appregistry.Authority{}, other).Key; k == key {
				t.Errorf("the same key although byte %d of its %s differs", i, field)
			}
			d := appregistry.DigestsOf(known, other)
			if differs := field == "identifier" || field == "password"; (d.Key != knownBase.Key) != differs {
				t.Errorf("byte %d of %s: key differs %v, want %v", i, field, d.Key != knownBase.Key, differs)
			}
			if differs := field == "identifier"; (d.Name != knownBase.Name) != differs {
				t.Errorf("byte %d of %s: name differs %v, want %v", i, field, d.Name != knownBase.Name, differs)
			}
		}
	}
	a := appregistry.DigestsOf(known, plugins.Token{Identifier: []byte("ab"), Password: plugins.Secret("c")})
	b := appregistry.DigestsOf(known, plugins.Token{Identifier: []byte("a"), Password: plugins.Secret("bc")})
	if a.Key == b.Key {
		t.Error("bytes that move from the password to the identifier make the same key")
	}
}
