// Package core is the engine as a value: Step takes what happened and returns
// what to do.
//
// It drives the registry, the timer wheel and the state table of states.go, and
// nothing else: no goroutine, channel, lock, clock or I/O, and no randomness but
// a seeded source. The loop of package renewer, the simulator and the property
// tests drive the same core. A Core belongs to one goroutine.
//
// Memory leads and the store follows: a step changes memory at once and marks
// the records it touched; what may only happen afterwards (an acknowledgement, a
// staging, a cancel) waits for the commit that holds them.
package core

import (
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/clock"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// Config is what a core is made of. The zero value works.
type Config struct {
	Policy Policy
	// Policies are those that an application may choose by the overlay key
	// policy, besides the presets.
	Policies map[string]Policy
	// Seed of the random source that spreads due times.
	Seed uint64
	// Instance names this installation. Records of another one, such as a
	// restored backup, lose their proofs: everything is proved again before
	// anything is cancelled.
	Instance string
}

// Snapshot is what an application should hold now.
type Snapshot struct {
	Credentials plugins.Credentials
	// Generation is that of the last set on its way; 0: none yet.
	Generation uint32
	Ready      bool
}

// AppStatus is what an operator may know of one application. It holds no secret.
type AppStatus struct {
	Key        appregistry.AppKey
	User       string
	UUID       string
	Generation uint32
	Ready      bool
	Entries    map[string]appregistry.EntryID // by alias
	// Missing says by authority why a planned token is not there.
	Missing map[string]string
	// NextStage is when staging is tried next, by our wall clock; zero: not planned.
	NextStage time.Time
}

// Core is the engine. Make one with [New].
type Core struct {
	cfg Config
}

// New returns an empty core. It does nothing until its first event, [Start].
func New(cfg Config) *Core { return &Core{cfg: cfg} }

// Load takes one record of the store, in the store's order, before Start.
func (c *Core) Load(key, value []byte) error { return nil }

// Step tells the core what happened and returns what to do about it. The slice
// belongs to the caller. Instants must not go backwards in boot time.
func (c *Core) Step(now clock.Instant, ev Event) []Action { return nil }

// Next is the boot time at which the next [Tick] is wanted; false: none is.
func (c *Core) Next() (time.Duration, bool) { return 0, false }

// Entries lists all entries, in order of their ids. It holds no password.
func (c *Core) Entries() []appregistry.Entry { return nil }

// Apps lists all applications, in order of registration.
func (c *Core) Apps() []AppStatus { return nil }

// Current is what the application should hold now. The credentials' maps are the
// caller's, their bytes are shared and not to be changed. The error is
// appregistry.ErrNotFound where there is no such application.
func (c *Core) Current(key appregistry.AppKey) (Snapshot, error) {
	return Snapshot{}, appregistry.ErrNotFound
}
