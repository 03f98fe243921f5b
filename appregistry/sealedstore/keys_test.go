package sealedstore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/appregistry/sealedstore"
)

// TestKP21_RotationCutShort changes the key of a store, and seals one that was in
// clear, with the power going before each of its commits. Whatever is left opens
// under the keys that were there, and the next try ends it.
func TestKP21_RotationCutShort(t *testing.T) {
	want := map[string]string{}
	var pairs []string
	for i := range 9 {
		key, value := fmt.Sprintf("token/%d", i), fmt.Sprintf("value %d", i)
		want[key] = value
		pairs = append(pairs, key, value)
	}
	for _, inClear := range []bool{false, true} {
		commits := 0
		for left := 1; commits == 0; left++ {
			path := filepath.Join(privateDir(t), "store.key")
			inner := &meddling{Store: appregistry.NewMemory()}
			keys := newKeys(t, path)
			if inClear {
				put(t, inner, pairs...)
			} else {
				put(t, mustOpen(t, inner, keys), pairs...)
				keys = newKeys(t, path)
			}
			inner.left = left
			if _, err := sealedstore.Rekey(t.Context(), inner, keys); err == nil {
				commits = left
			} else if !errors.Is(err, errPower) {
				t.Fatal(err)
			}
			inner.left = 0
			if s, err := sealedstore.Open(t.Context(), inner, keys); inClear {
				if left > 1 && commits == 0 && !errors.Is(err, sealedstore.ErrNotSealed) {
					t.Errorf("half sealed: open: %v, want ErrNotSealed", err)
				}
			} else if d := cmp.Diff(want, all(t, s)); err != nil || d != "" {
				t.Errorf("after %d commits (-want +got): %v\n%s", left-1, err, d)
			}
			if _, err := sealedstore.Rekey(t.Context(), inner, keys); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, all(t, mustOpen(t, inner, keys))); d != "" {
				t.Errorf("in the end (-want +got):\n%s", d)
			}
			if d := cmp.Diff(map[string]int{keys.IDs()[0]: len(want)}, byKey(t, inner)); d != "" {
				t.Errorf("sealed with (-want +got):\n%s", d)
			}
		}
		if commits < 9 {
			t.Errorf("in clear %v: done after %d commits; was it cut at all?", inClear, commits)
		}
	}
}

// byKey counts the values of inner by the key they are sealed with, without the
// store's own.
func byKey(t *testing.T, inner appregistry.Store) map[string]int {
	t.Helper()
	count := map[string]int{}
	for key, stored := range all(t, inner) {
		if !sealedstore.IsMarker([]byte(key)) {
			count[sealedstore.KeyOf([]byte(stored))]++
		}
	}
	return count
}

// TestRotationWithoutRekey: with a new key in front everything opens, and what is
// written from then on is sealed with it.
func TestRotationWithoutRekey(t *testing.T) {
	path := filepath.Join(privateDir(t), "store.key")
	inner := appregistry.NewMemory()
	first := newKeys(t, path)
	put(t, mustOpen(t, inner, first), "a", "1", "b", "2")
	both := newKeys(t, path)
	s := mustOpen(t, inner, both)
	put(t, s, "b", "3")
	if d := cmp.Diff(map[string]string{"a": "1", "b": "3"}, all(t, s)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if d := cmp.Diff(map[string]int{first.IDs()[0]: 1, both.IDs()[0]: 1}, byKey(t, inner)); d != "" || both.IDs()[0] == first.IDs()[0] {
		t.Errorf("sealed with (-want +got):\n%s", d)
	}
}

// TestKeyFile_Protection: a key that others could read or replace is not used.
func TestKeyFile_Protection(t *testing.T) {
	for name, c := range map[string]struct {
		dir, file os.FileMode
		want      error
	}{
		"private": {0o700, 0o600, nil}, "read only": {0o755, 0o400, nil},
		"group reads": {0o700, 0o640, sealedstore.ErrInsecure}, "others read": {0o700, 0o604, sealedstore.ErrInsecure},
		"group writes the directory": {0o770, 0o600, sealedstore.ErrInsecure},
	} {
		path := filepath.Join(privateDir(t), "store.key")
		newKeys(t, path)
		if err := errors.Join(os.Chmod(path, c.file), os.Chmod(filepath.Dir(path), c.dir)); err != nil {
			t.Fatal(err)
		}
		if _, err := sealedstore.ReadKeys(path); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		} else if err != nil && !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v does not name the file", name, err)
		}
	}
	path := filepath.Join(privateDir(t), "store.key")
	newKeys(t, path)
	link := path + ".link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := sealedstore.ReadKeys(link); err == nil {
		t.Error("a link is followed")
	}
	if _, err := sealedstore.AddKey(link); err == nil {
		t.Error("a key is added through a link")
	}
}

// TestT25_KeyFileErrorsTellNoKey: what is wrong is said by line, and no key is in
// it or in the printed keys.
func TestT25_KeyFileErrorsTellNoKey(t *testing.T) {
	path := filepath.Join(privateDir(t), "store.key")
	keys := newKeys(t, path)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	good := lines[len(lines)-1]
	id, secret, _ := strings.Cut(good, " ")
	mistyped := "A"
	if secret[0] == 'A' {
		mistyped = "B"
	}
	for name, c := range map[string]struct{ content, want string }{
		"empty":          {"", "no key"},
		"comments only":  {"# a\n\n", "no key"},
		"no id":          {secret + "\n", "line 1"},
		"mistyped key":   {id + " " + mistyped + secret[1:] + "\n", "do not belong together"},
		"mistyped id":    {"00000000 " + secret + "\n", "do not belong together"},
		"short key":      {id + " " + secret[:20] + "\n", "32 bytes"},
		"no base64":      {id + " " + strings.Replace(secret, secret[:2], "!!", 1) + "\n", "32 bytes"},
		"twice":          {good + "\n" + good + "\n", "line 2"},
		"third word":     {good + " more\n", "line 1"},
		"too many":       {strings.Repeat("x", 65<<10), "limit"},
		"a private key":  {"-----BEGIN PRIVATE KEY-----\n" + secret + "\n", "line 1"},
		"binary garbage": {"\x00\xff\x01", "line 1"},
	} {
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := sealedstore.ReadKeys(path)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v; want %q and the file", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), secret[5:15]) {
			t.Errorf("%s: the key is in the error", name)
		}
		if before := c.content; before != "" {
			if _, err := sealedstore.AddKey(path); err == nil && c.want != "no key" {
				t.Errorf("%s: a key is added to it", name)
			}
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if got := fmt.Sprintf(verb, keys); strings.Contains(got, secret) || !strings.Contains(got, id) {
			t.Errorf("%s prints %q", verb, got)
		}
	}
}

// TestAddKey_PutsItInFront and keeps what else is in the file, with its mode.
func TestAddKey_PutsItInFront(t *testing.T) {
	path := filepath.Join(privateDir(t), "store.key")
	first := newKeys(t, path).IDs()[0]
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(content, "# the last line, without its end"...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	second := newKeys(t, path)
	if d := cmp.Diff([]string{second.IDs()[0], first}, second.IDs()); d != "" || second.IDs()[0] == first {
		t.Errorf("keys (-want +got):\n%s", d)
	}
	after, err := os.ReadFile(path)
	if err != nil || !strings.HasPrefix(string(after), "# Keys of a tokenwheel store") || !strings.HasSuffix(string(after), "# the last line, without its end") {
		t.Errorf("comments are gone: %v\n%s", err, after)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o400 {
		t.Errorf("mode %v, %v; want 0400", info.Mode(), err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("the directory has %v, %v", entries, err)
	}
}

// TestRekeyBesideAWriter: what is written while a value is sealed anew stays.
func TestRekeyBesideAWriter(t *testing.T) {
	path := filepath.Join(privateDir(t), "store.key")
	inner := &meddling{Store: appregistry.NewMemory()}
	put(t, mustOpen(t, inner, newKeys(t, path)), "k", "old")
	both := newKeys(t, path)
	s := mustOpen(t, inner, both)
	inner.before = func() {
		inner.before = nil
		put(t, s, "k", "new")
	}
	if _, err := sealedstore.Rekey(t.Context(), inner, both); err != nil {
		t.Fatal(err)
	}
	if got := all(t, s)["k"]; got != "new" {
		t.Errorf("the value is %q", got)
	}
}
