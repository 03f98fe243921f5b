package appregistry

import (
	"context"
	"errors"
)

// Store keeps the registry's records over restarts. Keys and values are opaque
// to it. It is safe for concurrent use. Package storetest is what it means to be
// one.
type Store interface {
	// Commit makes all of b durable before it returns, or nothing of it.
	// Concurrent commits may share one sync. Where the fence does not hold, the
	// error wraps [ErrFenced] and nothing changed. The store copies what it
	// keeps.
	Commit(ctx context.Context, b Batch) error

	// Get returns a copy of the value of key; an error that wraps [ErrNoRecord]
	// where there is none.
	Get(ctx context.Context, key []byte) ([]byte, error)

	// Load calls each for every record in ascending order of keys. The slices
	// are valid during the call only. An error of each ends the walk and is
	// returned.
	Load(ctx context.Context, each func(key, value []byte) error) error
}

// Batch is one atomic change. A key stands in it at most once; values are never
// empty. One of nothing but a fence asks whether that holds.
type Batch struct {
	Fence  *Fence // nil: unconditional
	Put    []Record
	Delete [][]byte // keys; one that is not there is no error
}

// Fence is a condition on a batch: the value of Key, read in the same
// transaction, must be Want; nil wants it absent.
type Fence struct {
	Key  []byte
	Want []byte
}

// Record is one key with its value.
type Record struct {
	Key, Value []byte
}

var (
	// ErrFenced says that somebody else wrote the fence key since; this writer is deposed.
	ErrFenced = errors.New("fenced: the store belongs to another writer now")
	// ErrNoRecord says that the store has no value under that key.
	ErrNoRecord = errors.New("no such record")
)
