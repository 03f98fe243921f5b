// Package krb is Kerberos 5 for a process that must keep its identity for
// months: login from a keytab or a FILE credential cache, tickets checked and
// replaced at the moment of use, and the GSS-API mechanism that SASL needs.
//
// It takes ASN.1 messages and ciphers from gokrb5 and does the rest itself: the
// exchange with several KDCs under a context, the clock, krb5.conf, keytabs,
// name rules. It starts no goroutine that outlives a call, reads no environment
// and logs nothing. No key is ever part of an error or a printed value.
// Clients and Services are safe for concurrent use; Initiators and Acceptors
// belong to one connection.
package krb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/clock"
)

// Options configure a Client.
type Options struct {
	Conf      *Config      // required
	Principal string       // "name[/instance][@REALM]", required with Keytab; with CCache empty takes the cache's
	Keytab    string       // path; either this or CCache
	CCache    string       // path, or FILE:path
	Dial      Dialer       // nil: net.Dialer
	Clock     clock.Source // nil: clock.System()
	// LookupSRV is net.Resolver's method of that name; nil: the default resolver.
	LookupSRV func(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
}

// Client is one Kerberos identity: it logs in when a ticket is needed and the
// last login no longer serves. Safe for concurrent use.
type Client struct {
	conf       *Config
	keytabPath string
	ccachePath string
	kdcs       *kdcs
	clock      clock.Source
	time       kdcTime

	mu        sync.Mutex // guards what follows; never held over I/O
	principal Principal  // zero until the credential cache was read
	tickets   map[string]*slot
	lastGood  *Keytab     // the keys of the last login that worked
	keytabErr error       // why the file could not serve at the last login
	cacheSeen os.FileInfo // the credential cache as it was when read
}

// NewClient checks its options and does no I/O.
func NewClient(o Options) (*Client, error) {
	if o.Conf == nil {
		return nil, errors.New("kerberos client: no Conf")
	}
	if (o.Keytab == "") == (o.CCache == "") {
		return nil, errors.New("kerberos client: exactly one of Keytab and CCache is needed")
	}
	c := &Client{conf: o.Conf, keytabPath: o.Keytab, clock: o.Clock, tickets: map[string]*slot{}}
	if c.clock == nil {
		c.clock = clock.System()
	}
	c.time.source = c.clock
	var err error
	if o.CCache != "" {
		if c.ccachePath, err = ccachePath(o.CCache); err != nil {
			return nil, err
		}
	}
	if o.Principal != "" || o.Keytab != "" {
		if c.principal, err = ParsePrincipal(o.Principal, o.Conf.DefaultRealm); err != nil {
			return nil, err
		}
	}
	c.kdcs = &kdcs{conf: o.Conf, dial: o.Dial, lookup: o.LookupSRV, good: map[string]string{}, found: map[string][]string{}}
	if c.kdcs.dial == nil {
		c.kdcs.dial = new(net.Dialer).DialContext
	}
	if c.kdcs.lookup == nil {
		c.kdcs.lookup = net.DefaultResolver.LookupSRV
	}
	return c, nil
}

// Login proves the credentials by a new login now, whatever tickets there are;
// with a credential cache it reads the file again. Other methods log in by
// themselves when they must.
func (c *Client) Login(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, loginDeadline, errDeadline)
	defer cancel()
	t, err := c.login(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slot(homeTGT).keep(t)
	return nil
}

// Keep replaces the ticket-granting ticket where the time has come: for who talks
// over connections that stand, and has no other use of it for days. It waits for a
// KDC only shortly and, after a failure, not again for a while; [Client.Trouble]
// tells what came of it.
func (c *Client) Keep(ctx context.Context) {
	c.mu.Lock()
	s := c.slot(homeTGT)
	due := (s.ticket.at(c.time.now()) != fresh || s.trouble != nil) && c.clock.Now().Boot >= s.retryAt
	c.mu.Unlock()
	if !due {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, earlyDeadline)
	defer cancel()
	_, _ = c.tgt(ctx) // kept in the slot
}

// Trouble is what ails the identity while it still serves: a keytab that no login
// can use any more, or a ticket in the last fifth of its life that no KDC has
// replaced. Nil: nothing. The error stays the same until something changes.
func (c *Client) Trouble() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.slot(homeTGT)
	switch {
	case c.keytabErr != nil:
		return fmt.Errorf("keytab %s: the keys of an earlier login are used: %w", c.keytabPath, c.keytabErr)
	case s.trouble != nil && s.ticket != nil:
		return fmt.Errorf("the Kerberos ticket ends at %s and was not replaced: %w", s.ticket.end.UTC().Format(time.RFC3339), s.trouble)
	}
	return nil
}

// Initiate gets (or has) a ticket for spn, "service/host" or
// "service/host@REALM", and starts a security context with it.
func (c *Client) Initiate(ctx context.Context, spn string) (*Initiator, error) {
	server, home, err := c.server(spn)
	if err != nil {
		return nil, err
	}
	t, err := c.serviceTicket(ctx, server, home)
	if err != nil {
		return nil, err
	}
	return newInitiator(t, &c.time)
}

// server completes spn by [domain_realm]. Where that is silent the client's own
// realm is asked, which may refer to another.
func (c *Client) server(spn string) (server, client Principal, err error) {
	if err := c.meet(); err != nil {
		return server, client, err
	}
	client = c.self()
	name, _, _ := strings.Cut(spn, "@")
	realm := client.Realm
	if _, host, ok := strings.Cut(name, "/"); ok {
		if mapped := c.conf.RealmOf(host); mapped != "" {
			realm = mapped
		}
	}
	server, err = ParsePrincipal(spn, realm)
	if err == nil && len(server.Components) < 2 {
		err = nameError(spn, "a service has the form service/host")
	}
	return server, client, err
}

// Principal is this identity's full name. With a credential cache and no
// configured principal it is "" until the cache was read.
func (c *Client) Principal() string {
	p := c.self()
	if p.Realm == "" {
		return ""
	}
	return p.String()
}

// Identity is [Client.Principal], after a look into the credential cache where nobody
// looked yet.
func (c *Client) Identity() (string, error) {
	if err := c.meet(); err != nil {
		return "", err
	}
	return c.Principal(), nil
}

// meet learns whose the credential cache is, where that is not known yet.
func (c *Client) meet() error {
	if c.self().Realm != "" {
		return nil
	}
	_, err := c.readCCache()
	if c.self().Realm != "" {
		return nil // what else is wrong with it is for who needs a ticket
	}
	return c.explain(err, "log in", "", "")
}

func (c *Client) self() Principal {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.principal
}

// TicketLife tells how much of the present ticket-granting ticket is left and
// how long it was given for; a small quotient means that logins have been
// failing for a while. Both are zero before the first login. It does not log in.
func (c *Client) TicketLife() (left, life time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.slot(homeTGT).ticket; t != nil {
		return t.end.Sub(c.time.now()), t.end.Sub(t.start)
	}
	return 0, 0
}

// ClockOffset is how far the KDC's clock was found to be ahead of the wall
// clock; 0 before the first login.
func (c *Client) ClockOffset() time.Duration { return c.time.offset() }

// String names the identity and no secret.
func (c *Client) String() string { return fmt.Sprintf("kerberos client %s", c.Principal()) }
