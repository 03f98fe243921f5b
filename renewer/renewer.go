// Package renewer is the engine: it keeps the tokens of registered applications
// alive, replaces them before they end and has each new set of credentials
// delivered.
//
// A [Renewer] runs inside [Renewer.Run], which blocks and owns every goroutine:
// the loop around internal/core, the workers that call providers and the stager,
// and the writer of the store. New starts nothing, and when Run has returned
// nothing is left. All methods are safe for concurrent use. Stopping cancels no
// token and unregisters no application.
package renewer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/clock"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

var (
	// ErrNotRunning is the answer of a renewer whose Run has not begun, or has ended.
	ErrNotRunning = errors.New("the renewer is not running")
	// ErrDeposed ends Run when the store belongs to another writer now.
	ErrDeposed = errors.New("another renewer has taken over the store")
)

// Stager delivers one set of credentials to one target. It is called
// concurrently, but never twice at a time for one application and target. Where
// the target is ahead it returns *appregistry.Behind, having written nothing.
type Stager interface {
	Stage(ctx context.Context, s appregistry.Set) (appregistry.Receipt, error)
}

// Config is what a renewer is made of. Only Providers is required.
type Config struct {
	Providers map[string]plugins.Provider // by the name that applications ask for
	Stager    Stager                      // nil: nothing is staged, and no application may ask for it
	Store     appregistry.Store           // nil: in memory, forgotten when Run returns

	Policy   Policy            // zero: the defaults
	Policies map[string]Policy // more that an application may choose by name, besides the presets

	// Instances has the operator's policies for providers, by their names; one that
	// is not there is renewed and replaced by Policy.
	Instances map[string]InstancePolicy

	PerAuthority int // calls to one issuing service at a time; 0: 16
	PerTarget    int // stagings at a time for one file system; 0: 8
	// CallsPerSecond to one issuing service, a tenth of them at once after a pause;
	// 0: 100, below 0: no bound. A service that says that it is busy, or does not
	// answer in time, gets half as many, then gradually more.
	CallsPerSecond float64
	CallTimeout    time.Duration // of each call to a provider or stager; 0: 30 s

	Hooks    Hooks
	Logger   *slog.Logger // nil: silent; a change of its level is noticed within 10 s
	Instance string       // names this installation; a store of another one is proved again before any cancel

	// Clock gives the time since some fixed moment, never backwards and going on
	// through suspend, and the date. nil: the machine's clocks.
	Clock func() (boot time.Duration, wall time.Time)
}

func (c Config) withDefaults() Config {
	orElse := func(n *int, v int) {
		if *n <= 0 {
			*n = v
		}
	}
	orElse(&c.PerAuthority, 16)
	orElse(&c.PerTarget, 8)
	c.CallsPerSecond = cmp.Or(c.CallsPerSecond, 100)
	if c.CallTimeout <= 0 {
		c.CallTimeout = 30 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) clock() clock.Source {
	if c.Clock == nil {
		return clock.System()
	}
	return clock.Func(func() clock.Instant {
		boot, wall := c.Clock()
		return clock.Instant{Boot: boot, Wall: wall}
	})
}

// Renewer keeps tokens alive while Run runs. Make one with [New].
type Renewer struct {
	cfg    Config
	clock  clock.Source
	router *router
	begun  atomic.Bool
	inbox  *inbox
	next   atomic.Uint64 // the last request number
}

// New checks the configuration. It starts nothing and calls no provider.
func New(c Config) (*Renewer, error) {
	if len(c.Providers) == 0 {
		return nil, errors.New("renewer: no provider is configured")
	}
	for name, p := range c.Providers {
		if err := checkInstanceName(name); err != nil {
			return nil, fmt.Errorf("renewer: %w", err)
		}
		if p == nil {
			return nil, fmt.Errorf("renewer: provider %q is nil", name)
		}
	}
	for name := range c.Instances {
		if _, ok := c.Providers[name]; !ok {
			return nil, fmt.Errorf("renewer: a policy for %q, and no provider of that name", name)
		}
	}
	c = c.withDefaults()
	return &Renewer{cfg: c, clock: c.clock(), router: newRouter(c), inbox: newInbox()}, nil
}

// Run keeps tokens alive until f returns or ctx ends, and returns what f
// returned; a nil f runs until ctx ends. The context of f ends when the engine
// fails, and Run then returns the engine's error. Applications are those of the
// store, then what is registered. Run is called once.
func (r *Renewer) Run(ctx context.Context, f func(ctx context.Context) error) error {
	if r.begun.Swap(true) {
		return errors.New("renewer: Run was called before")
	}
	told := newNotices(r.cfg.Hooks, r.cfg.Logger)
	c := core.New(core.Config{
		Hears:  told.hears,
		Policy: core.Policy(r.cfg.Policy), Policies: corePolicies(r.cfg.Policies), Instances: coreInstances(r.cfg.Instances),
		Seed: randomSeed(), Instance: r.cfg.Instance, Volatile: r.cfg.Store == nil,
	})
	if r.cfg.Store != nil {
		if err := r.cfg.Store.Load(ctx, c.Load); err != nil {
			return fmt.Errorf("load the registry: %w", err)
		}
	}
	jobCtx, endJob := context.WithCancelCause(ctx)
	defer endJob(nil)
	l := newLoop(r, c, told)
	r.inbox.set(inboxOpen) // so that f may register at once
	var engine error
	var running sync.WaitGroup
	running.Go(func() {
		engine = l.run(jobCtx)
		endJob(engine)
	})
	err := runJob(jobCtx, f)
	endJob(err)
	running.Wait()
	if engine != nil {
		return engine
	}
	return err
}

func runJob(ctx context.Context, f func(ctx context.Context) error) error {
	if f != nil {
		return f(ctx)
	}
	<-ctx.Done()
	return nil
}
