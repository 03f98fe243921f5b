package sealedstore_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/appregistry/boltstore"
	"github.com/tokenwheel/tokenwheel/appregistry/sealedstore"
	"github.com/tokenwheel/tokenwheel/appregistry/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// privateDir is a directory as key files and stores want it, whatever the umask.
func privateDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// newKeys adds a key to the file and reads it.
func newKeys(t testing.TB, path string) *sealedstore.Keys {
	t.Helper()
	if _, err := sealedstore.AddKey(path); err != nil {
		t.Fatal(err)
	}
	keys, err := sealedstore.ReadKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func someKeys(t testing.TB) *sealedstore.Keys {
	t.Helper()
	return newKeys(t, filepath.Join(privateDir(t), "store.key"))
}

func mustOpen(t testing.TB, inner appregistry.Store, keys *sealedstore.Keys) appregistry.Store {
	t.Helper()
	s, err := sealedstore.Open(t.Context(), inner, keys)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// put commits keys and values in turn.
func put(t testing.TB, s appregistry.Store, pairs ...string) {
	t.Helper()
	var b appregistry.Batch
	for i := 0; i < len(pairs); i += 2 {
		b.Put = append(b.Put, appregistry.Record{Key: []byte(pairs[i]), Value: []byte(pairs[i+1])})
	}
	if err := s.Commit(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// all loads everything.
func all(t testing.TB, s appregistry.Store) map[string]string {
	t.Helper()
	got := map[string]string{}
	if err := s.Load(t.Context(), func(key, value []byte) error {
		got[string(key)] = string(value)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestStore_OverMemory(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Opener {
		inner, keys := appregistry.NewMemory(), someKeys(t)
		return func() (appregistry.Store, error) { return sealedstore.Open(t.Context(), inner, keys) }
	})
}

// closable is a sealed store that is closed with the file below it.
type closable struct {
	appregistry.Store
	file *boltstore.Store
}

func (c closable) Close() error { return c.file.Close() }

func TestStore_OverBolt(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Opener {
		path, keys := filepath.Join(privateDir(t), "apps.db"), someKeys(t)
		return func() (appregistry.Store, error) {
			file, err := boltstore.Open(path, boltstore.Options{})
			if err != nil {
				return nil, err
			}
			s, err := sealedstore.Open(t.Context(), file, keys)
			return closable{s, file}, err
		}
	})
}

// TestT26_NothingIsInTheFile: neither passwords nor the rest of a record stand in
// the store's file, in any form that records have had.
func TestT26_NothingIsInTheFile(t *testing.T) {
	const canary = "canary-password-0123456789"
	path := filepath.Join(privateDir(t), "apps.db")
	file, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, file, someKeys(t))
	record := `{"user":"alice","password":"` + base64.StdEncoding.EncodeToString([]byte(canary)) + `"}`
	put(t, s, "token/1", record, "token/2", canary)
	if got := all(t, s)["token/1"]; got != record {
		t.Fatalf("read %q", got)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{canary, "alice", "password", hex.EncodeToString([]byte(canary)), base64.StdEncoding.EncodeToString([]byte(canary))} {
		if bytes.Contains(content, []byte(secret)) {
			t.Errorf("%q stands in the file", secret)
		}
	}
}

// TestT26_SwappedValuesDoNotOpen: who can write to the storage puts values in one
// another's place, or changes a bit of one. Each is refused, by Get and by Load.
func TestT26_SwappedValuesDoNotOpen(t *testing.T) {
	inner := appregistry.NewMemory()
	s := mustOpen(t, inner, someKeys(t))
	put(t, s, "token/1", "of alice", "token/2", "of mallory", "token/3", "untouched")
	sealed := all(t, inner)
	refused := func(what string) {
		t.Helper()
		if _, err := s.Get(t.Context(), []byte("token/1")); !errors.Is(err, sealedstore.ErrForged) || !strings.Contains(err.Error(), `"token/1"`) {
			t.Errorf("%s: get: %v, want ErrForged and the record", what, err)
		}
		if err := s.Load(t.Context(), func(_, _ []byte) error { return nil }); !errors.Is(err, sealedstore.ErrForged) {
			t.Errorf("%s: load: %v, want ErrForged", what, err)
		}
		if value, err := s.Get(t.Context(), []byte("token/3")); err != nil || string(value) != "untouched" {
			t.Errorf("%s: the others: %q, %v", what, value, err)
		}
	}
	put(t, inner, "token/1", sealed["token/2"], "token/2", sealed["token/1"])
	refused("swapped")
	for i := range len(sealed["token/1"]) {
		if i >= 1 && i < 5 {
			continue // the key's id: see TestUnknownKeyIsNamed
		}
		changed := []byte(sealed["token/1"])
		changed[i] ^= 4
		put(t, inner, "token/1", string(changed), "token/2", sealed["token/2"])
		refused(fmt.Sprintf("byte %d changed", i))
	}
	for n := 1; n < len(sealed["token/1"]); n++ {
		put(t, inner, "token/1", sealed["token/1"][:n])
		refused(fmt.Sprintf("cut to %d bytes", n))
	}
	put(t, inner, "token/1", "of mallory, in clear")
	refused("in clear")
}

// TestNoTwoSealingsAreEqual, or who reads the storage sees what stays the same.
func TestNoTwoSealingsAreEqual(t *testing.T) {
	inner := appregistry.NewMemory()
	s := mustOpen(t, inner, someKeys(t))
	seen := map[string]bool{}
	for range 100 {
		put(t, s, "k", "v")
		stored := all(t, inner)["k"]
		if seen[stored] {
			t.Fatal("one value was sealed to equal bytes twice")
		}
		seen[stored] = true
	}
}

func TestUnknownKeyIsNamed(t *testing.T) {
	inner := appregistry.NewMemory()
	right, wrong := someKeys(t), someKeys(t)
	put(t, mustOpen(t, inner, right), "k", "v")
	_, err := sealedstore.Open(t.Context(), inner, wrong)
	if !errors.Is(err, sealedstore.ErrUnknownKey) || !strings.Contains(err.Error(), right.IDs()[0]) || !strings.Contains(err.Error(), wrong.Path()) {
		t.Errorf("wrong keys: %v; want ErrUnknownKey, the key wanted and the file", err)
	}
	_, err = sealedstore.Open(t.Context(), inner, nil)
	if !errors.Is(err, sealedstore.ErrSealed) || !strings.Contains(err.Error(), right.IDs()[0]) {
		t.Errorf("no keys: %v; want ErrSealed and the key wanted", err)
	}
}

// TestClearStoreIsNotTakenForASealedOne: values in clear are refused where keys
// are configured. Who can write to the storage could else take the marker away
// and plant what he likes.
func TestClearStoreIsNotTakenForASealedOne(t *testing.T) {
	inner, keys := appregistry.NewMemory(), someKeys(t)
	put(t, inner, "k", "v")
	if _, err := sealedstore.Open(t.Context(), inner, keys); !errors.Is(err, sealedstore.ErrNotSealed) {
		t.Errorf("open: %v, want ErrNotSealed", err)
	}
	if s := mustOpen(t, inner, nil); all(t, s)["k"] != "v" {
		t.Error("without keys a store in clear is not read")
	}
	n, err := sealedstore.Rekey(t.Context(), inner, keys)
	if err != nil || n != 1 {
		t.Fatalf("sealing: %d values, %v", n, err)
	}
	if d := cmp.Diff(map[string]string{"k": "v"}, all(t, mustOpen(t, inner, keys))); d != "" {
		t.Errorf("after sealing (-want +got):\n%s", d)
	}
}

func TestMarkerIsOutOfReach(t *testing.T) {
	s := mustOpen(t, appregistry.NewMemory(), someKeys(t))
	marker := []byte("sealed")
	for what, b := range map[string]appregistry.Batch{
		"put": {Put: []appregistry.Record{{Key: marker, Value: []byte("x")}}}, "delete": {Delete: [][]byte{marker}},
	} {
		if err := s.Commit(t.Context(), b); err == nil {
			t.Errorf("%s of the marker is taken", what)
		}
	}
	if _, err := s.Get(t.Context(), marker); !errors.Is(err, appregistry.ErrNoRecord) {
		t.Errorf("get of the marker: %v", err)
	}
}

// TestFenceHoldsOverANewSealing: a value that is sealed anew is the same value.
func TestFenceHoldsOverANewSealing(t *testing.T) {
	path := filepath.Join(privateDir(t), "store.key")
	inner := &meddling{Store: appregistry.NewMemory()}
	s := mustOpen(t, inner, newKeys(t, path))
	put(t, s, "header", "1")
	both := newKeys(t, path)
	s = mustOpen(t, inner, both)
	inner.before = func() {
		inner.before = nil // between what is read and what is compared
		if _, err := sealedstore.Rekey(t.Context(), inner, both); err != nil {
			t.Error(err)
		}
	}
	b := appregistry.Batch{Fence: &appregistry.Fence{Key: []byte("header"), Want: []byte("1")}, Put: []appregistry.Record{{Key: []byte("k"), Value: []byte("v")}}}
	if err := s.Commit(t.Context(), b); err != nil {
		t.Errorf("fenced by a new sealing: %v", err)
	}
	inner.before = func() {
		inner.before = nil
		put(t, s, "header", "2")
	}
	if err := s.Commit(t.Context(), b); !errors.Is(err, appregistry.ErrFenced) {
		t.Errorf("another value: %v, want ErrFenced", err)
	}
}

// meddling is a store that does something before its next commit, or fails there.
type meddling struct {
	appregistry.Store
	before func()
	mu     sync.Mutex // guards left
	left   int        // commits until they fail; 0: never
}

var errPower = errors.New("the power went")

func (m *meddling) Commit(ctx context.Context, b appregistry.Batch) error {
	if m.before != nil {
		m.before()
	}
	if m.powerIsGone() {
		return errPower
	}
	return m.Store.Commit(ctx, b)
}

func (m *meddling) powerIsGone() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left > 0 {
		if m.left--; m.left == 0 {
			m.left = -1
		}
	}
	return m.left < 0
}
