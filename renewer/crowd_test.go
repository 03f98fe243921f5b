package renewer_test

import (
	"context"
	"fmt"
	"runtime"
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

// busyService takes its time for each call, as real ones do, and hangs where it
// is told to.
type busyService struct {
	*witness
	hung atomic.Bool
}

func (p *busyService) takesTime(ctx context.Context) error {
	if p.hung.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	time.Sleep(20 * time.Millisecond)
	return nil
}

func (p *busyService) Obtain(ctx context.Context, req plugins.ObtainRequest) ([]plugins.Grant, error) {
	if err := p.takesTime(ctx); err != nil {
		return nil, err
	}
	return p.witness.Obtain(ctx, req)
}

func (p *busyService) Renew(ctx context.Context, t plugins.Token) (time.Time, error) {
	if err := p.takesTime(ctx); err != nil {
		return time.Time{}, err
	}
	return p.witness.Renew(ctx, t)
}

// lateness is how long after its planned time each renewal was answered, sorted.
func lateness(events []renewer.Event, at []time.Time) (late []time.Duration) {
	planned := map[appregistry.TokenID]time.Time{}
	for i, e := range events {
		if e.What != "token-renewed" {
			continue
		}
		if next, ok := planned[e.Token]; ok {
			late = append(late, at[i].Sub(next))
		}
		planned[e.Token] = e.Next
	}
	slices.Sort(late)
	return late
}

// watched keeps events with their times.
type watched struct {
	mu     sync.Mutex // guards what follows while the renewer runs
	events []renewer.Event
	at     []time.Time
}

func (w *watched) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events, w.at = nil, nil
}

func (w *watched) hooks() renewer.Hooks {
	return renewer.Hooks{Each: func(e renewer.Event) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.events = append(w.events, e)
		w.at = append(w.at, time.Now())
	}}
}

// One of twenty services hangs for hours. The renewals of the others are no
// later than without that.
//
// Shows: B12.
func TestM39_OneHungServiceOfTwentyDelaysNoOther(t *testing.T) {
	p99 := map[bool]time.Duration{}
	for _, hang := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			named, bad := map[string]plugins.Provider{}, (*busyService)(nil)
			for i := range 20 {
				bad = &busyService{witness: newWitness(hadooptest.Lifetimes{RenewInterval: 10 * time.Minute, MaxLifetime: 30 * 24 * time.Hour})}
				bad.service = fmt.Sprintf("nn%d:8020", i)
				named[fmt.Sprint("s", i)] = bad
			}
			var seen watched
			runIn(t, renewer.Config{Providers: named, Hooks: seen.hooks()}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
				for i := range 20 {
					admit(ctx, t, r, fmt.Sprint("user", i), 20, fmt.Sprint("s", i))
				}
				time.Sleep(time.Minute)
				bad.hung.Store(hang)
				time.Sleep(2 * time.Hour)
			})
			var others watched
			for i, e := range seen.events {
				if e.Authority.Instance != "s19" {
					others.events, others.at = append(others.events, e), append(others.at, seen.at[i])
				}
			}
			late := lateness(others.events, others.at)
			if len(late) < 19*20*2*6 {
				t.Fatalf("%d renewals of others in 2 hours", len(late))
			}
			p99[hang] = late[len(late)*99/100]
		})
	}
	if without, with := p99[false], p99[true]; with > without*11/10 || without == 0 {
		t.Errorf("p99 of the others' lateness is %v beside a hung service and %v without", with, without)
	}
}

// One tenant registers thousands of applications at once. Others register as
// quickly as without him, and their renewals are as punctual.
//
// Shows: C-V08.
func TestT11_FloodOfRegistrationsDelaysNoOtherTenant(t *testing.T) {
	registered, renewed := map[bool]time.Duration{}, map[bool]time.Duration{}
	for _, flooded := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := &busyService{witness: newWitness(hadooptest.Lifetimes{RenewInterval: time.Minute, MaxLifetime: 30 * 24 * time.Hour})}
			var seen watched
			runIn(t, renewer.Config{Providers: providers(p), Hooks: seen.hooks()}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
				admit(ctx, t, r, "alice", 50, "hdfs")
				time.Sleep(10 * time.Minute)
				seen.forget()
				if flooded {
					admit(ctx, t, r, "mallory", 5000, "hdfs")
				}
				for i := range 20 {
					a := app(fmt.Sprint("new-", i), "hdfs")
					a.Owner, a.User, a.StageTo = "bob", "bob", nil
					start := time.Now()
					soon, cancel := context.WithTimeout(ctx, 10*time.Second)
					must(t, r.Register(soon, a))
					cancel()
					registered[flooded] = max(registered[flooded], time.Since(start))
				}
				time.Sleep(90 * time.Second) // the flood goes on
			})
			var alices watched
			for i, e := range seen.events {
				if len(e.Apps) > 0 && e.Apps[0].Owner == "alice" {
					alices.events, alices.at = append(alices.events, e), append(alices.at, seen.at[i])
				}
			}
			late := lateness(alices.events, alices.at)
			if len(late) > 0 {
				renewed[flooded] = late[len(late)*99/100]
			}
		})
	}
	if registered[true] > registered[false]+200*time.Millisecond {
		t.Errorf("a registration takes %v at most beside a flood, %v without", registered[true], registered[false])
	}
	if renewed[true] > renewed[false]+500*time.Millisecond || renewed[false] == 0 {
		t.Errorf("p99 of the others' lateness is %v beside a flood, %v without", renewed[true], renewed[false])
	}
}

// A flood at one service costs the others nothing.
func TestCV08_FloodOfOneServiceLeavesTheOthersLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flooded, calm := newWitness(hadooptest.Lifetimes{}), newWitness(hadooptest.Lifetimes{})
		flooded.service, calm.service = "flooded:8020", "calm:8020"
		named := map[string]plugins.Provider{"flooded": flooded, "calm": calm}
		runIn(t, renewer.Config{Providers: named, CallsPerSecond: 10}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
			admit(ctx, t, r, "alice", 5000, "flooded")
			start := time.Now()
			a := app("other", "calm")
			a.Owner, a.User, a.StageTo = "alice", "alice", nil
			must(t, r.Register(ctx, a))
			if d := time.Since(start); d > time.Second {
				t.Errorf("a registration at another service took %v", d)
			}
			if n := len(flooded.since(start)); n > 20 {
				t.Errorf("the flood was over in that time: %d calls", n)
			}
		})
	})
}

// Thousands leave at once, all asking for a cancel. Not one renewal is late for
// it, and all are cancelled in the end.
func TestB152_CancelsOfAThousandsLeavingDelayNoRenewal(t *testing.T) {
	const leaving = 3000
	synctest.Test(t, func(t *testing.T) {
		w := newWitness(hadooptest.Lifetimes{RenewInterval: time.Hour, MaxLifetime: 30 * 24 * time.Hour})
		var seen watched
		runIn(t, renewer.Config{
			Providers: providers(w), CallsPerSecond: 20, Hooks: seen.hooks(), Policy: renewer.Policy{CancelBurst: 1_000_000},
			Store: stored(t, w, "alice", leaving),
		}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
			c := r.As(renewer.Caller{Trusted: true})
			for i := range 100 {
				a := app(fmt.Sprint("stays-", i), "hdfs")
				a.Owner, a.StageTo = "alice", nil
				must(t, c.Admit(ctx, a))
			}
			time.Sleep(40 * time.Minute) // the next renewals are about to come due
			start := time.Now()
			for i := range leaving {
				must(t, c.Unregister(ctx, appregistry.AppKey{Owner: "alice", ID: appregistry.AppID(fmt.Sprint("job-", i))}))
			}
			time.Sleep(time.Minute)
			if n := len(calls(w.since(start), "cancel")); n == 0 || n >= leaving {
				t.Fatalf("%d cancels in a minute, want them to be under way", n)
			}
			time.Sleep(time.Hour)
			if n := len(calls(w.since(time.Time{}), "cancel")); n != leaving {
				t.Errorf("%d cancels, want %d", n, leaving)
			}
			if p := peak(calls(w.since(start)), time.Second); p > 22 {
				t.Errorf("%d calls in a second, want 20 and a tenth", p)
			}
		})
		late := lateness(seen.events, seen.at)
		if len(late) < 100 || late[len(late)-1] > 5*time.Second {
			t.Errorf("of %d renewals the latest was %v late", len(late), late[len(late)-1])
		}
	})
}

// Cancels that hang wait in a list and not each on a goroutine of its own.
func TestCV12_NoGoroutineForEachPendingCancel(t *testing.T) {
	const n = 2000
	synctest.Test(t, func(t *testing.T) {
		l := newLender(hadooptest.Lifetimes{})
		p := hangingCancel{l, make(chan struct{})}
		defer close(p.ever)
		runIn(t, renewer.Config{Providers: providers(p), Policy: renewer.Policy{CancelBurst: n}, Store: stored(t, p, "alice", n)}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
			before := runtime.NumGoroutine()
			for i := range n {
				must(t, r.As(renewer.Caller{Trusted: true}).Unregister(ctx, appregistry.AppKey{Owner: "alice", ID: appregistry.AppID(fmt.Sprint("job-", i))}))
			}
			time.Sleep(20 * time.Minute)
			if more := runtime.NumGoroutine() - before; more > 20 {
				t.Errorf("%d goroutines for %d cancels that wait", more, n)
			}
			if n := l.count("cancel"); n != 0 {
				t.Errorf("%d cancels got through", n)
			}
		})
	})
}

// hangingCancel hangs in cancels, whatever its context says.
type hangingCancel struct {
	*lender
	ever chan struct{}
}

func (p hangingCancel) Cancel(context.Context, plugins.Token) error {
	<-p.ever
	return errTest(1)
}
