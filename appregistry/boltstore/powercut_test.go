package boltstore_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/appregistry/boltstore"
)

// fileWrite is one write to a store's file.
type fileWrite struct {
	at   int64
	data []byte
}

// recorded is a commit as its writes: the pages, then, behind a sync, the meta page
// that puts them in force, and another sync before anybody is told. That there are
// these syncs is what TestB61_EachCommitSyncsTwice shows.
type recorded struct {
	pages []fileWrite
	meta  fileWrite
}

// window is how many pairs the recorded store holds at most: each commit puts one
// and deletes the one that far back, so that pages are freed and used again.
const window = 40

// liveAfter is the set of pairs after n commits.
func liveAfter(n int) map[int]bool {
	live := map[int]bool{}
	for i := max(0, n-window); i < n; i++ {
		live[i] = true
	}
	return live
}

func record(t *testing.T, commits int) (base []byte, all []recorded) {
	t.Helper()
	path := filled(t, 0)
	base, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, path)
	defer s.Close()
	var now recorded
	boltstore.HookWrites(s, func(write func([]byte, int64) (int, error), b []byte, at int64) (int, error) {
		w := fileWrite{at, bytes.Clone(b)}
		if at < 2*int64(os.Getpagesize()) {
			now.meta = w
		} else if now.meta.data != nil {
			t.Error("a page is written behind the meta page")
		} else {
			now.pages = append(now.pages, w)
		}
		return write(b, at)
	})
	for n := range commits {
		now = recorded{}
		b := appregistry.Batch{Put: pair(n)}
		if n >= window {
			for _, r := range pair(n - window) {
				b.Delete = append(b.Delete, r.Key)
			}
		}
		if err := s.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if len(now.pages) == 0 || now.meta.data == nil {
			t.Fatalf("commit %d wrote %d pages and a meta page of %d bytes", n, len(now.pages), len(now.meta.data))
		}
		all = append(all, now)
	}
	return base, all
}

// apply writes to an image of the file, which grows as needed.
func apply(image []byte, w fileWrite) []byte {
	if missing := int(w.at) + len(w.data) - len(image); missing > 0 {
		image = append(image, make([]byte, missing)...)
	}
	copy(image[w.at:], w.data)
	return image
}

// torn applies a part of a write: each of its pieces gets to the disk or not.
func torn(r *rand.Rand, image []byte, w fileWrite, piece int, share float64) []byte {
	for from := 0; from < len(w.data); from += piece {
		if r.Float64() < share {
			image = apply(image, fileWrite{w.at + int64(from), w.data[from:min(from+piece, len(w.data))]})
		}
	}
	return image
}

// TestB61_PowerCuts records what commits write, and then lets the power go in the
// middle of them, again and again: of what was not synced by then each sector, and
// of the meta page each eight bytes, got to the disk or not. What is left opens,
// holds all that was acknowledged, the cut commit whole or not at all, and takes
// the next commit. TOKENWHEEL_POWER_CUTS sets the number of cuts.
func TestB61_PowerCuts(t *testing.T) {
	cuts := 600
	if s := os.Getenv("TOKENWHEEL_POWER_CUTS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		cuts = n
	}
	const commits, sector, word = 100, 512, 8
	image, all := record(t, commits)
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	path := filepath.Join(privateDir(t), "cut.db")
	kept, dropped := 0, 0
	for n, c := range all {
		for i := range cuts / commits {
			cut := bytes.Clone(image)
			inMeta, share := i%2 == 1, float64(r.IntN(11))/10
			for _, w := range c.pages {
				if inMeta {
					cut = apply(cut, w)
				} else {
					cut = torn(r, cut, w, sector, share)
				}
			}
			if inMeta {
				cut = torn(r, cut, c.meta, word, share)
			}
			switch got, err := afterCut(t, path, cut, n, i == 0 && n%10 == 0); {
			case err != nil:
				t.Fatalf("seed %d, commit %d, cut %d, in the meta page %v: %v", seed, n, i, inMeta, err)
			case got && !inMeta:
				t.Fatalf("seed %d, commit %d: it is in force without its meta page", seed, n)
			case got:
				kept++
			default:
				dropped++
			}
		}
		for _, w := range append(c.pages, c.meta) {
			image = apply(image, w)
		}
		if got, err := afterCut(t, path, image, n, false); err != nil || !got {
			t.Fatalf("seed %d: acknowledged commit %d: there %v, %v", seed, n, got, err)
		}
	}
	t.Logf("%d cuts: the commit was there after %d, and not after %d", kept+dropped, kept, dropped)
	if kept == 0 || dropped == 0 {
		t.Error("the cuts are all of one kind")
	}
}

// afterCut opens what a cut in commit n left, and reports whether that commit is
// in it.
func afterCut(t *testing.T, path string, image []byte, n int, goOn bool) (there bool, err error) {
	t.Helper()
	if err := os.WriteFile(path, image, 0o600); err != nil {
		return false, err
	}
	s, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		return false, err
	}
	defer func() { _ = s.Close() }()
	found := map[int]int{}
	if err := s.Load(t.Context(), func(key, value []byte) error {
		i, err := strconv.Atoi(string(key[1:]))
		if err == nil && string(value) != string(pair(i)[0].Value) {
			err = fmt.Errorf("record %s is not what was committed", key)
		}
		found[i]++
		return err
	}); err != nil {
		return false, err
	}
	there = found[n] > 0
	want := liveAfter(n)
	if there {
		want = liveAfter(n + 1)
	}
	for i := range want {
		if found[i] != 2 {
			return there, fmt.Errorf("%d records of pair %d", found[i], i)
		}
	}
	if len(found) != len(want) {
		return there, fmt.Errorf("%d pairs, want %d", len(found), len(want))
	}
	if !goOn {
		return there, nil
	}
	for i := range 5 {
		if err := s.Commit(t.Context(), appregistry.Batch{Put: pair(1000 + i)}); err != nil {
			return there, err
		}
	}
	if err := s.Close(); err != nil {
		return there, err
	}
	s, err = boltstore.Open(path, boltstore.Options{})
	if err != nil {
		return there, fmt.Errorf("after five commits more: %w", err)
	}
	return there, nil
}
