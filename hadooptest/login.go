package hadooptest

import (
	"errors"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/tokenwheel/tokenwheel/hadooptoken"
	pb "github.com/tokenwheel/tokenwheel/internal/hadooppb"
	"github.com/tokenwheel/tokenwheel/internal/sasl"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// login is the SASL exchange of one connection. A mechanism that is done stays
// set, so that a second exchange is recognised.
type login struct {
	negotiated bool
	digest     *sasl.DigestAcceptor // its challenge went out with NEGOTIATE
	gss        sasl.GSS
	mechanism  sasl.Mechanism // the one the client initiated
	finished   bool
}

func (l *login) done() bool { return l.finished }

// saslFrame handles one message of the exchange, or a wrapped one after it.
func (s *session) saslFrame(body []byte) error {
	var m pb.RpcSaslProto
	if _, err := delimited(body, &m); err != nil {
		return &fatal{callSASL, pb.RpcResponseHeaderProto_FATAL_DESERIALIZING_REQUEST, javaError(ClassRPCServer, "invalid SASL message")}
	}
	state := m.GetState()
	switch {
	case state == pb.RpcSaslProto_WRAP && s.login.finished:
		return s.unwrap(m.GetToken())
	case s.login.finished:
		return s.saslError(javaError(ClassSASL, "SASL exchange is over"))
	case state == pb.RpcSaslProto_NEGOTIATE && !s.login.negotiated:
		return s.negotiate()
	case state == pb.RpcSaslProto_INITIATE && s.login.mechanism == nil:
		return s.initiate(&m)
	case state == pb.RpcSaslProto_RESPONSE && s.login.mechanism != nil && m.Token != nil:
		return s.step(m.GetToken())
	}
	return s.saslError(javaError(ClassSASL, "SASL message %s out of turn", state))
}

func (s *session) saslError(err error) error {
	return &fatal{callSASL, pb.RpcResponseHeaderProto_FATAL_UNAUTHORIZED, err}
}

func (s *session) negotiate() error {
	s.login.negotiated = true
	challenge, err := s.startDigest()
	if err != nil {
		return err
	}
	auths := s.auths()
	auths[0].Challenge = challenge
	s.saslAnswer(&pb.RpcSaslProto{State: pb.RpcSaslProto_NEGOTIATE.Enum(), Auths: auths})
	return nil
}

// auths is the offer, TOKEN first as a server with a secret manager has it.
func (s *session) auths() []*pb.RpcSaslProto_SaslAuth {
	service, host, _ := strings.Cut(strings.SplitN(s.nn.principal, "@", 2)[0], "/")
	return []*pb.RpcSaslProto_SaslAuth{
		{Method: proto.String("TOKEN"), Mechanism: proto.String("DIGEST-MD5"), Protocol: proto.String(""), ServerId: proto.String("default")},
		{Method: proto.String("KERBEROS"), Mechanism: proto.String("GSSAPI"), Protocol: proto.String(service), ServerId: proto.String(host)},
	}
}

func (s *session) startDigest() ([]byte, error) {
	s.login.digest = sasl.DigestServer{Offer: s.nn.offer, Lookup: s.lookup}.Start()
	challenge, _, err := s.login.digest.Step(nil)
	return challenge, err
}

// lookup answers a token login. A standby refuses here already.
func (s *session) lookup(identifier []byte) ([]byte, error) {
	fault := s.nn.faultNow()
	if fault.Standby {
		return nil, standbyError()
	}
	if id, ok := s.nn.unheard(fault, identifier); ok {
		return nil, javaError(ClassInvalidToken, "Token for real user: %s, can't be found in cache", id.RealUser)
	}
	return s.nn.Secrets.Password(s.nn.now(), identifier)
}

// initiate starts the one mechanism that the client picked out of the offer,
// which it repeats field for field.
func (s *session) initiate(m *pb.RpcSaslProto) error {
	if len(m.GetAuths()) != 1 {
		return s.saslError(javaError(ClassSASL, "Client mechanism is malformed"))
	}
	picked := m.GetAuths()[0]
	for _, offered := range s.auths() {
		if !proto.Equal(offered, picked) {
			continue
		}
		if picked.GetMethod() == "TOKEN" {
			return s.initiateToken(m)
		}
		s.login.gss = s.nn.acceptor()
		s.login.mechanism = sasl.NewGSSServer(s.login.gss, s.nn.offer...)
		return s.step(m.GetToken())
	}
	if !s.login.negotiated {
		return s.negotiate()
	}
	return s.saslError(javaError(ClassAccessControl, "%s authentication is not enabled.  Available:[TOKEN, KERBEROS]", picked.GetMethod()))
}

// initiateToken goes on with the challenge that NEGOTIATE carried, or sends one
// to a client that came without asking.
func (s *session) initiateToken(m *pb.RpcSaslProto) error {
	if s.login.digest != nil {
		s.login.mechanism = s.login.digest
		return s.step(m.GetToken())
	}
	challenge, err := s.startDigest()
	if err != nil {
		return err
	}
	s.login.mechanism = s.login.digest
	s.saslAnswer(&pb.RpcSaslProto{State: pb.RpcSaslProto_CHALLENGE.Enum(), Token: challenge})
	return nil
}

func (s *session) step(token []byte) error {
	out, done, err := s.login.mechanism.Step(token)
	if err != nil {
		if s.login.mechanism == s.login.digest {
			s.nn.Journal.add(Call{NameNode: s.nn.ID, At: s.nn.now(), Op: OpLogin, Err: err})
		}
		if e, ok := errors.AsType[*JavaError](err); ok && e.Class == ClassEOF {
			return err // the original takes it for the end of the connection, and says nothing
		}
		return s.saslError(saslCause(err))
	}
	if !done {
		s.saslAnswer(&pb.RpcSaslProto{State: pb.RpcSaslProto_CHALLENGE.Enum(), Token: out})
		return nil
	}
	if err := s.finish(); err != nil {
		return err
	}
	s.saslAnswer(&pb.RpcSaslProto{State: pb.RpcSaslProto_SUCCESS.Enum(), Token: out})
	s.layer = s.login.mechanism.Layer()
	return nil
}

// finish learns who logged in.
func (s *session) finish() error {
	s.login.finished = true
	if s.login.gss != nil {
		s.caller = Caller{Principal: s.login.gss.Peer(), Effective: s.login.gss.Peer()}
		return nil
	}
	raw := s.login.digest.Identifier()
	id, err := decode(raw)
	if err != nil {
		return s.saslError(err)
	}
	s.caller = Caller{Principal: id.Owner, Effective: id.Owner, ByToken: true}
	s.nn.Journal.add(Call{NameNode: s.nn.ID, At: s.nn.now(), Op: OpLogin, Caller: id.Owner, RealUser: id.RealUser, Token: tokenOf(raw).Fingerprint()})
	return nil
}

// saslCause is the error as the server reports it: the secret manager's own
// where there is one, as getTrueCause digs it out, else a SaslException.
func saslCause(err error) error {
	if e, ok := errors.AsType[*JavaError](err); ok {
		return e
	}
	if errors.Is(err, sasl.ErrMismatch) {
		return javaError(ClassSASL, "DIGEST-MD5: digest response format violation. Mismatched response.")
	}
	return javaError(ClassSASL, "%v", err)
}

func (s *session) saslAnswer(m *pb.RpcSaslProto) {
	s.answer(saslHeader(), m)
}

func standbyError() error {
	return javaError(ClassStandby, "Operation category READ is not supported in state standby. Visit https://s.apache.org/sbnn-error")
}

// tokenOf is a token of which only the identifier is known.
func tokenOf(identifier []byte) plugins.Token {
	return plugins.Token{Kind: hadooptoken.KindHDFS, Identifier: identifier}
}
