package boltstore

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/tokenwheel/tokenwheel/appregistry"
)

// Keeper is an [appregistry.Store] that opens its file again after a write failed,
// as on a disk that was full for a while. The commits that failed stay failed; the
// next ones find the file open, or the error says why it is not. Make one with
// [Keep].
type Keeper struct {
	path string
	o    Options
	id   string
	turn chan struct{} // of one element: who has it guards what follows

	store  *Store
	closed bool
}

var _ appregistry.Store = (*Keeper)(nil)

// Keep is as [Open].
func Keep(path string, o Options) (*Keeper, error) {
	s, err := Open(path, o)
	if err != nil {
		return nil, err
	}
	return &Keeper{path: path, o: o, id: s.ID(), turn: make(chan struct{}, 1), store: s}, nil
}

// ID is as [Store.ID].
func (k *Keeper) ID() string { return k.id }

// Commit implements [appregistry.Store].
func (k *Keeper) Commit(ctx context.Context, b appregistry.Batch) error {
	s, err := k.opened(ctx)
	if err != nil {
		return fmt.Errorf("commit to %s: %w", k.path, err)
	}
	return s.Commit(ctx, b)
}

// Get implements [appregistry.Store].
func (k *Keeper) Get(ctx context.Context, key []byte) ([]byte, error) {
	s, err := k.opened(ctx)
	if err != nil {
		return nil, fmt.Errorf("get %q from %s: %w", key, k.path, err)
	}
	return s.Get(ctx, key)
}

// Load implements [appregistry.Store].
func (k *Keeper) Load(ctx context.Context, each func(key, value []byte) error) error {
	s, err := k.opened(ctx)
	if err != nil {
		return fmt.Errorf("load from %s: %w", k.path, err)
	}
	return s.Load(ctx, each)
}

// opened is the store, opened again where it has closed itself.
func (k *Keeper) opened(ctx context.Context) (s *Store, err error) {
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if k.closed || !k.store.failed() {
		return k.store, nil
	}
	_, err = os.Lstat(k.path) // Open would make one that is not there
	if err == nil {
		s, err = Open(k.path, k.o)
	}
	if err != nil {
		return nil, fmt.Errorf("%w; %w", k.store.err, err)
	}
	if s.ID() != k.id {
		return nil, errors.Join(fmt.Errorf("%w: another store has its place since", ErrFailed), s.Close())
	}
	k.o.logger().Warn("store opened again after a failed write", "store", k.path, "failure", k.store.err)
	k.store = s
	return s, nil
}

// Close is as [Store.Close].
func (k *Keeper) Close() error {
	k.turn <- struct{}{}
	defer func() { <-k.turn }()
	k.closed = true
	return k.store.Close()
}

// failed reports whether the store has closed itself.
func (s *Store) failed() bool {
	select {
	case <-s.done:
		return errors.Is(s.err, ErrFailed)
	default:
		return false
	}
}
