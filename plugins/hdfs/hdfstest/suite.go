// Package hdfstest says what the HDFS provider does with a NameNode, as tests:
// the same ones for the in-process kit, package hadooptest, and for real services.
package hdfstest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/plugins/hdfs"
	"github.com/tokenwheel/tokenwheel/plugins/plugintest"
)

// Cluster is a running realm and NameNode, as its clients see it.
type Cluster struct {
	ConfDir  string // demands the protection that was asked for
	Krb5Conf string
	Realm    string
	Service  string // of tokens for its NameNode

	// Self is the principal, less realm, of a service that may act for alice. Its
	// short name is tokenwheel.
	Self string
	// Other is a principal, less realm, that may act for nobody.
	Other string
	// Keytab returns the path of a keytab that holds a principal's key.
	Keytab func(principal string) (string, error)

	RenewInterval, MaxLifetime time.Duration // of its tokens

	// Break breaks every connection to the NameNode and returns when it takes new
	// ones.
	Break func(ctx context.Context) error
}

// protections are the words of hadoop.rpc.protection.
var protections = []string{"authentication", "integrity", "privacy"}

// Run runs the suite. Open is called with each of the three protections, and
// more than once; a cluster that it starts ends with the test it is given.
func Run(t *testing.T, open func(t *testing.T, protection string) Cluster) {
	t.Helper()
	for _, protection := range protections {
		t.Run("a token's life at "+protection, func(t *testing.T) { tokenLife(t, open(t, protection), protection) })
	}
	for _, test := range []struct {
		name string
		run  func(*testing.T, Cluster)
	}{
		{"as ourselves", asOurselves},
		{"denials name what an operator must change", denials},
		{"nothing is dialled that is not configured", foreignServices},
		{"authorities name every text of a service", authorities},
		{"a dead connection is replaced", deadConnection},
		{"the contract of providers", contract},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t, "privacy")) })
	}
}

// provider is one that logs in as principal and is closed at the test's end.
func (c Cluster) provider(t testing.TB, principal string, dial dialer) *hdfs.Provider {
	t.Helper()
	keytab, err := c.Keytab(principal)
	if err != nil {
		t.Fatal(err)
	}
	p, err := hdfs.New(hdfs.Config{
		ConfDir: c.ConfDir, Krb5Conf: c.Krb5Conf, Principal: principal + "@" + c.Realm, Keytab: keytab, Dial: dial,
	})
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

func tokenLife(t *testing.T, c Cluster, protection string) {
	p := c.provider(t, c.Self, nil)
	g := obtain(t, p, "alice")
	id, err := p.Identify(t.Context(), g.Token)
	if err != nil {
		t.Fatal(err)
	}
	want := plugins.Identity{
		Owner: "alice", User: "alice", RealUser: c.Self + "@" + c.Realm, RealShort: "tokenwheel",
		Renewer: "tokenwheel", Ours: true, Issued: id.Issued, Max: id.Issued.Add(c.MaxLifetime), Sequence: id.Sequence,
	}
	if diff := cmp.Diff(want, id); diff != "" {
		t.Errorf("identity (-want +got):\n%s", diff)
	}
	if g.Token.Service != c.Service || g.Alias != c.Service || !g.Max.Equal(id.Max) {
		t.Errorf("service %q under alias %q until %v, want %q for both, and %v", g.Token.Service, g.Alias, g.Max, c.Service, id.Max)
	}
	before := time.Now().Truncate(time.Millisecond) // as the NameNode counts
	expires, err := p.Renew(t.Context(), g.Token)
	if err != nil {
		t.Fatal(err)
	}
	if expires.Before(before.Add(c.RenewInterval)) || expires.After(time.Now().Add(c.RenewInterval)) {
		t.Errorf("renewed until %v, want %v from %v on", expires, c.RenewInterval, before)
	}
	for range 2 { // the second finds nothing, which is no error
		if err := p.Cancel(t.Context(), g.Token); err != nil {
			t.Fatal(err)
		}
	}
	_, err = p.Renew(t.Context(), g.Token)
	if plugins.KindOf(err) != plugins.KindReplace {
		t.Errorf("renewing a cancelled token: %v, want kind replace", err)
	}
	answer, ok := errors.AsType[*plugins.Error](err)
	if want := protection != "authentication"; !ok || answer.Protected != want {
		t.Errorf("the answer came over a channel protected: %v, want %v", ok && answer.Protected, want)
	}
}

// A user whose name is our own short name is served as ourselves, since nobody is
// a proxy for himself.
func asOurselves(t *testing.T, c Cluster) {
	p := c.provider(t, c.Self, nil)
	g := obtain(t, p, "tokenwheel")
	id, err := p.Identify(t.Context(), g.Token)
	if err != nil {
		t.Fatal(err)
	}
	if id.Owner != c.Self+"@"+c.Realm || id.User != "tokenwheel" || id.RealUser != "" {
		t.Errorf("got %+v, want our principal as owner and no real user", id)
	}
	if _, err := p.Renew(t.Context(), g.Token); err != nil {
		t.Errorf("renew: %v", err)
	}
}

func denials(t *testing.T, c Cluster) {
	p, other := c.provider(t, c.Self, nil), c.provider(t, c.Other, nil)
	g := obtain(t, p, "alice")
	_, err := other.Obtain(t.Context(), plugins.ObtainRequest{User: "alice"})
	if plugins.KindOf(err) != plugins.KindDenied || plugins.CodeOf(err) != "proxy-user" {
		t.Errorf("obtaining for a user whose proxy it is not: %v; kind %v, code %q", err, plugins.KindOf(err), plugins.CodeOf(err))
	}
	if _, err := other.Renew(t.Context(), g.Token); plugins.KindOf(err) != plugins.KindDenied {
		t.Errorf("renewing as another than the renewer: %v, want kind denied", err)
	}
	if err := other.Cancel(t.Context(), g.Token); plugins.KindOf(err) != plugins.KindDenied {
		t.Errorf("cancelling as a stranger: %v, want kind denied", err)
	}
	forged := g.Token.Clone()
	forged.Password[0] ^= 1
	if _, err := p.Renew(t.Context(), forged); plugins.KindOf(err) != plugins.KindDenied {
		t.Errorf("renewing with a wrong password: %v, want kind denied", err)
	}
	if _, err := p.Renew(t.Context(), g.Token); err != nil {
		t.Errorf("the token itself, after all that: %v", err)
	}
}

func foreignServices(t *testing.T, c Cluster) {
	var wire meter
	p := c.provider(t, c.Self, wire.dial)
	g := obtain(t, p, "alice")
	if _, err := p.Renew(t.Context(), g.Token); err != nil {
		t.Fatal(err)
	}
	sent := wire.sent()
	if sent == 0 {
		t.Fatal("a renewal sent nothing: this test would show nothing")
	}
	for _, service := range []string{"169.254.169.254:8020", "evil.example:8020", "ha-hdfs:other", "", c.Service + "0", "user@" + c.Service} {
		token := g.Token.Clone()
		token.Service = service
		if _, err := p.Renew(t.Context(), token); plugins.CodeOf(err) != "service-not-configured" {
			t.Errorf("renew at %q: %v, want it refused as not configured", service, err)
		}
		if err := p.Cancel(t.Context(), token); plugins.CodeOf(err) != "service-not-configured" {
			t.Errorf("cancel at %q: %v, want it refused as not configured", service, err)
		}
	}
	if got := wire.sent(); got != sent {
		t.Errorf("%d bytes were sent for services that are not configured", got-sent)
	}
}

func authorities(t *testing.T, c Cluster) {
	p := c.provider(t, c.Self, nil)
	list, err := p.Authorities(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || !list[0].Obtains || !slices.Contains(list[0].Services, c.Service) {
		t.Errorf("authorities %+v, want one with service %s", list, c.Service)
	}
}

// The kept connection dies unnoticed; the next call must not.
func deadConnection(t *testing.T, c Cluster) {
	p := c.provider(t, c.Self, nil)
	g := obtain(t, p, "alice")
	if _, err := p.Renew(t.Context(), g.Token); err != nil {
		t.Fatal(err)
	}
	if err := c.Break(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Renew(t.Context(), g.Token); err != nil {
		t.Errorf("on a connection that died: %v", err)
	}
}

func contract(t *testing.T, c Cluster) {
	plugintest.Run(t, plugintest.Config{New: func(t testing.TB) plugins.Provider { return c.provider(t, c.Self, nil) }})
}
