package hadooppb_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	_ "github.com/colinmarc/hdfs/v2" // registers Hadoop's own names: both must start in one binary
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	pb "github.com/tokenwheel/tokenwheel/internal/hadooppb"
)

// TestStandsBesideHadoopsOwnNames fails at start, before it runs, when a name or
// a file path of ours is also one of the HDFS client's.
func TestStandsBesideHadoopsOwnNames(t *testing.T) {
	for _, name := range []string{"hadoop.common.TokenProto", "tokenwheel.hadoop.common.TokenProto"} {
		if _, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(name)); err != nil {
			t.Errorf("look up %s: %v", name, err)
		}
	}
}

// TestFramesOfJava decodes each frame made by Hadoop's own classes, compares
// every field that Java printed, and writes the same bytes again.
func TestFramesOfJava(t *testing.T) {
	for _, frame := range readFrames(t) {
		t.Run(frame.name, func(t *testing.T) {
			rest := frame.bytes[4:]
			for i, m := range frame.messages {
				want, n := protowire.ConsumeBytes(rest)
				if n < 0 {
					t.Fatalf("message %d: %v", i, protowire.ParseError(n))
				}
				rest = rest[n:]
				if err := proto.Unmarshal(want, m); err != nil {
					t.Fatalf("message %d: %v", i, err)
				}
				if unknown := m.ProtoReflect().GetUnknown(); len(unknown) > 0 {
					t.Errorf("message %d has unknown fields %x", i, unknown)
				}
				got, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
				if err != nil {
					t.Fatalf("message %d: %v", i, err)
				}
				if !bytes.Equal(want, got) {
					t.Errorf("message %d: got %x, want %x", i, got, want)
				}
			}
			if len(rest) > 0 {
				t.Errorf("%d bytes left over: %x", len(rest), rest)
			}
		})
	}
}

// TestFieldsOfJava spells out the fields of one frame of each sort, so that two
// numbers swapped between fields of one type cannot pass unseen.
func TestFieldsOfJava(t *testing.T) {
	id, _ := hex.DecodeString("000e616c696365404c41422e54455354047961726e008a018bcfe5687b8a018bf3f1ec7b0102")
	password, _ := hex.DecodeString("260c4215ef67b568e1ea97ead30573798ab321a5")
	client, _ := hex.DecodeString("00112233445566778899aabbccddeeff")
	token := &pb.TokenProto{Identifier: id, Password: password, Kind: new("HDFS_DELEGATION_TOKEN"), Service: new("ha-hdfs:lab")}
	final, protobuf := pb.RpcRequestHeaderProto_RPC_FINAL_PACKET.Enum(), pb.RpcKindProto_RPC_PROTOCOL_BUFFER.Enum()
	sasl := &pb.RpcRequestHeaderProto{RpcKind: protobuf, RpcOp: final, CallId: new(int32(-33)), ClientId: []byte{}, RetryCount: new(int32(-1))}

	want := map[string][]proto.Message{
		"sasl-initiate-kerberos-req": {sasl, &pb.RpcSaslProto{
			State: pb.RpcSaslProto_INITIATE.Enum(),
			Token: []byte("<gss-ap-req>"),
			Auths: []*pb.RpcSaslProto_SaslAuth{{Method: new("KERBEROS"), Mechanism: new("GSSAPI"), Protocol: new("nn"), ServerId: new("nn1.lab.test")}},
		}},
		"context-simple-proxy": {
			&pb.RpcRequestHeaderProto{RpcKind: protobuf, RpcOp: final, CallId: new(int32(-3)), ClientId: client, RetryCount: new(int32(-1))},
			&pb.IpcConnectionContextProto{
				UserInfo: &pb.UserInformationProto{EffectiveUser: new("bob"), RealUser: new("spark/edge1.lab.test@LAB.TEST")},
				Protocol: new("org.apache.hadoop.hdfs.protocol.ClientProtocol"),
			},
		},
		"cancel-req": {
			&pb.RpcRequestHeaderProto{RpcKind: protobuf, RpcOp: final, CallId: new(int32(2)), ClientId: client, RetryCount: new(int32(1))},
			&pb.RequestHeaderProto{
				MethodName:                 new("cancelDelegationToken"),
				DeclaringClassProtocolName: new("org.apache.hadoop.hdfs.protocol.ClientProtocol"),
				ClientProtocolVersion:      new(uint64(1)),
			},
			&pb.CancelDelegationTokenRequestProto{Token: token},
		},
		"renew-resp": {
			&pb.RpcResponseHeaderProto{
				CallId: new(uint32(1)), Status: pb.RpcResponseHeaderProto_SUCCESS.Enum(), ServerIpcVersionNum: new(uint32(9)),
				ClientId: client, RetryCount: new(int32(0)),
			},
			&pb.RenewDelegationTokenResponseProto{NewExpiryTime: new(uint64(1700086400123))},
		},
		"fatal-simple-refused-resp": {&pb.RpcResponseHeaderProto{
			CallId: new(uint32(4294967295)), Status: pb.RpcResponseHeaderProto_FATAL.Enum(), ServerIpcVersionNum: new(uint32(9)),
			ExceptionClassName: new("org.apache.hadoop.security.AccessControlException"),
			ErrorMsg:           new("SIMPLE authentication is not enabled.  Available:[TOKEN, KERBEROS]"),
			ErrorDetail:        pb.RpcResponseHeaderProto_FATAL_UNAUTHORIZED.Enum(), ClientId: []byte{}, RetryCount: new(int32(-1)),
		}},
	}
	for name, messages := range want {
		t.Run(name, func(t *testing.T) {
			frame := []byte{0, 0, 0, 0}
			for _, m := range messages {
				b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
				if err != nil {
					t.Fatal(err)
				}
				frame = protowire.AppendBytes(frame, b)
			}
			frame[2], frame[3] = byte((len(frame)-4)>>8), byte(len(frame)-4)
			golden, err := os.ReadFile(filepath.Join("../../testdata/rpc", "rpc-"+name+".bin"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(hex.EncodeToString(golden), hex.EncodeToString(frame)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

type frame struct {
	name     string
	bytes    []byte
	messages []proto.Message // empty ones, of the types in the frame
}

// readFrames reads the golden frames, without the two preambles: those hold no
// message.
func readFrames(t *testing.T) []frame {
	t.Helper()
	text, err := os.ReadFile("../../testdata/rpc/rpc.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []struct {
		Name, Hex string
		Messages  []string
	}
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	var frames []frame
	for _, f := range list {
		if len(f.Messages) == 0 {
			continue // a preamble
		}
		b, err := hex.DecodeString(f.Hex)
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		fr := frame{name: f.Name, bytes: b}
		for _, m := range f.Messages {
			fr.messages = append(fr.messages, newMessage(t, m))
		}
		frames = append(frames, fr)
	}
	if len(frames) < 20 {
		t.Fatalf("only %d frames", len(frames))
	}
	return frames
}

// newMessage makes an empty message of the type that "Name{...}" begins with.
func newMessage(t *testing.T, text string) proto.Message {
	t.Helper()
	name, _, _ := bytes.Cut([]byte(text), []byte("{"))
	mt, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName("tokenwheel.hadoop.common." + string(name)))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return mt.New().Interface()
}
