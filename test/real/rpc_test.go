package real_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tokenwheel/tokenwheel/hadooptoken"
	pb "github.com/tokenwheel/tokenwheel/internal/hadooppb"
	"github.com/tokenwheel/tokenwheel/internal/hrpc"
	"github.com/tokenwheel/tokenwheel/internal/sasl"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/test/real/cluster"
)

// nameNode makes the three token calls on a NameNode's connection.
type nameNode struct{ *hrpc.Conn }

func (n nameNode) get(ctx context.Context, renewer string) (plugins.Token, error) {
	var resp pb.GetDelegationTokenResponseProto
	err := n.Call(ctx, "getDelegationToken", &pb.GetDelegationTokenRequestProto{Renewer: &renewer}, &resp)
	if err != nil {
		return plugins.Token{}, err
	}
	host, port, err := net.SplitHostPort(n.Addr())
	if err != nil {
		return plugins.Token{}, err
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	return plugins.Token{
		Kind: resp.GetToken().GetKind(), Service: net.JoinHostPort(host, port), // as Java's client will look for it
		Identifier: resp.GetToken().GetIdentifier(), Password: resp.GetToken().GetPassword(),
	}, nil
}

func (n nameNode) renew(ctx context.Context, t plugins.Token) (time.Time, error) {
	var resp pb.RenewDelegationTokenResponseProto
	err := n.Call(ctx, "renewDelegationToken", &pb.RenewDelegationTokenRequestProto{Token: tokenProto(t)}, &resp)
	return time.UnixMilli(int64(resp.GetNewExpiryTime())), err
}

func (n nameNode) cancel(ctx context.Context, t plugins.Token) error {
	return n.Call(ctx, "cancelDelegationToken",
		&pb.CancelDelegationTokenRequestProto{Token: tokenProto(t)}, &pb.CancelDelegationTokenResponseProto{})
}

func tokenProto(t plugins.Token) *pb.TokenProto {
	return &pb.TokenProto{
		Identifier: t.Identifier, Password: t.Password, Kind: proto.String(t.Kind), Service: proto.String(t.Service),
	}
}

// withKerberos logs in by principal's keytab and acts as user, or as itself if user is "".
func withKerberos(t *testing.T, c *cluster.Cluster, principal, user string) hrpc.Config {
	t.Helper()
	client := kerberos(t, c, keytabOptions(c, principal))
	return hrpc.Config{
		Protocol:      hrpc.ClientProtocol,
		EffectiveUser: user,
		Kerberos: &hrpc.Kerberos{
			Principal: cluster.NameNodePrincipal,
			Context:   func(ctx context.Context, service string) (sasl.GSS, error) { return client.Initiate(ctx, service) },
		},
	}
}

func withToken(t plugins.Token) hrpc.Config {
	return hrpc.Config{Protocol: hrpc.ClientProtocol, Token: &hrpc.Token{Identifier: t.Identifier, Password: t.Password}}
}

// demanding returns config with one protection and no other.
func demanding(config hrpc.Config, qop sasl.QOP) hrpc.Config {
	config.Policy = sasl.Policy{Prefer: []sasl.QOP{qop}, Minimum: qop}
	return config
}

func dial(t *testing.T, c *cluster.Cluster, config hrpc.Config) nameNode {
	t.Helper()
	conn, err := hrpc.Dial(t.Context(), config, c.NameNodeAddr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return nameNode{conn}
}

// get gets a token for alice, whose renewer is tokenwheel.
func get(t *testing.T, c *cluster.Cluster) plugins.Token {
	t.Helper()
	token, err := dial(t, c, withKerberos(t, c, cluster.TokenwheelPrincipal, "alice")).get(t.Context(), "tokenwheel")
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// tokenFile writes a token as a Hadoop token file.
func tokenFile(t *testing.T, token plugins.Token, format hadooptoken.Format) string {
	t.Helper()
	text, err := hadooptoken.Marshal(plugins.Credentials{Tokens: map[string]plugins.Token{token.Service: token}}, format)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// refusedAs reports err as a test failure unless it is the server's refusal of that class with that text.
func refusedAs(t *testing.T, err error, class hrpc.Class, text string) {
	t.Helper()
	remote, ok := errors.AsType[*hrpc.RemoteError](err)
	if !ok || remote.Class != class || !strings.Contains(remote.Message, text) {
		t.Errorf("got %v\nwant %s: … %s …", err, class, text)
	}
}

// The project's first promise, at each protection: get, renew and cancel over Kerberos, log in with the token, and
// Java reads and uses what we got.
//
// Shows: N1, N3, N6, N13 (far from the end), N18, N26, N27, N29.
func TestATokensLifeAtEachProtection(t *testing.T) {
	for _, qop := range []sasl.QOP{sasl.Auth, sasl.AuthInt, sasl.AuthConf} {
		t.Run(qop.String(), func(t *testing.T) {
			ctx := within(t, time.Minute)
			token, err := dial(t, shared, demanding(withKerberos(t, shared, cluster.TokenwheelPrincipal, "alice"), qop)).get(ctx, "tokenwheel")
			if err != nil {
				t.Fatal(err)
			}
			id, err := hadooptoken.ParseIdentifier(token.Kind, token.Identifier)
			if err != nil {
				t.Fatal(err)
			}
			if id.Owner != "alice" || id.RealUser != cluster.TokenwheelPrincipal || id.Renewer != "tokenwheel" {
				t.Errorf("got %v, want alice's, by the service, for the renewer tokenwheel", id)
			}
			self := dial(t, shared, demanding(withKerberos(t, shared, cluster.TokenwheelPrincipal, ""), qop))
			renewFor(t, self, token, 24*time.Hour)
			javaUses(t, token)
			asAlice := dial(t, shared, demanding(withToken(token), qop))
			if got := asAlice.QOP(); got != qop {
				t.Errorf("the token's login agreed on %v, want %v", got, qop)
			}
			_, err = asAlice.get(ctx, "tokenwheel")
			refusedAs(t, err, hrpc.JavaIO, "can be issued only with kerberos or web authentication")
			if err := self.cancel(ctx, token); err != nil {
				t.Errorf("cancel: %v", err)
			}
			refusedAs(t, self.cancel(ctx, token), hrpc.InvalidToken, "Token not found")
			_, err = hrpc.Dial(ctx, demanding(withToken(token), qop), shared.NameNodeAddr)
			refusedAs(t, err, hrpc.InvalidToken, "can't be found in cache")
		})
	}
}

// javaUses lets Java's own tools print the token and log in with it, from files of both formats.
func javaUses(t *testing.T, token plugins.Token) {
	t.Helper()
	ctx := within(t, time.Minute)
	for _, format := range tokenFileFormats {
		file := tokenFile(t, token, format.ours)
		printed, err := shared.DtUtil(ctx, cluster.Identity{}, "print", file)
		if err != nil || !strings.Contains(printed, token.Kind) || !strings.Contains(printed, token.Service) {
			t.Errorf("dtutil print, %s: %v\n%s", format.name, err, printed)
		}
		if _, err := shared.FsShell(ctx, cluster.Identity{TokenFile: file}, "-ls", "/user/alice"); err != nil {
			t.Errorf("ls with our file, %s: %v", format.name, err)
		}
	}
}
