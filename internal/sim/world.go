package sim

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/internal/core"
)

// world is all there is besides the engine.
type world struct {
	cfg    Config
	random *rand.Rand
	plan   *schedule
	origin time.Time     // the true date at boot time 0
	off    time.Duration // how far our wall clock is from it
	now    time.Duration // boot time
	events events

	services []*service
	store    memory
	readers  map[string]*reader // by directory
	engine   *engine
	judge    *judge
	report   *Report
	history  history

	lastApp     int
	lastRequest core.Request
	lastOf      map[string]*app // the last application of a user that brought tokens
	living      map[*app]struct{}
	err         error
}

// Run runs a world to its end, or to that of ctx, and tells what happened.
func Run(ctx context.Context, c Config) (*Report, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	w := &world{
		cfg: c, random: rand.New(rand.NewPCG(c.Seed, 1)), // #nosec G404 -- it must be repeatable
		origin: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), store: memory{}, readers: map[string]*reader{},
		report: newReport(c), history: history{fnv.New64a()}, lastOf: map[string]*app{}, living: map[*app]struct{}{},
	}
	w.plan = newSchedule(c, w.random)
	w.judge = &judge{w: w, jobs: make([][]job, c.Services)}
	for i := range c.Services {
		skew := c.Faults.Skew
		if i%2 == 1 {
			skew = -skew
		}
		authority := appregistry.Authority{Instance: "hdfs", Name: fmt.Sprintf("ns%d", i+1)}
		w.services = append(w.services, &service{
			index: i, name: authority.String(), authority: authority,
			secrets: hadooptest.NewSecretManager(c.Lifetimes), skew: skew, protected: i%2 == 0,
			leases: map[string]*lease{}, calls: Calls{},
		})
	}
	w.prepare()
	w.newEngine()
	if err := w.turn(ctx); err != nil {
		return nil, err
	}
	w.finish()
	return w.report, nil
}

// prepare plans what happens whatever the engine does.
func (w *world) prepare() {
	f := w.cfg.Faults
	for _, l := range f.Losses {
		w.at(l.At, func() { w.forgetAll(w.services[l.Service-1]) })
	}
	for _, s := range f.Steps {
		w.at(s.At, func() { w.off += s.By })
	}
	for range f.Crashes {
		w.at(time.Duration(w.random.Int64N(int64(w.cfg.Length))), func() {
			w.engine.awake(func() { w.engine.cutAfter = w.random.IntN(4) })
		})
	}
	for at := day; at < w.cfg.Length; at += day {
		w.at(at, func() {
			for _, s := range w.services {
				s.sweep(w.now)
			}
		})
	}
	// Half of the applications stay to the end; the places of the others change
	// hands.
	for i := range w.cfg.Apps {
		w.settle(time.Duration(w.random.Int64N(int64(w.cfg.Arrivals))), i%2 == 0)
	}
}

func (w *world) at(t time.Duration, run func()) { w.events.add(max(t, w.now), run) }

// wall is what our own clock shows.
func (w *world) wall() time.Time { return w.origin.Add(w.now + w.off) }

func (w *world) service(name string) *service {
	for _, s := range w.services {
		if s.name == name {
			return s
		}
	}
	w.fail(fmt.Errorf("the engine called %s, which is not there", name))
	return w.services[0]
}

func (w *world) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// lookAt is how many events pass between two looks at the context.
const lookAt = 1 << 12

func (w *world) turn(ctx context.Context) error {
	for n := 0; w.err == nil; n++ {
		if n%lookAt == 0 && ctx.Err() != nil {
			return fmt.Errorf("simulation ended at %v: %w", w.now, context.Cause(ctx))
		}
		at, planned := w.events.next()
		tick, wanted := w.engine.nextTick()
		switch {
		case wanted && (!planned || tick <= at) && tick <= w.cfg.Length:
			w.now, w.engine.lateTick = tick, 0
			w.engine.step(core.Tick{})
		case planned && at <= w.cfg.Length:
			w.now = at
			w.events.take().run()
		default:
			w.now = w.cfg.Length
			return w.err
		}
	}
	return w.err
}

// nextTick is when the engine's timer comes.
func (e *engine) nextTick() (time.Duration, bool) {
	due, ok := e.core.Next()
	if !ok {
		return 0, false
	}
	at := max(due, e.w.now)
	if late := e.w.cfg.Faults.LateTicks; late > 0 {
		// What happens in between puts it off no further.
		if e.lateTick == 0 || due < e.tickFor || due > e.lateTick {
			e.tickFor, e.lateTick = due, at+time.Duration(e.w.random.Int64N(int64(late)))
		}
		at = max(e.lateTick, e.w.now)
	}
	if sleep, ok := e.w.plan.suspends.at(at); ok {
		at = sleep.to
	}
	return at, true
}
