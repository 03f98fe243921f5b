package renewer

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/internal/dispatch"
)

// pool makes calls to the world outside when the queue lets them go: for each
// service its share of calls at a time and its budget of calls a second. There
// is no bound over all services, since there are only as many as the operator
// configured, and with one any few of them that hang could take the workers of
// all others. A call that does not return when its context ends is answered for,
// and keeps its place in the share until it returns.
type pool struct {
	ctx context.Context // ends every call
	r   *Renewer

	mu    sync.Mutex // guards what follows
	queue *dispatch.Queue[core.Action]
	alarm *time.Timer // set while a budget holds calls back
}

func newPool(ctx context.Context, r *Renewer) *pool {
	p := &pool{ctx: ctx, r: r, queue: dispatch.New[core.Action](r.limits)}
	p.alarm = time.AfterFunc(longestSleep, p.start)
	p.alarm.Stop()
	return p
}

// add takes an action that is a call. It begins at the next start.
func (p *pool) add(a core.Action) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue.Add(waiting(a))
}

// start begins all that may begin now, and is called again when more may.
func (p *pool) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.startLocked()
}

func (p *pool) startLocked() {
	now := p.r.clock.Now().Boot
	p.queue.Start(now, func(c dispatch.Call[core.Action]) {
		t := p.r.task(c.Value)
		t.service = c.Service
		go p.run(t)
	})
	if next, ok := p.queue.Next(); ok {
		p.alarm.Reset(max(0, min(next-now, longestSleep)))
	}
}

func (p *pool) run(t task) {
	ctx, cancel := context.WithTimeout(p.ctx, t.timeout)
	defer cancel()
	c := &place{pool: p, service: t.service}
	done := make(chan core.Event, 1)
	go func() {
		ev := guarded(ctx, t)
		done <- ev
		c.leave(t.outcome(ctx, ev))
	}()
	select {
	case ev := <-done:
		t.answer(ev)
		return
	case <-ctx.Done():
	}
	// What it brings may be a token: it gets a little time to notice.
	limit := time.NewTimer(lateFor)
	defer limit.Stop()
	select {
	case ev := <-done:
		t.answer(ev)
	case <-limit.C:
		c.giveUp()
		t.giveUp(fmt.Errorf("no answer: %w", context.Cause(ctx)), done)
	}
}

// lateFor is how long a call may take to notice that its context ended.
const lateFor = 2 * time.Second

// place is a call's place in the share of its service.
type place struct {
	pool    *pool
	service string
	// Both under the pool's mu.
	left    bool
	givenUp bool
}

// leave gives the place back.
func (c *place) leave(o dispatch.Outcome) {
	p := c.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	c.left = true
	if c.givenUp {
		o = dispatch.GivenUp
	}
	p.queue.Done(p.r.clock.Now().Boot, c.service, o)
	p.startLocked()
}

// giveUp says that the call hangs.
func (c *place) giveUp() {
	p := c.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.left {
		return
	}
	c.givenUp = true
	p.queue.GiveUp(p.r.clock.Now().Boot, c.service)
	p.startLocked()
}

// dropQueue forgets what has not begun and returns how much that was.
func (p *pool) dropQueue() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.alarm.Stop()
	return p.queue.Drop()
}

// guarded turns a panic of a provider or stager into an error of this one call.
func guarded(ctx context.Context, t task) (ev core.Event) {
	defer func() {
		if err := panicError(recover()); err != nil {
			ev = t.failed(err)
		}
	}()
	return t.do(ctx)
}

// panicError is a recovered panic as an error. Of what was thrown only the
// runtime's own errors are told, since anything else may carry a secret.
func panicError(v any) error {
	switch v := v.(type) {
	case nil:
		return nil
	case runtime.Error:
		return fmt.Errorf("panic: %w", v)
	default:
		return fmt.Errorf("panic with a value of type %T", v)
	}
}
