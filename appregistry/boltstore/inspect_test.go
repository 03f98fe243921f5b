package boltstore_test

import (
	"bytes"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/tokenwheel/tokenwheel/appregistry/boltstore"
)

// inspected inspects content as a store and returns the keys it could read. It
// fails where a value is not what was committed, or the file was changed.
func inspected(t *testing.T, path string, content []byte) (boltstore.Report, map[string]bool) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for n := range 60 {
		for _, r := range pair(n) {
			values[string(r.Key)] = string(r.Value)
		}
	}
	keys := map[string]bool{}
	report, err := boltstore.Inspect(path, boltstore.Options{}, func(key, value []byte) error {
		if string(value) != values[string(key)] {
			t.Errorf("record %q is not what was committed", key)
		}
		keys[string(key)] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, content) {
		t.Errorf("the file was changed, %v", err)
	}
	return report, keys
}

func TestInspect_SoundFile(t *testing.T) {
	path := filled(t, 60)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, keys := inspected(t, path, sound)
	if len(r.Damage) > 0 || r.BadMeta || r.Records != 120 || r.Expected != 120 || !r.Known || len(keys) != 120 || r.Schema != 1 {
		t.Errorf("report %+v, %d keys", r, len(keys))
	}
	if r.Size != int64(len(sound)) || r.PageSize != os.Getpagesize() || r.Used > r.Size || r.Used < int64(r.PageSize) {
		t.Errorf("report %+v of a file of %d bytes", r, len(sound))
	}
}

// TestB63_InspectSaysWhatIsLost: of a file with one bit wrong, Inspect finds damage
// exactly where Open refuses it, reads all records that are not touched by it, and
// says how many there should be.
func TestB63_InspectSaysWhatIsLost(t *testing.T) {
	path := filled(t, 60)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	lost, lostSome, all := 0, 0, pairsUpTo(60)
	afterMeta := 2 * os.Getpagesize()
	for range 200 {
		bit := 8*afterMeta + rnd.IntN(8*(len(sound)-afterMeta))
		damaged := flip(sound, bit)
		refused := refusesOrHolds(t, path, damaged, all)
		r, keys := inspected(t, path, damaged)
		if refused != (len(r.Damage) > 0) {
			t.Errorf("open refuses: %v; inspect finds %v", refused, r.Damage)
		}
		if refused && r.Known && r.Schema == 1 && r.Records < r.Expected {
			lost++
			if len(keys) > 0 {
				lostSome++
			}
			if !errors.Is(r.Damage[0], boltstore.ErrCorrupt) || r.Expected != 120 {
				t.Errorf("damage %v, %d records expected", r.Damage, r.Expected)
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d, bit %d", seed, bit)
		}
	}
	if lost == 0 || lostSome < lost/2 {
		t.Errorf("%d flips lost records, %d of them not all", lost, lostSome)
	}
}

// TestB61_OneBadMetaPageIsTold: the store opens with the commit before, since that
// is what a loss of power may leave; it warns, and Inspect says so.
func TestB61_OneBadMetaPageIsTold(t *testing.T) {
	path := filled(t, 7)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for page := range 2 {
		damaged := flip(sound, 8*(page*os.Getpagesize()+16+40))
		if r, _ := inspected(t, path, damaged); !r.BadMeta || len(r.Damage) > 0 {
			t.Errorf("page %d: report %+v", page, r)
		}
		for _, warned := range []bool{true, false} { // the commits mend it
			var log bytes.Buffer
			s, err := boltstore.Open(path, boltstore.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(log.String(), "damaged meta page"); got != warned {
				t.Errorf("page %d: warned %v, want %v", page, got, warned)
			}
			mustCommit(t, s, pair(7)...)
			mustCommit(t, s, pair(8)...)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	both := flip(flip(sound, 8*(16+40)), 8*(os.Getpagesize()+16+40))
	if r, _ := inspected(t, path, both); len(r.Damage) == 0 || r.Known {
		t.Errorf("both: report %+v", r)
	}
}

// TestInspect_Refuses what is not there, without making it, and what others could
// read.
func TestInspect_Refuses(t *testing.T) {
	path := filled(t, 1)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := boltstore.Inspect(path, boltstore.Options{}, nil); !errors.Is(err, boltstore.ErrInsecure) {
		t.Errorf("others read the file: %v, want ErrInsecure", err)
	}
	missing := path + ".missing"
	for what, err := range map[string]error{
		"inspect": second(boltstore.Inspect(missing, boltstore.Options{}, nil)),
		"compact": third(boltstore.Compact(missing, boltstore.Options{})),
		"backup":  boltstore.Backup(missing, path+".copy", boltstore.Options{}),
	} {
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v, want ErrNotExist", what, err)
		}
	}
	if _, err := os.Stat(missing); !os.IsNotExist(err) {
		t.Errorf("the file was made: %v", err)
	}
}
