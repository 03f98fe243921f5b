package renewer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// lender is a provider over a real secret manager, called directly: what a
// NameNode would say, in the bubble's time.
type lender struct {
	secrets *hadooptest.SecretManager
	service string

	mu     sync.Mutex // guards what follows
	before func(op string) error
	calls  map[string]int
	expiry map[string]time.Time // by identifier: until when it is valid
}

const principal = "tokenwheel/host@REALM"

func newLender(l hadooptest.Lifetimes) *lender {
	return &lender{secrets: hadooptest.NewSecretManager(l), service: "nn:8020", calls: map[string]int{}, expiry: map[string]time.Time{}}
}

// fail makes every call ask f first; nil heals it.
func (l *lender) fail(f func(op string) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.before = f
}

func (l *lender) count(op string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls[op]
}

func (l *lender) enter(op string) error {
	l.mu.Lock()
	l.calls[op]++
	f := l.before
	l.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(op)
}

func (l *lender) Kinds() []string { return []string{hadooptoken.KindHDFS} }

func (l *lender) Authorities(context.Context) ([]plugins.Authority, error) {
	return []plugins.Authority{{Name: "ns", Kinds: l.Kinds(), Services: []string{l.service, "ha-hdfs:ns", "10.0.0.1:8020"}, Obtains: true}}, nil
}

func (l *lender) Identify(_ context.Context, t plugins.Token) (plugins.Identity, error) {
	id, err := hadooptoken.ParseIdentifier(t.Kind, t.Identifier)
	if err != nil {
		return plugins.Identity{}, plugins.Refused("identifier", err)
	}
	return plugins.Identity{
		Owner: id.Owner, RealUser: id.RealUser, Renewer: id.Renewer, User: hadooptest.Short(id.Owner), Ours: id.Renewer == "tokenwheel",
		Issued: id.Issued, Max: id.Max, Sequence: id.Sequence,
	}, nil
}

func (l *lender) Obtain(_ context.Context, req plugins.ObtainRequest) ([]plugins.Grant, error) {
	if err := l.enter("obtain"); err != nil {
		return nil, err
	}
	token, err := l.secrets.Issue(time.Now(), hadooptest.Caller{Principal: principal, Effective: req.User}, "tokenwheel")
	if err != nil {
		return nil, kindOf(err)
	}
	token.Service = l.service
	id, err := l.Identify(context.Background(), token)
	l.learn(token)
	return []plugins.Grant{{Token: token, Max: id.Max}}, err
}

func (l *lender) Renew(_ context.Context, t plugins.Token) (time.Time, error) {
	if err := l.enter("renew"); err != nil {
		return time.Time{}, err
	}
	expires, err := l.secrets.Renew(time.Now(), hadooptest.Caller{Principal: principal, Effective: principal}, t.Identifier, t.Password)
	if err == nil {
		l.learn(t)
	}
	return expires, kindOf(err)
}

func (l *lender) Cancel(_ context.Context, t plugins.Token) error {
	if err := l.enter("cancel"); err != nil {
		return err
	}
	err := l.secrets.Cancel(time.Now(), hadooptest.Caller{Principal: principal, Effective: principal}, t.Identifier)
	if plugins.KindOf(kindOf(err)) == plugins.KindReplace {
		return nil
	}
	return kindOf(err)
}

func (l *lender) learn(t plugins.Token) {
	at, _ := l.secrets.RenewDate(t.Identifier)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expiry[string(t.Identifier)] = at
}

// valid tells whether a token logs in now.
func (l *lender) valid(t plugins.Token) error {
	_, err := l.secrets.Password(time.Now(), t.Identifier)
	return err
}

func kindOf(err error) error {
	e, ok := errors.AsType[*hadooptest.JavaError](err)
	switch {
	case !ok:
		return err
	case strings.HasSuffix(e.Class, "InvalidToken"):
		return &plugins.Error{Kind: plugins.KindReplace, Protected: true, Err: err}
	case strings.HasSuffix(e.Class, "AccessControlException"):
		return &plugins.Error{Kind: plugins.KindDenied, Protected: true, Err: err}
	}
	return err
}

// shelf is a stager that keeps what it is given, newest last.
type shelf struct {
	mu   sync.Mutex // guards what follows
	sets map[appregistry.AppKey][]appregistry.Set
	fail error
}

func newShelf() *shelf { return &shelf{sets: map[appregistry.AppKey][]appregistry.Set{}} }

func (s *shelf) Stage(_ context.Context, set appregistry.Set) (appregistry.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return appregistry.Receipt{}, s.fail
	}
	if have := s.sets[set.App]; len(have) > 0 {
		if last := have[len(have)-1]; last.Generation >= set.Generation || last.Epoch > set.Epoch {
			return appregistry.Receipt{}, &appregistry.Behind{Epoch: last.Epoch, N: last.Generation}
		}
	}
	s.sets[set.App] = append(s.sets[set.App], set)
	return appregistry.Receipt{Epoch: set.Epoch, N: set.Generation}, nil
}

func (s *shelf) newest(app appregistry.AppKey) (appregistry.Set, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sets := s.sets[app]
	if len(sets) == 0 {
		return appregistry.Set{}, false
	}
	return sets[len(sets)-1], true
}

// events counts what the hooks told.
type events struct {
	mu   sync.Mutex // guards seen
	seen map[string]int
	last map[string]renewer.Event
}

func (e *events) hooks() renewer.Hooks {
	e.seen, e.last = map[string]int{}, map[string]renewer.Event{}
	return renewer.Hooks{Each: func(ev renewer.Event) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.seen[ev.What]++
		e.last[ev.What] = ev
	}}
}

func (e *events) count(what string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.seen[what]
}

// bubbleClock is the machine's clock inside a synctest bubble.
func bubbleClock() func() (time.Duration, time.Time) {
	start := time.Now()
	return func() (time.Duration, time.Time) { return time.Since(start), time.Now() }
}

// running runs a renewer inside a bubble for the length of f.
func running(t *testing.T, c renewer.Config, f func(ctx context.Context, t *testing.T, r *renewer.Renewer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { runIn(t, c, f) })
}

// runIn is running for a test that is in a bubble already.
func runIn(t *testing.T, c renewer.Config, f func(ctx context.Context, t *testing.T, r *renewer.Renewer)) {
	t.Helper()
	if c.Clock == nil {
		c.Clock = bubbleClock()
	}
	r, err := renewer.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Run(t.Context(), func(ctx context.Context) error {
		f(ctx, t, r)
		return nil
	}); err != nil {
		t.Errorf("Run: %v", err)
	}
}

var target = []appregistry.Target{{Dir: "/stage"}}

func app(id string, obtain ...string) appregistry.App {
	return appregistry.App{ID: appregistry.AppID(id), User: "alice", Obtain: obtain, StageTo: target}
}

func key(id string) appregistry.AppKey { return appregistry.AppKey{ID: appregistry.AppID(id)} }

// only is the one token of a set.
func only(t *testing.T, c plugins.Credentials) plugins.Token {
	t.Helper()
	if len(c.Tokens) != 1 {
		t.Fatalf("%d tokens, want 1", len(c.Tokens))
	}
	for _, token := range c.Tokens {
		return token
	}
	panic("unreachable")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func errTest(n int) error { return fmt.Errorf("test error %d", n) }
