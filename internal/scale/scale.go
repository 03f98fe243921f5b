// Package scale measures what the engine costs as applications and tokens grow:
// registrations a second, memory a token, restart, and work while nothing or
// little is due. It drives the engine through its public door, with a provider
// that does nothing in the place of the network. Each figure is a name, a value
// and a unit, so that a program can set it beside another system's.
package scale

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/appregistry/boltstore"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// Load is what to measure.
type Load struct {
	Apps    int // 0: 10,000
	Tokens  int // of each application, its own; 0: 1
	Callers int // goroutines that register; 0: 1,024
	Workers int // calls to the provider at a time; 0: 16
	// Renew each token once at its registration, through the workers. Else
	// nothing is renewed, as by a policy that only replaces: without verification
	// alone the first renewal would merely come after the answer.
	Renew bool
	// Pace is how many registrations begin in a second, each at its time whether or
	// not those before it are answered; how long they take is told then. 0: as many
	// as the callers can.
	Pace int
	// Store is the path of a store file to be made; "": in memory. With a store
	// the engine is stopped and started again, and that is measured too.
	Store string
	// Quiet is how long to watch the engine once all is registered; 0: not at all.
	Quiet time.Duration
	// Registered is called when all is registered, for a heap profile; nil: not.
	Registered func()
}

// Figure is one thing measured.
type Figure struct {
	Name  string
	Value float64
	Unit  string
}

// String is the form for programs: name, value and unit.
func (f Figure) String() string {
	return f.Name + " " + strconv.FormatFloat(f.Value, 'g', 6, 64) + " " + f.Unit
}

// Measure runs the load and returns its figures.
func Measure(ctx context.Context, l Load) ([]Figure, error) {
	orElse(&l.Apps, 10_000)
	orElse(&l.Tokens, 1)
	orElse(&l.Callers, 1024)
	orElse(&l.Workers, 16)
	m := &measurement{load: l, provider: &provider{begun: time.Now().Truncate(time.Millisecond)}}
	m.add("apps", float64(l.Apps), "apps")
	m.add("tokens", float64(l.Apps*l.Tokens), "tokens")
	if err := m.session(ctx, m.first); err != nil {
		return nil, err
	}
	if l.Store == "" {
		return m.figures, nil
	}
	m.restarted, m.usage = time.Now(), usage()
	return m.figures, m.session(ctx, m.second)
}

func orElse(n *int, v int) {
	if *n <= 0 {
		*n = v
	}
}

type measurement struct {
	load      Load
	provider  *provider
	restarted time.Time
	usage     spending        // when it was restarted
	base      uint64          // live bytes before anything was registered
	took      []time.Duration // each registration, where they are paced
	figures   []Figure
}

func (m *measurement) add(name string, value float64, unit string) {
	m.figures = append(m.figures, Figure{name, value, unit})
}

// session runs one life of the engine around what f measures.
func (m *measurement) session(ctx context.Context, f func(context.Context, *renewer.Renewer) error) (err error) {
	cfg := renewer.Config{
		Providers:      map[string]plugins.Provider{"scale": m.provider},
		PerAuthority:   m.load.Workers,
		CallsPerSecond: -1, // what is measured is the engine, not its restraint
		Policy:         renewer.Policy{ReplaceOnly: !m.load.Renew},
	}
	m.base = liveBytes()
	if m.load.Store != "" {
		store, err := boltstore.Open(m.load.Store, boltstore.Options{})
		if err != nil {
			return err
		}
		defer func() { _ = store.Close() }()
		cfg.Store = store
	}
	r, err := renewer.New(cfg)
	if err != nil {
		return err
	}
	return r.Run(ctx, func(ctx context.Context) error { return f(ctx, r) })
}

func (m *measurement) first(ctx context.Context, r *renewer.Renewer) error {
	if err := m.plainSyncs(); err != nil {
		return err
	}
	before := usage()
	if err := m.register(ctx, r); err != nil {
		return err
	}
	spent := usage().since(before)
	m.quantiles("register", m.took)
	m.took = nil // nothing of it is the engine's memory
	apps := float64(m.load.Apps)
	m.add("register.rate", apps/spent.wall.Seconds(), "apps/s")
	m.add("register.time", spent.wall.Seconds(), "s")
	m.add("register.cpu", spent.cpu.Seconds()/apps*1e6, "us/app")
	m.add("register.allocations", float64(spent.allocations)/apps, "/app")
	m.add("register.allocated", float64(spent.allocated)/apps, "B/app")
	m.add("register.renewals", float64(m.provider.renewals.Load()), "calls")
	m.watch("quiet")
	m.memory()
	if m.load.Registered != nil {
		m.load.Registered()
	}
	return nil
}

// second measures a start from what the first session left.
func (m *measurement) second(ctx context.Context, r *renewer.Renewer) error {
	m.add("restart.accepts", time.Since(m.restarted).Seconds(), "s")
	if err := r.Register(ctx, m.app(m.load.Apps)); err != nil {
		return err
	}
	m.add("restart.answers", time.Since(m.restarted).Seconds(), "s")
	for {
		n, err := r.As(renewer.Caller{Trusted: true}).Counts(ctx)
		if err != nil {
			return err
		}
		if n.Restoring == 0 {
			break
		}
		<-time.After(10 * time.Millisecond)
	}
	m.add("restart.armed", time.Since(m.restarted).Seconds(), "s")
	m.add("restart.cpu", usage().since(m.usage).cpu.Seconds(), "s")
	m.watch("after-restart")
	m.memory()
	return nil
}

// register registers all applications and returns when each has its answer.
func (m *measurement) register(ctx context.Context, r *renewer.Renewer) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var next atomic.Int64
	var callers sync.WaitGroup
	if m.load.Pace > 0 {
		m.took = make([]time.Duration, m.load.Apps)
	}
	begun := time.Now()
	for range min(m.load.Callers, m.load.Apps) {
		callers.Go(func() {
			for ctx.Err() == nil {
				n := int(next.Add(1)) - 1
				if n >= m.load.Apps {
					return
				}
				due := begun
				if m.took != nil {
					due = begun.Add(time.Duration(n) * time.Second / time.Duration(m.load.Pace))
					<-time.After(time.Until(due))
				}
				if err := r.Register(ctx, m.app(n)); err != nil {
					stop(err)
				}
				if m.took != nil {
					m.took[n] = time.Since(due)
				}
			}
		})
	}
	callers.Wait()
	return context.Cause(ctx)
}

func appID(n int) appregistry.AppID { return appregistry.AppID(fmt.Sprintf("application-%08d", n)) }

func (m *measurement) app(n int) appregistry.App {
	a := appregistry.App{ID: appID(n), User: "alice", Verify: appregistry.VerifyNone}
	if m.load.Renew {
		a.Verify = appregistry.VerifyRenew
	}
	a.Credentials.Tokens = make(map[string]plugins.Token, m.load.Tokens)
	for i := range m.load.Tokens {
		alias := "scale"
		if i > 0 {
			alias = fmt.Sprintf("scale-%d", i)
		}
		a.Credentials.Tokens[alias] = token(n*m.load.Tokens + i)
	}
	return a
}

// memory tells the live heap that came with the tokens, and what of it is not
// their own bytes.
func (m *measurement) memory() {
	phase := "registered"
	if !m.restarted.IsZero() {
		phase = "restarted"
	}
	grown := float64(liveBytes()) - float64(m.base)
	tokens := float64(m.load.Apps * m.load.Tokens)
	m.add(phase+".heap", grown/1e6, "MB")
	m.add(phase+".heap.token", grown/tokens, "B/token")
	m.add(phase+".engine.token", grown/tokens-identifierSize-passwordSize, "B/token")
	m.add(phase+".rss", residentBytes()/1e6, "MB")
	m.add(phase+".goroutines", float64(runtime.NumGoroutine()), "goroutines")
}

// watch tells what the engine spends while its callers are quiet.
func (m *measurement) watch(phase string) {
	if m.load.Quiet <= 0 {
		return
	}
	renewals, before := m.provider.renewals.Load(), usage()
	<-time.After(m.load.Quiet)
	spent := usage().since(before)
	m.add(phase+".cpu", 100*spent.cpu.Seconds()/spent.wall.Seconds(), "%core")
	m.add(phase+".renewals", float64(m.provider.renewals.Load()-renewals)/spent.wall.Seconds(), "/s")
}
