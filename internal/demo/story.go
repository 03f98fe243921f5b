package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/plugins/hdfs"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// errAllSeen ends a run that only checks.
var errAllSeen = errors.New("all seen")

// story is what happens, each step as soon as the one before was seen.
func (s *stage) story(ctx context.Context, r *renewer.Renewer, nn *hdfs.Provider) error {
	tokenFile, err := s.submit(ctx, nn)
	if err != nil {
		return err
	}
	brought, err := hadooptoken.ReadFile(tokenFile, hadooptoken.ReadOptions{Private: true})
	if err != nil {
		return err
	}
	for _, app := range []appregistry.App{
		{ID: "orders", User: "alice", Credentials: brought, AtEnd: appregistry.CancelAll},
		{ID: "audit", User: "alice", Credentials: brought, AtEnd: appregistry.CancelAll},
		{ID: "clicks", User: "bob", Obtain: []string{"hdfs", "gatepass"}},
	} {
		app.Owner = s.o.Owner
		app.StageTo = []appregistry.Target{{Dir: s.path("stage", string(app.ID))}}
		if err := r.Register(ctx, app); err != nil {
			return err
		}
		s.say.line("app", "%s of user %s is registered and its first credentials are staged", app.ID, app.User)
	}
	if err := s.trouble(ctx); err != nil {
		return err
	}
	if err := s.seen.wait(ctx, sawReplaced, sawBothPickUp); err != nil {
		return err
	}
	if err := s.leave(ctx, r); err != nil {
		return err
	}
	if err := s.seen.wait(ctx, allOfThem...); err != nil {
		return err
	}
	s.say.line("demo", "everything was seen")
	if s.o.Check {
		return errAllSeen
	}
	<-ctx.Done()
	return nil
}

// submit does what a user does before he submits a job: gets a token and writes
// it to a file. Two applications will bring that same file.
func (s *stage) submit(ctx context.Context, nn *hdfs.Provider) (path string, err error) {
	if err := os.Mkdir(s.path("stage"), fileDir); err != nil {
		return "", err
	}
	grants, err := nn.Obtain(ctx, plugins.ObtainRequest{App: "submit", User: "alice"})
	if err != nil {
		return "", err
	}
	token := grants[0].Token
	path = s.path("alice.token")
	creds := plugins.Credentials{Tokens: map[string]plugins.Token{grants[0].Alias: token}}
	if err := hadooptoken.WriteFile(path, creds, hadooptoken.FormatJava); err != nil {
		return "", err
	}
	s.say.line("submit", "alice got token %s and wrote it to %s; two applications bring it", token.Fingerprint(), path)
	return path, nil
}

const fileDir = 0o700

// trouble makes renewals fail until one was seen to, after one was seen to work.
func (s *stage) trouble(ctx context.Context) error {
	if err := s.seen.wait(ctx, sawRenewed); err != nil {
		return err
	}
	s.say.line("trouble", "the NameNode stops renewing tokens")
	s.cluster.NameNode.SetFault(hadooptest.Fault{Refuse: func(op hadooptest.Op, _ hadooptest.Caller) error {
		if op == hadooptest.OpRenew {
			return &hadooptest.JavaError{Class: hadooptest.ClassRetriable, Message: "NameNode still not started"}
		}
		return nil
	}})
	err := s.seen.wait(ctx, sawFailed)
	s.cluster.NameNode.SetFault(hadooptest.Fault{})
	s.say.line("trouble", "the NameNode renews again")
	return err
}

// leave lets first one, then the other holder of the shared token go.
func (s *stage) leave(ctx context.Context, r *renewer.Renewer) error {
	all := r.As(renewer.Caller{Trusted: true})
	held, _, err := all.Current(ctx, s.key("orders"))
	if err != nil {
		return err
	}
	if err := all.Unregister(ctx, s.key("audit")); err != nil {
		return err
	}
	s.say.line("app", "audit has left; orders still holds the token they share")
	// Long enough for a cancel that should not come.
	select {
	case <-time.After(2 * time.Second):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	for _, token := range held.Tokens {
		if s.cancelled(token) {
			return fmt.Errorf("token %s was cancelled while orders held it", token.Fingerprint())
		}
	}
	s.seen.set(sawKept)
	if held, _, err = all.Current(ctx, s.key("orders")); err != nil {
		return err
	}
	if err := all.Unregister(ctx, s.key("orders")); err != nil {
		return err
	}
	s.say.line("app", "orders has left; nobody holds the token any more")
	return s.awaitCancel(ctx, held)
}

func (s *stage) key(id appregistry.AppID) appregistry.AppKey {
	return appregistry.AppKey{Owner: s.o.Owner, ID: id}
}

// awaitCancel waits until the NameNode's journal has a cancel of each token.
func (s *stage) awaitCancel(ctx context.Context, held plugins.Credentials) error {
	for _, token := range held.Tokens {
		for {
			changed := s.cluster.NameNode.Journal.Changed()
			if s.cancelled(token) {
				break
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	s.seen.set(sawCancelled)
	return nil
}

func (s *stage) cancelled(token plugins.Token) bool {
	for _, call := range s.cluster.NameNode.Journal.Of(token) {
		if call.Op == hadooptest.OpCancel && call.Err == nil {
			return true
		}
	}
	return false
}

// watchLogins tells when the renewer logs in at the KDC.
func (s *stage) watchLogins(ctx context.Context) error {
	for told := 0; ; {
		changed := s.cluster.NameNode.Journal.Changed()
		if n := s.cluster.KDC.Logins(); n > told {
			told = n
			s.say.line("login", "%s@%s logged in at the KDC by keytab", principal, s.cluster.Realm)
			s.seen.set(sawLogin)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}
