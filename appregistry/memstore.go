package appregistry

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// Memory is a [Store] that forgets everything when the process ends: for tests,
// and for programs whose applications register again at each start. It is safe
// for concurrent use.
type Memory struct {
	mu      sync.Mutex // guards records
	records map[string][]byte
}

var _ Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{records: map[string][]byte{}} }

// Commit implements [Store].
func (m *Memory) Commit(ctx context.Context, b Batch) error {
	if err := b.Validate(); err != nil {
		return fmt.Errorf("commit to memory: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("commit to memory: %w", err)
	}
	if b.Fence != nil && !b.Fence.Holds(m.records[string(b.Fence.Key)]) {
		return fmt.Errorf("commit to memory: %w", ErrFenced)
	}
	for _, r := range b.Put {
		m.records[string(r.Key)] = bytes.Clone(r.Value)
	}
	for _, key := range b.Delete {
		delete(m.records, string(key))
	}
	return nil
}

// Get implements [Store].
func (m *Memory) Get(ctx context.Context, key []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("get %q from memory: %w", key, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	value, ok := m.records[string(key)]
	if !ok {
		return nil, fmt.Errorf("get %q from memory: %w", key, ErrNoRecord)
	}
	return bytes.Clone(value), nil
}

// Load implements [Store]. It walks over what was there when it was called; each
// may use the store.
func (m *Memory) Load(ctx context.Context, each func(key, value []byte) error) error {
	m.mu.Lock()
	records := maps.Clone(m.records) // values are replaced, never changed
	m.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(records)) {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("load from memory: %w", err)
		}
		if err := each([]byte(key), bytes.Clone(records[key])); err != nil {
			return err
		}
	}
	return nil
}
