package renewer_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// chance draws for many goroutines.
type chance struct {
	mu     sync.Mutex // guards random
	random *rand.Rand
}

func (c *chance) intN(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.random.IntN(n)
}

func (c *chance) upTo(d time.Duration) time.Duration {
	return time.Duration(c.intN(int(d/time.Millisecond))) * time.Millisecond
}

// slowly is a store that takes its time.
type slowly struct {
	appregistry.Store
	chance *chance
}

func (s slowly) Commit(ctx context.Context, b appregistry.Batch) error {
	time.Sleep(s.chance.upTo(900 * time.Millisecond))
	return s.Store.Commit(ctx, b)
}

// answers are what callers were told.
type answers struct {
	mu         sync.Mutex // guards what follows
	there, out map[appregistry.AppKey]bool
}

// try registers an application, may be unregisters it, gives up after a while, and
// notes what it was told.
func (a *answers) try(c renewer.Client, id string, chance *chance) {
	key := appregistry.AppKey{Owner: app(id).Owner, ID: appregistry.AppID(id)}
	ctx, cancel := context.WithTimeout(context.Background(), chance.upTo(3*time.Second))
	defer cancel()
	register := c.Admit
	if chance.intN(2) == 0 {
		register = c.Register
	}
	err := register(ctx, app(id, "hdfs"))
	if err != nil && !errors.Is(err, appregistry.ErrNotReady) {
		return
	}
	leave := chance.intN(3) == 0
	if leave {
		err = c.Unregister(ctx, key)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case !leave:
		a.there[key] = true
	case err == nil:
		a.out[key] = true
	}
}

// Whenever a renewer is stopped, whatever is under way: everybody gets an answer in
// a few seconds, and what was told is what the next one starts from.
func TestP1_StoppedAtAnyMomentItKeepsItsWord(t *testing.T) {
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) { stopSomewhere(t, seed) })
	}
}

func stopSomewhere(t *testing.T, seed uint64) {
	l, s, chance := newLender(hadooptest.Lifetimes{}), newShelf(), &chance{random: rand.New(rand.NewPCG(seed, 0))}
	l.fail(func(string) error {
		if chance.intN(40) == 0 {
			time.Sleep(time.Minute) // it hangs, and heeds no context
		}
		time.Sleep(chance.upTo(500 * time.Millisecond))
		return nil
	})
	store := appregistry.NewMemory()
	config := renewer.Config{Providers: providers(l), Stager: s, Clock: bubbleClock(), Store: slowly{store, chance}}
	r, err := renewer.New(config)
	must(t, err)
	told := answers{there: map[appregistry.AppKey]bool{}, out: map[appregistry.AppKey]bool{}}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var callers sync.WaitGroup
	must(t, r.Run(ctx, func(context.Context) error {
		for i := range 20 {
			callers.Go(func() {
				time.Sleep(chance.upTo(2 * time.Second))
				told.try(operatorOf(r), fmt.Sprint("app-", i), chance)
			})
		}
		time.Sleep(chance.upTo(2500 * time.Millisecond))
		if seed%2 == 0 {
			stop()
		}
		return nil
	}))
	ended := time.Now()
	callers.Wait()
	if took := time.Since(ended); took > 3*time.Second {
		t.Errorf("seed %d: a caller waited for %v", seed, took)
	}
	config.Store = store
	runIn(t, config, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		list, err := operatorOf(r).Apps(ctx)
		must(t, err)
		is := map[appregistry.AppKey]bool{}
		for _, a := range list {
			is[a.Key] = true
		}
		for key := range told.there {
			if !is[key] {
				t.Errorf("seed %d: %s was registered, and is not there", seed, key)
			}
		}
		for key := range told.out {
			if is[key] {
				t.Errorf("seed %d: %s was unregistered, and is there", seed, key)
			}
		}
	})
	time.Sleep(2 * time.Minute) // until what hangs returns
}
