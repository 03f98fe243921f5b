package renewer

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// These run on a worker. An error says which provider it comes from; what it
// means is the core's to judge. A date that a provider made of time.Now loses its
// monotonic reading here: with it dates would be compared by a clock that no step
// of the wall clock moves.

func (r *Renewer) obtain(ctx context.Context, a core.Obtain) core.Event {
	instance := a.Authority.Instance
	p, err := r.router.provider(instance)
	if err != nil {
		return core.Obtained{Job: a.Job, Err: err}
	}
	req := a.Request
	req.Conf = maps.Clone(req.Conf) // the registry's own
	sent := r.clock.Now().Boot
	granted, err := p.Obtain(ctx, req)
	if err == nil {
		err = checkKinds(p, granted)
	}
	if err != nil {
		return core.Obtained{Job: a.Job, Err: fmt.Errorf("provider %q: obtain for %s: %w", instance, a.Request.User, err)}
	}
	// What was granted is looked at even where time is up: it must not be lost.
	ctx = context.WithoutCancel(ctx)
	grants, tokens := make([]core.Grant, len(granted)), make([]core.Brought, len(granted))
	for i, g := range granted {
		g.Token, g.Expires, g.Max = g.Token.Clone(), g.Expires.Round(0), g.Max.Round(0)
		grants[i].Grant, tokens[i] = g, core.Brought{Alias: g.Alias, Authority: a.Authority, Token: g.Token}
	}
	ids, err := r.router.identify(ctx, tokens)
	if err != nil {
		return core.Obtained{Job: a.Job, Err: fmt.Errorf("obtain for %s: %w", a.Request.User, plugins.Suspect(err))}
	}
	for i, id := range ids {
		grants[i].Identity = id
	}
	return core.Obtained{Job: a.Job, Grants: grants, Sent: sent}
}

// checkKinds refuses an answer with a token that is not the provider's to give.
// All else about grants is the core's to judge.
func checkKinds(p plugins.Provider, granted []plugins.Grant) error {
	kinds := p.Kinds()
	for _, g := range granted {
		if !slices.Contains(kinds, g.Token.Kind) {
			return plugins.Suspect(fmt.Errorf("it answered with %v, and is there for %q", g.Token, kinds))
		}
	}
	return nil
}

func (r *Renewer) renew(ctx context.Context, a core.Renew) core.Event {
	var expires time.Time
	p, err := r.router.provider(a.Authority.Instance)
	if err == nil {
		expires, err = p.Renew(ctx, a.Token.Clone())
	}
	if err != nil {
		err = fmt.Errorf("provider %q: renew %v: %w", a.Authority.Instance, a.Token, err)
	}
	return core.Renewed{Job: a.Job, Expires: expires.Round(0), Err: err}
}

func (r *Renewer) cancel(ctx context.Context, a core.Cancel) core.Event {
	p, err := r.router.provider(a.Authority.Instance)
	if err == nil {
		err = p.Cancel(ctx, a.Token.Clone())
	}
	if err != nil {
		err = fmt.Errorf("provider %q: cancel %v: %w", a.Authority.Instance, a.Token, err)
	}
	return core.Cancelled{Job: a.Job, Err: err}
}

func (r *Renewer) stage(ctx context.Context, a core.Stage) core.Event {
	if r.cfg.Stager == nil { // an application of the store may ask for what the configuration dropped
		return core.Staged{Job: a.Job, Err: plugins.Refused("no-stager", fmt.Errorf("stage %s at %s: no staging is configured", a.Set.App, a.Set.Target))}
	}
	receipt, err := r.cfg.Stager.Stage(ctx, a.Set)
	if err != nil {
		err = fmt.Errorf("stage %s at %s: %w", a.Set.App, a.Set.Target, err)
	}
	return core.Staged{Job: a.Job, Receipt: receipt, Err: err}
}
