package renewer

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/clock"
	"github.com/tokenwheel/tokenwheel/internal/core"
)

const (
	// longestSleep bounds the wait between two looks at the clock, so that a
	// machine that slept is noticed soon.
	longestSleep = 10 * time.Second
	// drainFor is how long calls under way may take once the renewer stops.
	drainFor = 5 * time.Second
)

// loop is the one goroutine that owns the core. Whatever blocks runs elsewhere
// and answers through the inbox.
type loop struct {
	r        *Renewer
	core     *core.Core
	pool     *pool
	notices  *notices
	commits  chan core.Commit // one at most is out
	requests map[core.Request]*waiter
	flight   int // answers owed by workers and writer
	draining bool
	deposed  bool
	now      clock.Instant // as of the last look
	asked    []core.Action // calls that the pool does not know yet
}

func newLoop(r *Renewer, c *core.Core, told *notices) *loop {
	return &loop{
		r: r, core: c,
		notices:  told,
		commits:  make(chan core.Commit, 1),
		requests: map[core.Request]*waiter{},
	}
}

// run turns until ctx ends, then lets calls under way finish. Its error is the
// engine's own failure.
func (l *loop) run(ctx context.Context) error {
	l.pool = newPool(ctx, l.r)
	defer l.pool.end()
	writer := make(chan struct{})
	go func() {
		defer close(writer)
		l.write()
	}()
	go l.notices.run()

	l.tick(core.Start{})
	l.turn(ctx)
	l.draining = true
	l.drain()

	l.r.inbox.set(inboxClosed)
	l.refuseRest()
	close(l.commits)
	<-writer
	l.notices.close()
	if l.deposed {
		return ErrDeposed
	}
	return nil
}

// turn is the life of the loop: what came in, what is due, and sleep.
func (l *loop) turn(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var batch []item
	for !l.deposed {
		select {
		case <-ctx.Done():
			return
		case <-l.r.inbox.signal:
			runtime.Gosched() // those who are about to put something more come first
			batch = l.take(batch)
		case <-timer.C:
			l.tick(core.Tick{})
		}
		timer.Reset(l.untilNext())
	}
}

// take hands everything in the inbox to the core.
func (l *loop) take(buffer []item) []item {
	batch := l.r.inbox.swap(buffer)
	for i, it := range batch {
		if i%fewItems == 0 {
			l.look()
		}
		l.accept(it)
		batch[i] = item{} // the buffer is used again and must keep nothing alive
	}
	l.startCalls()
	return batch
}

func (l *loop) accept(it item) {
	if it.ask != nil {
		it.ask(l.core)
		return
	}
	if it.reply != nil {
		if l.draining {
			it.reply.end(ErrNotRunning)
			return
		}
		l.requests[it.reply.request] = it.reply
	}
	switch it.event.(type) {
	case core.Obtained, core.Renewed, core.Cancelled, core.Staged, core.Committed:
		if !it.late {
			l.flight--
		}
	}
	l.step(it.event)
}

func (l *loop) untilNext() time.Duration {
	due, ok := l.core.Next()
	if !ok {
		return longestSleep
	}
	return max(0, min(due-l.r.clock.Now().Boot, longestSleep))
}

// fewItems is how many items are taken between two looks at the clock, and
// before calls they ask for begin: few enough to keep the workers busy.
const fewItems = 32

// look reads the clock, and has the calls begin that were asked for so far.
func (l *loop) look() {
	l.startCalls()
	l.now = l.r.clock.Now()
}

// tick gives one event to the core that came from nobody.
func (l *loop) tick(ev core.Event) {
	l.look()
	l.step(ev)
	l.startCalls()
}

// step gives one event to the core and does what it says.
func (l *loop) step(ev core.Event) {
	for _, a := range l.core.Step(l.now, ev) {
		l.do(a)
	}
}

// startCalls begins what was asked for, once it can all be put in order.
func (l *loop) startCalls() {
	if len(l.asked) == 0 {
		return
	}
	l.pool.add(l.asked)
	clear(l.asked)
	if l.asked = l.asked[:0]; cap(l.asked) > 32*fewItems {
		l.asked = nil // a burst's memory is given back
	}
}

func (l *loop) do(a core.Action) {
	switch a := a.(type) {
	case core.Reply:
		l.reply(a)
	case core.Notify:
		l.deposed = l.deposed || a.What == core.StoreTaken
		l.notices.put(a)
	case core.Commit:
		l.flight++
		l.commits <- a
	default:
		l.work(a)
	}
}

// work hands a call to the workers. While the loop drains nothing new begins;
// the store remembers what is left to do.
func (l *loop) work(a core.Action) {
	if l.draining {
		return
	}
	l.flight++
	l.asked = append(l.asked, a)
}

func (l *loop) reply(a core.Reply) {
	w, ok := l.requests[a.Request]
	if !ok {
		return
	}
	if a.Moment == core.Done {
		delete(l.requests, a.Request)
	}
	w.hear(a)
}

// drain takes the answers of calls under way, since a token that a service has
// just given out must not be forgotten, and lets the last commit finish.
func (l *loop) drain() {
	l.flight -= l.pool.stop()
	limit := time.NewTimer(drainFor)
	defer limit.Stop()
	var batch []item
	for batch = l.take(batch); l.flight > 0; {
		select {
		case <-l.r.inbox.signal:
			batch = l.take(batch)
		case <-limit.C:
			return
		}
	}
}

func (l *loop) refuseRest() {
	l.draining = true
	l.take(nil)
	for _, w := range l.requests {
		w.end(ErrNotRunning)
	}
}

// write makes batches durable, one after the other. It uses no context that
// stopping would end: a commit that has begun is finished.
func (l *loop) write() {
	for c := range l.commits {
		ctx, cancel := context.WithTimeout(context.Background(), l.r.cfg.CallTimeout)
		err := l.r.cfg.Store.Commit(ctx, c.Batch)
		cancel()
		if err != nil && errors.Is(err, appregistry.ErrFenced) {
			l.r.cfg.Logger.Error("store taken over", "error", err)
		}
		l.r.inbox.put(item{event: core.Committed{Seq: c.Seq, Err: err}})
	}
}
