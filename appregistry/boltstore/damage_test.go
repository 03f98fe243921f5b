package boltstore_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/appregistry/boltstore"
)

// sixty is a store of sixty records: where it is, its bytes, and which they are.
func sixty(t *testing.T) (path string, sound []byte, all map[int]bool) {
	t.Helper()
	path = filled(t, 60)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all = map[int]bool{}
	for i := range 60 {
		all[i] = true
	}
	return path, sound, all
}

// TestB63_BitFlips flips one bit behind the meta pages, hundreds of times. Open
// answers each time: the file is damaged, or all records are there. What lies in
// unused bytes may flip unnoticed.
func TestB63_BitFlips(t *testing.T) {
	path, sound, all := sixty(t)
	afterMeta := 2 * os.Getpagesize()
	refused, seed := 0, rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	const flips = 300
	for range flips {
		bit := 8*afterMeta + r.IntN(8*(len(sound)-afterMeta))
		if refusesOrHolds(t, path, flip(sound, bit), all) {
			refused++
		}
		if t.Failed() {
			t.Fatalf("seed %d, bit %d", seed, bit)
		}
	}
	t.Logf("%d of %d flips refused, the others did no harm", refused, flips)
}

// TestB63_HeadersOfPages flips every seventh bit, from a random one on, of the
// first elements of each page: where the pages lead to, how long they are, what
// they are. One bad meta page is taken for one that was torn: the commit before
// the last is what the store holds then.
func TestB63_HeadersOfPages(t *testing.T) {
	const pairs = 7
	path := filled(t, pairs)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := map[int]bool{}
	for i := range pairs {
		all[i] = true
	}
	size := os.Getpagesize()
	for number, page := range slices.Collect(slices.Chunk(sound, size)) {
		if string(page[:16]) == strings.Repeat("\x00", 16) {
			continue // never written
		}
		want, bits := maps.Clone(all), 8*48
		if number < 2 {
			delete(want, pairs-1)
		}
		if bytes.Contains(page, []byte("tokenwheel store")) {
			bits = 8 * 256 // the store's header is a bucket within the page
		}
		for bit := rand.IntN(7); bit < bits; bit += 7 {
			refusesOrHolds(t, path, flip(sound, 8*number*size+bit), want)
			if t.Failed() {
				t.Fatalf("page %d, bit %d", number, bit)
			}
		}
	}
}

func flip(sound []byte, bit int) []byte {
	b := append([]byte(nil), sound...)
	b[bit/8] ^= 1 << (bit % 8)
	return b
}

// refusesOrHolds opens content as a store and reports that it was refused as
// damaged. It fails where the store opens and a record is missing.
func refusesOrHolds(t *testing.T, path string, content []byte, want map[int]bool) (refused bool) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := boltstore.Open(path, boltstore.Options{LockWait: time.Second})
	if err != nil {
		if !errors.Is(err, boltstore.ErrCorrupt) && !errors.Is(err, boltstore.ErrNewerSchema) {
			t.Errorf("open: %v, want ErrCorrupt", err)
		}
		return true
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	checkPairs(t, path, want)
	return false
}

// TestB61_Truncated: a file that lost its end is refused, at whatever length, and
// an empty one is not taken for a new one.
func TestB61_Truncated(t *testing.T) {
	path := filled(t, 60)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 1, 16, 4095, 4096, 8192, 3 * 4096, 5*4096 + 100} {
		if err := os.WriteFile(path, sound[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := boltstore.Open(path, boltstore.Options{}); !errors.Is(err, boltstore.ErrCorrupt) {
			t.Errorf("%d of %d bytes: %v, want ErrCorrupt", size, len(sound), err)
		}
		if got, _ := os.ReadFile(path); len(got) != size {
			t.Errorf("refused file of %d bytes has %d now", size, len(got))
		}
	}
}

// TestB63_PagesUsedTwice makes each inner page its own child, and puts a page that
// is in use on each free list: bbolt would walk in a circle, or write over it.
func TestB63_PagesUsedTwice(t *testing.T) {
	path, sound, all := sixty(t)
	const branch, freelist, kind, firstElement = 1, 16, 8, 16
	refused := map[uint16]int{}
	size := os.Getpagesize()
	for id := 2; id < len(sound)/size; id++ {
		content, page := bytes.Clone(sound), id*size
		flags := binary.NativeEndian.Uint16(content[page+kind:])
		switch flags {
		case branch:
			binary.NativeEndian.PutUint64(content[page+firstElement+8:], uint64(id))
		case freelist:
			binary.NativeEndian.PutUint64(content[page+firstElement:], uint64(id))
		default:
			continue
		}
		if refusesOrHolds(t, path, content, all) {
			refused[flags]++
		}
	}
	if refused[branch] == 0 || refused[freelist] == 0 {
		t.Errorf("%d inner pages and %d free lists refused, want some of each", refused[branch], refused[freelist])
	}
}

// TestB63_KeysThatLeadAstray flips each third bit of the keys on inner pages, by which bbolt
// finds its way: a walk from key to key would begin anew where it was.
func TestB63_KeysThatLeadAstray(t *testing.T) {
	path, sound, all := sixty(t)
	refused, size := 0, os.Getpagesize()
	for id := 2; id < len(sound)/size; id++ {
		page := sound[id*size : (id+1)*size]
		if binary.NativeEndian.Uint16(page[8:]) != 1 {
			continue
		}
		for i := range int(binary.NativeEndian.Uint16(page[10:])) {
			at := 16 + 16*i
			from, length := at+int(binary.NativeEndian.Uint32(page[at:])), int(binary.NativeEndian.Uint32(page[at+4:]))
			for bit := rand.IntN(3); bit < 8*length; bit += 3 {
				if refusesOrHolds(t, path, flip(sound, 8*(id*size+from)+bit), all) {
					refused++
				}
				if t.Failed() {
					t.Fatalf("page %d, element %d, bit %d", id, i, bit)
				}
			}
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
}

// TestB63_SoundFilesAreInOrder: what bbolt makes of records that come and go in any
// order is never taken for damage.
func TestB63_SoundFilesAreInOrder(t *testing.T) {
	path, seed := filepath.Join(t.TempDir(), "apps.db"), rand.Uint64()
	r, there := rand.New(rand.NewPCG(seed, 0)), map[string]bool{}
	for round := range 30 {
		s, err := boltstore.Open(path, boltstore.Options{})
		if err != nil {
			t.Fatalf("seed %d, round %d: %v", seed, round, err)
		}
		for range 5 {
			var b appregistry.Batch
			put := map[string]bool{}
			for range r.IntN(60) {
				key := fmt.Sprint(r.IntN(2000))
				if put[key] {
					continue
				}
				put[key] = true
				if there[key] && r.IntN(3) > 0 {
					b.Delete = append(b.Delete, []byte(key))
					there[key] = false
					continue
				}
				b.Put = append(b.Put, appregistry.Record{Key: []byte(key), Value: bytes.Repeat([]byte("x"), 1+r.IntN(900))})
				there[key] = true
			}
			if err := s.Commit(t.Context(), b); err != nil {
				t.Fatalf("seed %d, round %d: %v", seed, round, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestB63_MissingRecord: a record that is gone although all pages are sound is
// missed.
func TestB63_MissingRecord(t *testing.T) {
	path := filled(t, 5)
	if err := boltstore.DropRecord(path, pair(3)[0].Key); err != nil {
		t.Fatal(err)
	}
	if _, err := boltstore.Open(path, boltstore.Options{}); !errors.Is(err, boltstore.ErrCorrupt) {
		t.Errorf("open: %v, want ErrCorrupt", err)
	}
	r, err := boltstore.Inspect(path, boltstore.Options{}, nil)
	if err != nil || len(r.Damage) != 1 || r.Records != 9 || r.Expected != 10 {
		t.Errorf("inspect: %+v, %v", r, err)
	}
}
