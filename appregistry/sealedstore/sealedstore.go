// Package sealedstore hides what a store keeps from who can read its file, its
// disk or its backups, and notices when somebody who can write there put a value
// in another one's place.
//
// Each value is sealed by AES-256-GCM under a key of a key file, with the record's
// key as additional data: a value opens under its own key alone. In front of it
// stands the id of the key it was sealed with, so that keys can be changed one
// value at a time. Record keys are not sealed: they are tables and numbers. An old
// value in the place of a newer one of the same record is not noticed: that would
// take a sum over all values, which each commit had to change by the old value of
// all that it writes, and each start to check before anything is believed; and who
// puts back all of the file at once would go unnoticed all the same.
//
// Nonces are random, so one key is good for 2^32 writes; a daemon with a million
// tokens takes years for them.
package sealedstore

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/ownedfile"
)

var (
	// ErrSealed: the store is sealed and no keys were given.
	ErrSealed = errors.New("store is sealed")
	// ErrNotSealed: keys were given, and the store's values are in clear, or some
	// of them. [Rekey] seals them.
	ErrNotSealed = errors.New("store is not sealed")
	// ErrUnknownKey: a value was sealed with a key that the file does not have.
	ErrUnknownKey = errors.New("sealed with a key that is not there")
	// ErrForged: a value does not open under its key: somebody changed it, or put
	// it in another one's place.
	ErrForged = errors.New("sealed value does not open")
	// ErrInsecure: somebody else could read or replace the key file.
	ErrInsecure = ownedfile.ErrInsecure
)

// The record that says that a store is sealed. Its value is one of the states,
// sealed like any other. It is there before the first other sealed value.
var (
	markerKey    = []byte("sealed")
	stateSealed  = []byte("sealed")
	stateSealing = []byte("sealing") // a store that had values in clear, and may have some still
)

// layout is the first byte of each sealed value. Then come the key's id, nonce,
// sealed bytes and tag.
const layout = 1

// store is an [appregistry.Store] over another one.
type store struct {
	inner appregistry.Store
	keys  *Keys
}

// Open returns what reads and writes the sealed values of inner; an empty inner
// becomes sealed by it. Without keys it returns inner itself, unless that is
// sealed. The store is safe for concurrent use, and is not closed but by closing
// inner.
func Open(ctx context.Context, inner appregistry.Store, keys *Keys) (appregistry.Store, error) {
	state, err := stateOf(ctx, inner, keys)
	if err != nil {
		return nil, err
	}
	if keys == nil {
		return inner, nil
	}
	s := &store{inner, keys}
	switch {
	case bytes.Equal(state, stateSealed):
		return s, nil
	case state != nil:
		return nil, fmt.Errorf("%w to the end: its sealing was cut short", ErrNotSealed)
	}
	if empty, err := isEmpty(ctx, inner); err != nil {
		return nil, err
	} else if !empty {
		return nil, fmt.Errorf("%w, and there is a key file, %s", ErrNotSealed, keys.path)
	}
	return s, s.mark(ctx, nil, stateSealed)
}

// stateOf reads the marker; nil if there is none.
func stateOf(ctx context.Context, inner appregistry.Store, keys *Keys) (state []byte, err error) {
	stored, err := inner.Get(ctx, markerKey)
	switch {
	case errors.Is(err, appregistry.ErrNoRecord):
		return nil, nil
	case err != nil:
		return nil, err
	case keys == nil:
		return nil, fmt.Errorf("%w with key %s, and no key file is given", ErrSealed, cmp.Or(KeyOf(stored), "(unreadable)"))
	}
	return keys.Unseal(markerKey, stored)
}

var errStop = errors.New("enough")

func isEmpty(ctx context.Context, inner appregistry.Store) (bool, error) {
	err := inner.Load(ctx, func(_, _ []byte) error { return errStop })
	if errors.Is(err, errStop) {
		return false, nil
	}
	return true, err
}

// mark writes the marker where it is what it was.
func (s *store) mark(ctx context.Context, was, state []byte) error {
	return s.inner.Commit(ctx, appregistry.Batch{
		Fence: &appregistry.Fence{Key: markerKey, Want: was},
		Put:   []appregistry.Record{{Key: markerKey, Value: s.keys.seal(markerKey, state)}},
	})
}

// Commit implements [appregistry.Store].
func (s *store) Commit(ctx context.Context, b appregistry.Batch) error {
	if err := s.validate(b); err != nil {
		return fmt.Errorf("commit to sealed store: %w", err)
	}
	sealed := appregistry.Batch{Fence: b.Fence, Put: make([]appregistry.Record, len(b.Put)), Delete: b.Delete}
	for i, r := range b.Put {
		sealed.Put[i] = appregistry.Record{Key: r.Key, Value: s.keys.seal(r.Key, r.Value)}
	}
	if b.Fence == nil || b.Fence.Want == nil {
		return s.inner.Commit(ctx, sealed)
	}
	return s.fenced(ctx, sealed)
}

func (s *store) validate(b appregistry.Batch) error {
	if err := b.Validate(); err != nil {
		return err
	}
	for _, r := range b.Put {
		if IsMarker(r.Key) {
			return fmt.Errorf("batch: key %q belongs to the store", markerKey)
		}
	}
	for _, key := range b.Delete {
		if IsMarker(key) {
			return fmt.Errorf("batch: key %q belongs to the store", markerKey)
		}
	}
	return nil
}

// fenced commits a batch whose fence wants a value. No two sealings of one value
// are equal, so what is compared inside is the stored bytes, after they were
// opened and found to hold what is wanted. Where they were written since, perhaps
// with the same value again, they are looked at again.
func (s *store) fenced(ctx context.Context, b appregistry.Batch) error {
	want := *b.Fence
	for {
		stored, err := s.inner.Get(ctx, want.Key)
		if errors.Is(err, appregistry.ErrNoRecord) {
			return fmt.Errorf("commit to sealed store: %w", appregistry.ErrFenced)
		}
		if err != nil {
			return err
		}
		value, err := s.keys.Unseal(want.Key, stored)
		if err != nil {
			return fmt.Errorf("commit to sealed store: %w", err)
		}
		if !want.Holds(value) {
			return fmt.Errorf("commit to sealed store: %w", appregistry.ErrFenced)
		}
		b.Fence = &appregistry.Fence{Key: want.Key, Want: stored}
		if err := s.inner.Commit(ctx, b); !errors.Is(err, appregistry.ErrFenced) {
			return err
		}
	}
}

// Get implements [appregistry.Store].
func (s *store) Get(ctx context.Context, key []byte) ([]byte, error) {
	if IsMarker(key) {
		return nil, fmt.Errorf("get %q from sealed store: %w", key, appregistry.ErrNoRecord)
	}
	stored, err := s.inner.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	return s.keys.Unseal(key, stored)
}

// Load implements [appregistry.Store].
func (s *store) Load(ctx context.Context, each func(key, value []byte) error) error {
	return s.inner.Load(ctx, func(key, stored []byte) error {
		if IsMarker(key) {
			return nil
		}
		value, err := s.keys.Unseal(key, stored)
		if err != nil {
			return err
		}
		return each(key, value)
	})
}

// seal seals a value under its record's key.
func (k *Keys) seal(recordKey, value []byte) []byte {
	with := &k.list[0]
	const head = 1 + idSize
	out := make([]byte, head, head+len(value)+with.aead.Overhead())
	out[0] = layout
	copy(out[1:], with.id[:])
	return with.aead.Seal(out, nil, value, bound(out, recordKey))
}

// Unseal opens the value of a sealed store's record. It is for who reads a file that
// no store opens any more; the result is a new slice.
func (k *Keys) Unseal(recordKey, stored []byte) ([]byte, error) {
	id, ok := idIn(stored)
	if !ok {
		return nil, fmt.Errorf("record %q: %w: it is not sealed", recordKey, ErrForged)
	}
	with := k.find(id)
	if with == nil {
		return nil, fmt.Errorf("record %q: %w: key %x; key file %s has %v", recordKey, ErrUnknownKey, id, k.path, k.IDs())
	}
	const head = 1 + idSize
	value, err := with.aead.Open(nil, nil, stored[head:], bound(stored[:head], recordKey))
	if err != nil {
		return nil, fmt.Errorf("record %q: %w with key %x of %s", recordKey, ErrForged, id, k.path)
	}
	return value, nil
}

// bound is the additional data: what stands in front of the sealed bytes, and
// where they stand.
func bound(head, recordKey []byte) []byte {
	b := make([]byte, 0, len(head)+len(recordKey))
	return append(append(b, head...), recordKey...)
}

func idIn(stored []byte) (id [idSize]byte, ok bool) {
	if len(stored) < 1+idSize || stored[0] != layout {
		return id, false
	}
	return [idSize]byte(stored[1:]), true
}

// KeyOf is the id of the key that a value of a sealed store is sealed with; "" for
// one that is not sealed.
func KeyOf(stored []byte) string {
	id, ok := idIn(stored)
	if !ok {
		return ""
	}
	return hex.EncodeToString(id[:])
}

// IsMarker reports whether key is that of the record which says that a store is
// sealed. A store without it is not.
func IsMarker(key []byte) bool { return bytes.Equal(key, markerKey) }
