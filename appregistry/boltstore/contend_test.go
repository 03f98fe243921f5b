package boltstore_test

import (
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry/boltstore"
)

// What a holder that crashed left behind, whatever it says, keeps nobody out: of
// eight who come at once exactly one gets the store, each round.
func TestCV26_OneOfEightTakesOverFromACrashedHolder(t *testing.T) {
	path := filled(t, 1)
	for name, left := range map[string]string{"nothing": "", "a dead process": "4194303\n", "no number": "\x00\xff", "ourselves, long ago": "1\n"} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(boltstore.HolderPath(path), []byte(left), 0o600); err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			got := make(chan *boltstore.Store, 8)
			for range 8 {
				wg.Go(func() {
					s, err := boltstore.Open(path, boltstore.Options{LockWait: 50 * time.Millisecond})
					if err == nil {
						got <- s
					} else if !errors.Is(err, boltstore.ErrLocked) {
						t.Errorf("open: %v, want the store or ErrLocked", err)
					}
				})
			}
			wg.Wait()
			close(got)
			n := 0
			for s := range got {
				n++
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
			if n != 1 {
				t.Errorf("%d of eight hold the store, want one", n)
			}
		})
	}
}
