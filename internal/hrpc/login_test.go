package hrpc_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	pb "github.com/tokenwheel/tokenwheel/internal/hadooppb"
	"github.com/tokenwheel/tokenwheel/internal/hrpc"
	"github.com/tokenwheel/tokenwheel/internal/sasl"
)

var everyQOP = []sasl.QOP{sasl.Auth, sasl.AuthInt, sasl.AuthConf}

// Both logins at each quality of protection, with calls inside the layer that was agreed.
// Shows: N28, CH36.
func TestCH34_LoginAtEachQuality(t *testing.T) {
	for _, q := range everyQOP {
		for name, config := range map[string]func(testing.TB, func(*peer) error) hrpc.Config{"token": tokenConfig, "kerberos": kerberosConfig} {
			t.Run(name+" "+q.String(), func(t *testing.T) {
				c := dial(t, config(t, func(p *peer) error {
					p.offer = []sasl.QOP{q}
					return loginAndServe(p)
				}))
				if c.QOP() != q {
					t.Errorf("agreed on %s, want %s", c.QOP(), q)
				}
				for _, want := range []string{"yarn", strings.Repeat("long", 50_000)} {
					if got, err := get(t.Context(), c, want); err != nil || got != want {
						t.Errorf("%d bytes came back as %d: %v", len(want), len(got), err)
					}
				}
			})
		}
	}
}

// An offer below the minimum is refused, and no other server is asked.
func TestT14_MinimumQuality(t *testing.T) {
	for _, tt := range []struct {
		minimum, offered sasl.QOP
		want             error
	}{{sasl.AuthInt, sasl.Auth, sasl.ErrQOP}, {sasl.AuthConf, sasl.AuthInt, sasl.ErrQOP}, {sasl.AuthInt, sasl.AuthConf, nil}} {
		t.Run(fmt.Sprintf("at least %s, offered %s", tt.minimum, tt.offered), func(t *testing.T) {
			for _, config := range []func(testing.TB, func(*peer) error) hrpc.Config{tokenConfig, kerberosConfig} {
				cfg := config(t, func(p *peer) error {
					p.offer = []sasl.QOP{tt.offered}
					return p.login()
				})
				cfg.Policy.Minimum = tt.minimum
				c, err := hrpc.Dial(t.Context(), cfg, addr)
				if !errors.Is(err, tt.want) || hrpc.FailOver(err) {
					t.Errorf("error %v, want %v; fail over %t", err, tt.want, hrpc.FailOver(err))
				}
				if err == nil {
					c.Close()
				}
			}
		})
	}
}

// What a server may not do in the login.
// Shows: CH32, N27.
func TestT13_LoginRefused(t *testing.T) {
	state := func(s pb.RpcSaslProto_SaslState) *pb.RpcSaslProto { return &pb.RpcSaslProto{State: s.Enum()} }
	offer := func(pairs ...string) []byte {
		m := state(pb.RpcSaslProto_NEGOTIATE)
		for i := 0; i < len(pairs); i += 2 {
			m.Auths = append(m.Auths, &pb.RpcSaslProto_SaslAuth{Method: &pairs[i], Mechanism: &pairs[i+1], Protocol: new(""), ServerId: new("default")})
		}
		return saslAnswer(m)
	}
	challenged := func(p *peer) error {
		m := state(pb.RpcSaslProto_NEGOTIATE)
		m.Auths = []*pb.RpcSaslProto_SaslAuth{{Method: new("TOKEN"), Mechanism: new("DIGEST-MD5"), Protocol: new(""), ServerId: new("default"), Challenge: []byte(`realm="default",nonce="n",qop="auth",algorithm=md5-sess`)}}
		if err := p.send(saslAnswer(m)); err != nil {
			return err
		}
		return p.next(&pb.RpcRequestHeaderProto{}, &pb.RpcSaslProto{})
	}
	after := func(m *pb.RpcSaslProto) func(*peer) error {
		return func(p *peer) error {
			if err := challenged(p); err != nil {
				return err
			}
			return p.send(saslAnswer(m))
		}
	}
	just := func(frame []byte) func(*peer) error { return func(p *peer) error { return p.send(frame) } }
	forged := state(pb.RpcSaslProto_SUCCESS)
	forged.Token = []byte("rspauth=00000000000000000000000000000000")
	for _, tt := range []struct {
		name   string
		script func(*peer) error
		want   error
	}{
		{"success at once", just(golden(t, "sasl-simple-only-resp")), hrpc.ErrSimple},
		{"simple alone", just(offer("SIMPLE", "")), hrpc.ErrSimple},
		{"simple and Kerberos", just(offer("SIMPLE", "", "KERBEROS", "GSSAPI")), hrpc.ErrSimple},
		{"Kerberos alone", just(offer("KERBEROS", "GSSAPI")), hrpc.ErrMechanism},
		{"unknown mechanism", just(offer("TOKEN", "SCRAM-SHA-256")), hrpc.ErrMechanism},
		{"nothing", just(offer()), hrpc.ErrMechanism},
		{"no challenge", just(offer("TOKEN", "DIGEST-MD5")), sasl.ErrMalformed},
		{"challenge before the offer", just(saslAnswer(state(pb.RpcSaslProto_CHALLENGE))), hrpc.ErrProtocol},
		{"offer without SASL", just(encode(responseHeader(0), state(pb.RpcSaslProto_NEGOTIATE))), hrpc.ErrProtocol},
		{"early success", after(state(pb.RpcSaslProto_SUCCESS)), sasl.ErrServerProof},
		{"success with a wrong proof", after(forged), sasl.ErrServerProof},
		{"second offer", after(state(pb.RpcSaslProto_NEGOTIATE)), hrpc.ErrProtocol},
		{"challenge without a token", after(state(pb.RpcSaslProto_CHALLENGE)), hrpc.ErrProtocol},
		{"wrap", after(state(pb.RpcSaslProto_WRAP)), hrpc.ErrProtocol},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := tokenConfig(t, func(p *peer) error {
				if err := p.negotiate(); err != nil {
					return err
				}
				return tt.script(p)
			})
			conn, err := hrpc.Tunnel(t.Context(), cfg, addr)
			if conn != nil || !errors.Is(err, tt.want) {
				t.Errorf("connection %v, error %v, want %v", conn, err, tt.want)
			}
			if c, err := hrpc.Dial(t.Context(), cfg, addr); c != nil || !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
}

// The server's own refusal keeps its class. A standby calls for another server, a bad token does not.
// Shows: N24, CH33.
func TestB10_RefusalInTheLogin(t *testing.T) {
	for _, tt := range []struct {
		class    hrpc.Class
		failOver bool
	}{{hrpc.Standby, true}, {hrpc.Retriable, true}, {hrpc.InvalidToken, false}, {hrpc.SASL, false}, {hrpc.AccessControl, false}} {
		t.Run(string(tt.class), func(t *testing.T) {
			cfg := tokenConfig(t, func(p *peer) error {
				if err := p.negotiate(); err != nil {
					return err
				}
				return p.send(failure(-33, isFatal, tt.class, "no"))
			})
			_, err := hrpc.Dial(t.Context(), cfg, addr)
			re, ok := errors.AsType[*hrpc.RemoteError](err)
			if !ok {
				t.Fatalf("%v is no answer of the server", err)
			}
			want := &hrpc.RemoteError{Class: tt.class, Message: "no", Detail: 1, Fatal: true}
			if diff := cmp.Diff(want, re); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got := hrpc.FailOver(err); got != tt.failOver {
				t.Errorf("fail over %t, want %t", got, tt.failOver)
			}
		})
	}
}

// Who gave the ticket of a login hears that the server refused it, and of nothing else.
func TestRefusedTicketIsToldOf(t *testing.T) {
	refuse := func(p *peer) error {
		if _, err := p.offerLogin(); err != nil {
			return err
		}
		if err := p.next(&pb.RpcRequestHeaderProto{}, &pb.RpcSaslProto{}); err != nil {
			return err
		}
		return p.send(failure(-33, isFatal, hrpc.SASL, "GSS initiate failed"))
	}
	for _, tt := range []struct {
		name   string
		script func(*peer) error
		want   []string
	}{
		{"refused", refuse, []string{"nn/nn1.lab.test"}},
		{"accepted", (*peer).authenticate, nil},
		{"cut", (*peer).negotiate, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := kerberosConfig(t, tt.script)
			var got []string
			cfg.Kerberos.Refused = func(service string) { got = append(got, service) }
			if c, err := hrpc.Dial(t.Context(), cfg, addr); err == nil {
				c.Close()
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// In a Kerberos login there is no token that could be invalid. Whoever says so is not believed, and another server is asked.
// Shows: T-15.
func TestT15_InvalidTokenInAKerberosLogin(t *testing.T) {
	cfg := kerberosConfig(t, func(p *peer) error {
		if err := p.negotiate(); err != nil {
			return err
		}
		return p.send(failure(-33, isFatal, hrpc.InvalidToken, "forged"))
	})
	_, err := hrpc.Dial(t.Context(), cfg, addr)
	if _, ok := errors.AsType[*hrpc.RemoteError](err); ok || !hrpc.FailOver(err) || !errors.Is(err, hrpc.ErrProtocol) {
		t.Errorf("%v, want no answer of a server", err)
	}
}

// The Kerberos name of the server is checked before a ticket is asked for, and again when it is authenticated.
func TestT17_ServerName(t *testing.T) {
	for _, tt := range []struct {
		name, principal, pattern string
		ok, asked                bool
	}{
		{"_HOST is the host in lower case", "nn/_HOST@LAB.TEST", "", true, true},
		{"in full", namenode, "", true, true},
		{"without realm", "nn/nn1.lab.test", "", true, true},
		{"other host", "nn/nn2.lab.test@LAB.TEST", "", false, false},
		{"other service", "dn/_HOST@LAB.TEST", "", false, false},
		{"other realm", "nn/_HOST@OTHER.TEST", "", false, true},
		{"no host part", "nn@LAB.TEST", "", false, false},
		{"nothing", "", "", false, false},
		{"pattern", "", "nn/*.lab.test@LAB.TEST", true, true},
		{"pattern over all", "", "*", true, true},
		{"pattern of alternatives", "", "{nn,dn}/nn[0-9].lab.???t@*", true, true},
		{"pattern of another realm", "", "nn/*@OTHER.TEST", false, true},
		{"pattern of another host", "", "nn/nn2*", false, false},
		{"a dot is a dot", "", "nn/nn1?lab.tes@*", false, false},
		{"broken pattern", "", "nn/[", false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := kerberosConfig(t, (*peer).authenticate)
			asked := false
			start := cfg.Kerberos.Context
			cfg.Kerberos.Context = func(ctx context.Context, service string) (sasl.GSS, error) {
				asked = true
				if service != "nn/nn1.lab.test" {
					t.Errorf("ticket for %q", service)
				}
				return start(ctx, service)
			}
			cfg.Kerberos.Principal, cfg.Kerberos.Pattern = tt.principal, tt.pattern
			c, err := hrpc.Dial(t.Context(), cfg, addr)
			if (err == nil) != tt.ok || asked != tt.asked {
				t.Errorf("error %v, ticket asked for: %t", err, asked)
			}
			if err == nil {
				c.Close()
			} else if tt.name != "broken pattern" && !errors.Is(err, hrpc.ErrServerName) {
				t.Errorf("error %v, want ErrServerName", err)
			}
		})
	}
}

func golden(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("../../testdata/rpc/rpc-" + name + ".bin")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What a login by token and calls over it write, byte for byte as Java's classes do.
// Shows: N26, N29.
func TestN27_FramesAsJava(t *testing.T) {
	id, _ := hex.DecodeString("00112233445566778899aabbccddeeff")
	identifier, _ := hex.DecodeString("000e616c696365404c41422e54455354047961726e008a018bcfe5687b8a018bf3f1ec7b0102")
	secret, _ := hex.DecodeString("260c4215ef67b568e1ea97ead30573798ab321a5")
	token := &pb.TokenProto{Identifier: identifier, Password: secret, Kind: new("HDFS_DELEGATION_TOKEN"), Service: new("ha-hdfs:lab")}
	seen := make(chan *peer, 1)
	record := func(p *peer) error {
		defer func() { seen <- p }()
		if err := p.login(); err != nil {
			return err
		}
		for n := range int32(3) {
			if err := p.next(); err != nil {
				return err
			}
			if err := p.send(golden(t, []string{"get-resp", "renew-resp", "cancel-resp"}[n])); err != nil {
				return err
			}
		}
		return nil
	}
	for _, tt := range []struct{ name, user, initiate, context string }{
		{"token", "", "sasl-initiate-token-req", "context-token"},
		{"kerberos", alice, "sasl-initiate-kerberos-req", "context-kerberos"},
		{"proxy", "bob", "sasl-initiate-kerberos-req", "context-kerberos-proxy"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := tokenConfig(t, record)
			if tt.name != "token" {
				cfg = kerberosConfig(t, record)
			}
			cfg.EffectiveUser = tt.user
			hrpc.SetClientID(&cfg, id)
			c := dial(t, cfg)
			got, expiry := &pb.GetDelegationTokenResponseProto{}, &pb.RenewDelegationTokenResponseProto{}
			err := errors.Join(
				c.Call(t.Context(), "getDelegationToken", &pb.GetDelegationTokenRequestProto{Renewer: new("yarn")}, got),
				c.Call(t.Context(), "renewDelegationToken", &pb.RenewDelegationTokenRequestProto{Token: token}, expiry),
				c.Call(t.Context(), "cancelDelegationToken", &pb.CancelDelegationTokenRequestProto{Token: token}, &pb.CancelDelegationTokenResponseProto{}))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.GetToken().GetPassword(), secret) || expiry.GetNewExpiryTime() != 1700086400123 {
				t.Errorf("answers %v and %v", got, expiry)
			}
			p := <-seen
			last := len(p.got) - 4
			wantBytes(t, "preamble", p.opened, golden(t, "preamble-sasl"))
			wantBytes(t, "negotiate", p.got[0], golden(t, "sasl-negotiate-req"))
			wantBytes(t, "initiate", withoutToken(t, p.got[1]), withoutToken(t, golden(t, tt.initiate)))
			wantBytes(t, "context", p.got[last], golden(t, tt.context))
			wantBytes(t, "get", p.got[last+1], golden(t, "get-req"))
			wantBytes(t, "renew", p.got[last+2], golden(t, "renew-req"))
			// The sample is of a second try (retry count 1, written 02); ours is the first.
			wantBytes(t, "cancel", p.got[last+3], bytes.Replace(golden(t, "cancel-req"), []byte{0x28, 2}, []byte{0x28, 0}, 1))
		})
	}
}

func wantBytes(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if diff := cmp.Diff(hex.EncodeToString(want), hex.EncodeToString(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// withoutToken puts a fixed text in place of a SASL token; the samples hold a placeholder.
func withoutToken(t *testing.T, frame []byte) []byte {
	t.Helper()
	head, m := &pb.RpcRequestHeaderProto{}, &pb.RpcSaslProto{}
	if err := decode(frame[4:], head, m); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(encode(head, m), frame) {
		t.Errorf("frame %x is not in order", frame)
	}
	m.Token = []byte("token")
	return encode(head, m)
}

// Shows: T-20.
func TestT20_TokenNeverShown(t *testing.T) {
	token := hrpc.Token{Identifier: []byte("an identifier"), Password: password}
	js, err := json.Marshal(hrpc.Config{Token: &token}.Token)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(js), fmt.Sprintf("%v %+v %#v %x %s", token, token, token, token, &token)} {
		if strings.Contains(text, string(password)) || strings.Contains(text, hex.EncodeToString(password)) {
			t.Errorf("password in %q", text)
		}
	}
}

func TestConfigRefused(t *testing.T) {
	token := &hrpc.Token{Identifier: []byte("i"), Password: []byte("p")}
	for name, cfg := range map[string]hrpc.Config{
		"no login":            {Protocol: hrpc.ClientProtocol},
		"two logins":          {Protocol: hrpc.ClientProtocol, Token: token, Kerberos: &hrpc.Kerberos{}},
		"no context":          {Protocol: hrpc.ClientProtocol, Kerberos: &hrpc.Kerberos{}},
		"no protocol":         {Token: token},
		"user under a token":  {Protocol: hrpc.ClientProtocol, Token: token, EffectiveUser: alice},
		"nothing but zeroes ": {},
	} {
		t.Run(name, func(t *testing.T) {
			if c, err := hrpc.Dial(t.Context(), cfg, addr); err == nil || c != nil {
				t.Error("dialled")
			}
			if c, err := hrpc.Tunnel(t.Context(), cfg, addr); err == nil || c != nil {
				t.Error("tunnelled")
			}
		})
	}
}
