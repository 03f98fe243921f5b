package pluginwire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"

	"github.com/tokenwheel/tokenwheel/plugins"
)

// Client is a provider at the other end of a connection. It has the methods of
// every ability; [Client.Abilities] tells which are real. Safe for concurrent
// use; it does not own the connection.
type Client struct {
	rpc       ProviderClient
	kinds     []string
	abilities plugins.Abilities
	version   string
}

var (
	_ plugins.Provider   = (*Client)(nil)
	_ plugins.Configurer = (*Client)(nil)
	_ plugins.Authorizer = (*Client)(nil)
	_ plugins.Identifier = (*Client)(nil)
	_ plugins.Announcer  = (*Client)(nil)
)

// NewClient asks the provider behind cc to describe itself. ctx bounds that one
// call only.
func NewClient(ctx context.Context, cc grpc.ClientConnInterface) (*Client, error) {
	rpc := NewProviderClient(cc)
	d, err := rpc.Describe(ctx, &DescribeRequest{})
	if err != nil {
		return nil, fmt.Errorf("describe: %w", errorFromWire(ctx, err))
	}
	if len(d.GetKinds()) == 0 || slices.Contains(d.GetKinds(), "") {
		return nil, plugins.Suspect(errors.New("describe: the provider names no token kind, or an empty one"))
	}
	a := d.GetAbilities()
	return &Client{
		rpc:       rpc,
		kinds:     d.GetKinds(),
		abilities: plugins.Abilities{Configure: a.GetConfigure(), Authorize: a.GetAuthorize(), Identify: a.GetIdentify()},
		version:   d.GetVersion(),
	}, nil
}

// Ping returns when the provider has answered, whatever it says, or ctx has ended.
func (c *Client) Ping(ctx context.Context) {
	_, _ = c.rpc.Describe(ctx, &DescribeRequest{})
}

// Version is the program's own version, for people; "" where it tells none.
func (c *Client) Version() string { return c.version }

// Abilities implements [plugins.Announcer].
func (c *Client) Abilities() plugins.Abilities { return c.abilities }

// Kinds implements [plugins.Provider].
func (c *Client) Kinds() []string { return slices.Clone(c.kinds) }

// Configure implements [plugins.Configurer].
func (c *Client) Configure(ctx context.Context, raw json.RawMessage) error {
	if _, err := c.rpc.Configure(ctx, &ConfigureRequest{Section: raw}); err != nil {
		return errorFromWire(ctx, err)
	}
	return nil
}

// Authorities implements [plugins.Authorizer].
func (c *Client) Authorities(ctx context.Context) ([]plugins.Authority, error) {
	resp, err := c.rpc.Authorities(ctx, &AuthoritiesRequest{})
	if err != nil {
		return nil, errorFromWire(ctx, err)
	}
	list := make([]plugins.Authority, 0, len(resp.GetAuthorities()))
	for _, a := range resp.GetAuthorities() {
		list = append(list, authorityFromWire(a))
	}
	return list, nil
}

// Obtain implements [plugins.Provider].
func (c *Client) Obtain(ctx context.Context, req plugins.ObtainRequest) ([]plugins.Grant, error) {
	wire, err := requestToWire(req)
	if err != nil {
		return nil, err
	}
	resp, err := c.rpc.Obtain(ctx, wire)
	if err != nil {
		return nil, obtainError(ctx, errorFromWire(ctx, err))
	}
	if n := len(resp.GetGrants()); n > maxGrants {
		return nil, plugins.Suspect(fmt.Errorf("%d tokens in one answer, at most %d", n, maxGrants))
	}
	grants := make([]plugins.Grant, 0, len(resp.GetGrants()))
	for _, g := range resp.GetGrants() {
		grant, err := grantFromWire(g)
		if err != nil {
			return nil, err
		}
		grants = append(grants, grant)
	}
	return grants, nil
}

// Renew implements [plugins.Provider].
func (c *Client) Renew(ctx context.Context, t plugins.Token) (time.Time, error) {
	wire, err := tokenToWire(t)
	if err != nil {
		return time.Time{}, plugins.Refused("not-text", err)
	}
	resp, err := c.rpc.Renew(ctx, &RenewRequest{Token: wire})
	if err != nil {
		return time.Time{}, errorFromWire(ctx, err)
	}
	return timeFromWire(resp.GetExpires())
}

// Cancel implements [plugins.Provider].
func (c *Client) Cancel(ctx context.Context, t plugins.Token) error {
	wire, err := tokenToWire(t)
	if err != nil {
		return plugins.Refused("not-text", err)
	}
	if _, err := c.rpc.Cancel(ctx, &CancelRequest{Token: wire}); err != nil {
		return errorFromWire(ctx, err)
	}
	return nil
}

// Identify implements [plugins.Identifier].
func (c *Client) Identify(ctx context.Context, t plugins.Token) (plugins.Identity, error) {
	wire, err := tokenToWire(t)
	if err != nil {
		return plugins.Identity{}, plugins.Refused("not-text", err)
	}
	resp, err := c.rpc.Identify(ctx, &IdentifyRequest{Token: wire})
	if err != nil {
		return plugins.Identity{}, errorFromWire(ctx, err)
	}
	return identityFromWire(resp)
}
