package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/tokenwheel/tokenwheel/appregistry"
)

// inParallel runs f for 0 to n-1, each on its own goroutine, and joins the
// errors.
func inParallel(n int, f func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// fenceRace: eight writers have read the same value of a counter and raise it
// under a fence on that value. Exactly one succeeds, and only what he wrote is
// there.
func fenceRace(ctx context.Context, p *place) error {
	const writers, rounds = 8, 30
	key := []byte("counter")
	if err := p.put(ctx, "counter", "0"); err != nil {
		return err
	}
	for round := range rounds {
		var won [writers]bool
		err := inParallel(writers, func(w int) error {
			err := p.Commit(ctx, appregistry.Batch{
				Fence: &appregistry.Fence{Key: key, Want: []byte(strconv.Itoa(round))},
				Put:   records("counter", strconv.Itoa(round+1), fmt.Sprintf("round%02d", round), strconv.Itoa(w)),
			})
			if won[w] = err == nil; errors.Is(err, appregistry.ErrFenced) {
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
		winner := slices.Index(won[:], true)
		if winner < 0 || slices.Contains(won[winner+1:], true) {
			return fmt.Errorf("writers %v of %d passed one fence, want exactly one", won, writers)
		}
		value, err := p.Get(ctx, fmt.Appendf(nil, "round%02d", round))
		if err != nil {
			return err
		}
		if string(value) != strconv.Itoa(winner) {
			return fmt.Errorf("writer %d passed the fence, but what is there is from %s", winner, value)
		}
	}
	return nil
}

// fencedAmongOthers: while some commits are fenced, those beside them are not,
// and no part of a fenced one stays.
func fencedAmongOthers(ctx context.Context, p *place) error {
	if err := p.put(ctx, "epoch", "2"); err != nil {
		return err
	}
	const writers, rounds = 16, 10
	err := inParallel(writers, func(w int) error {
		want, verdict := "2", error(nil)
		if w%3 == 0 {
			want, verdict = "1", appregistry.ErrFenced
		}
		for r := range rounds {
			err := p.Commit(ctx, appregistry.Batch{
				Fence: &appregistry.Fence{Key: []byte("epoch"), Want: []byte(want)},
				Put:   records(fmt.Sprintf("k%02d.%02d", w, r), want),
			})
			if !errors.Is(err, verdict) {
				return fmt.Errorf("commit under epoch %s of 2: %v, want %v", want, err, verdict)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	want := []string{"epoch=2"}
	for w := range writers {
		for r := range rounds {
			if w%3 != 0 {
				want = append(want, fmt.Sprintf("k%02d.%02d=2", w, r))
			}
		}
	}
	return p.holds(ctx, want...)
}

// batchesAreWhole: writers put their mark on the same keys, in different order,
// and take one out. Whoever was last, all keys are his.
func batchesAreWhole(ctx context.Context, p *place) error {
	const writers, rounds, keys = 8, 10, 12
	for round := range rounds {
		err := inParallel(writers, func(w int) error {
			var b appregistry.Batch
			for i := range keys {
				key := fmt.Sprintf("k%02d", (i*5+w)%keys)
				b.Put = append(b.Put, records(key, fmt.Sprintf("%d.%d", round, w))...)
			}
			for other := range writers {
				if other != w {
					b.Delete = append(b.Delete, fmt.Appendf(nil, "mark%d", other))
				}
			}
			b.Put = append(b.Put, records(fmt.Sprintf("mark%d", w), fmt.Sprintf("%d.%d", round, w))...)
			return p.Commit(ctx, b)
		})
		if err != nil {
			return err
		}
		values := map[string]int{}
		err = p.Load(ctx, func(_, value []byte) error {
			values[string(value)]++
			return nil
		})
		if err != nil || len(values) != 1 {
			return fmt.Errorf("records of several batches stand beside each other: %v, %v", values, err)
		}
		for value, n := range values {
			if n != keys+1 {
				return fmt.Errorf("%d of %d records of batch %s are there", n, keys+1, value)
			}
		}
	}
	return nil
}

// concurrentCommits: each writer reads its own commit at once, and all are there
// at the end and after opening again.
func concurrentCommits(ctx context.Context, p *place) error {
	const writers, rounds = 16, 10
	err := inParallel(writers, func(w int) error {
		key := fmt.Sprintf("w%02d", w)
		for r := range rounds {
			want := fmt.Sprint(r)
			if err := p.put(ctx, key, want, fmt.Sprintf("%s.%02d", key, r), want); err != nil {
				return err
			}
			if got, err := p.Get(ctx, []byte(key)); err != nil || string(got) != want {
				return fmt.Errorf("Get(%s) = %q, %v after Commit of %q", key, got, err, want)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var want []string
	for w := range writers {
		want = append(want, fmt.Sprintf("w%02d=%d", w, rounds-1))
		for r := range rounds {
			want = append(want, fmt.Sprintf("w%02d.%02d=%d", w, r, r))
		}
	}
	if err := p.holds(ctx, want...); err != nil {
		return err
	}
	if err := p.reopen(); err != nil {
		return err
	}
	return p.holds(ctx, want...)
}

// cancelledCommit: a commit whose context ends under way is there as a whole
// where it reports success, and not at all where it reports an error.
func cancelledCommit(ctx context.Context, p *place) error {
	const writers, rounds = 16, 20
	var mu sync.Mutex // guards want
	var want []string
	err := inParallel(writers, func(w int) error {
		for r := range rounds {
			key := fmt.Sprintf("k%02d.%02d", w, r)
			short, cancel := context.WithCancel(ctx)
			var wg sync.WaitGroup
			wg.Go(cancel)
			err := p.put(short, key, "1", key+"+", "2")
			wg.Wait()
			switch {
			case err == nil:
				mu.Lock()
				want = append(want, key+"=1", key+"+=2")
				mu.Unlock()
			case !errors.Is(err, context.Canceled):
				return fmt.Errorf("commit under a cancelled context: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	// A commit that goes on after its error is behind this one, or before it.
	if err := p.put(ctx, "last", "1"); err != nil {
		return err
	}
	slices.Sort(want)
	got, err := p.all(ctx)
	slices.Sort(got)
	if want = append(want, "last=1"); err != nil || !slices.Equal(got, want) {
		return fmt.Errorf("%d records are there and %d were acknowledged (%v)", len(got), len(want), err)
	}
	return nil
}
