// Package pass lends gate passes. It is a provider without a service behind it:
// the passes it knows are in its own memory, and forgotten when it ends. So it
// shows every part of the contract in little code, and behaves as a real service
// does after a restart: it no longer knows what it once issued.
package pass

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/tokenwheel/tokenwheel/plugins"
)

// Kind is the kind of every token lent here, Service the text clients look for.
const (
	Kind    = "GATE_PASS"
	Service = "gate:main"
)

// name is who renews a pass unless the request says otherwise.
const name = "gatepass"

// Provider lends passes. The zero value is ready: passes are extended by 20 s at
// a time, for 2 min at most. Safe for concurrent use.
type Provider struct {
	mu     sync.Mutex // guards everything below
	life   time.Duration
	max    time.Duration
	issued int64
	valid  map[string]plugins.Secret // password by identifier
}

// identifier is what stands in a pass, as JSON.
type identifier struct {
	Owner   string    `json:"owner"`
	Renewer string    `json:"renewer"`
	Number  int64     `json:"number"`
	Issued  time.Time `json:"issued"`
	Max     time.Time `json:"max"`
}

// Format implements [fmt.Formatter]: printed field by field, a provider would show
// the passwords it keeps.
func (p *Provider) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "gate passes") }

// Kinds implements [plugins.Provider].
func (*Provider) Kinds() []string { return []string{Kind} }

// Configure reads the section: life and max as durations ("20s", "2m").
func (p *Provider) Configure(_ context.Context, raw json.RawMessage) error {
	var section struct{ Life, Max string }
	strict := json.NewDecoder(bytes.NewReader(raw))
	strict.DisallowUnknownFields() // a typo would otherwise be a default that nobody wanted
	if err := strict.Decode(&section); err != nil {
		return plugins.Refused("bad-config", fmt.Errorf("read section: %w", err))
	}
	life, err := duration("life", section.Life)
	if err != nil {
		return err
	}
	most, err := duration("max", section.Max)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.life, p.max = life, most
	return nil
}

// duration reads a positive duration; "" is 0, the default.
func duration(key, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err == nil && d <= 0 {
		err = errors.New("must be positive")
	}
	if err != nil {
		return 0, plugins.Refused("bad-config", fmt.Errorf("%s: %w", key, err))
	}
	return d, nil
}

// Authorities implements [plugins.Authorizer]: there is one gate.
func (*Provider) Authorities(context.Context) ([]plugins.Authority, error) {
	return []plugins.Authority{{Name: "main", Kinds: []string{Kind}, Services: []string{Service}, Obtains: true}}, nil
}

// Obtain implements [plugins.Provider].
func (p *Provider) Obtain(ctx context.Context, req plugins.ObtainRequest) ([]plugins.Grant, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if req.User == "" {
		return nil, plugins.Denied(errors.New("a pass is for somebody: the request names no user"))
	}
	if i := slices.IndexFunc(req.Services, func(s string) bool { return s != "main" }); i >= 0 {
		return nil, plugins.Refused("unknown-service", fmt.Errorf("there is no gate %q", req.Services[i]))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.issued++
	now := time.Now().UTC().Truncate(time.Millisecond)
	id := identifier{Owner: req.User, Renewer: req.Renewer, Number: p.issued, Issued: now, Max: now.Add(cmp.Or(p.max, 2*time.Minute))}
	if id.Renewer == "" {
		id.Renewer = name
	}
	text, err := json.Marshal(id)
	if err != nil {
		return nil, fmt.Errorf("write identifier: %w", err)
	}
	password := make(plugins.Secret, 16)
	_, _ = rand.Read(password) // never fails
	if p.valid == nil {
		p.valid = make(map[string]plugins.Secret)
	}
	p.valid[string(text)] = password
	token := plugins.Token{Kind: Kind, Service: Service, Identifier: text, Password: password}.Clone()
	return []plugins.Grant{{Token: token, Expires: p.extend(now, id.Max), Max: id.Max}}, nil
}

// Renew implements [plugins.Provider].
func (p *Provider) Renew(ctx context.Context, t plugins.Token) (time.Time, error) {
	if err := ctx.Err(); err != nil {
		return time.Time{}, err
	}
	id, err := parse(t)
	if err != nil {
		return time.Time{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	password, known := p.valid[string(t.Identifier)]
	switch {
	case !known:
		return time.Time{}, plugins.Replace(fmt.Errorf("pass %d is not known here", id.Number))
	case subtle.ConstantTimeCompare(password, t.Password) != 1:
		return time.Time{}, plugins.Denied(fmt.Errorf("pass %d: wrong password", id.Number))
	case !now.Before(id.Max):
		return time.Time{}, plugins.Replace(fmt.Errorf("pass %d is past its max date", id.Number))
	}
	return p.extend(now, id.Max), nil
}

// Cancel implements [plugins.Provider]. Passes it does not know are cancelled
// already.
func (p *Provider) Cancel(ctx context.Context, t plugins.Token) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	password, known := p.valid[string(t.Identifier)]
	if known && subtle.ConstantTimeCompare(password, t.Password) != 1 {
		return plugins.Denied(errors.New("wrong password"))
	}
	delete(p.valid, string(t.Identifier))
	return nil
}

// Identify implements [plugins.Identifier].
func (*Provider) Identify(_ context.Context, t plugins.Token) (plugins.Identity, error) {
	id, err := parse(t)
	if err != nil {
		return plugins.Identity{}, err
	}
	return plugins.Identity{
		Owner: id.Owner, User: id.Owner, Renewer: id.Renewer, Ours: id.Renewer == name,
		Issued: id.Issued, Max: id.Max, Sequence: id.Number,
	}, nil
}

func parse(t plugins.Token) (identifier, error) {
	var id identifier
	if err := json.Unmarshal(t.Identifier, &id); err != nil || id.Owner == "" {
		return identifier{}, plugins.Refused("bad-identifier", errors.New("the identifier is not that of a gate pass"))
	}
	return id, nil
}

// extend is the new expiry of a pass that is renewed now. The caller holds mu.
func (p *Provider) extend(now, most time.Time) time.Time {
	expires := now.Add(cmp.Or(p.life, 20*time.Second))
	if expires.After(most) {
		return most
	}
	return expires
}
