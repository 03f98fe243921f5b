// Package core is the engine as a value: Step takes what happened and returns
// what to do.
//
// It drives the registry, the timer wheel and the state table of states.go, and
// nothing else: no goroutine, channel, lock, clock or I/O, and no randomness but
// a seeded source. The loop of package renewer and the property
// tests drive the same core. A Core belongs to one goroutine.
//
// Memory leads and the store follows: a step changes memory at once and marks
// the records it touched; what may only happen afterwards (an acknowledgement, a
// staging, a cancel) waits for the commit that holds them.
package core

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/clock"
	"github.com/tokenwheel/tokenwheel/internal/wheel"
)

// Config is what a core is made of. The zero value works.
type Config struct {
	Policy Policy
	// Policies are those that an application may choose by the overlay key
	// policy, besides the presets.
	Policies map[string]Policy
	// Instances has the operator's policies for provider instances, by name.
	Instances map[string]Instance
	// Seed of the random source that spreads due times. It also marks what this
	// session writes: a random one for each session, where several may have one store.
	Seed uint64
	// Instance names this installation. Records of another one, such as a
	// restored backup, lose their proofs: everything is proved again before
	// anything is cancelled.
	Instance string
	// Volatile: there is no store. Nothing is committed, and what would wait for
	// a commit goes on within its step.
	Volatile bool
	// Hears says whether anybody hears a notice; one that nobody does is not made.
	// nil: all are made. [StoreTaken] always is.
	Hears func(What) bool
	// Open is how many records are kept open beside those in use; 0: a
	// thousand, below 0: none.
	Open int
	// AtOnce is how many stored records a tick sets going, and how many due timers a
	// step takes on; 0: some hundred.
	AtOnce int
}

// Core is the engine. Make one with [New].
type Core struct {
	cfg    Config
	reg    *appregistry.Registry
	loader *appregistry.Loader
	wheel  *wheel.Wheel
	random *rand.Rand
	clocks clocks
	now    clock.Instant
	out    []Action

	instances  map[string]*Instance
	plain      Instance // of instances that the operator has said nothing about
	demands    map[appregistry.TokenID]*demand
	groups     map[groupKey]*group
	rivals     map[appregistry.AppKey]uint64 // registrations that wait to replace one
	supplies   map[appregistry.Supply]*supply
	numbered   map[uint64]*supply // the supplies by their number, for timers
	lastSupply uint64
	jobs       map[Job]job
	lastJob    Job

	stored   stored  // until all of it is pending
	pending  pending // until all of it goes
	commit   committer
	counters counters
	lazy     map[appregistry.TokenID]struct{} // changed, to be written within lazyFor
	cancels  cancelWindow
	pauses   timer           // of a look at whose cancels are paused
	asked    map[string]bool // tenants of whose paused cancels one has asked since; "": where all are paused
	// departing is who registered the application that leaves in this step.
	departing string
	epoch     uint32
	taken     error // the store belongs to another: nothing is done any more
}

// New returns an empty core. It does nothing until its first event, [Start].
func New(cfg Config) *Core {
	c := &Core{
		cfg: cfg, reg: appregistry.NewRegistry(), wheel: wheel.New(), random: rand.New(rand.NewPCG(cfg.Seed, 0)),
		clocks:    clocks{measured: map[appregistry.Authority]time.Time{}, behind: map[appregistry.Authority][]time.Time{}, doubtful: map[appregistry.Authority]bool{}, shown: map[appregistry.Authority]time.Time{}},
		instances: map[string]*Instance{},
		demands:   map[appregistry.TokenID]*demand{},
		groups:    map[groupKey]*group{},
		rivals:    map[appregistry.AppKey]uint64{},
		supplies:  map[appregistry.Supply]*supply{}, numbered: map[uint64]*supply{},
		jobs: map[Job]job{}, lazy: map[appregistry.TokenID]struct{}{},
	}
	c.stored.clocks = map[appregistry.Authority]*storedClock{}
	c.loader = c.reg.Loader(c.storedApp, c.storedToken)
	for name, i := range cfg.Instances {
		c.instances[name] = &i
	}
	if cfg.Volatile {
		c.reg.Volatile()
	}
	return c
}

// Step tells the core what happened and returns what to do about it. The slice
// is used again by the next step. Instants must not go backwards in boot time.
func (c *Core) Step(now clock.Instant, ev Event) []Action {
	clear(c.out) // it must keep nothing alive
	c.now, c.out = now, c.out[:0]
	if c.taken != nil {
		c.turnAway(ev, c.taken)
		return c.out
	}
	c.wheel.AdvanceSome(now.Boot, cmp.Or(c.cfg.AtOnce, fewAtOnce), c.fire)
	c.handle(ev)
	c.flush()
	_, idle := ev.(Tick)
	c.tidy(idle && !c.pending.going)
	return c.out
}

func (c *Core) handle(ev Event) {
	switch ev := ev.(type) {
	case Start:
		c.start()
	case Register:
		c.register(&ev)
	case Unregister:
		c.unregister(ev)
	case KeepAlive:
		c.keepAlive(ev)
	case Abandon:
		c.abandon(ev)
	case Committed:
		c.committed(ev)
	case Obtained:
		c.obtained(ev)
	case Renewed:
		c.renewed(ev)
	case Cancelled:
		c.cancelled(ev)
	case Staged:
		c.staged(ev)
	case TokenCommand:
		c.tokenCommand(ev)
	case ResumeCancels:
		c.resumeCancels(ev)
	case Tick:
		c.resumeSome()
	}
}

// turnAway answers a request that cannot be served any more.
func (c *Core) turnAway(ev Event, err error) {
	switch ev := ev.(type) {
	case Register:
		c.reply(ev.Request, Done, err)
	case Unregister:
		c.reply(ev.Request, Done, err)
	case KeepAlive:
		c.reply(ev.Request, Done, err)
	case TokenCommand:
		c.reply(ev.Request, Done, err)
	case ResumeCancels:
		c.reply(ev.Request, Done, err)
	}
}

// Next is the boot time at which the next [Tick] is wanted; false: none is.
func (c *Core) Next() (time.Duration, bool) {
	if c.taken != nil {
		return 0, false
	}
	if c.pending.going {
		return c.now.Boot, true
	}
	return c.wheel.Next()
}

func (c *Core) emit(a Action) { c.out = append(c.out, a) }

// hears reports whether to make a notice.
func (c *Core) hears(what What) bool {
	return c.cfg.Hears == nil || what == StoreTaken || c.cfg.Hears(what)
}

// notify tells of something, unless nobody hears it.
func (c *Core) notify(n Notify) {
	if c.hears(n.What) {
		c.emit(n)
	}
}

func (c *Core) reply(r Request, m Moment, err error) { c.emit(Reply{Request: r, Moment: m, Err: err}) }

// What a timer of the wheel is for stands in the low bits of its id.
const (
	tokenTimer = iota
	supplyTimer
	appTimer
	coreTimer // of the core itself, by the numbers below
	timerBits = 2
)

const (
	commitRetry = iota
	lazyFlush
	cancelsCounted
	pausesDue
)

// timer is one place in the wheel. The zero value is not set.
type timer struct {
	handle wheel.Timer
	at     time.Duration
}

func (t timer) isSet() bool { return t.handle != 0 }

// set moves the timer to a boot time; never takes it out.
func (c *Core) set(t *timer, what int, id uint64, at time.Duration) {
	if t.isSet() && t.at == at {
		return
	}
	c.wheel.Cancel(t.handle)
	*t = timer{}
	if at != never {
		*t = timer{handle: c.wheel.Insert(id<<timerBits|uint64(what), at), at: at}
	}
}

// fire is called by the wheel for each timer that is due.
func (c *Core) fire(id uint64) {
	switch id, what := id>>timerBits, id%(1<<timerBits); what {
	case tokenTimer:
		c.tokenDue(c.token(appregistry.TokenID(id)))
	case supplyTimer:
		c.supplyDue(c.numbered[id])
	case appTimer:
		c.appDue(c.app(id))
	case coreTimer:
		c.coreDue(id)
	}
}

func (c *Core) coreDue(id uint64) {
	switch id {
	case commitRetry:
		c.commit.retry = timer{}
	case lazyFlush:
		c.commit.lazy = timer{}
		c.writeLazy()
	case cancelsCounted:
		c.cancels = cancelWindow{}
	case pausesDue:
		c.pauses = timer{}
		c.lookAtPauses()
	}
}

// job is a call that is out.
type job struct {
	what   jobKind
	token  appregistry.TokenID
	supply *supply
	app    uint64
	target int
	sent   time.Duration
	// keep: what this obtain brings is not to be cancelled, should nobody want it.
	keep bool
	// late: we go on without this obtain's answer, which may come yet.
	late bool
}

type jobKind uint8

const (
	obtainJob jobKind = iota
	renewJob
	cancelJob
	stageJob
)

func (c *Core) startJob(j job) Job {
	c.lastJob++
	j.sent = c.now.Boot
	c.jobs[c.lastJob] = j
	return c.lastJob
}

// takeJob ends a job. It reports false for an answer to nothing that is out.
func (c *Core) takeJob(id Job, what jobKind) (job, bool) {
	j, ok := c.jobs[id]
	if !ok || j.what != what {
		return job{}, false
	}
	delete(c.jobs, id)
	return j, true
}

// takeTokenJob ends a job about a token; nil where either is gone.
func (c *Core) takeTokenJob(id Job, what jobKind) *token {
	j, ok := c.takeJob(id, what)
	if !ok {
		return nil
	}
	t := c.token(j.token)
	if t != nil {
		t.job = 0
	}
	return t
}

// sortedKeys are a map's keys in order, at the cost of one slice.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
