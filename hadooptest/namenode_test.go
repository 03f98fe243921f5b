package hadooptest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/hadooptoken"
	pb "github.com/tokenwheel/tokenwheel/internal/hadooppb"
	"github.com/tokenwheel/tokenwheel/internal/hrpc"
	"github.com/tokenwheel/tokenwheel/internal/krb"
	"github.com/tokenwheel/tokenwheel/internal/namenode"
	"github.com/tokenwheel/tokenwheel/internal/sasl"
	"github.com/tokenwheel/tokenwheel/plugins"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const self = "tokenwheel/127.0.0.1"

// setUp starts a cluster and opens it as the service tokenwheel.
func setUp(t *testing.T, c hadooptest.Config) (*hadooptest.Cluster, *namenode.Cluster) {
	t.Helper()
	c.Principals = append(c.Principals, self)
	c.ProxyUsers = map[string][]string{"tokenwheel": {"alice"}}
	cluster := hadooptest.NewCluster(t, c)
	keytab, err := cluster.Keytab(self)
	if err != nil {
		t.Fatal(err)
	}
	client, err := namenode.Open(namenode.Config{ConfDir: cluster.ConfDir, Krb5Conf: cluster.Krb5Conf, Principal: self + "@" + cluster.Realm, Keytab: keytab})
	if err != nil {
		t.Fatal(err)
	}
	return cluster, client
}

func dial(t *testing.T, cluster *hadooptest.Cluster, cfg hrpc.Config) (*hrpc.Conn, error) {
	t.Helper()
	conn, err := hrpc.Dial(t.Context(), cfg, cluster.Addr)
	if err == nil {
		t.Cleanup(func() { _ = conn.Close() })
	}
	return conn, err
}

// tokenFor obtains a token over its own connection.
func tokenFor(t *testing.T, cluster *hadooptest.Cluster, client *namenode.Cluster, user string) plugins.Token {
	t.Helper()
	conn, err := dial(t, cluster, client.RPC(user))
	if err != nil {
		t.Fatal(err)
	}
	token, err := issueOver(t.Context(), conn, "tokenwheel")
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func issueOver(ctx context.Context, conn *hrpc.Conn, renewer string) (plugins.Token, error) {
	var answer pb.GetDelegationTokenResponseProto
	err := conn.Call(ctx, "getDelegationToken", &pb.GetDelegationTokenRequestProto{Renewer: proto.String(renewer)}, &answer)
	token := answer.GetToken()
	return plugins.Token{Kind: token.GetKind(), Identifier: token.GetIdentifier(), Password: token.GetPassword()}, err
}

// Shows: N28, N29, N30, C-H34.
func TestN27_TokenLogsInAtEveryProtection(t *testing.T) {
	for protection, qop := range map[string]sasl.QOP{"authentication": sasl.Auth, "integrity": sasl.AuthInt, "privacy": sasl.AuthConf} {
		t.Run(protection, func(t *testing.T) {
			cluster, client := setUp(t, hadooptest.Config{Protection: []string{protection}})
			token := tokenFor(t, cluster, client, "alice")
			logins, tickets := cluster.KDC.Logins(), cluster.KDC.ServiceTickets()
			cluster.KDC.SetDown(true)
			for range 3 {
				conn, err := dial(t, cluster, client.TokenRPC(token.Identifier, token.Password))
				if err != nil {
					t.Fatal(err)
				}
				if conn.QOP() != qop {
					t.Errorf("quality of protection %v, want %v", conn.QOP(), qop)
				}
				// The login shows whom the server takes us for: it issues no token to a token.
				if _, err := issueOver(t.Context(), conn, "tokenwheel"); !isClass(err, hrpc.JavaIO) {
					t.Errorf("issue over a token login: %v", err)
				}
			}
			if cluster.NameNode.Journal.Count(hadooptest.OpLogin) != 3 {
				t.Errorf("journal has %d token logins, want 3", cluster.NameNode.Journal.Count(hadooptest.OpLogin))
			}
			if cluster.KDC.Logins() != logins || cluster.KDC.ServiceTickets() != tickets {
				t.Error("a token login went to the KDC")
			}
		})
	}
}

func isClass(err error, class hrpc.Class) bool {
	e, ok := errors.AsType[*hrpc.RemoteError](err)
	return ok && e.Class == class
}

func TestCH33_LoginWithABadToken(t *testing.T) {
	cluster, client := setUp(t, hadooptest.Config{})
	token := tokenFor(t, cluster, client, "alice")
	wrong := token.Clone()
	wrong.Password[0] ^= 1
	if _, err := dial(t, cluster, client.TokenRPC(wrong.Identifier, wrong.Password)); !isClass(err, hrpc.SASL) {
		t.Errorf("wrong password: %v, want class %s", err, hrpc.SASL)
	}
	cluster.NameNode.Secrets.Forget(token.Identifier)
	if _, err := dial(t, cluster, client.TokenRPC(token.Identifier, token.Password)); !isClass(err, hrpc.InvalidToken) {
		t.Errorf("forgotten token: %v, want class %s", err, hrpc.InvalidToken)
	}
}

// A standby refuses token logins in SASL already, and Kerberos ones at the call.
func TestN24_StandbySaysSo(t *testing.T) {
	cluster, client := setUp(t, hadooptest.Config{})
	token := tokenFor(t, cluster, client, "alice")
	cluster.NameNode.SetFault(hadooptest.Fault{Standby: true})
	if _, err := dial(t, cluster, client.TokenRPC(token.Identifier, token.Password)); !isClass(err, hrpc.Standby) || !hrpc.FailOver(err) {
		t.Errorf("token login: %v, want a standby's answer that asks for another server", err)
	}
	conn, err := dial(t, cluster, client.RPC("alice"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := issueOver(t.Context(), conn, "tokenwheel"); !isClass(err, hrpc.Standby) {
		t.Errorf("call: %v", err)
	}
}

func TestN32_ImpersonationNeedsTheRight(t *testing.T) {
	cluster, client := setUp(t, hadooptest.Config{})
	conn, err := dial(t, cluster, client.RPC("bob"))
	if err == nil {
		_, err = issueOver(t.Context(), conn, "tokenwheel")
	}
	if !isClass(err, hrpc.Authorization) {
		t.Errorf("got %v, want class %s", err, hrpc.Authorization)
	}
}

// Every call asks for a renewer of its own, which its answer must hold.
func TestCH36_AnswersPairWithCallsUnderLoad(t *testing.T) {
	for _, protection := range []string{"authentication", "integrity", "privacy"} {
		t.Run(protection, func(t *testing.T) {
			cluster, client := setUp(t, hadooptest.Config{Protection: []string{protection}})
			conn, err := dial(t, cluster, client.RPC("alice"))
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for caller := range 64 {
				wg.Go(func() {
					for call := range 4 {
						renewer := fmt.Sprintf("renewer%d-%d", caller, call)
						token, err := issueOver(t.Context(), conn, renewer)
						if err != nil {
							t.Error(err)
							return
						}
						id, err := hadooptoken.ParseIdentifier(token.Kind, token.Identifier)
						if err != nil || id.Renewer != renewer {
							t.Errorf("asked for renewer %s, got %s, %v", renewer, id.Renewer, err)
						}
					}
				})
			}
			wg.Wait()
			if n := cluster.NameNode.Journal.Count(hadooptest.OpIssue); n != 256 {
				t.Errorf("the NameNode issued %d tokens for 256 calls", n)
			}
		})
	}
}

func TestB12_HungCallEndsAtItsDeadline(t *testing.T) {
	cluster, client := setUp(t, hadooptest.Config{})
	conn, err := dial(t, cluster, client.RPC("alice"))
	if err != nil {
		t.Fatal(err)
	}
	cluster.NameNode.SetFault(hadooptest.Fault{Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := issueOver(ctx, conn, "tokenwheel"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
}

func TestLoginWithoutKDCNamesIt(t *testing.T) {
	cluster, client := setUp(t, hadooptest.Config{})
	cluster.KDC.SetDown(true)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := hrpc.Dial(ctx, client.RPC("alice"), cluster.Addr)
	if !errors.Is(err, krb.ErrKDCUnreachable) || !strings.Contains(err.Error(), cluster.Realm) {
		t.Errorf("got %v, want it to say that the KDC of %s cannot be reached", err, cluster.Realm)
	}
}

func TestKeytab_OfEachListOfPrincipalsIsAFileOfItsOwn(t *testing.T) {
	cluster := hadooptest.NewCluster(t, hadooptest.Config{Principals: []string{"a", "b", "a/b"}})
	of := map[string]string{}
	for _, principals := range [][]string{{"a"}, {"b"}, {"a", "b"}, {"a/b"}} {
		path, err := cluster.Keytab(principals...)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := of[path]; ok {
			t.Errorf("the keytabs of %v and %s are one file", principals, other)
		}
		of[path] = fmt.Sprint(principals)
	}
}
