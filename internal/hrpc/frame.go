package hrpc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "github.com/tokenwheel/tokenwheel/internal/hadooppb"
)

// Reserved call ids (RpcConstants, AuthProtocol).
const (
	callAuthorization int32 = -1
	callContext       int32 = -3
	callSASL          int32 = -33
)

var preamble = []byte("hrpc\x09\x00\xdf") // version 9, service class 0, SASL

const lengthBytes = 4

// appendFrame appends a frame: its length, then each message with its own.
func appendFrame(dst []byte, messages ...proto.Message) ([]byte, error) {
	start := len(dst)
	dst = append(dst, make([]byte, lengthBytes)...)
	for _, m := range messages {
		var err error
		dst = protowire.AppendVarint(dst, uint64(proto.Size(m)))
		if dst, err = (proto.MarshalOptions{UseCachedSize: true}).MarshalAppend(dst, m); err != nil {
			return nil, fmt.Errorf("encode %s: %w", m.ProtoReflect().Descriptor().Name(), err)
		}
	}
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-lengthBytes))
	return dst, nil
}

// readFrame reads one frame and returns what follows its length. Beyond a
// first [atOnce] bytes no more is allocated than has arrived.
func readFrame(r io.Reader, limit int) ([]byte, error) {
	var length [lengthBytes]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := int64(binary.BigEndian.Uint32(length[:]))
	if n > int64(limit) {
		return nil, fmt.Errorf("frame of %d bytes, at most %d are read: %w", n, limit, ErrProtocol)
	}
	if n <= atOnce {
		body := make([]byte, n)
		_, err := io.ReadFull(r, body)
		return body, cutShort(err)
	}
	var body bytes.Buffer
	if _, err := io.CopyN(&body, r, n); err != nil {
		return nil, cutShort(err)
	}
	return body.Bytes(), nil
}

// atOnce is the longest frame that gets its memory before it has arrived: any answer to a call about a token fits.
const atOnce = 1 << 10

// cutShort is err, where the end within a frame is no good end.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// cutMessage decodes the message at the front of a frame and returns the rest.
func cutMessage(b []byte, into proto.Message) ([]byte, error) {
	raw, n := protowire.ConsumeBytes(b)
	if n < 0 {
		return nil, fmt.Errorf("length of %s: %w", into.ProtoReflect().Descriptor().Name(), ErrProtocol)
	}
	if err := proto.Unmarshal(raw, into); err != nil {
		return nil, fmt.Errorf("%s: %w", into.ProtoReflect().Descriptor().Name(), ErrProtocol)
	}
	return b[n:], nil
}

// lastMessage decodes the message that must fill the rest of a frame.
func lastMessage(b []byte, into proto.Message) error {
	rest, err := cutMessage(b, into)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes after %s: %w", len(rest), into.ProtoReflect().Descriptor().Name(), ErrProtocol)
	}
	return err
}

// answer is a decoded response header and the bytes after it.
type answer struct {
	id   int32
	head *pb.RpcResponseHeaderProto
	rest []byte
}

func parseAnswer(frame []byte) (answer, error) {
	head := &pb.RpcResponseHeaderProto{}
	rest, err := cutMessage(frame, head)
	// Hadoop declares the id of an answer unsigned, that of a request signed.
	return answer{int32(head.GetCallId()), head, rest}, err
}

// requestHeader is what stands before everything a client sends. On calls the retry count is 0, elsewhere -1.
func requestHeader(id int32, clientID []byte) *pb.RpcRequestHeaderProto {
	retry := int32(-1)
	if id >= 0 {
		retry = 0
	}
	return &pb.RpcRequestHeaderProto{
		RpcKind: pb.RpcKindProto_RPC_PROTOCOL_BUFFER.Enum(), RpcOp: pb.RpcRequestHeaderProto_RPC_FINAL_PACKET.Enum(),
		CallId: &id, ClientId: clientID, RetryCount: &retry,
	}
}

// contextFrame tells the server protocol and effective user; nobody answers it. An empty user is the one who logged in:
// under a token anything else than its owner, byte for byte, is fatal (Server.processConnectionContext).
func contextFrame(clientID []byte, protocol, user string) ([]byte, error) {
	info := &pb.UserInformationProto{}
	if user != "" {
		info.EffectiveUser = &user
	}
	return appendFrame(nil, requestHeader(callContext, clientID),
		&pb.IpcConnectionContextProto{UserInfo: info, Protocol: &protocol})
}

func saslFrame(m *pb.RpcSaslProto) ([]byte, error) {
	return appendFrame(nil, requestHeader(callSASL, []byte{}), m)
}
