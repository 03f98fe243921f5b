package hrpc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/tokenwheel/tokenwheel/internal/hadooppb"
	"github.com/tokenwheel/tokenwheel/internal/sasl"
)

// maxLoginRounds is more than any mechanism needs.
const maxLoginRounds = 16

// open connects and logs in.
func open(ctx context.Context, cfg Config, addr string) (*wire, sasl.QOP, error) {
	dialCtx, cancel := context.WithTimeout(ctx, cfg.ConnectTimeout)
	defer cancel()
	conn, err := cfg.Dial(dialCtx, "tcp", addr)
	if err != nil {
		return nil, 0, &TransportError{Op: "connect to", Addr: addr, Err: err}
	}
	w := newWire(conn, cfg.MaxFrame)
	qop, err := loginUnder(ctx, w, cfg, addr)
	if err != nil {
		conn.Close()
		return nil, 0, loginError(cfg, addr, err)
	}
	return w, qop, nil
}

// loginUnder bounds the whole login, however slowly bytes come.
func loginUnder(ctx context.Context, w *wire, cfg Config, addr string) (sasl.QOP, error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.LoginTimeout)
	defer cancel()
	defer interruptAt(ctx, w.conn.SetDeadline)()
	qop, err := login(ctx, w, cfg, addr)
	if ctx.Err() != nil && !errors.Is(err, errContext) { // Kerberos says itself what it waited for
		return 0, ctx.Err()
	}
	return qop, err
}

// interruptAt makes blocked I/O fail as soon as ctx is done. The returned function undoes it.
func interruptAt(ctx context.Context, setDeadline func(time.Time) error) (undo func()) {
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		_ = setDeadline(time.Unix(1, 0))
	})
	return func() {
		if !stop() {
			<-interrupted
		}
		_ = setDeadline(time.Time{})
	}
}

// loginError tells failures of the way from answers and refusals: only the former are met by another server. Nobody
// vouches for an answer in the login. That a token is invalid has no place in one without a token: whoever says it means
// to be believed of the token that the call would have been about.
func loginError(cfg Config, addr string, err error) error {
	re, answered := errors.AsType[*RemoteError](err)
	if answered && re.Class == InvalidToken && cfg.Token == nil {
		answered, err = false, fmt.Errorf("%w: %s", ErrProtocol, re.Error())
	}
	if answered || isRefusal(err) {
		return fmt.Errorf("log in to %s: %w", addr, err)
	}
	return &TransportError{Op: "log in to", Addr: addr, Err: err}
}

func isRefusal(err error) bool {
	for _, kind := range []error{
		ErrSimple, ErrMechanism, ErrServerName, errContext,
		sasl.ErrQOP, sasl.ErrCipher, sasl.ErrServerProof, sasl.ErrTooLong, sasl.ErrIntegrity,
	} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

var errContext = errors.New("no Kerberos context")

// login runs the client's side of SaslRpcClient.saslConnect.
func login(ctx context.Context, w *wire, cfg Config, addr string) (sasl.QOP, error) {
	negotiate, err := saslFrame(&pb.RpcSaslProto{State: pb.RpcSaslProto_NEGOTIATE.Enum()})
	if err != nil {
		return 0, err
	}
	if _, err := w.conn.Write(append(preamble[:len(preamble):len(preamble)], negotiate...)); err != nil {
		return 0, err
	}
	offer, err := w.readSASL()
	if err != nil {
		return 0, err
	}
	s, entry, err := newSession(ctx, cfg, addr, offer)
	if err != nil {
		return 0, err
	}
	response, done, err := s.mechanism.Step(s.challenge)
	if err != nil {
		return 0, err
	}
	// The server compares the entry with its own, field for field, less the challenge.
	entry.Challenge = nil
	initiate := &pb.RpcSaslProto{State: pb.RpcSaslProto_INITIATE.Enum(), Token: response, Auths: []*pb.RpcSaslProto_SaslAuth{entry}}
	if err := s.converse(w, initiate, done); err != nil {
		if _, ok := errors.AsType[*RemoteError](err); ok && s.refused != nil {
			s.refused()
		}
		return 0, err
	}
	w.layer = s.mechanism.Layer()
	return s.mechanism.QOP(), nil
}

// readSASL reads a message of the login. A refusal comes as an error answer.
func (w *wire) readSASL() (*pb.RpcSaslProto, error) {
	frame, err := readFrame(w.in, maxLoginFrame)
	if err != nil {
		return nil, err
	}
	a, err := parseAnswer(frame)
	if err != nil {
		return nil, err
	}
	if a.head.GetStatus() != pb.RpcResponseHeaderProto_SUCCESS {
		return nil, newRemoteError(a.head, false)
	}
	if a.id != callSASL {
		return nil, fmt.Errorf("call id %d in the login: %w", a.id, ErrProtocol)
	}
	m := &pb.RpcSaslProto{}
	return m, lastMessage(a.rest, m)
}

// session is one login under way.
type session struct {
	mechanism sasl.Mechanism
	challenge []byte       // that came with the offer
	verify    func() error // what is left to check when the mechanism is done
	refused   func()       // to be told of the server's refusal; nil: nobody is
}

// newSession picks our way from the server's offer. What else it offers does not matter: the mechanism authenticates
// the server.
func newSession(ctx context.Context, cfg Config, addr string, offer *pb.RpcSaslProto) (*session, *pb.RpcSaslProto_SaslAuth, error) {
	switch offer.GetState() {
	case pb.RpcSaslProto_SUCCESS:
		return nil, nil, ErrSimple
	case pb.RpcSaslProto_NEGOTIATE:
	default:
		return nil, nil, fmt.Errorf("SASL state %s instead of an offer: %w", offer.GetState(), ErrProtocol)
	}
	method, mechanism := "KERBEROS", "GSSAPI"
	if cfg.Token != nil {
		method, mechanism = "TOKEN", "DIGEST-MD5"
	}
	var offered []string
	simple := false
	for _, auth := range offer.GetAuths() {
		if auth.GetMethod() == method && auth.GetMechanism() == mechanism {
			entry := proto.CloneOf(auth)
			s, err := startSession(ctx, cfg, addr, entry)
			return s, entry, err
		}
		offered = append(offered, auth.GetMethod()+"/"+auth.GetMechanism())
		simple = simple || auth.GetMethod() == "SIMPLE"
	}
	kind := ErrMechanism
	if simple {
		kind = ErrSimple
	}
	return nil, nil, fmt.Errorf("server offers %q, needed is %s/%s: %w", offered, method, mechanism, kind)
}

func startSession(ctx context.Context, cfg Config, addr string, entry *pb.RpcSaslProto_SaslAuth) (*session, error) {
	name := entry.GetProtocol() + "/" + entry.GetServerId()
	if cfg.Token != nil {
		c := sasl.DigestClient{Identifier: cfg.Token.Identifier, Password: cfg.Token.Password, URI: name, Policy: cfg.Policy}
		return &session{mechanism: c.Start(), challenge: entry.GetChallenge(), verify: func() error { return nil }}, nil
	}
	want, err := newServerName(cfg.Kerberos, addr)
	if err != nil {
		return nil, err
	}
	if err := want.checkService(name); err != nil {
		return nil, err
	}
	gss, err := cfg.Kerberos.Context(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("%w with %s: %w", errContext, name, err)
	}
	out := &session{mechanism: sasl.NewGSSClient(gss, cfg.Policy), verify: func() error { return want.checkPeer(gss.Peer()) }}
	if cfg.Kerberos.Refused != nil {
		out.refused = func() { cfg.Kerberos.Refused(name) }
	}
	return out, nil
}

// converse sends the first message, then answers challenges until both sides are satisfied.
func (s *session) converse(w *wire, m *pb.RpcSaslProto, done bool) error {
	for range maxLoginRounds {
		frame, err := saslFrame(m)
		if err != nil {
			return err
		}
		if _, err := w.conn.Write(frame); err != nil {
			return err
		}
		in, err := w.readSASL()
		if err != nil {
			return err
		}
		switch in.GetState() {
		case pb.RpcSaslProto_SUCCESS:
			return s.finish(in, done)
		case pb.RpcSaslProto_CHALLENGE:
		default:
			return fmt.Errorf("SASL state %s in the login: %w", in.GetState(), ErrProtocol)
		}
		if in.Token == nil {
			return fmt.Errorf("challenge without a token: %w", ErrProtocol)
		}
		var response []byte
		if response, done, err = s.mechanism.Step(in.GetToken()); err != nil {
			return err
		}
		if response == nil {
			response = []byte{} // a RESPONSE has a token even when it is empty
		}
		m = &pb.RpcSaslProto{State: pb.RpcSaslProto_RESPONSE.Enum(), Token: response}
	}
	return fmt.Errorf("login without an end: %w", ErrProtocol)
}

// finish handles SUCCESS. One that comes before the mechanism has verified the server is an attack.
func (s *session) finish(in *pb.RpcSaslProto, done bool) error {
	if len(in.GetToken()) > 0 {
		response, now, err := s.mechanism.Step(in.GetToken())
		if err != nil {
			return err
		}
		done = now && response == nil
	}
	if !done {
		return fmt.Errorf("success before the server was verified: %w", sasl.ErrServerProof)
	}
	return s.verify()
}
