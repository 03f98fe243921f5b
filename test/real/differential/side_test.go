package differential_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/hadooptoken"
	pb "github.com/tokenwheel/tokenwheel/internal/hadooppb"
	"github.com/tokenwheel/tokenwheel/internal/hrpc"
	"github.com/tokenwheel/tokenwheel/internal/krb"
	"github.com/tokenwheel/tokenwheel/internal/sasl"
	"github.com/tokenwheel/tokenwheel/plugins"
)

var qops = []sasl.QOP{sasl.Auth, sasl.AuthInt, sasl.AuthConf}

// side is one of the two NameNodes, and how clients reach it. Its methods may be called concurrently, but for restart.
type side struct {
	name       string
	addr       string
	nameNode   string // its principal
	identities map[string]*krb.Client
	restart    func(ctx context.Context, l hadooptest.Lifetimes) error

	life hadooptest.Lifetimes // of the current boot

	mu    sync.Mutex // guards conns
	conns map[caller]*hrpc.Conn
}

// newSide logs nobody in yet. Keytab returns the path of a principal's.
func newSide(t *testing.T, s *side, krb5Conf string, keytab func(principal string) string) *side {
	t.Helper()
	conf, err := krb.LoadConfig(krb5Conf)
	if err != nil {
		t.Fatal(err)
	}
	s.identities, s.conns = map[string]*krb.Client{}, map[caller]*hrpc.Conn{}
	for _, p := range []string{servicePrincipal, ownerPrincipal, strangerPrincipal, superPrincipal} {
		client, err := krb.NewClient(krb.Options{Conf: conf, Principal: p + "@" + realm, Keytab: keytab(p)})
		if err != nil {
			t.Fatal(err)
		}
		s.identities[p] = client
	}
	t.Cleanup(s.hangUp)
	return s
}

// hangUp closes what connections there are.
func (s *side) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
	clear(s.conns)
}

// begin starts a boot: everything is restarted with its lifetimes.
func (s *side) begin(ctx context.Context, l hadooptest.Lifetimes) error {
	s.hangUp()
	s.life = l
	if err := s.restart(ctx, l); err != nil {
		return fmt.Errorf("restart the %s: %w", s.name, err)
	}
	return nil
}

// connect opens the connections of all who have one, so that no step waits for a login.
func (s *side) connect(ctx context.Context) error {
	for _, by := range callers {
		if by == byImpostor {
			continue
		}
		if _, err := s.kept(ctx, by); err != nil {
			return fmt.Errorf("%s: %s: %w", s.name, by, err)
		}
	}
	return nil
}

// dial opens a connection for a caller, who has that token.
func (s *side) dial(ctx context.Context, by caller, token plugins.Token, qop sasl.QOP) (*hrpc.Conn, error) {
	// The one deadline is the step's.
	cfg := hrpc.Config{Protocol: hrpc.ClientProtocol, ConnectTimeout: time.Minute, LoginTimeout: time.Minute}
	if by == byToken {
		cfg.Token = &hrpc.Token{Identifier: token.Identifier, Password: token.Password}
		cfg.Policy = sasl.Policy{Prefer: []sasl.QOP{qop}, Minimum: qop}
	} else {
		client := s.identities[by.principal]
		cfg.EffectiveUser = by.user
		cfg.Kerberos = &hrpc.Kerberos{
			Principal: s.nameNode,
			Context:   func(ctx context.Context, service string) (sasl.GSS, error) { return client.Initiate(ctx, service) },
		}
	}
	return hrpc.Dial(ctx, cfg, s.addr)
}

// with makes a call as somebody: by Kerberos on a connection that is kept for the next, by the token on its own.
func (s *side) with(ctx context.Context, by caller, token plugins.Token, qop sasl.QOP, call func(*hrpc.Conn) error) error {
	if by == byToken || by == byImpostor { // whose connection nobody could share: it ends with its first call
		conn, err := s.dial(ctx, by, token, qop)
		if err != nil {
			return err
		}
		defer conn.Close()
		return call(conn)
	}
	conn, err := s.kept(ctx, by)
	if err != nil {
		return err
	}
	return call(conn)
}

// kept is the connection of a Kerberos caller, opened if there is none that lives.
func (s *side) kept(ctx context.Context, by caller) (*hrpc.Conn, error) {
	s.mu.Lock()
	conn := s.conns[by]
	s.mu.Unlock()
	if conn != nil && conn.Err() == nil {
		return conn, nil
	}
	conn, err := s.dial(ctx, by, plugins.Token{}, 0)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.conns[by]; other != nil && other.Err() == nil {
		conn.Close()
		return other, nil
	}
	s.conns[by] = conn
	return conn, nil
}

// story is a script under way on one side.
type story struct {
	script script
	token  plugins.Token
	dates  dates
	told   []outcome
}

// dates are the instants at which what a token meets changes, as this side told them.
type dates struct {
	renew, max time.Time
}

// outcome is what one step met, less what must differ.
type outcome struct {
	phase   phase
	verdict string
}

// phase is where in a token's life a step was made: what it met is compared with what it met in the same phase of the
// other one's life.
type phase string

// unsure is the phase of a step during which another began: what it met is no evidence.
const unsure phase = "unsure"

// ask makes a step and notes what it met. Scanned is the phase in which the last start found the token.
func (st *story) ask(ctx context.Context, s *side, q step, scanned phase) {
	before := st.dates
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	verdict := st.verdict(ctx, s, q, begin)
	p := before.phase(begin, time.Now(), s.life.RenewInterval)
	if p == unsure || scanned == unsure || ctx.Err() != nil { // what nobody answered in all that time is no answer
		p, scanned = unsure, ""
	}
	st.told = append(st.told, outcome{scanned + p, verdict})
}

// slack is how far clocks and their readers may be apart: the two sides read one clock.
const slack = 20 * time.Millisecond

// phase tells in which part of the life two instants lie.
func (d dates) phase(from, to time.Time, interval time.Duration) phase {
	var p phase
	for _, edge := range []time.Time{d.renew, d.max, d.max.Add(-interval)} {
		switch {
		case d.max.IsZero() || edge.After(to.Add(slack)):
			p += "<"
		case edge.Before(from.Add(-slack)):
			p += ">"
		default:
			return unsure
		}
	}
	return p
}

func (st *story) verdict(ctx context.Context, s *side, q step, begin time.Time) string {
	if q.op == obtain && q.by != byToken {
		var token plugins.Token
		err := s.with(ctx, q.by, token, 0, func(conn *hrpc.Conn) (err error) {
			token, err = getToken(ctx, conn, q.renewer)
			return err
		})
		if err != nil {
			return refusal(err)
		}
		return st.obtained(s, token, begin)
	}
	if len(st.token.Identifier) == 0 {
		return "no token"
	}
	token := forge(st.token, q)
	said := "logged in"
	err := s.with(ctx, q.by, token, qops[q.qop], func(conn *hrpc.Conn) error {
		switch q.op {
		case login:
			return nil
		case obtain:
			_, err := getToken(ctx, conn, q.renewer)
			said = "obtained"
			return err
		case renew:
			expires, err := renewToken(ctx, conn, token)
			if err == nil {
				said = st.renewed(s, expires, begin)
			}
			return err
		default:
			said = "cancelled"
			return cancelToken(ctx, conn, token)
		}
	})
	if err != nil {
		return refusal(err)
	}
	return said
}

// obtained takes the token on, and tells what it says of itself.
func (st *story) obtained(s *side, token plugins.Token, begin time.Time) string {
	id, err := hadooptoken.ParseIdentifier(token.Kind, token.Identifier)
	if err != nil {
		return fmt.Sprintf("a token that cannot be read: %v", err)
	}
	st.token = token
	st.dates = dates{id.Issued.Add(s.life.RenewInterval), id.Max}
	issued := "now"
	if id.Issued.Before(begin.Add(-slack)) || id.Issued.After(time.Now().Add(slack)) {
		issued = fmt.Sprint(id.Issued.Sub(begin))
	}
	return fmt.Sprintf("obtained kind %q service %q owner %q renewer %q real user %q issued %s for %s, password of %d bytes",
		token.Kind, token.Service, id.Owner, id.Renewer, id.RealUser, issued, id.Max.Sub(id.Issued), len(token.Password))
}

// renewed takes the date on, and tells which of the two rules gave it.
func (st *story) renewed(s *side, expires, begin time.Time) string {
	st.dates.renew = expires
	interval := s.life.RenewInterval
	switch {
	case expires.Equal(st.dates.max):
		return "renewed until the max date"
	case expires.After(begin.Add(interval-slack)) && expires.Before(time.Now().Add(interval+slack)):
		return "renewed for the interval"
	}
	return fmt.Sprintf("renewed for %s", expires.Sub(begin))
}

func getToken(ctx context.Context, conn *hrpc.Conn, renewer string) (plugins.Token, error) {
	var answer pb.GetDelegationTokenResponseProto
	err := conn.Call(ctx, "getDelegationToken", &pb.GetDelegationTokenRequestProto{Renewer: &renewer}, &answer)
	t := answer.GetToken()
	return plugins.Token{Kind: t.GetKind(), Service: t.GetService(), Identifier: t.GetIdentifier(), Password: t.GetPassword()}, err
}

func renewToken(ctx context.Context, conn *hrpc.Conn, t plugins.Token) (time.Time, error) {
	var answer pb.RenewDelegationTokenResponseProto
	err := conn.Call(ctx, "renewDelegationToken", &pb.RenewDelegationTokenRequestProto{Token: tokenProto(t)}, &answer)
	return time.UnixMilli(int64(answer.GetNewExpiryTime())), err
}

func cancelToken(ctx context.Context, conn *hrpc.Conn, t plugins.Token) error {
	return conn.Call(ctx, "cancelDelegationToken", &pb.CancelDelegationTokenRequestProto{Token: tokenProto(t)}, &pb.CancelDelegationTokenResponseProto{})
}

func tokenProto(t plugins.Token) *pb.TokenProto {
	return &pb.TokenProto{Identifier: t.Identifier, Password: t.Password, Kind: proto.String(t.Kind), Service: proto.String("127.0.0.1:8020")}
}

// refusal is what the server said, dates and identifiers masked.
func refusal(err error) string {
	re, ok := errors.AsType[*hrpc.RemoteError](err)
	switch {
	case !ok && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)):
		return "no answer: the connection was closed"
	case !ok:
		return fmt.Sprintf("no answer: %v", err)
	}
	return fmt.Sprintf("refused as %s: %s (code %d, fatal %v, protected %v)", re.Class, masked(re.Message), re.Detail, re.Fatal, re.Protected)
}
