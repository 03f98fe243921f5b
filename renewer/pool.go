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
//
// A worker is a goroutine that makes a call and, when it has returned, the next
// one that may begin, so that a stack that has grown is used again. It ends when
// there is none.
type pool struct {
	r   *Renewer
	ctx context.Context // ends every call
	end context.CancelFunc

	mu    sync.Mutex // guards what follows
	queue *dispatch.Queue[core.Action]
	alarm *time.Timer // set while a budget holds calls back
	watch watch
}

// newPool returns a pool whose calls have the values of ctx and end with
// [pool.stop] alone.
func newPool(ctx context.Context, r *Renewer) *pool {
	p := &pool{r: r, queue: dispatch.New[core.Action](r.limits)}
	p.ctx, p.end = context.WithCancel(context.WithoutCancel(ctx))
	p.alarm, p.watch.timer = stopped(p.start), stopped(p.giveUp)
	return p
}

// stopped is a timer that calls f once it is set.
func stopped(f func()) *time.Timer {
	t := time.AfterFunc(longestSleep, f)
	t.Stop()
	return t
}

// add takes actions that are calls, and begins all calls that may begin now.
func (p *pool) add(actions []core.Action) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range actions {
		p.queue.Add(core.Waiting(a))
	}
	p.startLocked()
}

// start begins all calls that may begin now, and is called again when more may.
func (p *pool) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.startLocked()
}

func (p *pool) startLocked() {
	if c := p.nextLocked(p.r.clock.Now().Boot); c != nil {
		go p.work(c)
	}
}

// nextLocked begins all calls that may begin now: the first is the caller's to
// make, the others get workers of their own.
func (p *pool) nextLocked(now time.Duration) (first *call) {
	p.queue.Start(now, func(waited dispatch.Call[core.Action]) {
		c := p.r.call(waited)
		p.watch.add(c)
		if first == nil {
			first = c
		} else {
			go p.work(c)
		}
	})
	if next, ok := p.queue.Next(); ok {
		p.alarm.Reset(max(0, min(next-now, longestSleep)))
	}
	return first
}

// work makes a call, and then others for as long as one may begin.
func (p *pool) work(c *call) {
	for c != nil {
		ev, o := p.make(c)
		c = p.returned(c, ev, o)
	}
}

func (p *pool) make(c *call) (core.Event, dispatch.Outcome) {
	ctx, cancel := context.WithTimeout(p.ctx, c.timeout)
	defer cancel()
	ev := p.r.guarded(ctx, c.action)
	return ev, c.outcome(ctx, ev)
}

// returned hands on what a call brought, gives its place back and is the next
// call for its worker.
func (p *pool) returned(c *call, ev core.Event, o dispatch.Outcome) (next *call) {
	now := p.r.clock.Now().Boot
	p.mu.Lock()
	givenUp := c.givenUp
	if givenUp == nil {
		p.watch.remove(c)
	} else {
		o = dispatch.GivenUp
	}
	p.queue.Done(now, c.waited, o)
	next = p.nextLocked(now)
	p.mu.Unlock()
	if givenUp == nil {
		p.r.inbox.put(item{event: ev})
		return next
	}
	<-givenUp
	if _, ok := ev.(core.Obtained); ok { // a token that comes late is used or cancelled, and not forgotten
		p.r.inbox.put(item{event: ev, late: true})
	}
	return next
}

// giveUp answers for the calls that hang.
func (p *pool) giveUp() {
	p.mu.Lock()
	hung := p.watch.overdue(time.Now())
	now := p.r.clock.Now().Boot
	for _, c := range hung {
		c.givenUp = make(chan struct{})
		p.queue.GiveUp(now, c.waited)
	}
	p.startLocked()
	p.mu.Unlock()
	why := context.DeadlineExceeded
	if p.ctx.Err() != nil {
		why = p.ctx.Err()
	}
	for _, c := range hung {
		p.r.inbox.put(item{event: c.unfinished(fmt.Errorf("no answer: %w", why))})
		close(c.givenUp)
	}
}

// stop ends the calls under way, forgets those that have not begun and returns
// how many these were.
func (p *pool) stop() int {
	p.end()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.alarm.Stop()
	p.watch.hurry()
	return p.queue.Drop()
}

// guarded turns a panic of a provider or stager into an error of this one call.
func (r *Renewer) guarded(ctx context.Context, a core.Action) (ev core.Event) {
	defer func() {
		if err := panicError(recover()); err != nil {
			ev = core.Failed(a, err)
		}
	}()
	return r.do(ctx, a)
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
