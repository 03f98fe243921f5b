package sim

import (
	"context"
	"errors"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/internal/dispatch"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// fate is how a call goes.
type fate uint8

const (
	works     fate = iota
	fails          // without effect
	busy           // the same, since the service has too much to do
	garbled        // it has its effect, and the answer is an error
	hangs          // no answer and no effect
	hangsDone      // no answer, and its effect
	refuses        // nobody listens
	standby
	noLogin
)

var errOf = map[fate]error{
	fails:     errors.New("input/output error"),
	busy:      &plugins.Error{Code: plugins.CodeBusy, Err: errors.New("server too busy")},
	garbled:   errors.New("connection reset by peer"),
	hangs:     context.DeadlineExceeded,
	hangsDone: context.DeadlineExceeded,
	refuses:   errors.New("connection refused"),
	standby:   errors.New("operation category WRITE is not supported in state standby"),
	noLogin:   errors.New("no KDC of the realm answers"),
}

func (f fate) takesEffect() bool { return f == works || f == garbled || f == hangsDone }

func (f fate) silent() bool { return f == hangs || f == hangsDone }

// fate draws how a call goes where everything is up.
func (w *world) fate() fate {
	f := &w.cfg.Faults
	x := w.random.Float64()
	if x < f.Fail {
		if x < f.Fail/5 {
			return busy
		}
		return fails
	}
	if x -= f.Fail; x < f.Timeouts/2 {
		return hangs
	}
	if x -= f.Timeouts / 2; x < f.Timeouts/2 {
		return hangsDone
	}
	if x -= f.Timeouts / 2; x < f.Ambiguous {
		return garbled
	}
	return works
}

func (w *world) fateAt(s *service) fate {
	if down, ok := w.plan.outages[s.index].at(w.now); ok {
		// Of outages every other one refuses and every other one swallows.
		if int64(down.from)%2 == 0 {
			return refuses
		}
		return hangs
	}
	if _, down := w.plan.kdc.at(w.now); down {
		return noLogin
	}
	if _, over := w.plan.failovers[s.index].at(w.now); over {
		return standby
	}
	return w.fate()
}

// What a call takes: a few milliseconds, and sometimes many.
const (
	leastLatency  = 4 * time.Millisecond
	spreadLatency = 12 * time.Millisecond
	meanLatency   = leastLatency + spreadLatency
)

func (w *world) latency() time.Duration {
	return leastLatency + time.Duration(w.random.ExpFloat64()*float64(spreadLatency))
}

// capacity is how many calls a second one service gets from us at most.
func (w *world) capacity() float64 {
	share := float64(w.cfg.PerAuthority) / meanLatency.Seconds()
	return min(share, w.cfg.CallsPerSecond)
}

func (w *world) limits(service string) dispatch.Limits {
	if core.Stages(service) {
		return dispatch.Limits{Share: 8}
	}
	return dispatch.Limits{Share: w.cfg.PerAuthority, Rate: w.cfg.CallsPerSecond}
}

// start lets all calls go that may, and is called again when more may.
func (e *engine) start() {
	if e.dead {
		return
	}
	w := e.w
	e.queue.Start(w.now, func(c dispatch.Call[core.Action]) {
		if a, ok := c.Value.(core.Stage); ok {
			e.stage(c, a)
			return
		}
		e.send(w.call(c))
	})
	if next, ok := e.queue.Next(); ok && (next < e.alarm || e.alarm <= w.now) {
		e.alarm = max(next, w.now)
		w.at(e.alarm, func() { e.awake(e.start) })
	}
}

// done gives a call's place back and hands its answer to the core.
func (e *engine) done(c dispatch.Call[core.Action], o dispatch.Outcome, ev core.Event) {
	e.awake(func() {
		if e.dead {
			return
		}
		e.queue.Done(e.w.now, c, o)
		e.step(ev)
	})
}

func outcome(f fate) dispatch.Outcome {
	switch {
	case f == works:
		return dispatch.OK
	case f.silent():
		return dispatch.TimedOut
	case f == busy:
		return dispatch.Overloaded
	}
	return dispatch.Failed
}

// call is one call to a service.
type call struct {
	waited  dispatch.Call[core.Action]
	svc     *service
	action  core.Action
	timeout time.Duration
}

func (w *world) call(waited dispatch.Call[core.Action]) call {
	c := call{waited: waited, svc: w.service(waited.Service), action: waited.Value, timeout: core.Timeout(waited.Value)}
	if c.timeout <= 0 || c.timeout > w.cfg.CallTimeout {
		c.timeout = w.cfg.CallTimeout
	}
	return c
}

// lateFor is how long a call that does not notice that its time is up is waited
// for, and lateBy when its answer comes after all.
const (
	lateFor = 2 * time.Second
	lateBy  = 12 * time.Second
)

// send makes a call.
func (e *engine) send(c call) {
	w := e.w
	fate := w.fateAt(c.svc)
	c.svc.calls.sent(w.now, fate)
	wait := w.latency()
	if !fate.silent() {
		w.at(w.now+wait, func() { e.done(c.waited, outcome(fate), w.perform(c, fate)) })
		return
	}
	late := core.Failed(c.action, errOf[fate])
	if fate == hangsDone {
		w.at(w.now+wait, func() { late = w.perform(c, works) })
	}
	o, ok := late.(core.Obtained)
	if !ok || w.random.IntN(2) == 0 {
		failed := late
		w.at(w.now+c.timeout, func() { e.done(c.waited, outcome(fate), failed) })
		return
	}
	o.Unfinished = true
	w.at(w.now+c.timeout+lateFor, func() {
		e.awake(func() {
			if !e.dead {
				e.queue.GiveUp(w.now, c.waited)
				e.step(o)
			}
		})
	})
	w.at(w.now+c.timeout+lateBy, func() { e.done(c.waited, dispatch.GivenUp, late) })
}

// perform lets a call have its effect where its fate is so, and is what the
// caller hears.
func (w *world) perform(c call, f fate) core.Event {
	if !f.takesEffect() {
		return core.Failed(c.action, errOf[f])
	}
	var ev core.Event
	switch a := c.action.(type) {
	case core.Obtain:
		grants, err := w.obtain(c.svc, a)
		ev = core.Obtained{Job: a.Job, Grants: grants, Err: err}
	case core.Renew:
		expires, err := w.renew(c.svc, a.Token)
		ev = core.Renewed{Job: a.Job, Expires: expires, Err: err}
	case core.Cancel:
		ev = core.Cancelled{Job: a.Job, Err: w.cancel(c.svc, a.Token)}
	}
	if f != works {
		return core.Failed(c.action, errOf[f])
	}
	return ev
}

// stage writes a set to an application's directory, which stands on none of the
// services and fails as often as they do.
func (e *engine) stage(waited dispatch.Call[core.Action], a core.Stage) {
	w := e.w
	fate, wait := w.fate(), w.latency()
	if fate.silent() {
		wait = w.cfg.CallTimeout
	}
	w.at(w.now+wait, func() {
		ev := core.Staged{Job: a.Job, Err: errOf[fate]}
		if fate.takesEffect() {
			var receipt appregistry.Receipt
			receipt, err := w.readers[a.Set.Target.Dir].write(a.Set)
			if fate == works {
				ev.Receipt, ev.Err = receipt, err
			}
		}
		e.done(waited, outcome(fate), ev)
	})
}
