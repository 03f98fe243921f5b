package pluginhost

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/tokenwheel/tokenwheel/plugins"
)

// Format implements [fmt.Formatter] with the program's path for every verb: the
// configuration kept here may hold secrets.
func (p *Process) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "provider program %q", p.command.Path)
}

// Version is the program's own version, for people; "" where it tells none.
func (p *Process) Version() string { return p.version }

// Kinds implements [plugins.Provider].
func (p *Process) Kinds() []string { return slices.Clone(p.kinds) }

// Abilities implements [plugins.Announcer].
func (p *Process) Abilities() plugins.Abilities { return p.abilities }

// Configure implements [plugins.Configurer]. What the program accepted is given
// to it again after each restart.
func (p *Process) Configure(ctx context.Context, raw json.RawMessage) error {
	c, err := p.running()
	if err != nil {
		return err
	}
	if err := c.provider.Configure(ctx, raw); err != nil {
		c.returned(ctx)
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.config = bytes.Clone(raw)
	return nil
}

// Authorities implements [plugins.Authorizer].
func (p *Process) Authorities(ctx context.Context) ([]plugins.Authority, error) {
	c, err := p.running()
	if err != nil {
		return nil, err
	}
	defer c.returned(ctx)
	return c.provider.Authorities(ctx)
}

// Obtain implements [plugins.Provider].
func (p *Process) Obtain(ctx context.Context, req plugins.ObtainRequest) ([]plugins.Grant, error) {
	c, err := p.running()
	if err != nil {
		return nil, err
	}
	defer c.returned(ctx)
	return c.provider.Obtain(ctx, req)
}

// Renew implements [plugins.Provider].
func (p *Process) Renew(ctx context.Context, t plugins.Token) (time.Time, error) {
	c, err := p.running()
	if err != nil {
		return time.Time{}, err
	}
	defer c.returned(ctx)
	return c.provider.Renew(ctx, t)
}

// Cancel implements [plugins.Provider].
func (p *Process) Cancel(ctx context.Context, t plugins.Token) error {
	c, err := p.running()
	if err != nil {
		return err
	}
	defer c.returned(ctx)
	return c.provider.Cancel(ctx, t)
}

// Identify implements [plugins.Identifier].
func (p *Process) Identify(ctx context.Context, t plugins.Token) (plugins.Identity, error) {
	c, err := p.running()
	if err != nil {
		return plugins.Identity{}, err
	}
	defer c.returned(ctx)
	return c.provider.Identify(ctx, t)
}
