package krb

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
)

const (
	// homeTGT keys the ticket-granting ticket of the client's own realm.
	homeTGT = ""
	// A ticket that still serves is replaced ahead of time; a caller waits for
	// that only so long, and failures are not repeated at every use.
	earlyDeadline   = 5 * time.Second
	earlyRetry      = 10 * time.Second
	earlyRetryMax   = 5 * time.Minute
	maxReferrals    = 5
	maxKeptServices = 10000
)

// slot holds one ticket and the call that is fetching its successor.
type slot struct {
	ticket  *ticket
	doubted bool // its service refused the ticket: a successor is due, until which it serves
	flight  *flight
	retry   time.Duration // pause after a failed early replacement
	retryAt time.Duration // boot time
	trouble error         // of the last replacement; nil: it worked
}

// flight is one fetch that several callers may wait for.
type flight struct {
	done      chan struct{}
	err       error // set before done closes
	abandoned bool  // the fetching caller's own ctx ended: another should try
}

// at judges the slot's ticket at a KDC date.
func (s *slot) at(now time.Time) state {
	if have := s.ticket.at(now); have != fresh || !s.doubted {
		return have
	}
	return stale
}

// keep takes a new ticket into use.
func (s *slot) keep(t *ticket) { *s = slot{ticket: t, flight: s.flight} }

// slot finds or makes the slot of a key; c.mu is held.
func (c *Client) slot(key string) *slot {
	s := c.tickets[key]
	if s == nil {
		if len(c.tickets) >= maxKeptServices {
			c.dropDead()
		}
		s = &slot{}
		c.tickets[key] = s
	}
	return s
}

// dropDead forgets tickets that no longer serve; c.mu is held.
func (c *Client) dropDead() {
	now := c.time.now()
	for key, s := range c.tickets {
		if s.flight == nil && s.ticket.at(now) == dead && key != homeTGT {
			delete(c.tickets, key)
		}
	}
}

// ticket gives the ticket of a slot, fetching it where it is missing or old. A
// ticket that still serves is used when its replacement fails, and while
// another caller fetches it.
func (c *Client) ticket(ctx context.Context, key string, fetch func(context.Context) (*ticket, error)) (*ticket, error) {
	for {
		c.mu.Lock()
		s := c.slot(key)
		have, now := s.at(c.time.now()), c.clock.Now().Boot
		t, f := s.ticket, s.flight
		if have == fresh || have == stale && (f != nil || now < s.retryAt) {
			c.mu.Unlock()
			return t, nil
		}
		if f == nil {
			f = &flight{done: make(chan struct{})}
			s.flight = f
			c.mu.Unlock()
			return c.fly(ctx, s, have, fetch)
		}
		c.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-f.done:
			if f.err != nil && !f.abandoned {
				return nil, f.err
			}
		}
	}
}

// fly fetches for s, whose flight the caller has just become.
func (c *Client) fly(ctx context.Context, s *slot, have state, fetch func(context.Context) (*ticket, error)) (*ticket, error) {
	deadline := loginDeadline
	if have == stale {
		deadline = earlyDeadline
	}
	limited, cancel := context.WithTimeoutCause(ctx, deadline, errDeadline)
	defer cancel()
	t, err := fetch(limited)

	c.mu.Lock()
	defer c.mu.Unlock()
	f := s.flight
	s.flight = nil
	f.err, f.abandoned = err, err != nil && ctx.Err() != nil
	close(f.done)
	s.trouble = err
	if err == nil {
		s.keep(t)
		return t, nil
	}
	s.retry = min(max(2*s.retry, earlyRetry), earlyRetryMax)
	s.retryAt = c.clock.Now().Boot + s.retry
	if have == stale && s.ticket.at(c.time.now()) != dead {
		return s.ticket, nil
	}
	return nil, err
}

// tgt gives the client realm's ticket-granting ticket.
func (c *Client) tgt(ctx context.Context) (*ticket, error) {
	if c.ccachePath != "" {
		c.mu.Lock()
		seen := c.cacheSeen
		c.mu.Unlock()
		if c.ccacheChanged(seen) {
			c.takeCCache()
		}
	}
	return c.ticket(ctx, homeTGT, c.login)
}

// takeCCache replaces all tickets by that of a credential cache that has changed. A file
// that is being written, or is somebody else's, replaces none: those at hand serve on.
func (c *Client) takeCCache() {
	t, err := c.readCCache()
	if err == nil {
		c.forget(nil)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.slot(homeTGT); err == nil {
		s.keep(t)
	} else {
		s.trouble = err
	}
}

// forget drops tickets: all, or only the given one if it is still in use.
func (c *Client) forget(only *ticket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.tickets {
		if only == nil || s.ticket == only {
			s.ticket = nil
		}
	}
}

// serviceTicket gives a ticket of client for server.
func (c *Client) serviceTicket(ctx context.Context, server, client Principal) (*ticket, error) {
	if c.ccachePath != "" { // a changed file must be seen even while a service ticket serves
		if _, err := c.tgt(ctx); err != nil && !errors.Is(err, ErrExpired) {
			return nil, err
		}
	}
	return c.ticket(ctx, server.String(), func(ctx context.Context) (*ticket, error) {
		for round := 0; ; round++ {
			tgt, err := c.tgt(ctx)
			if err != nil {
				return nil, err
			}
			t, err := c.follow(ctx, tgt, server, client)
			if round == 0 && tgtRefused(err) { // a login cures what a KDC holds against the ticket
				c.forget(tgt)
				continue
			}
			return t, c.explain(err, "get a ticket", server.String(), server.Realm)
		}
	})
}

// trustedFor is for how long a service ticket is not doubted, so that a service that
// refuses everybody costs the KDC little.
const trustedFor = time.Minute

// Doubt is told that a service refused a login with its ticket, maybe because it has
// new keys since. The next context with it is by a new ticket, if a KDC gives one:
// nobody vouches for the refusal, so that the ticket at hand is not thrown away.
func (c *Client) Doubt(spn string) {
	server, _, err := c.server(spn)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.tickets[server.String()]
	if s != nil && s.ticket != nil && c.time.now().Sub(s.ticket.start) >= trustedFor {
		s.doubted = true
	}
}

// tgtRefused reports whether a KDC refused the ticket-granting ticket itself: it
// ended, or the KDC has changed its key.
func tgtRefused(err error) bool {
	var e *Error
	return errors.As(err, &e) && slices.Contains([]int32{
		errorcode.KRB_AP_ERR_TKT_EXPIRED, errorcode.KDC_ERR_TGT_REVOKED, errorcode.KRB_AP_ERR_BAD_INTEGRITY,
		errorcode.KRB_AP_ERR_MODIFIED, errorcode.KRB_AP_ERR_BADKEYVER, errorcode.KRB_AP_ERR_NOKEY, errorcode.KRB_AP_ERR_TKT_NYV,
	}, e.Code)
}

// follow walks from the client's realm to the server's: by [capaths] or straight
// to krbtgt/OTHER, and by what KDCs refer to (RFC 6806 section 8).
func (c *Client) follow(ctx context.Context, tgt *ticket, server, client Principal) (*ticket, error) {
	for range maxReferrals {
		here := tgt.grantsIn()
		want := Principal{Components: server.Components, Realm: here}
		if here != server.Realm {
			want = tgs(c.hop(client.Realm, here, server.Realm), here)
		}
		x := tgsExchange{conf: c.conf, kdcs: c.kdcs, time: &c.time, tgt: tgt}
		t, err := x.run(ctx, want, here == client.Realm)
		if err != nil {
			return nil, err
		}
		if t.server.equal(want) && here == server.Realm {
			return t, nil
		}
		if !t.granting() || t.server.Realm != here || t.grantsIn() == here {
			return nil, protocolError("asked for %s, the KDC of %s answered with %s", want, here, t.server)
		}
		if here == server.Realm { // a referral: the service lives further on
			server.Realm = t.grantsIn()
		}
		tgt = t
	}
	return nil, protocolError("no way to %s within %d realms", server, maxReferrals)
}

// hop is the next realm on the way; [capaths] gives it only for the first step.
func (c *Client) hop(client, here, to string) string {
	if via := c.conf.CAPaths[client][to]; here == client && via != "" && via != "." {
		return via
	}
	return to
}
