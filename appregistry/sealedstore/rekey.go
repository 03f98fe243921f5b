package sealedstore

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/tokenwheel/tokenwheel/appregistry"
)

// rekeyAtOnce is how many values are sealed anew at a time, so that their commits
// share syncs.
const rekeyAtOnce = 256

// Rekey seals every value of inner with the first key, those in clear of a store
// that was not sealed too, and returns how many it wrote. It may run while the
// store is in use through [Open] with the same keys. Cut short at any point it
// leaves a store whose values open under the keys given, and is run again.
//
// Sealing a store that was in clear leaves the old values in the free pages of
// its file: compact it afterwards.
func Rekey(ctx context.Context, inner appregistry.Store, keys *Keys) (n int, err error) {
	s := &store{inner, keys}
	state, err := stateOf(ctx, inner, keys)
	if err != nil {
		return 0, err
	}
	inClear := !bytes.Equal(state, stateSealed)
	if state == nil {
		if err := s.mark(ctx, nil, stateSealing); err != nil {
			return 0, err
		}
	}
	old, err := s.others(ctx, inClear)
	if err != nil {
		return 0, err
	}
	var written atomic.Int64
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(rekeyAtOnce)
	for _, key := range old {
		g.Go(func() error {
			changed, err := s.rekey(gctx, key, inClear)
			if changed {
				written.Add(1)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return int(written.Load()), err
	}
	stored, err := inner.Get(ctx, markerKey)
	if err != nil {
		return int(written.Load()), err
	}
	if id, _ := idIn(stored); inClear || id != keys.list[0].id {
		err = s.mark(ctx, stored, stateSealed)
	}
	return int(written.Load()), err
}

// others are the keys of records that are not sealed with the first key.
func (s *store) others(ctx context.Context, inClear bool) (keys [][]byte, err error) {
	err = s.inner.Load(ctx, func(key, stored []byte) error {
		id, ok := idIn(stored)
		if IsMarker(key) || ok && id == s.keys.list[0].id && !inClear {
			return nil
		}
		keys = append(keys, bytes.Clone(key))
		return nil
	})
	return keys, err
}

// rekey seals one value anew, unless somebody else does so meanwhile.
func (s *store) rekey(ctx context.Context, key []byte, inClear bool) (changed bool, err error) {
	for {
		stored, err := s.inner.Get(ctx, key)
		if errors.Is(err, appregistry.ErrNoRecord) {
			return false, nil // deleted meanwhile
		}
		if err != nil {
			return false, err
		}
		value, err := s.keys.Unseal(key, stored)
		switch id, _ := idIn(stored); {
		case err == nil && id == s.keys.list[0].id:
			return false, nil
		case err != nil && !inClear:
			return false, err
		case err != nil:
			value = stored // nothing in clear opens by chance
		}
		err = s.inner.Commit(ctx, appregistry.Batch{
			Fence: &appregistry.Fence{Key: key, Want: stored},
			Put:   []appregistry.Record{{Key: key, Value: s.keys.seal(key, value)}},
		})
		if !errors.Is(err, appregistry.ErrFenced) {
			return err == nil, err
		}
	}
}
