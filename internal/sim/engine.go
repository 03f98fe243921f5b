package sim

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/clock"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/internal/dispatch"
)

// engine is one session of the daemon: the core with a shell around it, as
// package renewer is one with goroutines.
type engine struct {
	w        *world
	core     *core.Core
	dead     bool
	requests map[core.Request]func(core.Reply)
	commit   *core.Commit // the one that is out
	queue    *dispatch.Queue[core.Action]
	alarm    time.Duration // when the queue is looked at again, under a budget
	cutAfter int           // crash after so many actions of the next step; -1: no crash is due
	spins    int           // steps at one instant
	spinAt   time.Duration
	lateTick time.Duration // when the timer that is due comes, on a starved machine
	tickFor  time.Duration
}

// spinsMost is how many steps at one instant are taken for a loop that has no end.
const spinsMost = 10_000_000

// newEngine starts a session from what the store has.
func (w *world) newEngine() {
	e := &engine{w: w, requests: map[core.Request]func(core.Reply){}, cutAfter: -1}
	e.queue = dispatch.New[core.Action](w.limits)
	e.core = core.New(core.Config{Policy: w.cfg.Policy, Seed: w.random.Uint64(), Instance: "sim"})
	for _, key := range w.store.keys() {
		if err := e.core.Load([]byte(key), w.store[key]); err != nil {
			w.fail(fmt.Errorf("load record %q: %w", key, err))
			return
		}
	}
	w.engine = e
	e.step(core.Start{})
}

func (e *engine) now() clock.Instant { return clock.Instant{Boot: e.w.now, Wall: e.w.wall()} }

// awake runs f now, or, where the machine sleeps, when it wakes up.
func (e *engine) awake(f func()) {
	if sleep, ok := e.w.plan.suspends.at(e.w.now); ok {
		e.w.at(sleep.to, f)
		return
	}
	f()
}

// answer gives the core what a call brought, unless it crashed since.
func (e *engine) answer(ev core.Event) {
	e.awake(func() {
		if !e.dead {
			e.step(ev)
		}
	})
}

func (e *engine) request(event func(core.Request) core.Event, answered func(core.Reply)) core.Request {
	e.w.lastRequest++
	r := e.w.lastRequest
	e.requests[r] = answered
	e.answer(event(r))
	return r
}

// waits reports whether a request is to be answered yet.
func (e *engine) waits(r core.Request) bool { return e.requests[r] != nil }

func (e *engine) step(ev core.Event) {
	if e.spinAt != e.w.now {
		e.spinAt, e.spins = e.w.now, 0
	}
	if e.spins++; e.spins > spinsMost {
		e.w.fail(fmt.Errorf("the engine spins at %v: %d steps without an end", e.w.now, e.spins))
		return
	}
	e.w.report.Steps++
	acts := e.core.Step(e.now(), ev)
	for i, act := range acts {
		if e.cutAfter == 0 || (e.cutAfter > 0 && i == len(acts)-1) {
			e.crash()
			return
		}
		if e.cutAfter > 0 {
			e.cutAfter--
		}
		if e.w.cfg.Tamper == nil {
			e.do(act)
			continue
		}
		for _, act := range e.w.cfg.Tamper(act) {
			e.do(act)
		}
	}
	e.start()
}

func (e *engine) do(act core.Action) {
	switch act := act.(type) {
	case core.Reply:
		if answered := e.requests[act.Request]; answered != nil {
			if act.Moment == core.Done {
				delete(e.requests, act.Request)
			}
			// Not at once: who hears it may ask again, and the core is in a step.
			e.w.at(e.w.now, func() { answered(act) })
		}
	case core.Notify:
		e.w.report.notice(act)
		if act.What == core.StateBroken {
			e.w.fail(fmt.Errorf("the engine left its table of states: %s", act.Reason))
		}
	case core.Commit:
		e.save(act)
	case core.Renew:
		if l := e.w.service(act.Authority.String()).leases[string(act.Token.Identifier)]; l != nil && !l.askedSince {
			l.askedSince, l.askedAt = true, e.w.now
		}
		e.queue.Add(core.Waiting(act))
	default:
		e.queue.Add(core.Waiting(act))
	}
}

// crash ends the session. What was sent has its effect all the same; of the
// commit that was out nobody knows.
func (e *engine) crash() {
	e.dead = true
	e.w.report.Crashes++
	if e.commit != nil && e.w.random.IntN(2) == 0 {
		_ = e.w.store.apply(e.commit.Batch)
	}
	e.commit = nil
	e.w.newEngine()
}

// save makes a batch durable, a moment later.
func (e *engine) save(c core.Commit) {
	e.commit = &c
	w := e.w
	w.at(w.now+time.Millisecond+time.Duration(w.random.Int64N(int64(4*time.Millisecond))), func() {
		if e.dead {
			return
		}
		e.commit = nil
		_, down := w.plan.store.at(w.now)
		failed := down || w.random.Float64() < w.cfg.Faults.StoreFail
		var err error
		if failed {
			err = errors.New("write: input/output error")
		}
		if !failed || (!down && w.random.IntN(2) == 0) {
			if fenced := w.store.apply(c.Batch); fenced != nil {
				err = fenced
			}
		}
		e.answer(core.Committed{Seq: c.Seq, Err: err})
	})
}

// memory is the store.
type memory map[string][]byte

func (m memory) keys() []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (m memory) apply(b appregistry.Batch) error {
	if b.Fence != nil && !b.Fence.Holds(m[string(b.Fence.Key)]) {
		return appregistry.ErrFenced
	}
	for _, r := range b.Put {
		m[string(r.Key)] = r.Value
	}
	for _, key := range b.Delete {
		delete(m, string(key))
	}
	return nil
}
