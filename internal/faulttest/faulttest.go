// Package faulttest says how tokens are kept over a bad network and past a man in
// the middle, as tests: the same ones for the in-process kit, package hadooptest,
// and for real services. Between the client and the services stands package
// faultproxy.
//
// After whatever happens to a connection the next attempt works, no attempt outlives
// its deadline, and nothing that somebody forged ends a token.
package faulttest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/hadooptest/faultproxy"
	pb "github.com/tokenwheel/tokenwheel/internal/hadooppb"
	"github.com/tokenwheel/tokenwheel/internal/hrpc"
	"github.com/tokenwheel/tokenwheel/internal/namenode"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/plugins/hdfs"
	"github.com/tokenwheel/tokenwheel/plugins/hdfs/hdfstest"
)

// Cluster is a running realm and NameNode, and where they are.
type Cluster struct {
	hdfstest.Cluster
	NameNode string // its address, as the configuration has it
	KDC      string // its address, as krb5.conf has it
}

// protections are the words of hadoop.rpc.protection.
var protections = []string{"authentication", "integrity", "privacy"}

// Open gives a running cluster with one of the protections. It is called concurrently;
// a cluster that it starts ends with the test it is given.
type Open func(t *testing.T, protection string) Cluster

// test is one part of a suite; most of its time it waits.
type test struct {
	name string
	run  func(*testing.T, Cluster, string)
}

// run runs tests at once, each on a cluster with each of the protections.
func run(t *testing.T, open Open, protections []string, tests ...test) {
	t.Helper()
	for _, protection := range protections {
		for _, test := range tests {
			t.Run(test.name+" at "+protection, func(t *testing.T) {
				t.Parallel()
				test.run(t, open(t, protection), protection)
			})
		}
	}
}

var one = []string{"privacy"}

// Resets breaks connections at each byte of the login, at each message, and between
// what a service does and what it says.
func Resets(t *testing.T, open Open) {
	t.Helper()
	run(t, open, one, test{"reset at each byte of the handshake", resetAtEachByte})
	run(t, open, protections, test{"reset at each message", resetAtEachMessage}, test{"reset before the answer", resetBeforeTheAnswer})
}

// Silence lets connections hang, or bring next to nothing.
func Silence(t *testing.T, open Open) {
	t.Helper()
	run(t, open, one,
		test{"half-open in a call and in a login", halfOpen},
		test{"half-open under a kept connection", keptSilent},
		test{"one byte a second", oneByteASecond},
		test{"delayed", delayed},
		test{"stop with a hundred half-open connections", stopHalfOpen},
	)
}

// Lies changes what a NameNode says, byte by byte, message by message, and as a man in
// the middle would.
func Lies(t *testing.T, open Open) {
	t.Helper()
	for _, protection := range protections { // which counts what the process allocates, and runs alone
		t.Run("nonsense in place of a message at "+protection, func(t *testing.T) { nonsense(t, open(t, protection)) })
	}
	run(t, open, protections, test{"each byte flipped", flips}, test{"forged answers to the engine", forgedAnswers})
	run(t, open, one, test{"stripped offers", strippedOffers})
	run(t, open, protections[:1], test{"answers twice and out of order", answersTwice})
}

// KDCs does the like to the realm's KDC.
func KDCs(t *testing.T, open Open) {
	t.Helper()
	t.Run("nonsense from the KDC", func(t *testing.T) { nonsenseFromKDC(t, open(t, one[0])) })
	run(t, open, one, test{"two of three KDCs dead", deadKDCs})
}

// patience bounds an attempt that nothing disturbs.
const patience = 20 * time.Second

// proxy stands before an address until the test's end.
func proxy(t testing.TB, target string) *faultproxy.Proxy {
	t.Helper()
	p, err := faultproxy.New(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// once is a fault of the first connection alone.
func once(f faultproxy.Fault) func(int) faultproxy.Fault {
	return func(n int) faultproxy.Fault {
		if n == 0 {
			return f
		}
		return faultproxy.Fault{}
	}
}

// provider logs in as the cluster's service, by way of a proxy.
func (c Cluster) provider(t testing.TB, p *faultproxy.Proxy) *hdfs.Provider {
	t.Helper()
	keytab, err := c.Keytab(c.Self)
	if err != nil {
		t.Fatal(err)
	}
	provider, err := hdfs.New(hdfs.Config{
		ConfDir: c.ConfDir, Krb5Conf: c.Krb5Conf, Principal: c.Self + "@" + c.Realm, Keytab: keytab, Dial: p.DialContext,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = provider.Close() })
	return provider
}

// client is the same identity below the provider.
func (c Cluster) client(t testing.TB, p *faultproxy.Proxy) *namenode.Cluster {
	t.Helper()
	keytab, err := c.Keytab(c.Self)
	if err != nil {
		t.Fatal(err)
	}
	client, err := namenode.Open(namenode.Config{
		ConfDir: c.ConfDir, Krb5Conf: c.Krb5Conf, Principal: c.Self + "@" + c.Realm, Keytab: keytab, Dial: p.DialContext,
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func obtain(ctx context.Context, p *hdfs.Provider) (plugins.Token, error) {
	grants, err := p.Obtain(ctx, plugins.ObtainRequest{App: "test", User: "alice"})
	if err != nil {
		return plugins.Token{}, err
	}
	return grants[0].Token, nil
}

func mustObtain(t testing.TB, p *hdfs.Provider) plugins.Token {
	t.Helper()
	token, err := obtain(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// attempt is a login on a connection of its own and a call over it.
type attempt struct {
	name string
	do   func(ctx context.Context) error
}

// attempts are the two ways to log in, by way of a proxy: by Kerberos as the provider
// does it, and by a token as executors do.
func (c Cluster) attempts(t testing.TB, p *faultproxy.Proxy) []attempt {
	t.Helper()
	provider, client := c.provider(t, p), c.client(t, p)
	token := mustObtain(t, provider)
	return []attempt{
		{"kerberos", func(ctx context.Context) error {
			_, err := obtain(ctx, provider)
			return err
		}},
		{"token", func(ctx context.Context) error {
			conn, err := hrpc.Dial(ctx, client.TokenRPC(token.Identifier, token.Password), c.NameNode)
			if err != nil {
				return err
			}
			defer conn.Close()
			return conn.Call(ctx, "getServerDefaults", &pb.CancelDelegationTokenResponseProto{}, &pb.CancelDelegationTokenResponseProto{})
		}},
	}
}

// broken reports as a test failure that an attempt over a broken connection ended
// otherwise than it should: as something that passes, and that came from the way.
func broken(t *testing.T, what string, err error) {
	t.Helper()
	if _, ok := errors.AsType[*hrpc.TransportError](err); !ok || plugins.KindOf(err) != plugins.KindRetry {
		t.Errorf("%s: %v, want a failure of the way, to be tried again", what, err)
	}
}

// recovers makes the attempt after a fault, which must work on a connection of its own.
func recovers(t *testing.T, p *faultproxy.Proxy, what string, a attempt) {
	t.Helper()
	before := p.Connections()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := a.do(ctx); err != nil {
		t.Errorf("after %s: %v", what, err)
	}
	if p.Connections() == before {
		t.Errorf("after %s: no new connection was made", what)
	}
}
