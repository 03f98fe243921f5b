package renewer

import (
	"context"
	"errors"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/internal/dispatch"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// limits are what one service gets.
func (r *Renewer) limits(service string) dispatch.Limits {
	if core.Stages(service) {
		return dispatch.Limits{Share: r.cfg.PerTarget}
	}
	return dispatch.Limits{Share: r.cfg.PerAuthority, Rate: max(0, r.cfg.CallsPerSecond)}
}

// call is one call to the world outside that has begun.
type call struct {
	waited  dispatch.Call[core.Action]
	action  core.Action
	timeout time.Duration
	// hurried: an application wanted it shorter than the operator would, so that
	// its running out of time says nothing about the service.
	hurried bool

	// Under the pool's lock.
	until   time.Time     // when it is answered for
	place   int           // among those that are watched
	givenUp chan struct{} // it is answered for, and this closed then; nil: it is not
}

func (r *Renewer) call(waited dispatch.Call[core.Action]) *call {
	c := &call{waited: waited, action: waited.Value, timeout: core.Timeout(waited.Value)}
	c.hurried = c.timeout > 0 && c.timeout < r.cfg.CallTimeout
	if !c.hurried {
		c.timeout = r.cfg.CallTimeout
	}
	return c
}

// do makes a call.
func (r *Renewer) do(ctx context.Context, a core.Action) core.Event {
	switch a := a.(type) {
	case core.Obtain:
		return r.obtain(ctx, a)
	case core.Renew:
		return r.renew(ctx, a)
	case core.Cancel:
		return r.cancel(ctx, a)
	case core.Stage:
		return r.stage(ctx, a)
	}
	return nil
}

// unfinished answers for a call that does not return in time. An obtain's own
// answer may still come.
func (c *call) unfinished(err error) core.Event {
	ev := core.Failed(c.action, err)
	if o, ok := ev.(core.Obtained); ok {
		o.Unfinished = true
		return o
	}
	return ev
}

// outcome is what an answer says of the pace that the service bears.
func (c *call) outcome(ctx context.Context, ev core.Event) dispatch.Outcome {
	err := core.Failure(ev)
	kind := plugins.KindOf(err)
	switch {
	case err == nil, kind == plugins.KindReplace, kind == plugins.KindDenied:
		return dispatch.OK // a no is an answer
	case plugins.CodeOf(err) == plugins.CodeBusy:
		return dispatch.Overloaded
	case errors.Is(ctx.Err(), context.DeadlineExceeded) && !c.hurried:
		return dispatch.TimedOut
	}
	return dispatch.Failed
}
