package hadooptest

import (
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tokenwheel/tokenwheel/hadooptoken"
	pb "github.com/tokenwheel/tokenwheel/internal/hadooppb"
	"github.com/tokenwheel/tokenwheel/internal/sasl"
	"github.com/tokenwheel/tokenwheel/plugins"
)

const clientProtocol = "org.apache.hadoop.hdfs.protocol.ClientProtocol"

// call answers one call.
func (s *session) call(id int32, body []byte, wrapped bool) {
	fault := s.nn.faultNow()
	if fault.Delay > 0 && !s.nn.wait(fault.Delay) {
		return
	}
	if fault.Hang {
		return
	}
	if fault.Cut {
		s.conn.Close()
		return
	}
	protected := wrapped && s.login.mechanism.QOP() >= sasl.AuthInt
	reply, code, err := s.dispatch(body, fault, protected)
	if errors.Is(err, errLost) {
		s.conn.Close()
		return
	}
	if err != nil {
		s.answerError(id, pb.RpcResponseHeaderProto_ERROR, code, err)
		return
	}
	s.answer(&pb.RpcResponseHeaderProto{CallId: proto.Uint32(uint32(id)), Status: pb.RpcResponseHeaderProto_SUCCESS.Enum()}, reply)
}

func (s *session) dispatch(body []byte, fault Fault, protected bool) (proto.Message, pb.RpcResponseHeaderProto_RpcErrorCodeProto, error) {
	var method pb.RequestHeaderProto
	rest, err := delimited(body, &method)
	if err != nil {
		return nil, pb.RpcResponseHeaderProto_ERROR_RPC_SERVER, javaError(ClassRPCServer, "invalid request header")
	}
	if p := method.GetDeclaringClassProtocolName(); p != clientProtocol {
		return nil, pb.RpcResponseHeaderProto_ERROR_NO_SUCH_PROTOCOL, javaError("org.apache.hadoop.ipc.RpcNoSuchProtocolException", "Unknown protocol: %s", p)
	}
	type handler struct {
		op     Op
		handle func(body []byte, fault Fault, protected bool) (proto.Message, error)
	}
	h, ok := map[string]handler{
		"getDelegationToken":    {OpIssue, s.issue},
		"renewDelegationToken":  {OpRenew, s.renew},
		"cancelDelegationToken": {OpCancel, s.cancel},
		"getServerDefaults":     {"", s.defaults},
	}[method.GetMethodName()]
	if !ok {
		return nil, pb.RpcResponseHeaderProto_ERROR_NO_SUCH_METHOD, javaError(ClassNoMethod, "Unknown method %s called on %s protocol.", method.GetMethodName(), clientProtocol)
	}
	reply, err := h.handle(rest, fault, protected)
	if fault.Lose != nil && fault.Lose(h.op, s.caller) {
		err = errLost
	}
	return reply, pb.RpcResponseHeaderProto_ERROR_APPLICATION, err
}

// errLost stands for an answer that is not sent.
var errLost = errors.New("answer lost")

// admit is the NameNode's own say before the secret manager's: a standby and one
// in safe mode change nothing.
func (s *session) admit(op Op, fault Fault) error {
	if fault.Standby {
		return standbyError()
	}
	if fault.Observer {
		return javaError(ClassObserver, "Operation category WRITE is not supported in state observer. Visit https://s.apache.org/sbnn-error")
	}
	if fault.SafeMode {
		return javaError(ClassSafeMode, "Cannot %s delegation token. Name node is in safe mode.", op)
	}
	if fault.Refuse != nil {
		return fault.Refuse(op, s.caller)
	}
	return nil
}

// record puts a call into the journal.
func (s *session) record(op Op, t plugins.Token, expires time.Time, protected bool, err error) {
	c := Call{NameNode: s.nn.ID, At: s.nn.now(), Op: op, Caller: s.caller.Effective, Expires: expires, Err: err, Protected: protected}
	if s.caller.Principal != s.caller.Effective {
		c.RealUser = s.caller.Principal
	}
	if len(t.Identifier) > 0 {
		c.Token = tokenOf(t.Identifier).Fingerprint()
	}
	s.nn.Journal.add(c)
}

func (s *session) issue(body []byte, fault Fault, protected bool) (reply proto.Message, err error) {
	var token plugins.Token
	var expires time.Time
	defer func() { s.record(OpIssue, token, expires, protected, err) }()
	var req pb.GetDelegationTokenRequestProto
	if _, err := delimited(body, &req); err != nil {
		return nil, javaError(ClassRPCServer, "invalid request")
	}
	if err := s.admit(OpIssue, fault); err != nil {
		return nil, err
	}
	if err := s.nn.foreign(req.GetRenewer()); err != nil && !s.caller.ByToken {
		return nil, err
	}
	if token, err = s.nn.Secrets.Issue(s.nn.now(), s.caller, req.GetRenewer()); err != nil {
		return nil, err
	}
	expires, _ = s.nn.Secrets.RenewDate(token.Identifier)
	return &pb.GetDelegationTokenResponseProto{Token: &pb.TokenProto{
		Identifier: token.Identifier, Password: token.Password,
		Kind: proto.String(hadooptoken.KindHDFS), Service: proto.String(""),
	}}, nil
}

func (s *session) renew(body []byte, fault Fault, protected bool) (reply proto.Message, err error) {
	var req pb.RenewDelegationTokenRequestProto
	var expires time.Time
	defer func() { s.record(OpRenew, tokenOf(req.GetToken().GetIdentifier()), expires, protected, err) }()
	if _, err := delimited(body, &req); err != nil {
		return nil, javaError(ClassRPCServer, "invalid request")
	}
	if err := s.admit(OpRenew, fault); err != nil {
		return nil, err
	}
	if id, ok := s.nn.unheard(fault, req.GetToken().GetIdentifier()); ok {
		return nil, javaError(ClassInvalidToken, "Renewal request for unknown token %s", name(id))
	}
	if expires, err = s.nn.Secrets.Renew(s.nn.now(), s.caller, req.GetToken().GetIdentifier(), req.GetToken().GetPassword()); err != nil {
		return nil, err
	}
	return &pb.RenewDelegationTokenResponseProto{NewExpiryTime: proto.Uint64(uint64(expires.UnixMilli()))}, nil
}

func (s *session) cancel(body []byte, fault Fault, protected bool) (reply proto.Message, err error) {
	var req pb.CancelDelegationTokenRequestProto
	defer func() { s.record(OpCancel, tokenOf(req.GetToken().GetIdentifier()), time.Time{}, protected, err) }()
	if _, err := delimited(body, &req); err != nil {
		return nil, javaError(ClassRPCServer, "invalid request")
	}
	if err := s.admit(OpCancel, fault); err != nil {
		return nil, err
	}
	if id, ok := s.nn.unheard(fault, req.GetToken().GetIdentifier()); ok {
		return nil, javaError(ClassInvalidToken, "Token not found %s", name(id))
	}
	if err := s.nn.Secrets.Cancel(s.nn.now(), s.caller, req.GetToken().GetIdentifier()); err != nil {
		return nil, err
	}
	return &pb.CancelDelegationTokenResponseProto{}, nil
}

// defaults answers the question for the server's defaults, without any: clients
// of the kit ask it only to see whether somebody answers.
func (s *session) defaults(_ []byte, fault Fault, _ bool) (proto.Message, error) {
	if fault.Standby {
		return nil, standbyError()
	}
	return &pb.CancelDelegationTokenResponseProto{}, nil
}
