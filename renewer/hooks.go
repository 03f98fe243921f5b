package renewer

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
)

// Hooks tell what happens, in order. All are called on one goroutine of their
// own, so that a slow hook delays no renewal; when it falls far behind, events
// are dropped and counted. nil funcs are skipped.
type Hooks struct {
	Renewed  func(Event) // a service extended a token
	Replaced func(Event) // a successor took a token's place
	Staged   func(Event) // a generation is at every target of its application
	Failed   func(Event) // an attempt failed; it is repeated at Event.Next
	Lost     func(Event) // a token ended with no successor while applications held it: somebody must act
	Each     func(Event) // everything, the above included, by Event.What
}

// of is the hook for one notice, besides Each.
func (h Hooks) of(what core.What) func(Event) {
	switch what {
	case core.TokenRenewed:
		return h.Renewed
	case core.TokenReplaced:
		return h.Replaced
	case core.SetStaged:
		return h.Staged
	case core.TryFailed, core.TryAlarmed, core.StoreFailed:
		return h.Failed
	case core.TokenLost:
		return h.Lost
	}
	return nil
}

// Event is one thing that happened. It holds no secret. Fields that do not apply
// are zero.
type Event struct {
	What        string // such as "token-renewed"; stable, docs/events.md lists all
	Op          string // the operation it is about: obtain, renew, cancel, stage or store
	Apps        []appregistry.AppKey
	Authority   appregistry.Authority
	Token       appregistry.TokenID
	Fingerprint string
	Kind        string
	Service     string
	Generation  uint32
	Target      appregistry.Target
	Reason      string
	Err         error
	Next        time.Time // when it is tried again, by our wall clock
	Expires     time.Time // by the issuing service's clock
}

// notices carries events from the loop to hooks and log.
type notices struct {
	hooks  Hooks
	log    *slog.Logger
	signal chan struct{}
	done   chan struct{}
	takes  atomic.Uint32 // the levels that the log takes, as of the last look

	mu      sync.Mutex // guards what follows
	waiting []core.Notify
	dropped int
	closed  bool
}

// mostWaiting bounds the memory that a hook which hangs can cost.
const mostWaiting = 1 << 16

func newNotices(h Hooks, log *slog.Logger) *notices {
	n := &notices{hooks: h, log: log, signal: make(chan struct{}, 1), done: make(chan struct{})}
	n.look()
	return n
}

// lookEach is how soon a change of the log's level is noticed at the latest.
const lookEach = 10 * time.Second

// look asks the log which levels it takes. It is somebody else's code, which the
// loop does not wait for.
func (n *notices) look() {
	var takes uint32
	for _, level := range []slog.Level{slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		_ = attempt(func() {
			if n.log.Enabled(context.Background(), level) {
				takes |= 1 << level
			}
		})
	}
	n.takes.Store(takes)
}

// hears reports whether a hook or the log, at its present level, takes a notice.
func (n *notices) hears(what core.What) bool {
	return n.hooks.Each != nil || n.hooks.of(what) != nil || n.takes.Load()&(1<<levelOf(what)) != 0
}

func (n *notices) put(a core.Notify) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.waiting) >= mostWaiting {
		n.dropped++
		return
	}
	n.waiting = append(n.waiting, a)
	n.wake()
}

func (n *notices) wake() {
	select {
	case n.signal <- struct{}{}:
	default:
	}
}

// close returns once everything told so far was heard, or after hearFor with a
// hook that hangs.
func (n *notices) close() {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	n.wake()
	limit := time.NewTimer(hearFor)
	defer limit.Stop()
	select {
	case <-n.done:
	case <-limit.C:
		_ = attempt(func() { n.log.Error("a hook does not return") })
	}
}

const hearFor = 5 * time.Second

func (n *notices) run() {
	defer close(n.done)
	again := time.NewTicker(lookEach)
	defer again.Stop()
	for {
		select {
		case <-n.signal:
		case <-again.C:
		}
		n.look()
		n.mu.Lock()
		batch, dropped, closed := n.waiting, n.dropped, n.closed
		n.waiting, n.dropped = nil, 0
		n.mu.Unlock()
		for _, a := range batch {
			n.tell(a)
		}
		if dropped > 0 {
			_ = attempt(func() { n.log.Warn("events dropped: a hook is too slow", "events", dropped) })
		}
		if closed {
			return
		}
	}
}

func (n *notices) tell(a core.Notify) {
	ev := Event{
		What: a.What.String(), Op: a.Op, Apps: a.Apps, Authority: a.Authority, Token: a.Token,
		Fingerprint: a.Fingerprint, Kind: a.Kind, Service: a.Service, Generation: a.Generation,
		Target: a.Target, Reason: a.Reason, Err: a.Err, Next: a.Next, Expires: a.Expires,
	}
	_ = attempt(func() { n.write(a.What, ev) })
	for _, hook := range []func(Event){n.hooks.of(a.What), n.hooks.Each} {
		if hook == nil {
			continue
		}
		if err := attempt(func() { hook(ev) }); err != nil {
			_ = attempt(func() { n.log.Error("a hook failed", "event", ev.What, "error", err) })
		}
	}
}

// attempt calls a hook, or the log. One that panics ends with that event: it must
// not end the program that somebody else's tokens depend on.
func attempt(f func()) (err error) {
	defer func() { err = panicError(recover()) }()
	f()
	return nil
}

// levelOf is that of a notice in the log: problems as such, the rest as
// information.
func levelOf(what core.What) slog.Level {
	switch what {
	case core.TryFailed, core.GrantOrphaned, core.CancelGivenUp, core.TokenEnded, core.TokenEnding:
		return slog.LevelWarn
	case core.TokenLost, core.TryAlarmed, core.AppRejected, core.CancelsPaused, core.StoreFailed, core.StoreTaken, core.StateBroken:
		return slog.LevelError
	case core.TokenObtained:
		return slog.LevelWarn // of one whose end nobody knows, else less
	}
	return slog.LevelInfo
}

func (n *notices) write(what core.What, ev Event) {
	level := levelOf(what)
	if what == core.TokenObtained && ev.Reason == "" {
		level = slog.LevelInfo
	}
	if !n.log.Enabled(context.Background(), level) {
		return
	}
	n.log.LogAttrs(context.Background(), level, ev.What, ev.attrs()...)
}

func (ev Event) attrs() []slog.Attr {
	var attrs []slog.Attr
	text := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	text("op", ev.Op)
	for _, app := range ev.Apps {
		text("app", app.String())
	}
	if !ev.Authority.IsZero() {
		text("authority", ev.Authority.String())
	}
	text("token", ev.Fingerprint)
	text("kind", ev.Kind)
	text("service", ev.Service)
	if ev.Generation > 0 {
		attrs = append(attrs, slog.Uint64("generation", uint64(ev.Generation)))
	}
	if ev.Target != (appregistry.Target{}) {
		text("target", ev.Target.String())
	}
	if ev.Err != nil {
		text("error", ev.Err.Error())
	}
	if ev.Err == nil || ev.Err.Error() != ev.Reason {
		text("reason", ev.Reason)
	}
	date := func(key string, at time.Time) {
		if !at.IsZero() {
			attrs = append(attrs, slog.Time(key, at))
		}
	}
	date("next", ev.Next)
	date("expires", ev.Expires)
	return attrs
}
