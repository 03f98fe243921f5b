package renewer_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
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

// wobbly is a service of which every tenth renewal hangs: until its time is up,
// or, one in two, longer than its caller waits. It can be told to hang in all.
type wobbly struct {
	*lender
	renewals, hung, inside atomic.Int64
	well                   atomic.Bool
	stuck                  atomic.Pointer[chan struct{}] // nil: none
}

var errLate = errors.New("too late")

func (p *wobbly) Renew(ctx context.Context, t plugins.Token) (time.Time, error) {
	p.inside.Add(1)
	defer p.inside.Add(-1)
	if stuck := p.stuck.Load(); stuck != nil {
		<-*stuck
	}
	if n := p.renewals.Add(1); n%10 == 0 && !p.well.Load() {
		p.hung.Add(1)
		<-ctx.Done()
		if n%20 == 0 {
			time.Sleep(3 * time.Second)
		}
		return time.Time{}, errLate
	}
	return p.lender.Renew(ctx, t)
}

// A hundred thousand renewals, one in ten of which is not answered in time, leave
// nothing behind in the pool: no goroutine, no memory, no call that is owed, no
// place of a service's share that is taken for good. YARN's map of futures keeps
// one for each renewal that works.
//
// What is idle is judged by how often the engine wakes up, since a test does not
// time: with nothing due it looks at its clock once in ten seconds, so that each
// look could take a tenth of a second before it were a hundredth of a core.
func TestCY32_PoolIsEmptyAfterAHundredThousandRenewals(t *testing.T) {
	const tokens, renewals, share = 500, 100_000, 4
	synctest.Test(t, func(t *testing.T) {
		p := &wobbly{lender: newLender(hadooptest.Lifetimes{RenewInterval: time.Hour, MaxLifetime: 365 * 24 * time.Hour})}
		var mu sync.Mutex // guards looks
		var looks map[time.Duration]bool
		now := bubbleClock()
		c := renewer.Config{
			Providers: providers(p), PerAuthority: share, CallTimeout: 2 * time.Second,
			Clock: func() (time.Duration, time.Time) {
				boot, wall := now()
				mu.Lock()
				defer mu.Unlock()
				if looks != nil {
					looks[boot] = true
				}
				return boot, wall
			},
		}
		idle := func() int {
			watch := func(seen map[time.Duration]bool) {
				synctest.Wait()
				mu.Lock()
				defer mu.Unlock()
				looks = seen
			}
			seen := map[time.Duration]bool{}
			watch(seen)
			time.Sleep(time.Hour)
			watch(nil)
			return len(seen)
		}
		var stopped time.Time
		runIn(t, c, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
			synctest.Wait()
			goroutines := runtime.NumGoroutine()
			if n := idle(); n > 370 {
				t.Errorf("it wakes %d times in an hour without a token, want 360", n)
			}
			admit(ctx, t, r, "alice", tokens, "hdfs")
			until := func(n int64) {
				for hours := 0; p.renewals.Load() < n; hours++ {
					if time.Sleep(time.Hour); hours > 1000 {
						t.Fatalf("%d renewals in %d hours: the pool stands still", p.renewals.Load(), hours)
					}
				}
			}
			until(renewals / 10)
			before := live()
			until(renewals)
			if grown := live() - before; grown > renewals*4 {
				t.Errorf("%d bytes more after %d renewals than after a tenth of them", grown, renewals)
			}
			if n := p.hung.Load(); n < renewals/10 {
				t.Fatalf("%d renewals hung, want a tenth", n)
			}

			// All places of the service are there again once it is well. A tenant whose
			// calls hang begins none in the last of them, but may have had all four under
			// way when the first was given up.
			p.well.Store(true)
			time.Sleep(3 * time.Hour)
			stuck := make(chan struct{})
			p.stuck.Store(&stuck)
			time.Sleep(30 * time.Minute)
			if n := p.inside.Load(); n < share-1 || n > share {
				t.Errorf("%d calls at a time, want %d or %d", n, share-1, share)
			}
			close(stuck)
			time.Sleep(time.Hour)

			for i := range tokens {
				must(t, r.As(renewer.Caller{Trusted: true}).Unregister(ctx, appregistry.AppKey{Owner: "alice", ID: appregistry.AppID(fmt.Sprint("job-", i))}))
			}
			time.Sleep(time.Hour)
			if n := runtime.NumGoroutine(); n > goroutines {
				t.Errorf("%d goroutines, %d before the first call", n, goroutines)
			}
			if n := idle(); n > 500 { // the wheel sorts what is due in days
				t.Errorf("it wakes %d times in an hour in which nothing is due, want 360 and some", n)
			}
			stopped = time.Now()
		})
		if took := time.Since(stopped); took != 0 {
			t.Errorf("it waited %v for calls that nobody makes", took)
		}
	})
}

// live is how much memory is in use.
func live() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
