package sim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// Who we are at every service.
const (
	ourPrincipal = "tokenwheel/host.sim@SIM"
	ourName      = "tokenwheel"
	somebodyElse = "yarn"
)

// service is one NameNode: the secret manager of the kit, and its journal as
// what each token went through.
type service struct {
	index     int
	name      string // as calls have it
	authority appregistry.Authority
	secrets   *hadooptest.SecretManager
	skew      time.Duration
	protected bool // its channel; the other kind of answer is believed only when given twice
	leases    map[string]*lease
	calls     Calls
}

// lease is a token as its service and those who hold it know it. Times are boot
// times.
type lease struct {
	svc        *service
	token      plugins.Token
	identity   plugins.Identity
	begun      time.Duration // issued, or last renewed
	expires    time.Duration
	max        time.Duration
	brought    bool // an application got it itself
	proved     bool // these bytes were renewed, or handed to us
	keep       bool // somebody who ever held it did not ask for its cancel
	cancelled  bool
	forgotten  time.Duration // when its service lost it; 0: never
	slots      []*slot       // that have it in their newest readable set
	lagging    int           // readers that did not look since
	checkAt    time.Duration
	askedAt    time.Duration // when the engine began to want its renewal
	askedSince bool
}

// Format implements [fmt.Formatter]: the token's own words, without its password.
func (l *lease) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, l.token.String()) }

// dead reports whether the token is good for nothing any more. The service
// itself is asked, our notes only tell why.
func (l *lease) dead(now time.Duration) bool {
	_, there := l.svc.secrets.RenewDate(l.token.Identifier)
	return !there || l.expires <= now
}

// date is what the service's clock shows.
func (w *world) date(s *service) time.Time { return w.origin.Add(w.now + s.skew) }

func (w *world) boot(s *service, date time.Time) time.Duration {
	return date.Sub(w.origin) - s.skew
}

func us() hadooptest.Caller {
	return hadooptest.Caller{Principal: ourPrincipal, Effective: ourPrincipal}
}

// issue makes a token for a user, asked for by the caller.
func (w *world) issue(s *service, c hadooptest.Caller, renewer string) (*lease, error) {
	now := w.date(s)
	tok, err := s.secrets.Issue(now, c, renewer)
	if err != nil {
		return nil, serviceError(s, err)
	}
	tok.Service = s.authority.Name
	id, err := hadooptoken.ParseIdentifier(tok.Kind, tok.Identifier)
	if err != nil {
		return nil, plugins.Suspect(err)
	}
	expires, _ := s.secrets.RenewDate(tok.Identifier)
	l := &lease{
		svc: s, token: tok, begun: w.now, expires: w.boot(s, expires), max: w.boot(s, id.Max),
		identity: plugins.Identity{
			Owner: id.Owner, RealUser: id.RealUser, Renewer: id.Renewer, User: hadooptest.Short(id.Owner),
			Ours: id.Renewer == ourName, Issued: id.Issued, Max: id.Max, Sequence: id.Sequence,
		},
	}
	if id.RealUser != "" {
		l.identity.RealShort = hadooptest.Short(id.RealUser)
	}
	s.leases[string(tok.Identifier)] = l
	return l, nil
}

func (w *world) obtain(s *service, a core.Obtain) ([]core.Grant, error) {
	l, err := w.issue(s, hadooptest.Caller{Principal: ourPrincipal, Effective: a.Request.User}, ourName)
	w.note(hadooptest.OpIssue, s, l, err)
	if err != nil {
		return nil, err
	}
	id := l.identity
	return []core.Grant{{Grant: plugins.Grant{Alias: s.authority.Name, Token: l.token, Max: id.Max}, Identity: &id}}, nil
}

func (w *world) renew(s *service, tok plugins.Token) (time.Time, error) {
	l := s.leases[string(tok.Identifier)]
	expires, err := s.secrets.Renew(w.date(s), us(), tok.Identifier, tok.Password)
	w.note(hadooptest.OpRenew, s, l, err)
	if err != nil {
		return time.Time{}, serviceError(s, err)
	}
	expires = expires.Truncate(time.Millisecond) // as it comes over the wire
	w.judge.renewed(l, w.boot(s, expires))
	return expires, nil
}

func (w *world) cancel(s *service, tok plugins.Token) error {
	l := s.leases[string(tok.Identifier)]
	err := s.secrets.Cancel(w.date(s), us(), tok.Identifier)
	w.note(hadooptest.OpCancel, s, l, err)
	if err != nil {
		return serviceError(s, err)
	}
	w.judge.cancelled(l)
	return nil
}

// forgetAll is a service that comes up without its tokens.
func (w *world) forgetAll(s *service) {
	for id, l := range s.leases {
		s.secrets.Forget([]byte(id))
		if l.expires > w.now && l.forgotten == 0 {
			l.forgotten = w.now
		}
	}
}

// sweep drops what the service and everybody else are done with.
func (s *service) sweep(now time.Duration) {
	for id, l := range s.leases {
		if len(l.slots) == 0 && l.lagging == 0 && (l.cancelled || l.expires+2*day < now) {
			delete(s.leases, id)
		}
	}
}

// serviceError gives a Java class the kind that plugins/hdfs gives it.
func serviceError(s *service, err error) error {
	out := &plugins.Error{Err: err, Protected: s.protected}
	if j, ok := errors.AsType[*hadooptest.JavaError](err); ok {
		switch j.Class {
		case hadooptest.ClassInvalidToken:
			out.Kind = plugins.KindReplace
		case hadooptest.ClassAccessControl:
			out.Kind = plugins.KindDenied
		}
	}
	return out
}

// note counts a call that the service answered and writes it into the history.
func (w *world) note(op hadooptest.Op, s *service, l *lease, err error) {
	var seq int64
	if l != nil {
		seq = l.identity.Sequence
	}
	s.calls.add(op, err)
	w.history.add(w.now, s.index, op, seq, err == nil)
}

// history is a digest of everything that services, store and readers saw. Two
// runs of one seed have the same.
type history struct{ hash hash.Hash64 }

func (h *history) add(at time.Duration, where int, op hadooptest.Op, n int64, ok bool) {
	var b [26]byte
	binary.BigEndian.PutUint64(b[:], uint64(at))
	binary.BigEndian.PutUint64(b[8:], uint64(where))
	binary.BigEndian.PutUint64(b[16:], uint64(n))
	b[24] = op[0]
	if ok {
		b[25] = 1
	}
	_, _ = h.hash.Write(b[:])
}
