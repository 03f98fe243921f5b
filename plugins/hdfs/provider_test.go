package hdfs_test

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/plugins/hdfs"
	"github.com/tokenwheel/tokenwheel/plugins/hdfs/hdfstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	self  = "tokenwheel/127.0.0.1"
	other = "other/127.0.0.1"
)

// start starts a cluster on which tokenwheel may act for alice.
func start(t testing.TB, c hadooptest.Config) *hadooptest.Cluster {
	t.Helper()
	c.Principals = []string{self, other}
	c.ProxyUsers = map[string][]string{"tokenwheel": {"alice"}}
	return hadooptest.NewCluster(t, c)
}

func provider(t testing.TB, cluster *hadooptest.Cluster) *hdfs.Provider {
	t.Helper()
	return providerWith(t, cluster, func(*hdfs.Config) {})
}

// providerWith is provider with a configuration that the test changes.
func providerWith(t testing.TB, cluster *hadooptest.Cluster, change func(*hdfs.Config)) *hdfs.Provider {
	t.Helper()
	keytab, err := cluster.Keytab(self)
	if err != nil {
		t.Fatal(err)
	}
	c := hdfs.Config{ConfDir: cluster.ConfDir, Krb5Conf: cluster.Krb5Conf, Principal: self + "@" + cluster.Realm, Keytab: keytab}
	change(&c)
	p, err := hdfs.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// The real tier runs the same suite on a real NameNode.
//
// Shows: N1, N3, N6, N9, N13, N18, N32, Y24, C-H03, C-H04, C-H06, C-H20, C-H31, T-07, T-08, P12.
func TestOnTheKit(t *testing.T) {
	lifetimes := hadooptest.Lifetimes{RenewInterval: time.Minute, MaxLifetime: time.Hour}
	hdfstest.Run(t, func(t *testing.T, protection string) hdfstest.Cluster {
		cluster := start(t, hadooptest.Config{Protection: []string{protection}, Lifetimes: lifetimes})
		return hdfstest.Cluster{
			ConfDir: cluster.ConfDir, Krb5Conf: cluster.Krb5Conf, Realm: cluster.Realm, Service: cluster.Addr,
			Self: self, Other: other,
			Keytab:        func(principal string) (string, error) { return cluster.Keytab(principal) },
			RenewInterval: lifetimes.RenewInterval, MaxLifetime: lifetimes.MaxLifetime,
			Break: func(context.Context) error { cluster.NameNode.DropConnections(); return nil },
		}
	})
}

// Shows: B20, C-H21, N24.
func TestB20_WhatPassesIsRetried(t *testing.T) {
	cluster := start(t, hadooptest.Config{})
	p := provider(t, cluster)
	grants, err := p.Obtain(t.Context(), plugins.ObtainRequest{User: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	for name, fault := range map[string]hadooptest.Fault{
		"standby":   {Standby: true},
		"safe mode": {SafeMode: true},
		"cut":       {Cut: true},
		"other": {Refuse: func(hadooptest.Op, hadooptest.Caller) error {
			return errors.New("out of disk")
		}},
	} {
		cluster.NameNode.SetFault(fault)
		if _, err := p.Renew(t.Context(), grants[0].Token); err == nil || plugins.KindOf(err) != plugins.KindRetry {
			t.Errorf("%s: %v, want kind retry", name, err)
		}
	}
	cluster.NameNode.SetFault(hadooptest.Fault{})
	if _, err := p.Renew(t.Context(), grants[0].Token); err != nil {
		t.Errorf("healthy again: %v", err)
	}
}

func TestCheck_NamesWhatIsWrong(t *testing.T) {
	cluster := start(t, hadooptest.Config{})
	if err := provider(t, cluster).Check(t.Context()); err != nil {
		t.Errorf("a healthy cluster: %v", err)
	}
	for name, fault := range map[string]hadooptest.Fault{"standby": {Standby: true}, "cut": {Cut: true}, "hung": {Hang: true}} {
		cluster.NameNode.SetFault(fault)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		if err := provider(t, cluster).Check(ctx); err == nil || !strings.Contains(err.Error(), cluster.Addr) {
			t.Errorf("%s: %v, want an error that names %s", name, err, cluster.Addr)
		}
		cancel()
	}
	cluster.NameNode.SetFault(hadooptest.Fault{})
	cluster.KDC.SetDown(true)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := provider(t, cluster).Check(ctx); err == nil || !strings.Contains(err.Error(), cluster.Realm) {
		t.Errorf("with the KDC down: %v, want an error that names the realm", err)
	}
}

// Whose a token is: the user acted for, and who may renew it in his stead is the
// real user (AbstractDelegationTokenIdentifier.getUser).
func TestCH02_OwnerAndRealUser(t *testing.T) {
	cluster := start(t, hadooptest.Config{})
	p := provider(t, cluster)
	full := self + "@" + cluster.Realm
	for _, c := range []struct {
		name, owner, realUser string
		user, realShort       string
	}{
		{"no owner", "", "", "", ""},
		{"owner alone", "alice", "", "alice", ""},
		{"owner with realm", "alice@" + cluster.Realm, "", "alice", ""},
		{"owner is the real user", full, full, "tokenwheel", "tokenwheel"},
		{"owner and real user", "alice", full, "alice", "tokenwheel"},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw, err := hadooptoken.MarshalIdentifier(hadooptoken.Identifier{Kind: hadooptoken.KindHDFS, Owner: c.owner, RealUser: c.realUser, Renewer: "tokenwheel"})
			if err != nil {
				t.Fatal(err)
			}
			id, err := p.Identify(t.Context(), plugins.Token{Kind: hadooptoken.KindHDFS, Service: cluster.Addr, Identifier: raw})
			if err != nil {
				t.Fatal(err)
			}
			if id.User != c.user || id.RealShort != c.realShort || id.Owner != c.owner || id.RealUser != c.realUser {
				t.Errorf("user %q (%q), real user %q (%q); want %q and %q", id.User, id.Owner, id.RealShort, id.RealUser, c.user, c.realShort)
			}
		})
	}
}

// An obtain takes nothing that was there before: an old token, even a dead one,
// never stands in the way of a new one, as it does in Java's addDelegationTokens.
func TestCH18_OldTokenDoesNotStandInTheWay(t *testing.T) {
	cluster := start(t, hadooptest.Config{})
	p := provider(t, cluster)
	seen := map[string]bool{}
	for range 3 {
		grants, err := p.Obtain(t.Context(), plugins.ObtainRequest{User: "alice"})
		if err != nil {
			t.Fatal(err)
		}
		if len(grants) != 1 || seen[string(grants[0].Token.Identifier)] {
			t.Fatalf("%d grants, or one that was given before", len(grants))
		}
		seen[string(grants[0].Token.Identifier)] = true
		cluster.NameNode.Secrets.Forget(grants[0].Token.Identifier)
	}
}

// The renewer of a token is our own short name unless the configuration names
// another, and what the daemon obtains it must be able to renew.
//
// Shows: C-F55, C-F58, K10.
func TestCF55_RenewerIsOurselvesUnlessConfigured(t *testing.T) {
	cluster := start(t, hadooptest.Config{})
	for configured, want := range map[string]string{"": "tokenwheel", "somebody": "somebody"} {
		p := providerWith(t, cluster, func(c *hdfs.Config) { c.Renewer = configured })
		grants, err := p.Obtain(t.Context(), plugins.ObtainRequest{User: "alice"})
		if err != nil || len(grants) != 1 {
			t.Fatalf("%d grants, %v", len(grants), err)
		}
		id, err := p.Identify(t.Context(), grants[0].Token)
		if err != nil {
			t.Fatal(err)
		}
		if id.Renewer != want || !id.Ours {
			t.Errorf("configured %q: the renewer is %q (ours: %v), want %q", configured, id.Renewer, id.Ours, want)
		}
		_, err = p.Renew(t.Context(), grants[0].Token)
		if denied := plugins.KindOf(err) == plugins.KindDenied; denied != (configured != "") {
			t.Errorf("configured %q: renewing it: %v", configured, err)
		}
	}
}

// A keytab that was half written: the keys of the login before go on serving, and
// the log says so while there is time, once.
//
// Shows: B05.
func TestB05_BrokenKeytabIsToldWhileRenewalsGoOn(t *testing.T) {
	cluster := start(t, hadooptest.Config{TicketLifetime: 2 * time.Second})
	keytab, err := cluster.Keytab(self)
	if err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(keytab)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	p := providerWith(t, cluster, func(c *hdfs.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	grants, err := p.Obtain(t.Context(), plugins.ObtainRequest{User: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	// renewUntil renews until the log has the words; tickets live for two seconds.
	renewUntil := func(words string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		for !strings.Contains(log.String(), words) {
			if _, err := p.Renew(ctx, grants[0].Token); err != nil {
				t.Fatalf("renew, waiting for %q: %v\n%s", words, err, &log)
			}
		}
	}
	if err := os.WriteFile(keytab, good[:len(good)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	renewUntil("the keys of an earlier login are used")
	if err := os.WriteFile(keytab, good, 0o600); err != nil {
		t.Fatal(err)
	}
	renewUntil("is well again")
	if n := strings.Count(log.String(), "will not serve much longer"); n != 1 {
		t.Errorf("told %d times, want once:\n%s", n, &log)
	}
}

func TestNew_WarnsBelowIntegrity(t *testing.T) {
	for protection, warns := range map[string]bool{"authentication": true, "integrity": false, "privacy": false} {
		cluster := start(t, hadooptest.Config{Protection: []string{protection}})
		var log strings.Builder
		providerWith(t, cluster, func(c *hdfs.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		if strings.Contains(log.String(), "hadoop.rpc.protection") != warns {
			t.Errorf("%s: logged %q, want a warning: %v", protection, log.String(), warns)
		}
	}
}

// Somebody in the middle who answers a login with "invalid token" has neither a cancel
// taken for done nor a token for dead.
//
// Shows: T-15.
func TestT15_ForgedInvalidTokenInTheLogin(t *testing.T) {
	cluster := start(t, hadooptest.Config{})
	token := obtain(t, provider(t, cluster))
	p := providerWith(t, cluster, func(c *hdfs.Config) {
		c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr != cluster.Addr {
				return new(net.Dialer).DialContext(ctx, network, addr)
			}
			client, server := net.Pipe()
			go func() {
				defer server.Close()
				_, _ = server.Read(make([]byte, 1024))
				_, _ = server.Write(forgedInvalidToken)
			}()
			return client, nil
		}
	})
	_, renewing := p.Renew(t.Context(), token)
	for what, err := range map[string]error{"renew": renewing, "cancel": p.Cancel(t.Context(), token)} {
		if err == nil || plugins.KindOf(err) != plugins.KindRetry {
			t.Errorf("%s: %v, want kind retry", what, err)
		}
	}
	if n := cluster.NameNode.Journal.Count(hadooptest.OpCancel); n != 0 {
		t.Errorf("%d cancels", n)
	}
}

// forgedInvalidToken is a fatal answer in the login: call id -33, class InvalidToken.
var forgedInvalidToken = func() []byte {
	const class = "org.apache.hadoop.security.token.SecretManager$InvalidToken"
	head := append([]byte{0x08, 0xdf, 0xff, 0xff, 0xff, 0x0f, 0x10, 2, 0x18, 9, 0x22, byte(len(class))}, class...)
	frame := append([]byte{byte(len(head))}, head...)
	return append([]byte{0, 0, 0, byte(len(frame))}, frame...)
}()

// Who we are is known from a credential cache alone, before any login: the first
// token that is brought, or asked for, must not be refused.
func TestIdentify_ByTheCredentialCacheAlone(t *testing.T) {
	cluster := start(t, hadooptest.Config{})
	token := obtain(t, provider(t, cluster))
	text := func(b []byte, s string) []byte { return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...) }
	cache := []byte{5, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2} // version 4, a name of two parts
	service, host, _ := strings.Cut(self, "/")
	cache = text(text(text(cache, cluster.Realm), service), host)
	path := filepath.Join(t.TempDir(), "cc")
	if err := os.WriteFile(path, cache, 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := hdfs.New(hdfs.Config{ConfDir: cluster.ConfDir, Krb5Conf: cluster.Krb5Conf, CCache: path})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if id, err := p.Identify(t.Context(), token); err != nil || !id.Ours {
		t.Errorf("%+v, %v; want a token that is ours to renew", id, err)
	}
	if _, err := p.Renew(t.Context(), token); plugins.CodeOf(err) != "ccache" {
		t.Errorf("renew: %v, want that the cache holds no ticket", err)
	}
}
