package hadooptest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "github.com/tokenwheel/tokenwheel/internal/hadooppb"
	"github.com/tokenwheel/tokenwheel/internal/sasl"
)

// Call ids that are not calls (RpcConstants).
const (
	callAuthFailed = -1
	callContext    = -3
	callPing       = -4
	callSASL       = -33
)

const (
	maxFrame    = 1 << 20
	authSASL    = 0xdf
	ipcVersion  = 9
	sizeOfFrame = 4
)

// session is one connection. Its reader runs on one goroutine; every call is
// answered on its own, so that answers may overtake each other.
type session struct {
	nn    *NameNode
	conn  net.Conn
	calls sync.WaitGroup

	caller Caller
	ready  bool // the connection context was accepted
	plain  []byte
	login  login

	writing sync.Mutex // guards writes to conn, and the layer's sending side
	layer   sasl.Layer
}

// fatal is an answer after which the server closes.
type fatal struct {
	callID int32
	code   pb.RpcResponseHeaderProto_RpcErrorCodeProto
	err    error
}

func (f *fatal) Error() string { return f.err.Error() }
func (f *fatal) Unwrap() error { return f.err }

func (s *session) serve() {
	defer s.conn.Close()
	err := s.run()
	if f, ok := errors.AsType[*fatal](err); ok {
		s.answerError(f.callID, pb.RpcResponseHeaderProto_FATAL, f.code, f.err)
	}
}

func (s *session) run() error {
	if err := s.preamble(); err != nil {
		return err
	}
	for {
		frame, err := readFrame(s.conn)
		if err != nil {
			return err
		}
		if err := s.frame(frame, false); err != nil {
			return err
		}
	}
}

func (s *session) preamble() error {
	var p [7]byte
	if _, err := io.ReadFull(s.conn, p[:]); err != nil {
		return err
	}
	switch {
	case string(p[:4]) != "hrpc":
		return errors.New("no Hadoop client")
	case p[4] != ipcVersion:
		return &fatal{
			callAuthFailed, pb.RpcResponseHeaderProto_FATAL_VERSION_MISMATCH,
			javaError(ClassVersion, "Server IPC version %d cannot communicate with client version %d", ipcVersion, p[4]),
		}
	case p[6] == 0:
		return &fatal{
			callAuthFailed, pb.RpcResponseHeaderProto_FATAL_UNAUTHORIZED,
			javaError(ClassAccessControl, "SIMPLE authentication is not enabled.  Available:[TOKEN, KERBEROS]"),
		}
	case p[6] != authSASL:
		return &fatal{
			callAuthFailed, pb.RpcResponseHeaderProto_FATAL_UNAUTHORIZED,
			javaError(ClassIPC, "Unknown auth protocol: %d", p[6]),
		}
	}
	return nil
}

// readFrame reads one length-prefixed frame.
func readFrame(r io.Reader) ([]byte, error) {
	var size [sizeOfFrame]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > maxFrame {
		return nil, &fatal{
			callAuthFailed, pb.RpcResponseHeaderProto_FATAL_DESERIALIZING_REQUEST,
			javaError(ClassIO, "Requested data length %d is longer than maximum configured RPC length %d", n, maxFrame),
		}
	}
	frame := make([]byte, n)
	_, err := io.ReadFull(r, frame)
	return frame, err
}

// frame handles one request frame; wrapped tells that it came out of a WRAP.
func (s *session) frame(frame []byte, wrapped bool) error {
	var header pb.RpcRequestHeaderProto
	body, err := delimited(frame, &header)
	if err != nil || header.RpcKind == nil || header.RpcOp == nil {
		return &fatal{callAuthFailed, pb.RpcResponseHeaderProto_FATAL_INVALID_RPC_HEADER, javaError(ClassRPCServer, "invalid RPC header")}
	}
	switch id := header.GetCallId(); {
	case id == callSASL:
		return s.saslFrame(body)
	case !s.login.done():
		return &fatal{id, pb.RpcResponseHeaderProto_FATAL_UNAUTHORIZED, javaError(ClassAccessControl, "authentication is required")}
	case id == callContext:
		return s.context(body)
	case id == callPing:
		return nil
	case id < 0:
		return &fatal{callAuthFailed, pb.RpcResponseHeaderProto_FATAL_INVALID_RPC_HEADER, javaError(ClassRPCServer, "unknown out of band call #%d", id)}
	case !s.ready:
		return &fatal{id, pb.RpcResponseHeaderProto_FATAL_INVALID_RPC_HEADER, javaError(ClassRPCServer, "Connection context has not been found")}
	default:
		protected := wrapped && s.layer != nil
		s.calls.Go(func() { s.call(id, body, protected) })
		return nil
	}
}

// unwrap handles a WRAP: its plain text continues a stream of frames.
func (s *session) unwrap(token []byte) error {
	if s.layer == nil {
		return &fatal{callSASL, pb.RpcResponseHeaderProto_FATAL_INVALID_RPC_HEADER, javaError(ClassSASL, "SASL protection not negotiated")}
	}
	plain, err := s.layer.Unwrap(token)
	if err != nil {
		return nil // a message with a bad checksum is dropped without a word
	}
	s.plain = append(s.plain, plain...)
	for len(s.plain) >= sizeOfFrame {
		n := int(binary.BigEndian.Uint32(s.plain))
		if n > maxFrame {
			return fmt.Errorf("wrapped frame of %d bytes", n)
		}
		if len(s.plain) < sizeOfFrame+n {
			return nil
		}
		frame := s.plain[sizeOfFrame : sizeOfFrame+n]
		s.plain = s.plain[sizeOfFrame+n:]
		if err := s.frame(bytes.Clone(frame), true); err != nil {
			return err
		}
	}
	return nil
}

// context takes the connection context: whom the client acts for.
func (s *session) context(body []byte) error {
	refuse := func(code pb.RpcResponseHeaderProto_RpcErrorCodeProto, err error) error {
		return &fatal{callContext, code, err}
	}
	if s.ready {
		return refuse(pb.RpcResponseHeaderProto_FATAL_INVALID_RPC_HEADER, javaError(ClassRPCServer, "Connection context already processed"))
	}
	var ctx pb.IpcConnectionContextProto
	if _, err := delimited(body, &ctx); err != nil {
		return refuse(pb.RpcResponseHeaderProto_FATAL_DESERIALIZING_REQUEST, javaError(ClassRPCServer, "invalid connection context"))
	}
	user := ctx.GetUserInfo().GetEffectiveUser()
	switch {
	case user == "" || user == s.caller.Effective:
	case s.caller.ByToken:
		return refuse(pb.RpcResponseHeaderProto_FATAL_UNAUTHORIZED,
			javaError(ClassAccessControl, "Authenticated user (%s) doesn't match what the client claims to be (%s)", s.caller.Effective, user))
	case !s.nn.mayProxy(s.caller.Principal, user):
		return refuse(pb.RpcResponseHeaderProto_FATAL_UNAUTHORIZED,
			javaError(ClassAuthorization, "User: %s is not allowed to impersonate %s", s.caller.Principal, user))
	default:
		s.caller.Effective = user
	}
	s.ready = true
	return nil
}

// answer writes one answer frame: header, and a body unless it is an error.
func (s *session) answer(header *pb.RpcResponseHeaderProto, body proto.Message) {
	header.ServerIpcVersionNum = proto.Uint32(ipcVersion)
	frame := appendDelimited(nil, header)
	if body != nil {
		frame = appendDelimited(frame, body)
	}
	frame = append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...)
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.layer != nil && int32(header.GetCallId()) != callSASL {
		token, err := s.layer.Wrap(frame)
		if err != nil {
			s.conn.Close()
			return
		}
		outer := appendDelimited(nil, saslHeader())
		outer = appendDelimited(outer, &pb.RpcSaslProto{State: pb.RpcSaslProto_WRAP.Enum(), Token: token})
		frame = append(binary.BigEndian.AppendUint32(nil, uint32(len(outer))), outer...)
	}
	if _, err := s.conn.Write(frame); err != nil {
		s.conn.Close()
	}
}

// answerError writes an error. An error of no Java class is an IOException.
func (s *session) answerError(callID int32, status pb.RpcResponseHeaderProto_RpcStatusProto, code pb.RpcResponseHeaderProto_RpcErrorCodeProto, err error) {
	class, text := ClassIO, err.Error()
	if e, ok := errors.AsType[*JavaError](err); ok {
		class, text = e.Class, e.Message
	}
	s.answer(&pb.RpcResponseHeaderProto{
		CallId: proto.Uint32(uint32(callID)), Status: status.Enum(), ErrorDetail: code.Enum(),
		ExceptionClassName: proto.String(class), ErrorMsg: proto.String(text),
	}, nil)
}

func saslHeader() *pb.RpcResponseHeaderProto {
	id := int32(callSASL)
	return &pb.RpcResponseHeaderProto{CallId: proto.Uint32(uint32(id)), Status: pb.RpcResponseHeaderProto_SUCCESS.Enum()}
}

// delimited decodes a message that a varint length stands before, and returns
// what follows it.
func delimited(b []byte, m proto.Message) (rest []byte, err error) {
	part, n := protowire.ConsumeBytes(b)
	if n < 0 {
		return nil, protowire.ParseError(n)
	}
	return b[n:], proto.Unmarshal(part, m)
}

func appendDelimited(b []byte, m proto.Message) []byte {
	part, err := proto.Marshal(m)
	if err != nil {
		panic("hadooptest: an answer of ours does not marshal: " + err.Error())
	}
	return protowire.AppendBytes(b, part)
}
