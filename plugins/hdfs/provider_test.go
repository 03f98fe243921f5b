package hdfs_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/plugins/hdfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const self = "tokenwheel/127.0.0.1"

// setUp starts a cluster on which tokenwheel may act for alice, and a provider
// of its tokens.
func setUp(t *testing.T, c hadooptest.Config) (*hadooptest.Cluster, *hdfs.Provider) {
	t.Helper()
	c.Principals = append(c.Principals, self)
	if c.ProxyUsers == nil {
		c.ProxyUsers = map[string][]string{"tokenwheel": {"alice"}}
	}
	cluster := hadooptest.NewCluster(t, c)
	return cluster, providerAs(t, cluster, self)
}

func providerAs(t *testing.T, cluster *hadooptest.Cluster, principal string) *hdfs.Provider {
	t.Helper()
	keytab, err := cluster.Keytab(principal)
	if err != nil {
		t.Fatal(err)
	}
	p, err := hdfs.New(hdfs.Config{ConfDir: cluster.ConfDir, Krb5Conf: cluster.Krb5Conf, Principal: principal + "@" + cluster.Realm, Keytab: keytab})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func obtain(t *testing.T, p *hdfs.Provider, user string) plugins.Grant {
	t.Helper()
	grants, err := p.Obtain(t.Context(), plugins.ObtainRequest{App: "test", User: user})
	if err != nil {
		t.Fatal(err)
	}
	if len(grants) != 1 {
		t.Fatalf("got %d grants, want 1", len(grants))
	}
	return grants[0]
}

// Shows: N3, N6, N13, N18, Y24, Y32, C-H04, C-H20, C-H31.
func TestN1_TokenLivesAndDiesAtEveryProtection(t *testing.T) {
	for _, protection := range []string{"authentication", "integrity", "privacy"} {
		t.Run(protection, func(t *testing.T) {
			cluster, p := setUp(t, hadooptest.Config{Protection: []string{protection}, Lifetimes: hadooptest.Lifetimes{RenewInterval: time.Minute, MaxLifetime: time.Hour}})
			before := time.Now()
			g := obtain(t, p, "alice")

			id, err := p.Identify(t.Context(), g.Token)
			if err != nil {
				t.Fatal(err)
			}
			want := plugins.Identity{
				Owner: "alice", User: "alice", RealUser: self + "@HADOOP.TEST", RealShort: "tokenwheel",
				Renewer: "tokenwheel", Ours: true, Issued: id.Issued, Max: id.Issued.Add(time.Hour), Sequence: 1,
			}
			if diff := cmp.Diff(want, id); diff != "" {
				t.Errorf("identity (-want +got):\n%s", diff)
			}
			if g.Token.Service != cluster.Addr || g.Alias != cluster.Addr {
				t.Errorf("service %q under alias %q, want %q for both", g.Token.Service, g.Alias, cluster.Addr)
			}
			expires, err := p.Renew(t.Context(), g.Token)
			if err != nil {
				t.Fatal(err)
			}
			if d := expires.Sub(before); d < time.Minute-time.Second || d > 2*time.Minute {
				t.Errorf("renewed until %v after the start, want about a minute", d)
			}
			for range 2 { // the second finds nothing, which is no error
				if err := p.Cancel(t.Context(), g.Token); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := p.Renew(t.Context(), g.Token); plugins.KindOf(err) != plugins.KindReplace {
				t.Errorf("renewing a cancelled token: %v, want kind replace", err)
			}
			for _, call := range cluster.NameNode.Journal.Calls() {
				if call.Protected != (protection != "authentication") {
					t.Errorf("%s went over a channel protected: %v, at protection %s", call.Op, call.Protected, protection)
				}
			}
		})
	}
}

// A user whose name is our own short name is served as ourselves, since nobody is
// a proxy for himself.
func TestObtain_AsOurselves(t *testing.T) {
	_, p := setUp(t, hadooptest.Config{})
	g := obtain(t, p, "tokenwheel")
	id, err := p.Identify(t.Context(), g.Token)
	if err != nil {
		t.Fatal(err)
	}
	if id.Owner != self+"@HADOOP.TEST" || id.User != "tokenwheel" || id.RealUser != "" {
		t.Errorf("got %+v, want our principal as owner and no real user", id)
	}
}

// Shows: N9, N32, C-H03, B27.
func TestN32_DenialsNameWhatAnOperatorMustChange(t *testing.T) {
	cluster, p := setUp(t, hadooptest.Config{Principals: []string{"other/127.0.0.1"}})
	_, err := p.Obtain(t.Context(), plugins.ObtainRequest{User: "mallory"})
	if plugins.KindOf(err) != plugins.KindDenied || plugins.CodeOf(err) != "proxy-user" {
		t.Errorf("a user we are no proxy for: %v; kind %v, code %q", err, plugins.KindOf(err), plugins.CodeOf(err))
	}
	g := obtain(t, p, "alice")
	if _, err := providerAs(t, cluster, "other/127.0.0.1").Renew(t.Context(), g.Token); plugins.KindOf(err) != plugins.KindDenied {
		t.Errorf("renewing as another than the renewer: %v, want kind denied", err)
	}
	forged := g.Token.Clone()
	forged.Password[0] ^= 1
	if _, err := p.Renew(t.Context(), forged); plugins.KindOf(err) != plugins.KindDenied {
		t.Errorf("renewing with a wrong password: %v, want kind denied", err)
	}
}

// Shows: T-07, T-08, P12.
func TestP12_NothingIsDialledThatIsNotConfigured(t *testing.T) {
	cluster, p := setUp(t, hadooptest.Config{})
	g := obtain(t, p, "alice")
	calls := len(cluster.NameNode.Journal.Calls())
	for _, service := range []string{"169.254.169.254:8020", "evil.example:8020", "ha-hdfs:other", "", cluster.Addr + "0", "user@" + cluster.Addr} {
		token := g.Token.Clone()
		token.Service = service
		if _, err := p.Renew(t.Context(), token); plugins.CodeOf(err) != "service-not-configured" {
			t.Errorf("renew at %q: %v, want it refused as not configured", service, err)
		}
		if err := p.Cancel(t.Context(), token); plugins.CodeOf(err) != "service-not-configured" {
			t.Errorf("cancel at %q: %v, want it refused as not configured", service, err)
		}
	}
	if got := len(cluster.NameNode.Journal.Calls()); got != calls {
		t.Errorf("the NameNode saw %d more calls", got-calls)
	}
}

// Shows: B20, C-H21, N24.
func TestB20_WhatPassesIsRetried(t *testing.T) {
	cluster, p := setUp(t, hadooptest.Config{})
	g := obtain(t, p, "alice")
	for name, fault := range map[string]hadooptest.Fault{
		"standby":   {Standby: true},
		"safe mode": {SafeMode: true},
		"cut":       {Cut: true},
		"other": {Refuse: func(hadooptest.Op, hadooptest.Caller) error {
			return errors.New("out of disk")
		}},
	} {
		cluster.NameNode.SetFault(fault)
		if _, err := p.Renew(t.Context(), g.Token); err == nil || plugins.KindOf(err) != plugins.KindRetry {
			t.Errorf("%s: %v, want kind retry", name, err)
		}
	}
	cluster.NameNode.SetFault(hadooptest.Fault{})
	if _, err := p.Renew(t.Context(), g.Token); err != nil {
		t.Errorf("healthy again: %v", err)
	}
}

// The kept connection dies unnoticed; the next call must not.
func TestB14_DeadConnectionIsReplaced(t *testing.T) {
	cluster, p := setUp(t, hadooptest.Config{})
	g := obtain(t, p, "alice")
	for range 3 {
		if _, err := p.Renew(t.Context(), g.Token); err != nil {
			t.Fatal(err)
		}
		cluster.NameNode.DropConnections()
	}
}

func TestAuthorities_NameEveryTextOfAService(t *testing.T) {
	cluster, p := setUp(t, hadooptest.Config{})
	list, err := p.Authorities(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || !list[0].Obtains || !slices.Contains(list[0].Services, cluster.Addr) {
		t.Errorf("authorities %+v, want one with service %s", list, cluster.Addr)
	}
}

func TestCheck_NamesWhatIsWrong(t *testing.T) {
	cluster, p := setUp(t, hadooptest.Config{})
	if err := p.Check(t.Context()); err != nil {
		t.Errorf("a healthy cluster: %v", err)
	}
	cluster.KDC.SetDown(true)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := providerAs(t, cluster, self).Check(ctx); err == nil || !strings.Contains(err.Error(), cluster.Realm) {
		t.Errorf("with the KDC down: %v, want an error that names the realm", err)
	}
}
