package renewer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// scripted is a lender whose calls do something first.
type scripted struct {
	*lender
	script func(ctx context.Context, op string, n int) error
}

func (p scripted) Obtain(ctx context.Context, req plugins.ObtainRequest) ([]plugins.Grant, error) {
	if err := p.script(ctx, "obtain", p.count("obtain")+1); err != nil {
		_ = p.enter("obtain")
		return nil, err
	}
	return p.lender.Obtain(ctx, req)
}

func (p scripted) Renew(ctx context.Context, t plugins.Token) (time.Time, error) {
	expires, err := p.lender.Renew(ctx, t)
	if err := p.script(ctx, "renew", p.count("renew")); err != nil {
		return time.Time{}, err
	}
	return expires, err
}

func (p scripted) Cancel(ctx context.Context, t plugins.Token) error {
	if err := p.script(ctx, "cancel", p.count("cancel")+1); err != nil {
		_ = p.enter("cancel")
		return err
	}
	return p.lender.Cancel(ctx, t)
}

// A renewal does not return in time: it is given up, told of and made again. What
// it says when it returns at last is older than what is known by then.
func TestCY22_RenewalThatIsTooLateIsMadeAgainAndNotHeard(t *testing.T) {
	l, s := newLender(hadooptest.Lifetimes{}), newShelf()
	var returned atomic.Bool
	p := lateRenewal{l, &returned}
	var seen events
	running(t, renewer.Config{Providers: providers(p), Stager: s, Hooks: seen.hooks()}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		must(t, r.Register(ctx, app("job", "hdfs"))) // with the first renewal
		time.Sleep(18*time.Hour + 30*time.Minute)    // the second hangs, the third works
		if n := l.count("renew"); n != 3 {
			t.Fatalf("%d renewals, want three", n)
		}
		if n := seen.count("try-failed"); n != 1 {
			t.Errorf("%d failed tries told, want the one that was given up", n)
		}
		expires := func() time.Time {
			list, err := r.Entries(ctx)
			must(t, err)
			return list[0].Tokens[0].Expires
		}
		before := expires()
		time.Sleep(2 * time.Hour)
		if !returned.Load() {
			t.Fatal("the call that hung has not returned")
		}
		if got := expires(); !got.Equal(before) || time.Until(got) < 19*time.Hour {
			t.Errorf("the token ends at %v, and at %v before the late answer", got, before)
		}
	})
}

// lateRenewal says after two hours what the second renewal got, and that wrongly.
type lateRenewal struct {
	*lender
	returned *atomic.Bool
}

func (p lateRenewal) Renew(ctx context.Context, t plugins.Token) (time.Time, error) {
	expires, err := p.lender.Renew(ctx, t)
	if p.count("renew") == 2 {
		time.Sleep(2 * time.Hour)
		p.returned.Store(true)
		return time.Now().Add(time.Minute), nil
	}
	return expires, err
}

// A renewal that takes nearly all of its time is made once, by one worker.
func TestCY23_RenewalWithinItsTimeIsMadeOnce(t *testing.T) {
	l, s := newLender(hadooptest.Lifetimes{}), newShelf()
	var under, most atomic.Int64
	p := scripted{l, func(_ context.Context, op string, _ int) error {
		if op == "renew" {
			most.Store(max(most.Load(), under.Add(1)))
			time.Sleep(29 * time.Second)
			under.Add(-1)
		}
		return nil
	}}
	running(t, renewer.Config{Providers: providers(p), Stager: s}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		must(t, r.Register(ctx, app("job", "hdfs")))
		first := l.count("renew")
		time.Sleep(18*time.Hour + time.Minute)
		if n := l.count("renew"); first != 1 || n != 2 || most.Load() != 1 {
			t.Errorf("%d renewals to register and %d to the second, %d at a time; want 1, 2 and 1", first, n, most.Load())
		}
	})
}

// Every call has a deadline. What fails is made again for as long as it takes,
// far beyond the ten attempts after which YARN gives up, and each failure is told
// with the time of the next try.
func TestY21_EveryCallHasADeadlineAndIsNeverGivenUp(t *testing.T) {
	l := newLender(hadooptest.Lifetimes{})
	var mu sync.Mutex
	unbounded := map[string]int{}
	p := scripted{l, func(ctx context.Context, op string, n int) error {
		deadline, ok := ctx.Deadline()
		if left := time.Until(deadline); !ok || left > 30*time.Second {
			mu.Lock()
			unbounded[op]++
			mu.Unlock()
		}
		if n <= 15 {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}}
	var failed []renewer.Event
	hooks := renewer.Hooks{Failed: func(e renewer.Event) { failed = append(failed, e) }}
	running(t, renewer.Config{Providers: providers(p), Hooks: hooks}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		a := app("job", "hdfs")
		a.StageTo = nil
		must(t, r.As(renewer.Caller{Trusted: true}).Admit(ctx, a))
		time.Sleep(4 * time.Hour)
		must(t, r.Unregister(ctx, key("job")))
		time.Sleep(4 * time.Hour)
		if n := l.secrets.Live(); n != 0 {
			t.Errorf("%d tokens live, want none: the cancel was given up", n)
		}
	})
	count := map[string]int{}
	for _, e := range failed {
		count[e.Op]++
		if e.Next.IsZero() {
			t.Errorf("a failed %s names no next try", e.Op)
		}
	}
	for _, op := range []string{"obtain", "renew", "cancel"} {
		if unbounded[op] > 0 || l.count(op) <= 15 || count[op] < 15 {
			t.Errorf("%s: %d calls, %d of them without deadline, %d failures told; want more than 15, none and 15", op, l.count(op), unbounded[op], count[op])
		}
	}
}

// Unregister does not wait for cancels. They go out in the order in which they
// came, as the daemon itself, and neither a refusal nor a panic holds up the next.
func TestY37_CancelsGoOutInOrderBehindTheCallersBack(t *testing.T) {
	const n = 20
	l := newLender(hadooptest.Lifetimes{})
	var mu sync.Mutex
	var order []string
	names := map[string]string{} // of applications, by their tokens
	p := orderedCancels{l, func(token string) error {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, names[token])
		time.Sleep(time.Second)
		switch len(order) {
		case 3:
			return plugins.Denied(errors.New("not now"))
		case 5:
			panic("a bug of the provider")
		}
		return nil
	}}
	running(t, renewer.Config{Providers: providers(p), PerAuthority: 1}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		var want []string
		for i := range n {
			id := fmt.Sprintf("job-%02d", i)
			a := app(id, "hdfs")
			a.StageTo = nil
			must(t, r.Register(ctx, a))
			c, _, err := r.Current(ctx, key(id))
			must(t, err)
			names[only(t, c).Fingerprint()] = id
			want = append(want, id)
		}
		start := time.Now()
		for i := range n {
			must(t, r.Unregister(ctx, key(fmt.Sprintf("job-%02d", i))))
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("%d unregistrations waited %v for cancels of a second each", n, d)
		}
		time.Sleep(time.Hour)
		mu.Lock()
		defer mu.Unlock()
		var first []string
		for _, id := range order {
			if !slices.Contains(first, id) {
				first = append(first, id)
			}
		}
		if len(order) != n+2 || !slices.Equal(first, want) {
			t.Errorf("cancels went out for %q, want %q and two once more", order, want)
		}
		if live := l.secrets.Live(); live != 0 {
			t.Errorf("%d tokens live", live)
		}
	})
}

type orderedCancels struct {
	*lender
	before func(token string) error
}

func (p orderedCancels) Cancel(ctx context.Context, t plugins.Token) error {
	if err := p.before(t.Fingerprint()); err != nil {
		return err
	}
	return p.lender.Cancel(ctx, t)
}

// Run is told to stop while thousands of calls wait and some are under way. It
// returns within a second where those heed their context, and nothing runs
// afterwards: no call, no hook.
//
// Shows: C-H48.
func TestY40_NothingRunsAfterAStopUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLender(hadooptest.Lifetimes{})
		var called, heard atomic.Int64
		p := scripted{l, func(ctx context.Context, op string, _ int) error {
			called.Add(1)
			select {
			case <-time.After(10 * time.Second):
			case <-ctx.Done():
			}
			return ctx.Err()
		}}
		var stopped time.Time
		config := renewer.Config{Providers: providers(p), Hooks: renewer.Hooks{Each: func(renewer.Event) { heard.Add(1) }}, Store: appregistry.NewMemory()}
		runIn(t, config, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
			admit(ctx, t, r, "alice", 2000, "hdfs")
			time.Sleep(65 * time.Second) // in the middle of calls
			stopped = time.Now()
		})
		if d := time.Since(stopped); d > time.Second {
			t.Errorf("Run returned %v after its job, with calls that heed their context", d)
		}
		calls, events := called.Load(), heard.Load()
		if calls < 20 {
			t.Fatalf("%d calls in a minute: it was not under load", calls)
		}
		time.Sleep(24 * time.Hour)
		if called.Load() != calls || heard.Load() != events {
			t.Errorf("%d calls and %d events after Run had returned", called.Load()-calls, heard.Load()-events)
		}
		// What had not begun is not forgotten.
		p.script = func(context.Context, string, int) error { return nil }
		config.Providers = providers(p)
		runIn(t, config, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
			time.Sleep(5 * time.Minute)
			list, err := r.Entries(ctx)
			must(t, err)
			if len(list) != 2000 {
				t.Errorf("%d of 2000 applications have their token after a restart", len(list))
			}
		})
	})
}
