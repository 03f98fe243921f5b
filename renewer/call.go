package renewer

import (
	"cmp"
	"context"
	"errors"
	"math"
	"strings"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/internal/dispatch"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// waiting is an action that is a call, as it waits for its turn.
func waiting(a core.Action) dispatch.Call[core.Action] {
	c := dispatch.Call[core.Action]{Value: a}
	switch a := a.(type) {
	case core.Obtain:
		c.Service, c.Tenant, c.Class, c.Before = a.Authority.String(), a.Tenant, classOf(a.First), a.Before
	case core.Renew:
		c.Service, c.Tenant, c.Class, c.Before = a.Authority.String(), a.Tenant, classOf(a.First), a.Before
	case core.Cancel:
		c.Service, c.Tenant, c.Class, c.Before = a.Authority.String(), a.Tenant, dispatch.Last, a.Before
	case core.Stage:
		c.Service, c.Tenant = stagingOn+a.Set.Target.FS, cmp.Or(a.Set.App.Owner, a.Set.User)
		c.Class, c.Before = dispatch.First, math.MaxInt64
	}
	return c
}

func classOf(first bool) dispatch.Class {
	if first {
		return dispatch.First
	}
	return dispatch.Due
}

// stagingOn begins the name of a file system as a service. No authority is
// called so: providers' names have no spaces.
const stagingOn = "stage "

// limits are what one service gets.
func (r *Renewer) limits(service string) dispatch.Limits {
	if strings.HasPrefix(service, stagingOn) {
		return dispatch.Limits{Share: r.cfg.PerTarget}
	}
	return dispatch.Limits{Share: r.cfg.PerAuthority, Rate: max(0, r.cfg.CallsPerSecond)}
}

// task is one call to the world outside.
type task struct {
	service string
	timeout time.Duration
	do      func(ctx context.Context) core.Event
	failed  func(err error) core.Event
	answer  func(core.Event)
	// unfinished answers for a call that does not return in time, instead of
	// failed; its own answer then comes by late. Both nil: it is dropped.
	unfinished func(err error) core.Event
	late       func(core.Event)
	// hurried: an application wanted it shorter than the operator would, so that
	// its running out of time says nothing about the service.
	hurried bool
}

// task is the call that an action asks for.
func (r *Renewer) task(a core.Action) (t task) {
	switch a := a.(type) {
	case core.Obtain:
		t = task{
			timeout: a.Timeout,
			do:      func(ctx context.Context) core.Event { return r.obtain(ctx, a) },
			failed:  func(err error) core.Event { return core.Obtained{Job: a.Job, Err: err} },
			// A token that comes late is used or cancelled, and not forgotten.
			unfinished: func(err error) core.Event { return core.Obtained{Job: a.Job, Err: err, Unfinished: true} },
			late:       func(ev core.Event) { r.inbox.put(item{event: ev, late: true}) },
		}
	case core.Renew:
		t = task{
			timeout: a.Timeout,
			do:      func(ctx context.Context) core.Event { return r.renew(ctx, a) },
			failed:  func(err error) core.Event { return core.Renewed{Job: a.Job, Err: err} },
		}
	case core.Cancel:
		t = task{
			timeout: a.Timeout,
			do:      func(ctx context.Context) core.Event { return r.cancel(ctx, a) },
			failed:  func(err error) core.Event { return core.Cancelled{Job: a.Job, Err: err} },
		}
	case core.Stage:
		t = task{
			do:     func(ctx context.Context) core.Event { return r.stage(ctx, a) },
			failed: func(err error) core.Event { return core.Staged{Job: a.Job, Err: err} },
		}
	}
	t.hurried = t.timeout > 0 && t.timeout < r.cfg.CallTimeout
	if !t.hurried {
		t.timeout = r.cfg.CallTimeout
	}
	t.answer = func(ev core.Event) { r.inbox.put(item{event: ev}) }
	return t
}

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

// outcome is what an answer says of the pace that the service bears.
func (t task) outcome(ctx context.Context, ev core.Event) dispatch.Outcome {
	var err error
	switch ev := ev.(type) {
	case core.Obtained:
		err = ev.Err
	case core.Renewed:
		err = ev.Err
	case core.Cancelled:
		err = ev.Err
	case core.Staged:
		err = ev.Err
	}
	kind := plugins.KindOf(err)
	switch {
	case err == nil, kind == plugins.KindReplace, kind == plugins.KindDenied:
		return dispatch.OK // a no is an answer
	case plugins.CodeOf(err) == plugins.CodeBusy, errors.Is(ctx.Err(), context.DeadlineExceeded) && !t.hurried:
		return dispatch.Overloaded
	}
	return dispatch.Failed
}
