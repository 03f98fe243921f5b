package krb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
)

// errDeadline is the cause that ends what takes longer than loginDeadline.
var errDeadline = fmt.Errorf("no answer within %v: %w", loginDeadline, context.DeadlineExceeded)

// login gets a new ticket-granting ticket of the client's realm.
func (c *Client) login(ctx context.Context) (*ticket, error) {
	var t *ticket
	var err error
	if c.ccachePath != "" {
		t, err = c.readCCache()
	} else {
		t, err = c.keytabLogin(ctx)
	}
	return t, c.explain(err, "log in", "", c.self().Realm)
}

// keytabLogin reads the keytab anew each time, so that a replaced file counts at
// once. While the file is bad, or its keys are ahead of the KDC, the keys that
// worked last go on serving.
func (c *Client) keytabLogin(ctx context.Context) (*ticket, error) {
	kt, fileErr := LoadKeytab(c.keytabPath)
	if fileErr == nil && len(kt.etypes(c.principal)) == 0 {
		fileErr = &Error{Kind: ErrKeytab, Err: errors.New("no key for the principal"), Next: "check the keytab with klist -kte"}
	}
	c.mu.Lock()
	earlier := c.lastGood
	c.mu.Unlock()

	var t *ticket
	err := fileErr
	if fileErr == nil {
		t, err = c.loginWith(ctx, kt)
	}
	if err != nil && earlier != nil && keyTrouble(err) && (fileErr != nil || !bytes.Equal(earlier.Bytes(), kt.Bytes())) {
		fileErr = err
		kt = earlier
		if t, err = c.loginWith(ctx, earlier); err != nil {
			err = fmt.Errorf("%w (before that, with the present keytab: %w)", err, fileErr)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keytabErr = fileErr
	if err == nil {
		c.lastGood = kt
	}
	return t, err
}

func keyTrouble(err error) bool {
	return errors.Is(err, ErrKeytab) || errors.Is(err, ErrWrongKey) || errors.Is(err, ErrEtype)
}

func (c *Client) loginWith(ctx context.Context, kt *Keytab) (*ticket, error) {
	x := asExchange{client: c.principal, keytab: kt, conf: c.conf, kdcs: c.kdcs, time: &c.time}
	return x.run(ctx)
}

// readCCache takes the ticket-granting ticket out of the credential cache, and
// the identity where none is configured.
func (c *Client) readCCache() (*ticket, error) {
	seen, _ := os.Stat(c.ccachePath)
	cc, err := loadCCache(c.ccachePath)
	if err != nil {
		return nil, err
	}
	fail := func(kind Kind, format string, args ...any) error {
		return &Error{Kind: kind, Err: fmt.Errorf(format, args...), Next: "run kinit with KRB5CCNAME=FILE:" + c.ccachePath}
	}
	owner, err := fromWire(cc.client.client(), cc.client.Realm)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.principal.Realm == "" {
		c.principal = owner
	}
	if !c.principal.equal(owner) {
		return nil, fail(ErrCCache, "it belongs to %s", owner)
	}
	entry, ok := cc.find(tgs(owner.Realm, owner.Realm))
	if !ok {
		return nil, fail(ErrCCache, "it holds no ticket-granting ticket")
	}
	t := &ticket{client: owner, server: entry.server, key: entry.key, start: entry.start, end: entry.end}
	if err := parse("ticket", func() error { return t.ticket.Unmarshal(entry.ticket) }); err != nil {
		return nil, err
	}
	if _, err := etypeOf(t.key); err != nil {
		return nil, err
	}
	c.cacheSeen = seen
	if t.at(c.time.now()) == dead {
		return nil, fail(ErrExpired, "its ticket ended at %s", t.end)
	}
	return t, nil
}

// ccacheChanged reports whether the file is another than the one last read.
func (c *Client) ccacheChanged(seen os.FileInfo) bool {
	now, err := os.Stat(c.ccachePath)
	return err == nil && (seen == nil || !os.SameFile(now, seen) || now.Size() != seen.Size() || !now.ModTime().Equal(seen.ModTime()))
}

// explain completes an error by what this client knows about it.
func (c *Client) explain(err error, op, server, realm string) error {
	var e *Error
	if err == nil {
		return nil
	}
	if !errors.As(err, &e) {
		return fmt.Errorf("%s as %s: %w", op, c.Principal(), err)
	}
	full := *e
	full.Op, full.Server, full.Principal = op, server, c.Principal()
	if full.Realm == "" {
		full.Realm = realm
	}
	full.Keytab, full.CCache = c.keytabPath, c.ccachePath
	if err != error(e) { //nolint:errorlint // e stands inside a longer story
		full.Err = err
		full.Next = ""
	}
	return &full
}
