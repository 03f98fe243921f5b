package core_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// service is a token service with the secret manager's rules: a renewal checks
// the password, a cancel does not. Its journal is the judge of what the engine
// did, never the engine's own account.
type service struct {
	interval, max time.Duration
	now           func() time.Time
	issued        int
	tokens        map[string]*lease
	renewals      map[string]int
	cancels       []string
	// noExpiry answers obtains without an expiry.
	noExpiry bool
	// dateless gives no date at all.
	dateless bool
	// gives, where set, is what an obtain brings instead of a new token.
	gives func(core.Grant) []core.Grant
	// fault is asked before each call; its error is the answer. op is obtain,
	// renew or cancel.
	fault func(op, id string) error
}

type lease struct {
	user, password string
	expires, max   time.Time
	issued         time.Time
	cancelled      bool
}

func (l *lease) good(now time.Time) bool { return !l.cancelled && now.Before(l.expires) }

func newService(now func() time.Time, interval, max time.Duration) *service {
	return &service{interval: interval, max: max, now: now, tokens: map[string]*lease{}, renewals: map[string]int{}}
}

func (s *service) failing(op, id string) error {
	if s.fault == nil {
		return nil
	}
	return s.fault(op, id)
}

// issue makes a token as a client would get it, outside the engine.
func (s *service) issue(user string) plugins.Token {
	s.issued++
	id := fmt.Sprintf("%s#%d", user, s.issued)
	now := s.now()
	l := &lease{user: user, password: "pw-" + id, issued: now, max: now.Add(s.max)}
	l.expires = earlier(l.max, now.Add(s.interval))
	s.tokens[id] = l
	return plugins.Token{Kind: "TEST", Service: "ns1", Identifier: []byte(id), Password: plugins.Secret(l.password)}
}

func (s *service) identity(tok plugins.Token) *plugins.Identity {
	l := s.tokens[string(tok.Identifier)]
	if l == nil {
		return nil
	}
	return &plugins.Identity{Owner: l.user, User: l.user, Renewer: "tokenwheel", Ours: true, Issued: l.issued, Max: l.max}
}

func (s *service) obtain(req plugins.ObtainRequest) ([]core.Grant, error) {
	if err := s.failing("obtain", req.User); err != nil {
		return nil, err
	}
	tok := s.issue(req.User)
	g := core.Grant{Grant: plugins.Grant{Alias: req.Services[0], Token: tok}, Identity: s.identity(tok)}
	g.Max = s.tokens[string(tok.Identifier)].max
	if s.dateless {
		g.Max, g.Identity.Max = time.Time{}, time.Time{}
	}
	if !s.noExpiry {
		g.Expires = s.tokens[string(tok.Identifier)].expires
	}
	if s.gives != nil {
		return s.gives(g), nil
	}
	return []core.Grant{g}, nil
}

func (s *service) renew(tok plugins.Token) (time.Time, error) {
	id := string(tok.Identifier)
	if err := s.failing("renew", id); err != nil {
		return time.Time{}, err
	}
	l, now := s.tokens[id], s.now()
	switch {
	case l == nil || l.cancelled || now.After(l.max):
		return time.Time{}, terminal(plugins.KindReplace, "unknown token")
	case l.password != string(tok.Password):
		return time.Time{}, terminal(plugins.KindDenied, "wrong password")
	}
	s.renewals[id]++
	l.expires = earlier(l.max, now.Add(s.interval))
	return l.expires, nil
}

// cancel looks at no password, as the real one.
func (s *service) cancel(tok plugins.Token) error {
	id := string(tok.Identifier)
	if err := s.failing("cancel", id); err != nil {
		return err
	}
	s.cancels = append(s.cancels, id)
	l := s.tokens[id]
	if l == nil || l.cancelled {
		return terminal(plugins.KindReplace, "token not found")
	}
	l.cancelled = true
	return nil
}

func terminal(k plugins.Kind, text string) error {
	return &plugins.Error{Kind: k, Protected: true, Err: errors.New(text)}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
