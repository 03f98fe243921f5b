package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tokenwheel/tokenwheel/appregistry"
)

func getReturnsWhatWasPut(ctx context.Context, p *place) error {
	if err := errors.Join(p.put(ctx, "a", "1", "b", "2"), p.put(ctx, "b", "3", "c\x00", "\x00")); err != nil {
		return err
	}
	for key, want := range map[string]string{"a": "1", "b": "3", "c\x00": "\x00"} {
		if got, err := p.Get(ctx, []byte(key)); err != nil || string(got) != want {
			return fmt.Errorf("Get(%q) = %q, %v; want %q", key, got, err, want)
		}
	}
	return nil
}

func missingIsErrNoRecord(ctx context.Context, p *place) error {
	_, before := p.Get(ctx, []byte("a"))
	if err := p.put(ctx, "a", "1", "ab", "2"); err != nil {
		return err
	}
	if err := p.Commit(ctx, appregistry.Batch{Delete: [][]byte{[]byte("a")}}); err != nil {
		return err
	}
	_, after := p.Get(ctx, []byte("a"))
	return errors.Join(
		wantErr("Get from an empty store", before, appregistry.ErrNoRecord),
		wantErr("Get of a deleted key", after, appregistry.ErrNoRecord))
}

func deleteOfMissing(ctx context.Context, p *place) error {
	b := appregistry.Batch{Put: records("a", "1"), Delete: [][]byte{[]byte("b"), []byte("c")}}
	if err := p.Commit(ctx, b); err != nil {
		return fmt.Errorf("delete of keys that are not there: %w", err)
	}
	return p.holds(ctx, "a=1")
}

func loadAscends(ctx context.Context, p *place) error {
	if err := p.holds(ctx); err != nil {
		return err
	}
	if err := p.put(ctx, "b", "1", "\xff", "2", "a", "3", "\x00", "4", "ab", "5", "a\x00", "6"); err != nil {
		return err
	}
	if err := p.holds(ctx, "\x00=4", "a=3", "a\x00=6", "ab=5", "b=1", "\xff=2"); err != nil {
		return err
	}
	// More than what any store hands out at once.
	var want []string
	var pairs []string
	for i := range 3000 {
		key := fmt.Sprintf("n%06d", i*7919%3000)
		pairs = append(pairs, key, "v")
		want = append(want, fmt.Sprintf("n%06d=v", i))
	}
	if err := p.put(ctx, pairs...); err != nil {
		return err
	}
	got, err := p.all(ctx)
	if err != nil || len(got) != 3006 {
		return fmt.Errorf("Load gave %d records and %v, want 3006", len(got), err)
	}
	if fmt.Sprint(got[5:3005]) != fmt.Sprint(want) {
		return errors.New("3,000 records do not come in the order of their keys")
	}
	return nil
}

func loadEnds(ctx context.Context, p *place) error {
	if err := p.put(ctx, "a", "1", "b", "2", "c", "3"); err != nil {
		return err
	}
	stop, calls := errors.New("enough"), 0
	err := p.Load(ctx, func(_, _ []byte) error {
		if calls++; calls == 2 {
			return stop
		}
		return nil
	})
	if calls != 2 {
		return fmt.Errorf("each was called %d times, want 2", calls)
	}
	return wantErr("Load", err, stop)
}

func eachMayUseTheStore(ctx context.Context, p *place) error {
	if err := p.put(ctx, "a", "1", "b", "2"); err != nil {
		return err
	}
	err := p.Load(ctx, func(key, _ []byte) error {
		if key[0] > 'b' {
			return nil // whether a walk sees what was put behind it is open
		}
		if _, err := p.Get(ctx, key); err != nil {
			return err
		}
		return p.put(ctx, "z"+string(key), string(make([]byte, 1<<20)))
	})
	if err != nil {
		return fmt.Errorf("each got and committed: %w", err)
	}
	_, err = p.Get(ctx, []byte("zb"))
	return err
}

func copiesIn(ctx context.Context, p *place) error {
	key, value := []byte("key"), []byte("value")
	b := appregistry.Batch{Put: []appregistry.Record{{Key: key, Value: value}}}
	if err := p.Commit(ctx, b); err != nil {
		return err
	}
	copy(key, "xxx")
	copy(value, "xxxxx")
	return p.holds(ctx, "key=value")
}

// copiesOut takes a value that no store keeps in some smaller place of its own.
func copiesOut(ctx context.Context, p *place) error {
	value := strings.Repeat("value", 2000)
	if err := p.put(ctx, "key", value); err != nil {
		return err
	}
	got, err := p.Get(ctx, []byte("key"))
	if err != nil {
		return err
	}
	copy(got, "xxxxx")
	err = p.Load(ctx, func(key, value []byte) error {
		copy(key, "xxx")
		copy(value, "xxxxx")
		return nil
	})
	return errors.Join(err, p.holds(ctx, "key="+value))
}

func fenceHoldsOrNothing(ctx context.Context, p *place) error {
	try := func(want []byte, value string) error {
		return p.Commit(ctx, appregistry.Batch{
			Fence:  &appregistry.Fence{Key: []byte("epoch"), Want: want},
			Put:    records("a", value, "epoch", value),
			Delete: [][]byte{[]byte("gone")},
		})
	}
	if err := p.put(ctx, "gone", "not yet"); err != nil {
		return err
	}
	if err := wantErr("fence on an absent key", try([]byte("1"), "9"), appregistry.ErrFenced); err != nil {
		return err
	}
	if err := p.holds(ctx, "gone=not yet"); err != nil {
		return fmt.Errorf("after a fenced batch: %w", err)
	}
	if err := try(nil, "1"); err != nil {
		return fmt.Errorf("fence that wants the key absent: %w", err)
	}
	for _, stale := range [][]byte{nil, []byte("0"), []byte("11")} {
		if err := wantErr(fmt.Sprintf("fence that wants %q of 1", stale), try(stale, "9"), appregistry.ErrFenced); err != nil {
			return err
		}
	}
	if err := p.holds(ctx, "a=1", "epoch=1"); err != nil {
		return fmt.Errorf("after fenced batches: %w", err)
	}
	if err := try([]byte("1"), "2"); err != nil {
		return fmt.Errorf("fence that holds: %w", err)
	}
	if err := p.holds(ctx, "a=2", "epoch=2"); err != nil {
		return err
	}
	// A batch of nothing asks whether the fence holds.
	ask := func(want string) error {
		return p.Commit(ctx, appregistry.Batch{Fence: &appregistry.Fence{Key: []byte("epoch"), Want: []byte(want)}})
	}
	if err := wantErr("fence of a batch of nothing", ask("1"), appregistry.ErrFenced); err != nil {
		return err
	}
	if err := ask("2"); err != nil {
		return fmt.Errorf("batch of nothing behind a fence that holds: %w", err)
	}
	return p.holds(ctx, "a=2", "epoch=2")
}

// fenceOnOwnKey: the fence is about what was there before the batch.
func fenceOnOwnKey(ctx context.Context, p *place) error {
	fence := &appregistry.Fence{Key: []byte("k")}
	if err := p.Commit(ctx, appregistry.Batch{Fence: fence, Put: records("k", "1")}); err != nil {
		return err
	}
	fence.Want = []byte("1")
	if err := p.Commit(ctx, appregistry.Batch{Fence: fence, Delete: [][]byte{[]byte("k")}}); err != nil {
		return err
	}
	return p.holds(ctx)
}

func endedContext(ctx context.Context, p *place) error {
	if err := p.put(ctx, "a", "1"); err != nil {
		return err
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	commit := p.put(ended, "a", "2", "b", "2")
	_, get := p.Get(ended, []byte("a"))
	load := p.Load(ended, func(_, _ []byte) error { return nil })
	return errors.Join(
		wantErr("Commit", commit, context.Canceled),
		wantErr("Get", get, context.Canceled),
		wantErr("Load", load, context.Canceled),
		p.holds(ctx, "a=1"))
}

func lastsOverReopening(ctx context.Context, p *place) error {
	if err := p.put(ctx, "a", "1", "b", "2"); err != nil {
		return err
	}
	if err := p.reopen(); err != nil {
		return err
	}
	if err := p.Commit(ctx, appregistry.Batch{Put: records("c", "3"), Delete: [][]byte{[]byte("a")}}); err != nil {
		return err
	}
	if err := p.reopen(); err != nil {
		return err
	}
	return p.holds(ctx, "b=2", "c=3")
}
