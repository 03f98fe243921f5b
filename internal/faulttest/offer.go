package faulttest

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/tokenwheel/tokenwheel/hadooptest/faultproxy"
	pb "github.com/tokenwheel/tokenwheel/internal/hadooppb"
	"github.com/tokenwheel/tokenwheel/internal/hrpc"
	"github.com/tokenwheel/tokenwheel/internal/sasl"
)

// What a server offers nobody has authenticated yet. Somebody in the middle makes less
// of it, and the client goes: it sends nothing more.
func strippedOffers(t *testing.T, c Cluster, _ string) {
	p := proxy(t, c.NameNode)
	all := c.attempts(t, p)
	kerberos, token := all[0], all[1]
	simple := &pb.RpcSaslProto_SaslAuth{Method: proto.String("SIMPLE"), Mechanism: proto.String("")}
	for _, tt := range []struct {
		name  string
		a     attempt
		strip func(*pb.RpcSaslProto)
		want  error
	}{
		{"no login at all", kerberos, func(m *pb.RpcSaslProto) { m.Auths, m.State = nil, pb.RpcSaslProto_SUCCESS.Enum() }, hrpc.ErrSimple},
		{"no login at all, to a token", token, func(m *pb.RpcSaslProto) { m.Auths, m.State = nil, pb.RpcSaslProto_SUCCESS.Enum() }, hrpc.ErrSimple},
		{"SIMPLE alone", kerberos, func(m *pb.RpcSaslProto) { m.Auths = []*pb.RpcSaslProto_SaslAuth{simple} }, hrpc.ErrSimple},
		{"tokens alone", kerberos, func(m *pb.RpcSaslProto) { m.Auths = m.Auths[:1] }, hrpc.ErrMechanism},
		{"nothing", token, func(m *pb.RpcSaslProto) { m.Auths = nil }, hrpc.ErrMechanism},
		{"another server", kerberos, func(m *pb.RpcSaslProto) { m.Auths[1].ServerId = proto.String("evil.example") }, hrpc.ErrServerName},
		{"no protection", token, func(m *pb.RpcSaslProto) { m.Auths[0].Challenge = withoutQOP(m.Auths[0].GetChallenge()) }, sasl.ErrQOP},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var sent atomic.Int64
			p.Use(once(faultproxy.Fault{
				ToServer: faultproxy.Messages(7, func(_ int, message []byte) ([]byte, error) {
					sent.Add(1)
					return message, nil
				}),
				ToClient: faultproxy.Messages(0, func(i int, message []byte) ([]byte, error) {
					if i > 0 {
						return message, nil
					}
					return rewrite(message, tt.strip), nil
				}),
			}))
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := tt.a.do(ctx); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if n := sent.Load(); n != 1 {
				t.Errorf("the client sent %d messages, want none but its question", n)
			}
			recovers(t, p, "a stripped offer", tt.a)
		})
	}
}

// rewrite changes a message of the login.
func rewrite(message []byte, change func(*pb.RpcSaslProto)) []byte {
	header, m := &pb.RpcResponseHeaderProto{}, &pb.RpcSaslProto{}
	raw, n := protowire.ConsumeBytes(message[4:])
	body, k := protowire.ConsumeBytes(message[4+max(n, 0):])
	if n < 0 || k < 0 || proto.Unmarshal(raw, header) != nil || proto.Unmarshal(body, m) != nil {
		return nil // what was no offer reaches nobody
	}
	change(m)
	return frame(header, m)
}

// withoutQOP is a challenge of DIGEST-MD5 that offers authentication alone.
func withoutQOP(challenge []byte) []byte {
	for _, q := range []string{"auth,auth-int,auth-conf", "auth-conf", "auth-int"} {
		challenge = bytes.Replace(challenge, []byte(`qop="`+q+`"`), []byte(`qop="auth"`), 1)
	}
	return challenge
}
