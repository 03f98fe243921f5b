package sealedstore_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwheel/tokenwheel/appregistry/boltstore"
	"github.com/tokenwheel/tokenwheel/appregistry/sealedstore"
)

var newFixture = flag.Bool("new-fixture", false, "write the fixture, which must not be there yet")

// The store and the key file that a release wrote, and never again. Who changes
// the layout of sealed values adds others beside them.
const fixtureStore, fixtureKey = "../../testdata/store/sealed-v1.db", "../../testdata/store/sealed-v1.key"

var fixtureRecords = map[string]string{"header": "the header", "token/1": "of alice", "token/2": "of bob"}

// TestB65_SealedStoresOfEarlierReleasesOpen, and what is sealed today looks as
// theirs does: another layout needs a fixture of its own.
func TestB65_SealedStoresOfEarlierReleasesOpen(t *testing.T) {
	if *newFixture {
		writeFixture(t)
	}
	dir := privateDir(t)
	path, keyFile := filepath.Join(dir, "apps.db"), filepath.Join(dir, "store.key")
	for from, to := range map[string]string{fixtureStore: path, fixtureKey: keyFile} {
		content, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := sealedstore.ReadKeys(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	file, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	s := mustOpen(t, file, keys)
	if d := cmp.Diff(fixtureRecords, all(t, s)); d != "" {
		t.Errorf("records (-given +read):\n%s", d)
	}
	before := all(t, file)["token/1"]
	put(t, s, "token/1", fixtureRecords["token/1"])
	if after := all(t, file)["token/1"]; len(after) != len(before) || after[:5] != before[:5] || after == before {
		t.Errorf("sealed as %q by then, %q now: add a fixture", before, after)
	}
}

func writeFixture(t *testing.T) {
	t.Helper()
	dir := privateDir(t)
	path, keyFile := filepath.Join(dir, "apps.db"), filepath.Join(dir, "store.key")
	keys := newKeys(t, keyFile)
	file, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, file, keys)
	for key, value := range fixtureRecords {
		put(t, s, key, value)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{path: fixtureStore, keyFile: fixtureKey} {
		if _, err := os.Stat(to); err == nil {
			t.Fatalf("%s is there: fixtures do not change", to)
		}
		content, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
