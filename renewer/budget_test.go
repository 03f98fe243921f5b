package renewer_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// witnessed is one call as the service saw it.
type witnessed struct {
	at    time.Time
	op    string
	token string
	ended time.Time // when the token would have ended without it
	err   error
}

// witness is a lender that keeps a journal.
type witness struct {
	*lender
	mu      sync.Mutex // guards journal
	journal []witnessed
}

func newWitness(l hadooptest.Lifetimes) *witness { return &witness{lender: newLender(l)} }

func (w *witness) note(c witnessed) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.journal = append(w.journal, c)
}

// since is the part of the journal from a time on.
func (w *witness) since(from time.Time) (calls []witnessed) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.journal {
		if !c.at.Before(from) {
			calls = append(calls, c)
		}
	}
	return calls
}

func (w *witness) Obtain(ctx context.Context, req plugins.ObtainRequest) ([]plugins.Grant, error) {
	c := witnessed{at: time.Now(), op: "obtain", token: req.User}
	g, err := w.lender.Obtain(ctx, req)
	c.err = err
	w.note(c)
	return g, err
}

func (w *witness) Renew(ctx context.Context, t plugins.Token) (time.Time, error) {
	c := witnessed{at: time.Now(), op: "renew", token: t.Fingerprint()}
	c.ended, _ = w.secrets.RenewDate(t.Identifier)
	expires, err := w.lender.Renew(ctx, t)
	c.err = err
	w.note(c)
	return expires, err
}

func (w *witness) Cancel(ctx context.Context, t plugins.Token) error {
	c := witnessed{at: time.Now(), op: "cancel", token: t.Fingerprint()}
	c.err = w.lender.Cancel(ctx, t)
	w.note(c)
	return c.err
}

func calls(journal []witnessed, ops ...string) (times []time.Time) {
	for _, c := range journal {
		if len(ops) == 0 || slices.Contains(ops, c.op) {
			times = append(times, c.at)
		}
	}
	return times
}

// peak is the greatest number of calls within any window.
func peak(times []time.Time, window time.Duration) (most int) {
	from := 0
	for i := range times {
		for times[i].Sub(times[from]) >= window {
			from++
		}
		most = max(most, i-from+1)
	}
	return most
}

// admit registers n applications of a tenant, and waits for none.
func admit(ctx context.Context, t *testing.T, r *renewer.Renewer, tenant string, n int, obtain ...string) {
	t.Helper()
	c := r.As(renewer.Caller{Trusted: true})
	for i := range n {
		a := app(fmt.Sprint("job-", i), obtain...)
		a.Owner, a.User, a.StageTo = tenant, tenant, nil
		must(t, c.Admit(ctx, a))
	}
}

// stored is a store with n applications whose tokens were all obtained just now.
func stored(t *testing.T, p plugins.Provider, tenant string, n int) appregistry.Store {
	t.Helper()
	store := appregistry.NewMemory()
	runIn(t, renewer.Config{Providers: providers(p), Store: store, CallsPerSecond: -1, Policy: renewer.Policy{Jitter: -1}}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		admit(ctx, t, r, tenant, n, "hdfs")
		time.Sleep(time.Second)
	})
	return store
}

// The law that operators are told: a service's tokens are safe up to calls a
// second x slack, though all come due at the same moment. It is no more generous
// than that: with a third more some are lost.
func TestM33_TokensUpToTheBudgetTimesTheSlackAreSafe(t *testing.T) {
	const rate, slack = 0.05, 6 * time.Hour
	for name, part := range map[string]float64{"within": 0.97, "beyond": 1.33} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, n := newWitness(hadooptest.Lifetimes{}), int(rate*slack.Seconds()*part)
				var seen events
				runIn(t, renewer.Config{
					Providers: providers(w), Store: stored(t, w, "alice", n), CallsPerSecond: rate, Hooks: seen.hooks(),
					Policy: renewer.Policy{Jitter: -1},
				}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
					start := time.Now()
					time.Sleep(25 * time.Hour)
					late := 0
					for _, c := range w.since(start) {
						if c.op == "renew" && c.at.After(c.ended) {
							late++
						}
					}
					lost := seen.count("token-lost")
					if name == "within" && (late > 0 || lost > 0 || len(w.since(start)) < n) {
						t.Errorf("of %d tokens %d renewed too late and %d lost, in %d calls; want none", n, late, lost, len(w.since(start)))
					}
					if name == "beyond" && lost < n/10 {
						t.Errorf("of %d tokens %d lost: the law is too strict, or the test sees nothing", n, lost)
					}
				})
			})
		})
	}
}

// After a day's standstill everything is past due. It goes out at the budget, and
// three renewals later the calls are spread evenly.
func TestM36_RestartWithEverythingPastDueMakesNoHerd(t *testing.T) {
	const n, rate = 1500, 20
	synctest.Test(t, func(t *testing.T) {
		w := newWitness(hadooptest.Lifetimes{RenewInterval: 24 * time.Hour, MaxLifetime: 30 * 24 * time.Hour})
		store := stored(t, w, "alice", n)
		time.Sleep(24*time.Hour + time.Minute)
		runIn(t, renewer.Config{Providers: providers(w), Store: store, CallsPerSecond: rate}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
			start := time.Now()
			time.Sleep(5 * 24 * time.Hour)
			journal := w.since(start)
			const each = 3 // the service has forgotten them: renewed in vain, obtained, renewed
			if all := calls(journal)[:each*n]; all[each*n-1].Sub(start) > each*n*time.Second/rate+time.Minute {
				t.Errorf("the first %d calls took %v, want %v and what a retry waits", each*n, all[each*n-1].Sub(start), each*n*time.Second/rate)
			}
			if p := peak(calls(journal), time.Second); p > rate*11/10 {
				t.Errorf("%d calls in a second, want a tenth above %d at most", p, rate)
			}
			times := map[string]int{}
			var fourth []float64
			for _, c := range journal {
				if c.op != "renew" {
					continue
				}
				if times[c.token]++; times[c.token] == 4 {
					fourth = append(fourth, math.Mod(c.at.Sub(start).Hours(), 1))
				}
			}
			if len(fourth) != n {
				t.Fatalf("%d tokens were renewed four times, want %d", len(fourth), n)
			}
			if d, most := uniform(fourth), 1.628/math.Sqrt(n); d > most {
				t.Errorf("times within the hour are off a uniform spread by %.3f, want at most %.3f (K-S, p = 0.01)", d, most)
			}
		})
	})
}

// uniform is the Kolmogorov-Smirnov distance of values from a uniform
// distribution over [0, 1).
func uniform(values []float64) (d float64) {
	slices.Sort(values)
	n := float64(len(values))
	for i, v := range values {
		d = max(d, v-float64(i)/n, float64(i+1)/n-v)
	}
	return d
}

// A service is gone for four of the six hours that there are. What became due
// meanwhile is caught up with at the budget, nearest end first.
func TestB30_OutageIsCaughtUpWithByDeadlineAtTheBudget(t *testing.T) {
	const rate, n = 0.1, 600 // 100 min of calls
	synctest.Test(t, func(t *testing.T) {
		w := newWitness(hadooptest.Lifetimes{})
		var seen events
		// Their ends lie 5 s apart.
		store := appregistry.NewMemory()
		runIn(t, renewer.Config{Providers: providers(w), Store: store, Policy: renewer.Policy{Jitter: -1}}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
			c := r.As(renewer.Caller{Trusted: true})
			for i := range n {
				a := app(fmt.Sprint("job-", i), "hdfs")
				a.StageTo = nil
				must(t, c.Admit(ctx, a))
				time.Sleep(5 * time.Second)
			}
		})
		runIn(t, renewer.Config{Providers: providers(w), Store: store, CallsPerSecond: rate, Hooks: seen.hooks()}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
			time.Sleep(15 * time.Hour)
			w.fail(func(string) error { return errors.New("connection refused") })
			time.Sleep(6 * time.Hour) // the first ones are due after one
			w.fail(nil)
			back := time.Now()
			time.Sleep(n * time.Second * 10)
			journal := w.since(back)
			if got, want := len(journal), n*95/100; got < want {
				t.Errorf("%d calls within the time of %d, want the budget used", got, n)
			}
			if p := peak(calls(journal), 100*time.Second); p > 11 {
				t.Errorf("%d calls in 100 s, want the budget of 10", p)
			}
			last := time.Time{}
			for _, c := range w.since(back.Add(8 * time.Minute)) { // no token waits after a failure any more
				if c.ended.Before(last) {
					t.Fatalf("%v after its return the service was asked for a token that ends %v before the one asked for last", c.at.Sub(back), last.Sub(c.ended))
				}
				last = c.ended
			}
			if lost := seen.count("token-lost"); lost > 0 {
				t.Errorf("%d tokens lost in an outage shorter than the slack", lost)
			}
		})
	})
}

var errBusy = &plugins.Error{Code: plugins.CodeBusy, Err: errors.New("server too busy")}

func TestB29_BusyServiceGetsHalfAndThenMore(t *testing.T) {
	const rate = 50
	synctest.Test(t, func(t *testing.T) {
		w := newWitness(hadooptest.Lifetimes{})
		running := renewer.Config{Providers: providers(w), CallsPerSecond: rate}
		runIn(t, running, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
			start := time.Now()
			admit(ctx, t, r, "alice", 5000, "hdfs")
			within := func(from, to time.Duration) (n int) {
				for _, c := range w.since(start.Add(from)) {
					if c.at.Before(start.Add(to)) {
						n++
					}
				}
				return n
			}
			time.Sleep(20 * time.Second)
			w.fail(func(string) error { return errBusy })
			time.Sleep(30 * time.Second)
			w.fail(nil)
			time.Sleep(90 * time.Second)
			before, during := within(10*time.Second, 20*time.Second), within(20*time.Second, 30*time.Second)
			if before < rate*10*9/10 || during > before/2 {
				t.Errorf("%d calls in 10 s before and %d at the beginning of the overload, want %d and half of it at most", before, during, rate*10)
			}
			after, later := within(55*time.Second, 65*time.Second), within(130*time.Second, 140*time.Second)
			if after > later*8/10 || later < rate*5 {
				t.Errorf("%d calls in 10 s soon after it and %d a minute later, want it to climb", after, later)
			}
		})
	})
}

// Calls of several tenants that run out of their time say that the service has too
// much to do, but not those that an application wanted to be short.
func TestB29_HurriedCallsSlowNobodyDown(t *testing.T) {
	for name, timeout := range map[string]string{"hurried": "1s", "operator's": ""} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWitness(hadooptest.Lifetimes{})
				slow := sluggish{w, map[string]bool{"mallory": true, "trudy": true}}
				runIn(t, renewer.Config{Providers: providers(slow), CallsPerSecond: 10, CallTimeout: 2 * time.Second, PerAuthority: 40, Policy: renewer.Policy{FirstRetry: time.Second, MaxRetry: time.Second}}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
					for i := range 20 {
						a := app(fmt.Sprint("hasty-", i), "hdfs")
						a.Owner, a.StageTo = []string{"mallory", "trudy"}[i%2], nil
						a.User = a.Owner
						if timeout != "" {
							a.Overlay = map[string]string{"call-timeout": timeout}
						}
						must(t, r.As(renewer.Caller{Trusted: true}).Admit(ctx, a))
					}
					time.Sleep(10 * time.Minute)
					start := time.Now()
					admit(ctx, t, r, "alice", 100, "hdfs")
					time.Sleep(time.Minute)
					n := 0
					for _, c := range w.since(start) {
						if c.token == "alice" {
							n++
						}
					}
					if name == "hurried" && n < 100 || name != "hurried" && n > 30 {
						t.Errorf("%d of alice's 100 obtains in a minute", n)
					}
				})
			})
		})
	}
}

// sluggish hangs for some users until the call's context ends.
type sluggish struct {
	*witness
	users map[string]bool
}

func (p sluggish) Obtain(ctx context.Context, req plugins.ObtainRequest) ([]plugins.Grant, error) {
	if p.users[req.User] {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return p.witness.Obtain(ctx, req)
}
