// Package storetest is what it means to be an [appregistry.Store].
//
// A store's own test calls [Run] with a function that makes a place for records
// and opens it as often as asked:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) storetest.Opener {
//			path := filepath.Join(t.TempDir(), "apps.db")
//			return func() (appregistry.Store, error) { return mystore.Open(path) }
//		})
//	}
//
// The suite uses the Store's methods alone, from many goroutines where the
// contract allows it, and needs no clock.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
)

// Opener opens the store of one place. The suite has at most one open at a time:
// a store that is an [io.Closer] is closed before it is opened again. A store
// without durability returns the same one each time.
type Opener func() (appregistry.Store, error)

// Run runs the suite. place makes a new, empty place for each case.
func Run(t *testing.T, place func(t *testing.T) Opener) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p, err := newPlace(place(t))
			if err != nil {
				t.Fatal(err)
			}
			defer p.close()
			// A store that hangs is to fail with the name of the case.
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := c.check(ctx, p); err != nil {
				t.Error(err)
			}
		})
	}
}

// oneCase is a statement about stores. Its check returns an error, and takes no
// *testing.T, so that the suite can be held against broken stores.
type oneCase struct {
	name  string
	check func(ctx context.Context, p *place) error
}

var cases = []oneCase{
	{"GetReturnsWhatWasPut", getReturnsWhatWasPut},
	{"MissingIsErrNoRecord", missingIsErrNoRecord},
	{"DeleteOfMissingIsNoError", deleteOfMissing},
	{"LoadAscends", loadAscends},
	{"LoadEndsWithTheErrorOfEach", loadEnds},
	{"EachMayUseTheStore", eachMayUseTheStore},
	{"StoreCopiesWhatItKeeps", copiesIn},
	{"CallerOwnsWhatItGets", copiesOut},
	{"FenceHoldsOrNothingChanges", fenceHoldsOrNothing},
	{"FenceOnTheBatchsOwnKey", fenceOnOwnKey},
	{"FenceIsComparedWhereItIsWritten", fenceRace},
	{"OneFencedBatchLeavesOthersAlone", fencedAmongOthers},
	{"BatchesAreWhole", batchesAreWhole},
	{"ConcurrentCommitsAllLast", concurrentCommits},
	{"CommitsLastOverReopening", lastsOverReopening},
	{"EndedContextChangesNothing", endedContext},
	{"CancelledCommitIsAllOrNothing", cancelledCommit},
}

// place is an open store that can be opened again.
type place struct {
	appregistry.Store
	open Opener
}

func newPlace(open Opener) (*place, error) {
	s, err := open()
	return &place{Store: s, open: open}, err
}

func (p *place) close() {
	if c, ok := p.Store.(io.Closer); ok {
		_ = c.Close()
	}
}

func (p *place) reopen() (err error) {
	if c, ok := p.Store.(io.Closer); ok {
		if err := c.Close(); err != nil {
			return fmt.Errorf("close: %w", err)
		}
	}
	if p.Store, err = p.open(); err != nil {
		return fmt.Errorf("open again: %w", err)
	}
	return nil
}

// put commits keys and values in turn.
func (p *place) put(ctx context.Context, pairs ...string) error {
	return p.Commit(ctx, appregistry.Batch{Put: records(pairs...)})
}

func records(pairs ...string) (rs []appregistry.Record) {
	for i := 0; i < len(pairs); i += 2 {
		rs = append(rs, appregistry.Record{Key: []byte(pairs[i]), Value: []byte(pairs[i+1])})
	}
	return rs
}

// all loads everything as "key=value" in the order of Load.
func (p *place) all(ctx context.Context) (lines []string, err error) {
	err = p.Load(ctx, func(key, value []byte) error {
		lines = append(lines, string(key)+"="+string(value))
		return nil
	})
	return lines, err
}

// holds compares everything in the store.
func (p *place) holds(ctx context.Context, want ...string) error {
	got, err := p.all(ctx)
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		return fmt.Errorf("the store holds %q, want %q", got, want)
	}
	return nil
}

// wantErr says where err is not of the kind that is wanted.
func wantErr(what string, err, want error) error {
	if !errors.Is(err, want) {
		return fmt.Errorf("%s: error %v, want one that wraps %q", what, err, want)
	}
	return nil
}
