package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
)

func TestMemory(t *testing.T) {
	Run(t, func(*testing.T) Opener {
		m := appregistry.NewMemory()
		return func() (appregistry.Store, error) { return m, nil }
	})
}

// broken is a store with one bug: any method that is set takes the place of the
// good one.
type broken struct {
	appregistry.Store
	commit func(ctx context.Context, good appregistry.Store, b appregistry.Batch) error
	get    func(ctx context.Context, good appregistry.Store, key []byte) ([]byte, error)
	load   func(ctx context.Context, good appregistry.Store, each func(key, value []byte) error) error
}

func (s broken) Commit(ctx context.Context, b appregistry.Batch) error {
	if s.commit != nil {
		return s.commit(ctx, s.Store, b)
	}
	return s.Store.Commit(ctx, b)
}

func (s broken) Get(ctx context.Context, key []byte) ([]byte, error) {
	if s.get != nil {
		return s.get(ctx, s.Store, key)
	}
	return s.Store.Get(ctx, key)
}

func (s broken) Load(ctx context.Context, each func(key, value []byte) error) error {
	if s.load != nil {
		return s.load(ctx, s.Store, each)
	}
	return s.Store.Load(ctx, each)
}

// plantedBugs are stores that each break the contract in one way, and the cases
// that must notice.
var plantedBugs = map[string]struct {
	make    func(good appregistry.Store) appregistry.Store
	noticed []string
}{
	"fence is not compared": {
		func(good appregistry.Store) appregistry.Store {
			return broken{Store: good, commit: func(ctx context.Context, good appregistry.Store, b appregistry.Batch) error {
				b.Fence = nil
				return good.Commit(ctx, b)
			}}
		},
		[]string{"FenceHoldsOrNothingChanges", "FenceIsComparedWhereItIsWritten", "OneFencedBatchLeavesOthersAlone"},
	},
	"a batch of nothing is not looked at": {
		func(good appregistry.Store) appregistry.Store {
			return broken{Store: good, commit: func(ctx context.Context, good appregistry.Store, b appregistry.Batch) error {
				if len(b.Put)+len(b.Delete) == 0 {
					return nil
				}
				return good.Commit(ctx, b)
			}}
		},
		[]string{"FenceHoldsOrNothingChanges"},
	},
	"fence is compared before the transaction": {
		func(good appregistry.Store) appregistry.Store {
			return broken{Store: good, commit: func(ctx context.Context, good appregistry.Store, b appregistry.Batch) error {
				if b.Fence == nil {
					return good.Commit(ctx, b)
				}
				value, err := good.Get(ctx, b.Fence.Key)
				if err != nil && !errors.Is(err, appregistry.ErrNoRecord) {
					return err
				}
				if !b.Fence.Holds(value) {
					return appregistry.ErrFenced
				}
				time.Sleep(time.Millisecond) // the bug, made wide
				b.Fence = nil
				return good.Commit(ctx, b)
			}}
		},
		[]string{"FenceIsComparedWhereItIsWritten"},
	},
	"a fenced batch leaves half of itself": {
		func(good appregistry.Store) appregistry.Store {
			return broken{Store: good, commit: func(ctx context.Context, good appregistry.Store, b appregistry.Batch) error {
				err := good.Commit(ctx, b)
				if errors.Is(err, appregistry.ErrFenced) && len(b.Put) > 0 {
					return errors.Join(err, good.Commit(ctx, appregistry.Batch{Put: b.Put[:1]}))
				}
				return err
			}}
		},
		[]string{"FenceHoldsOrNothingChanges", "OneFencedBatchLeavesOthersAlone"},
	},
	"a batch is applied in two halves": {
		func(good appregistry.Store) appregistry.Store {
			return broken{Store: good, commit: func(ctx context.Context, good appregistry.Store, b appregistry.Batch) error {
				half := len(b.Put) / 2
				if err := good.Commit(ctx, appregistry.Batch{Fence: b.Fence, Put: b.Put[:half]}); err != nil {
					return err
				}
				time.Sleep(time.Millisecond) // the bug, made wide
				return good.Commit(ctx, appregistry.Batch{Put: b.Put[half:], Delete: b.Delete})
			}}
		},
		[]string{"BatchesAreWhole"},
	},
	"a batch loses its last record": {
		func(good appregistry.Store) appregistry.Store {
			return broken{Store: good, commit: func(ctx context.Context, good appregistry.Store, b appregistry.Batch) error {
				if n := len(b.Put); n > 1 {
					b.Put = b.Put[:n-1]
				}
				return good.Commit(ctx, b)
			}}
		},
		[]string{"GetReturnsWhatWasPut", "BatchesAreWhole", "ConcurrentCommitsAllLast", "CommitsLastOverReopening"},
	},
	"deletes are forgotten": {
		func(good appregistry.Store) appregistry.Store {
			return broken{Store: good, commit: func(ctx context.Context, good appregistry.Store, b appregistry.Batch) error {
				b.Delete = nil
				return good.Commit(ctx, b)
			}}
		},
		[]string{"MissingIsErrNoRecord", "FenceHoldsOrNothingChanges", "FenceOnTheBatchsOwnKey", "CommitsLastOverReopening"},
	},
	"an ended context still commits": {
		func(good appregistry.Store) appregistry.Store {
			return broken{Store: good, commit: func(ctx context.Context, good appregistry.Store, b appregistry.Batch) error {
				err := good.Commit(context.WithoutCancel(ctx), b)
				select { // the bug, made wide
				case <-ctx.Done():
				case <-time.After(time.Millisecond):
				}
				return errors.Join(err, ctx.Err())
			}}
		},
		[]string{"EndedContextChangesNothing", "CancelledCommitIsAllOrNothing"},
	},
	"missing is an empty value": {
		func(good appregistry.Store) appregistry.Store {
			return broken{Store: good, get: func(ctx context.Context, good appregistry.Store, key []byte) ([]byte, error) {
				value, err := good.Get(ctx, key)
				if errors.Is(err, appregistry.ErrNoRecord) {
					return []byte{}, nil
				}
				return value, err
			}}
		},
		[]string{"MissingIsErrNoRecord"},
	},
	"load descends": {
		func(good appregistry.Store) appregistry.Store {
			return broken{Store: good, load: func(ctx context.Context, good appregistry.Store, each func(key, value []byte) error) error {
				var all []appregistry.Record
				err := good.Load(ctx, func(key, value []byte) error {
					all = append(all, appregistry.Record{Key: key, Value: value})
					return nil
				})
				for i := len(all) - 1; i >= 0 && err == nil; i-- {
					err = each(all[i].Key, all[i].Value)
				}
				return err
			}}
		},
		[]string{"LoadAscends"},
	},
	"load swallows the error of each": {
		func(good appregistry.Store) appregistry.Store {
			return broken{Store: good, load: func(ctx context.Context, good appregistry.Store, each func(key, value []byte) error) error {
				return good.Load(ctx, func(key, value []byte) error {
					_ = each(key, value)
					return nil
				})
			}}
		},
		[]string{"LoadEndsWithTheErrorOfEach"},
	},
	"values are kept without a copy": {
		func(good appregistry.Store) appregistry.Store {
			return &aliasing{Store: good, kept: map[string][]byte{}}
		},
		[]string{"StoreCopiesWhatItKeeps"},
	},
	"opening again finds nothing": {
		func(good appregistry.Store) appregistry.Store { return good },
		[]string{"CommitsLastOverReopening", "ConcurrentCommitsAllLast"},
	},
}

// aliasing hands out the caller's own bytes.
type aliasing struct {
	appregistry.Store
	mu   sync.Mutex
	kept map[string][]byte
}

func (s *aliasing) Commit(ctx context.Context, b appregistry.Batch) error {
	if err := s.Store.Commit(ctx, b); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range b.Put {
		s.kept[string(r.Key)] = r.Value
	}
	return nil
}

func (s *aliasing) Load(ctx context.Context, each func(key, value []byte) error) error {
	return s.Store.Load(ctx, func(key, _ []byte) error {
		s.mu.Lock()
		value := s.kept[string(key)]
		s.mu.Unlock()
		return each(key, value)
	})
}

// TestSuiteNoticesPlantedBugs: the suite is worth what it notices.
func TestSuiteNoticesPlantedBugs(t *testing.T) {
	for name, bug := range plantedBugs {
		t.Run(name, func(t *testing.T) {
			for _, want := range bug.noticed {
				if err := runCase(t, want, bug.make, name == "opening again finds nothing"); err == nil {
					t.Errorf("case %s passes", want)
				}
			}
		})
	}
}

// runCase runs one case of the suite on a broken store.
func runCase(t *testing.T, name string, breakIt func(appregistry.Store) appregistry.Store, forgets bool) error {
	good := appregistry.NewMemory()
	p, err := newPlace(func() (appregistry.Store, error) {
		if forgets {
			good = appregistry.NewMemory()
		}
		return breakIt(good), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, c := range cases {
		if c.name == name {
			return c.check(ctx, p)
		}
	}
	t.Fatalf("the suite has no case %s", name)
	return nil
}
