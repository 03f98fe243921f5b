package renewer

import (
	"container/heap"
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/core"
)

// task is one call to the world outside.
type task struct {
	key     string        // the service it goes to
	share   int           // calls to that service at a time
	before  time.Duration // boot time at which it is needed; nearer ones go first
	yields  bool          // goes behind all that do not
	timeout time.Duration
	do      func(ctx context.Context) core.Event
	failed  func(err error) core.Event
	answer  func(core.Event)
	// unfinished answers for a call that does not return in time, instead of
	// failed; its own answer then comes by late. Both nil: it is dropped.
	unfinished func(err error) core.Event
	late       func(core.Event)
	order      uint64
}

// pool runs tasks, for each service its share of calls at a time and no more.
// There is no bound over all services, since there are only as many as the
// operator configured, and with one any few of them that hang could take the
// workers of all others. A call that does not return when its context ends is
// answered for, and keeps its place in the share until it returns.
type pool struct {
	ctx context.Context // ends every call

	mu     sync.Mutex // guards what follows
	order  uint64
	queues map[string]*queue
}

// queue is the tasks for one service.
type queue struct {
	waiting taskHeap
	running int
}

func newPool(ctx context.Context) *pool {
	return &pool{ctx: ctx, queues: map[string]*queue{}}
}

func (p *pool) add(t task) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.order++
	t.order = p.order
	q := p.queues[t.key]
	if q == nil {
		q = &queue{}
		p.queues[t.key] = q
	}
	heap.Push(&q.waiting, t)
	p.start(q)
}

// start begins as many of a service's tasks as its share allows, nearest first.
// The caller holds mu.
func (p *pool) start(q *queue) {
	for len(q.waiting) > 0 && q.running < q.waiting[0].share {
		t := heap.Pop(&q.waiting).(task)
		q.running++
		go p.run(t)
	}
}

func (p *pool) run(t task) {
	ctx, cancel := context.WithTimeout(p.ctx, t.timeout)
	defer cancel()
	done := make(chan core.Event, 1)
	go func() {
		done <- guarded(ctx, t)
		p.leave(t.key)
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
		t.giveUp(fmt.Errorf("no answer: %w", context.Cause(ctx)), done)
	}
}

// lateFor is how long a call may take to notice that its context ended.
const lateFor = 2 * time.Second

// giveUp answers for a call that does not return, and hands on what it brings if
// it does after all.
func (t task) giveUp(err error, done <-chan core.Event) {
	if t.unfinished == nil {
		t.answer(t.failed(err))
		return
	}
	t.answer(t.unfinished(err))
	t.late(<-done)
}

// leave gives back a place in a service's share.
func (p *pool) leave(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.queues[key]
	q.running--
	p.start(q)
	if q.running == 0 {
		delete(p.queues, key)
	}
}

// dropQueue forgets what has not begun and returns how much that was.
func (p *pool) dropQueue() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, q := range p.queues {
		n += len(q.waiting)
		q.waiting = nil
	}
	return n
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

type taskHeap []task

func (h taskHeap) Len() int { return len(h) }
func (h taskHeap) Less(i, j int) bool {
	t, u := h[i], h[j]
	if t.yields != u.yields {
		return u.yields
	}
	if t.before != u.before {
		return t.before < u.before
	}
	return t.order < u.order
}
func (h taskHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *taskHeap) Push(x any)   { *h = append(*h, x.(task)) }
func (h *taskHeap) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = task{}
	*h = (*h)[:last]
	return t
}
