package main

import (
	"context"
	"errors"
	"io"
	"runtime/pprof"
	"sync"
	"syscall"
	"time"

	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// planned renews as its provider does, but tells the engine a date by which the next renewal is due when the bench wants
// it, since the service's own is a day away.
type planned struct {
	plugins.Provider
	renew func(context.Context, plugins.Token) (time.Time, error)

	// profile, if it is not nil, gets the CPU profile of the next burst.
	profile io.Writer

	mu    sync.Mutex // guards what follows
	due   time.Time
	calls bool          // whether renewals are made; else they are answered here
	left  int           // renewals still to be made
	done  chan struct{} // closed with the last
}

// The engine finds these abilities by assertion, which embedding an interface hides.

func (p *planned) Authorities(ctx context.Context) ([]plugins.Authority, error) {
	return p.Provider.(plugins.Authorizer).Authorities(ctx)
}

func (p *planned) Close() error {
	if c, ok := p.Provider.(interface{ Close() error }); ok {
		return c.Close()
	}
	return nil
}

// plan sets when the next renewals shall be due, and whether those before are made. The channel is closed once count were.
func (p *planned) plan(due time.Time, calls bool, count int) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.due, p.calls, p.left, p.done = due, calls, count, make(chan struct{})
	return p.done
}

func (p *planned) Renew(ctx context.Context, t plugins.Token) (time.Time, error) {
	p.mu.Lock()
	due, calls := p.due, p.calls
	p.mu.Unlock()
	if calls {
		if _, err := p.renew(ctx, t); err != nil {
			return time.Time{}, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if calls {
		if p.left--; p.left == 0 {
			close(p.done)
		}
	}
	now := time.Now()
	if !due.After(now.Add(leastArming)) {
		due = now.Add(time.Hour) // arming took too long: it shall come to its end undisturbed
	}
	return expiryFor(now, due), nil
}

// leastArming is what must be left when a token is registered: a date that is nearer is no sensible answer to the engine.
const leastArming = time.Second

// errLateArming says that renewals were due before all tokens were registered: on a busy machine, try with more time.
var errLateArming = errors.New("arming took too long: renewals were due before it ended")

// burst registers the tokens with an engine of that configuration, has the renewals of all fall due at one moment and
// returns how long they took, and how much time of the CPUs this process used meanwhile.
func (p *planned) burst(ctx context.Context, cfg renewer.Config, user string, tokens []plugins.Token) (took, cpu time.Duration, err error) {
	first := armFor + leastArming + time.Duration(len(tokens))*time.Second/5000
	for arm := first; arm <= 8*first; arm *= 2 {
		err = withEngine(ctx, cfg, func(ctx context.Context, r *renewer.Renewer) error {
			took, cpu, err = p.burstOf(ctx, r, user, tokens, arm)
			return err
		})
		if !errors.Is(err, errLateArming) {
			break
		}
	}
	return took, cpu, err
}

func (p *planned) burstOf(ctx context.Context, r *renewer.Renewer, user string, tokens []plugins.Token, arm time.Duration) (took, cpu time.Duration, err error) {
	due := time.Now().Add(arm)
	p.plan(due, false, 0)
	if err := registerAll(ctx, r, user, tokens); err != nil {
		return 0, 0, err
	}
	done := p.plan(due.Add(time.Hour), true, len(tokens))
	if !time.Now().Before(due.Add(-leastArming)) {
		return 0, 0, errLateArming
	}
	select {
	case <-time.After(time.Until(due)):
	case <-ctx.Done():
		return 0, 0, context.Cause(ctx)
	}
	if p.profile != nil {
		if err := pprof.StartCPUProfile(p.profile); err != nil {
			return 0, 0, err
		}
		p.profile = nil
		defer pprof.StopCPUProfile()
	}
	before := cpuTime()
	select {
	case <-done:
		return time.Since(due), cpuTime() - before, nil
	case <-ctx.Done():
		return 0, 0, context.Cause(ctx)
	}
}

func cpuTime() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r) // fails for a bad argument only
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
