package boltstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/appregistry/boltstore"
)

// pairsUpTo is the set of the first n pairs.
func pairsUpTo(n int) map[int]bool {
	all := map[int]bool{}
	for i := range n {
		all[i] = true
	}
	return all
}

func sizeOf(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// thinned makes a closed store in which most of what was written is deleted.
func thinned(t *testing.T) (path string, left map[int]bool) {
	t.Helper()
	path = filepath.Join(privateDir(t), "apps.db")
	s := mustOpen(t, path)
	var put []appregistry.Record
	for n := range 2000 {
		put = append(put, pair(n)...)
	}
	mustCommit(t, s, put...)
	var b appregistry.Batch
	for n := 100; n < 2000; n++ {
		for _, r := range pair(n) {
			b.Delete = append(b.Delete, r.Key)
		}
	}
	if err := errors.Join(s.Commit(t.Context(), b), s.Close()); err != nil {
		t.Fatal(err)
	}
	return path, pairsUpTo(100)
}

// TestB66_CompactsAtStart: a file that is mostly free is written anew when it is
// opened, keeps its mode, and loses what was deleted.
func TestB66_CompactsAtStart(t *testing.T) {
	path, left := thinned(t)
	before := sizeOf(t, path)
	gone := pair(1234)[0].Value
	if content, err := os.ReadFile(path); err != nil || !bytes.Contains(content, gone) {
		t.Fatalf("what was deleted is not in the file any more, %v: the test shows nothing", err)
	}
	checkPairs(t, path, left)
	after := sizeOf(t, path)
	if after > before/4 {
		t.Errorf("%d bytes before, %d after", before, after)
	}
	if content, err := os.ReadFile(path); err != nil || bytes.Contains(content, gone) {
		t.Errorf("what was deleted is still in the file, %v", err)
	}
	checkPairs(t, path, left)
	if again := sizeOf(t, path); again != after {
		t.Errorf("compacted again: %d bytes, then %d", after, again)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// TestB66_SmallAndFullFilesStay as they are: writing them anew gains nothing.
func TestB66_SmallAndFullFilesStay(t *testing.T) {
	for _, n := range []int{1, 2000} {
		path := filled(t, n%1000)
		if n == 2000 {
			s := mustOpen(t, path)
			var put []appregistry.Record
			for i := range n {
				put = append(put, pair(i)...)
			}
			mustCommit(t, s, put...)
			_ = s.Close()
		}
		before, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		checkPairs(t, path, pairsUpTo(n))
		if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
			t.Errorf("store of %d pairs was written anew, %v", n, err)
		}
	}
}

// TestB66_NoReadTransactionIsHeld while a caller looks at what was loaded, however
// long he takes: pages freed meanwhile could not be used again. The reader is some
// parts ahead of him; it waits for him with its transaction closed.
func TestB66_NoReadTransactionIsHeld(t *testing.T) {
	path := filepath.Join(privateDir(t), "apps.db")
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, path)
		defer s.Close()
		var put []appregistry.Record
		for i := range 1500 {
			put = append(put, pair(i)...)
		}
		mustCommit(t, s, put...)
		calls := 0
		if err := s.Load(t.Context(), func(_, _ []byte) error {
			if calls++; calls%500 == 1 {
				synctest.Wait() // the reader has what it reads ahead
				if n := boltstore.OpenReads(s); n != 0 {
					return fmt.Errorf("%d read transactions are open", n)
				}
			}
			return nil
		}); err != nil || calls != 3000 {
			t.Errorf("%d calls, %v", calls, err)
		}
	})
}

// TestB66_SizeAfterAMonth writes as a daemon does in thirty days: each day all
// records change twice, and one in ten goes and another one comes. After the next
// start the file has no more than 2.5 times the bytes that live.
func TestB66_SizeAfterAMonth(t *testing.T) {
	path := filepath.Join(privateDir(t), "apps.db")
	s := mustOpen(t, path)
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	const apps, days = 3000, 30
	live := map[string]int{}
	next := 0
	commit := func(b appregistry.Batch) {
		if err := s.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	write := func(b *appregistry.Batch, key string) {
		value := bytes.Repeat([]byte{'v'}, 400+r.IntN(400))
		live[key] = len(key) + len(value)
		b.Put = append(b.Put, appregistry.Record{Key: []byte(key), Value: value})
		if len(b.Put) == 1500 {
			commit(*b)
			*b = appregistry.Batch{}
		}
	}
	for day := range days {
		var b appregistry.Batch
		for i := 0; day > 0 && i < apps/10; i++ {
			for key := range live {
				delete(live, key)
				b.Delete = append(b.Delete, []byte(key))
				break
			}
		}
		commit(b)
		b = appregistry.Batch{}
		for len(live) < apps {
			next++
			write(&b, fmt.Sprintf("token/%08d", next))
		}
		for range 2 {
			commit(b)
			b = appregistry.Batch{}
			for key := range maps.Clone(live) {
				write(&b, key)
			}
		}
		commit(b)
	}
	total := 0
	for _, n := range live {
		total += n
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before := sizeOf(t, path)
	if err := mustOpen(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	after := sizeOf(t, path)
	t.Logf("%d bytes live; the file has %.2f times that, %.2f after a restart", total, float64(before)/float64(total), float64(after)/float64(total))
	if most := int64(total) * 5 / 2; after > most {
		t.Errorf("seed %d: %d bytes live, %d in the file after a restart", seed, total, after)
	}
}

func TestCompact(t *testing.T) {
	path, left := thinned(t)
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	before, after, err := boltstore.Compact(path, boltstore.Options{})
	if err != nil || after >= before || after != sizeOf(t, path) {
		t.Errorf("%d bytes, then %d, %v", before, after, err)
	}
	checkPairs(t, path, left)
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("the directory has %v, %v", entries, err)
	}
}

// TestKP20_WhoWaitedGetsTheNewFile: a process that waited for the lock of a file
// that was compacted meanwhile would write to a file without a name.
func TestKP20_WhoWaitedGetsTheNewFile(t *testing.T) {
	path := filled(t, 5)
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// The old file is opened, and gets its lock, after another one took its place.
	opened := 0
	s, err := boltstore.OpenThrough(path, func(name string, flag int, mode os.FileMode) (*os.File, error) {
		f, err := os.OpenFile(name, flag, mode)
		if opened++; opened == 1 && err == nil {
			made := path + ".made"
			err = errors.Join(os.WriteFile(made, old, 0o600), os.Rename(made, path))
		}
		return f, err
	})
	if err != nil {
		t.Fatal(err)
	}
	mustCommit(t, s, pair(5)...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	checkPairs(t, path, pairsUpTo(6))
}

// TestKP20_RemainsAreSwept: what a compaction that was cut short wrote is no store,
// and holds secrets.
func TestKP20_RemainsAreSwept(t *testing.T) {
	path := filled(t, 5)
	left := filepath.Join(filepath.Dir(path), strings.Replace(boltstore.Pattern(path), "*", "123", 1))
	if err := os.WriteFile(left, []byte("half of a store"), 0o600); err != nil {
		t.Fatal(err)
	}
	checkPairs(t, path, pairsUpTo(5))
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", left, err)
	}
}

// TestB67_SlicesAreCopies: what Get and Load gave stays what it was, whatever is
// written afterwards, and an empty value is never stored.
func TestB67_SlicesAreCopies(t *testing.T) {
	s := mustOpen(t, filled(t, 60)) // more than what lies within one page
	value, err := s.Get(t.Context(), pair(1)[0].Key)
	if err != nil {
		t.Fatal(err)
	}
	want := string(pair(1)[0].Value)
	for n := range 200 { // the pages are used again, and the file is mapped anew
		value := bytes.Repeat([]byte{byte(n)}, 100_000)
		mustCommit(t, s, appregistry.Record{Key: pair(1)[0].Key, Value: value}, appregistry.Record{Key: fmt.Appendf(nil, "n%d", n%20), Value: value})
	}
	if string(value) != want {
		t.Error("what Get gave has changed")
	}
	for _, empty := range [][]byte{nil, {}} {
		if err := s.Commit(t.Context(), appregistry.Batch{Put: []appregistry.Record{{Key: []byte("k"), Value: empty}}}); err == nil {
			t.Error("an empty value is stored")
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if string(value) != want {
		t.Error("what Get gave has changed with the end of the store")
	}
}

// TestB68_NetworkFileSystem: locks and memory maps do not hold there.
func TestB68_NetworkFileSystem(t *testing.T) {
	path := filled(t, 1)
	const nfs, ext4 = 0x6969, 0xef53
	if _, err := boltstore.OpenAt(path, boltstore.Options{}, nfs, "6.1.0"); !errors.Is(err, boltstore.ErrInsecure) || !strings.Contains(err.Error(), "NFS") {
		t.Errorf("open on NFS: %v, want ErrInsecure and its name", err)
	}
	s, err := boltstore.OpenAt(path, boltstore.Options{}, ext4, "6.1.0")
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
}

// TestB70_RiskyKernels: who runs one is told at the start.
func TestB70_RiskyKernels(t *testing.T) {
	path := filled(t, 1)
	const ext4, xfs = 0xef53, 0x58465342
	for _, c := range []struct {
		fs     int64
		kernel string
		warned bool
	}{
		{ext4, "5.9.16", false},
		{ext4, "5.10.93-generic", true},
		{ext4, "5.10.94", false},
		{ext4, "5.11.0", true},
		{ext4, "5.15.26+", true},
		{ext4, "5.15.27", false},
		{ext4, "5.16.20", true},
		{ext4, "5.17", false},
		{ext4, "6.1.0-13-amd64", false},
		{ext4, "4.18.0-553.el8", false},
		{xfs, "5.11.0", false},
		{ext4, "", false},
		{0, "5.11.0", false},
	} {
		var log bytes.Buffer
		s, err := boltstore.OpenAt(path, boltstore.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, c.fs, c.kernel)
		if err != nil {
			t.Fatal(err)
		}
		_ = s.Close()
		if got := strings.Contains(log.String(), "fast_commit"); got != c.warned {
			t.Errorf("kernel %q, file system %#x: warned %v, want %v", c.kernel, c.fs, got, c.warned)
		}
	}
}

// TestBackup: a verified copy of what lives, for its owner alone.
func TestBackup(t *testing.T) {
	path, left := thinned(t)
	dir := privateDir(t)
	to := filepath.Join(dir, "copy.db")
	if err := boltstore.Backup(path, to, boltstore.Options{}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(to); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the directory has %v, %v", entries, err)
	}
	if content, err := os.ReadFile(to); err != nil || bytes.Contains(content, pair(1234)[0].Value) {
		t.Errorf("what was deleted is in the backup, %v", err)
	}
	checkPairs(t, to, left)
	before, _ := os.ReadFile(to)
	if err := boltstore.Backup(path, to, boltstore.Options{}); !errors.Is(err, os.ErrExist) {
		t.Errorf("second backup to the same file: %v, want ErrExist", err)
	}
	if after, _ := os.ReadFile(to); !bytes.Equal(before, after) {
		t.Error("the second backup changed the first")
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := boltstore.Backup(path, to+".2", boltstore.Options{}); !errors.Is(err, boltstore.ErrInsecure) {
		t.Errorf("to a directory for everybody: %v, want ErrInsecure", err)
	}
	s := mustOpen(t, path)
	defer s.Close()
	for what, err := range map[string]error{
		"backup":  boltstore.Backup(path, filepath.Join(privateDir(t), "x"), boltstore.Options{LockWait: time.Millisecond}),
		"inspect": second(boltstore.Inspect(path, boltstore.Options{LockWait: time.Millisecond}, nil)),
	} {
		if !errors.Is(err, boltstore.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
			t.Errorf("%s of a store in use: %v, want ErrLocked and the pid", what, err)
		}
	}
}

func second[A any](_ A, err error) error { return err }

// TestB63_LastBackupIsOffered: the error about a damaged file names the backup
// that was verified, and when; else it says that none is known. A damaged file is
// neither backed up nor compacted.
func TestB63_LastBackupIsOffered(t *testing.T) {
	path := filled(t, 60)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(sound)
	for i := 2 * os.Getpagesize(); i < len(damaged); i += 64 {
		damaged[i] ^= 1
	}
	try := func(known string) {
		t.Helper()
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(privateDir(t), "never")
		for what, err := range map[string]error{
			"open":    second(boltstore.Open(path, boltstore.Options{})),
			"backup":  boltstore.Backup(path, to, boltstore.Options{}),
			"compact": third(boltstore.Compact(path, boltstore.Options{})),
		} {
			if !errors.Is(err, boltstore.ErrCorrupt) || what != "backup" && !strings.Contains(err.Error(), known) {
				t.Errorf("%s: %v; want ErrCorrupt and %q", what, err, known)
			}
		}
		if _, err := os.Stat(to); !os.IsNotExist(err) {
			t.Errorf("a backup was made: %v", err)
		}
		if got, _ := os.ReadFile(path); !bytes.Equal(got, damaged) {
			t.Error("the damaged file was changed")
		}
	}
	try("no backup")
	if err := os.WriteFile(path, sound, 0o600); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(privateDir(t), "copy.db")
	if err := boltstore.Backup(path, to, boltstore.Options{}); err != nil {
		t.Fatal(err)
	}
	try(to)
	if err := os.Remove(to); err != nil {
		t.Fatal(err)
	}
	try("no backup")
}

func third[A, B any](_ A, _ B, err error) error { return err }

// TestID_StaysButInBackups: over reopening and compaction it is the same store; a
// backup is another one, so that who works on it once it was restored knows.
// Shows: B69.
func TestID_StaysButInBackups(t *testing.T) {
	path, _ := thinned(t)
	idOf := func(path string) string {
		t.Helper()
		s := mustOpen(t, path)
		defer s.Close()
		return s.ID()
	}
	first := idOf(path) // compacted at this start
	if _, _, err := boltstore.Compact(path, boltstore.Options{}); err != nil {
		t.Fatal(err)
	}
	if again := idOf(path); again != first || first == "" {
		t.Errorf("id %q, then %q", first, again)
	}
	to := filepath.Join(privateDir(t), "copy.db")
	if err := boltstore.Backup(path, to, boltstore.Options{}); err != nil {
		t.Fatal(err)
	}
	if other := idOf(to); other == first || other == "" {
		t.Errorf("the store has id %q, its backup %q", first, other)
	}
	if other := idOf(filled(t, 1)); other == first {
		t.Errorf("two stores have id %q", first)
	}
}
