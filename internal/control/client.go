package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// ErrUnreachable wraps into the error of a client whose daemon cannot be
// connected to, or hangs up. One that is merely slow is
// [context.DeadlineExceeded] alone.
var ErrUnreachable = errors.New("the daemon does not answer")

// maxAnswer bounds what a client reads: some 10^6 tokens.
const maxAnswer = 1 << 30

// Client talks to the daemon at a control socket. A request that was not done is
// a *[Problem]. Make one with [NewClient].
type Client struct {
	path string
	http http.Client
}

// NewClient returns a client of the socket at path. It connects when it is used.
func NewClient(path string) *Client {
	c := &Client{path: path}
	c.http.Transport = &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
	}
	return c
}

// Register registers an application and returns it. With r.Wait the daemon is
// told when ctx ends, so that it can say in time whether the registration stands.
func (c *Client) Register(ctx context.Context, r Registration) (a App, err error) {
	var query url.Values
	if r.Wait {
		query = within(ctx)
	}
	return a, c.do(ctx, http.MethodPost, "/v1/apps", query, r, &a)
}

// within tells the daemon to answer a little before ctx ends.
func within(ctx context.Context) url.Values {
	deadline, ok := ctx.Deadline()
	if !ok {
		return nil
	}
	left := max(0, time.Until(deadline))
	return url.Values{"within": {(left - min(left/5, time.Second)).String()}}
}

// Apps lists the caller's applications.
func (c *Client) Apps(ctx context.Context) (list []App, err error) {
	return list, c.do(ctx, http.MethodGet, "/v1/apps", nil, nil, &list)
}

// App describes an application; an empty owner is the caller.
func (c *Client) App(ctx context.Context, owner, id string) (a App, err error) {
	return a, c.do(ctx, http.MethodGet, "/v1/apps/"+url.PathEscape(id), ownedBy(owner), nil, &a)
}

// Unregister lets an application go; an empty owner is the caller.
func (c *Client) Unregister(ctx context.Context, owner, id string) error {
	return c.do(ctx, http.MethodDelete, "/v1/apps/"+url.PathEscape(id), ownedBy(owner), nil, &struct{}{})
}

// KeepAlive puts off an application's leaving and returns it; an empty owner is
// the caller.
func (c *Client) KeepAlive(ctx context.Context, owner, id string) (a App, err error) {
	return a, c.do(ctx, http.MethodPost, "/v1/apps/"+url.PathEscape(id)+"/keepalive", ownedBy(owner), nil, &a)
}

func ownedBy(owner string) url.Values {
	if owner == "" {
		return nil
	}
	return url.Values{"owner": {owner}}
}

// Tokens lists the tokens that the caller's applications hold.
func (c *Client) Tokens(ctx context.Context) (list []Token, err error) {
	return list, c.do(ctx, http.MethodGet, "/v1/tokens", nil, nil, &list)
}

// Token describes a token by number or fingerprint.
func (c *Client) Token(ctx context.Context, name string) (t Token, err error) {
	return t, c.do(ctx, http.MethodGet, "/v1/tokens/"+url.PathEscape(name), nil, nil, &t)
}

// RenewToken renews a token now and returns what became of it.
func (c *Client) RenewToken(ctx context.Context, name string) (t Token, err error) {
	return t, c.do(ctx, http.MethodPost, "/v1/tokens/"+url.PathEscape(name)+"/renew", nil, nil, &t)
}

// ReplaceToken obtains a token's successor now and returns what became of it.
func (c *Client) ReplaceToken(ctx context.Context, name string) (t Token, err error) {
	return t, c.do(ctx, http.MethodPost, "/v1/tokens/"+url.PathEscape(name)+"/replace", nil, nil, &t)
}

// CancelToken ends a token; one that is held needs force.
func (c *Client) CancelToken(ctx context.Context, name string, force bool) (t Token, err error) {
	return t, c.do(ctx, http.MethodPost, "/v1/tokens/"+url.PathEscape(name)+"/cancel", nil, cancelRequest{force}, &t)
}

// CancelTokens ends all tokens that a selection hits and tells what became of
// each. With Wait the daemon is told when ctx ends, so that it answers in time.
func (c *Client) CancelTokens(ctx context.Context, s Selection) (list []CancelledToken, err error) {
	var query url.Values
	if s.Wait {
		query = within(ctx)
	}
	return list, c.do(ctx, http.MethodPost, "/v1/tokens/cancel", query, s, &list)
}

// ResumeCancels lets cancels flow again after a burst of them was paused.
func (c *Client) ResumeCancels(ctx context.Context) error {
	return c.do(ctx, http.MethodPost, "/v1/cancels/resume", nil, nil, &struct{}{})
}

// Status asks for the daemon's state, and for what ends within a time.
func (c *Client) Status(ctx context.Context, within time.Duration) (s Status, err error) {
	return s, c.do(ctx, http.MethodGet, "/v1/status", url.Values{"within": {within.String()}}, nil, &s)
}

func (c *Client) do(ctx context.Context, method, path string, query url.Values, body, answer any) error {
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		payload = bytes.NewReader(b)
	}
	// The host is a placeholder: the transport knows the socket only.
	req, err := http.NewRequestWithContext(ctx, method, "http://tokenwheel"+path, payload)
	if err != nil {
		return err
	}
	req.URL.RawQuery = query.Encode()
	resp, err := c.http.Do(req)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err // its text repeats the placeholder
		}
		if errors.Is(err, context.Canceled) {
			return fmt.Errorf("control socket %s: %w", c.path, err)
		}
		if op, ok := errors.AsType[*net.OpError](err); errors.Is(err, context.DeadlineExceeded) && !(ok && op.Op == "dial") {
			return fmt.Errorf("control socket %s: the daemon has not answered in time: %w", c.path, err)
		}
		return fmt.Errorf("control socket %s: %w: %w", c.path, ErrUnreachable, err)
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode != http.StatusOK {
		p := &Problem{}
		if err := dec.Decode(p); err != nil || p.Code == "" {
			return fmt.Errorf("control socket %s: status %s", c.path, strconv.Itoa(resp.StatusCode))
		}
		p.Status = resp.StatusCode
		return p
	}
	if err := dec.Decode(answer); err != nil {
		return fmt.Errorf("control socket %s: answer: %w", c.path, err)
	}
	return nil
}
