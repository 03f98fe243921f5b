package hdfs_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/plugins/hdfs"
)

// dns is names and the machines behind them. Zero: nothing is found.
type dns struct {
	ip      atomic.Value // netip.Addr, of every name
	lookups atomic.Int64
}

func (d *dns) lookup(context.Context, string, string) ([]netip.Addr, error) {
	d.lookups.Add(1)
	ip, ok := d.ip.Load().(netip.Addr)
	if !ok {
		return nil, errors.New("no such host")
	}
	return []netip.Addr{ip}, nil
}

// named returns a provider for which the NameNodes have names that names resolves,
// and which dials through dial.
func named(t *testing.T, cluster *hadooptest.Cluster, names *dns, dial func(ctx context.Context, network, addr string) (net.Conn, error)) *hdfs.Provider {
	t.Helper()
	keytab, err := cluster.Keytab(self)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, file := range []string{"core-site.xml", "hdfs-site.xml"} {
		text, err := os.ReadFile(filepath.Join(cluster.ConfDir, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range cluster.NameNodes {
			text = []byte(strings.ReplaceAll(string(text), n.Addr, nameOf(n)))
		}
		if err := os.WriteFile(filepath.Join(dir, file), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, err := hdfs.New(hdfs.Config{
		ConfDir: dir, Krb5Conf: cluster.Krb5Conf, Principal: self + "@" + cluster.Realm, Keytab: keytab, Dial: dial,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	p.SetLookup(names.lookup)
	return p
}

func nameOf(n *hadooptest.NameNode) string {
	_, port, _ := net.SplitHostPort(n.Addr)
	return n.ID + ".test:" + port
}

// A NameNode moves to another address. The next call finds it there, since names
// are resolved at each dial, and a token that still names the old address is
// renewed as before.
func TestB31_NameNodeMoves(t *testing.T) {
	cluster := start(t, hadooptest.Config{})
	names := &dns{}
	before, after := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	var home atomic.Value // where the NameNode is
	move := func(to netip.Addr) {
		home.Store(to)
		names.ip.Store(to)
		cluster.NameNode.DropConnections()
	}
	move(before)
	p := named(t, cluster, names, func(ctx context.Context, network, addr string) (net.Conn, error) {
		switch host, _, _ := net.SplitHostPort(addr); {
		case addr == cluster.KDCAddr:
			return new(net.Dialer).DialContext(ctx, network, addr)
		case host != "nn1.test":
			t.Errorf("dialled %s, want the name as it is configured", addr)
		}
		// As a net.Dialer does: the name is resolved now.
		if found, err := names.lookup(ctx, network, addr); err != nil || found[0] != home.Load() {
			return nil, errors.New("connection refused")
		}
		return new(net.Dialer).DialContext(ctx, network, cluster.Addr)
	})
	_, port, _ := net.SplitHostPort(cluster.Addr)
	token := obtain(t, p)
	if want := "10.0.0.1:" + port; token.Service != want {
		t.Fatalf("service %q, want %q", token.Service, want)
	}
	for _, at := range []netip.Addr{before, after, after} {
		move(at)
		if _, err := p.Renew(t.Context(), token); err != nil {
			t.Errorf("with the NameNode at %s: %v", at, err)
		}
	}
	if got, want := obtain(t, p).Service, "10.0.0.2:"+port; got != want {
		t.Errorf("a new token has service %q, want %q", got, want)
	}
	list, err := p.Authorities(t.Context())
	if err != nil || len(list) != 1 || list[0].Services[0] != "10.0.0.2:"+port || !strings.Contains(strings.Join(list[0].Services, " "), token.Service) {
		t.Errorf("authorities %+v, %v; want both addresses, the new one first", list, err)
	}
	if _, err := p.Renew(t.Context(), plugins.Token{Kind: token.Kind, Service: "10.0.0.3:" + port}); plugins.CodeOf(err) != "service-not-configured" {
		t.Errorf("an address that it never had: %v", err)
	}
}

// A token of a nameservice is renewed without any look-up: a DNS that is down
// delays nobody.
func TestRenew_OfANameserviceLooksNothingUp(t *testing.T) {
	cluster := pair(t)
	names := &dns{}
	p := named(t, cluster, names, func(ctx context.Context, network, addr string) (net.Conn, error) {
		for _, n := range cluster.NameNodes {
			if addr == nameOf(n) {
				addr = n.Addr
			}
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	})
	if _, err := p.Renew(t.Context(), obtain(t, p)); err != nil {
		t.Error(err)
	}
	if n := names.lookups.Load(); n > 0 {
		t.Errorf("%d look-ups", n)
	}
}

// After a restart nothing is known yet of the address that a token names: it is
// looked up once, and where it is an earlier one of the NameNode, that is known.
func TestRenew_OfAnAddressIsLookedUpOnce(t *testing.T) {
	cluster := start(t, hadooptest.Config{})
	names := &dns{}
	names.ip.Store(netip.MustParseAddr("10.0.0.1"))
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr == nameOf(cluster.NameNode) {
			addr = cluster.Addr
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	token := obtain(t, named(t, cluster, names, dial))
	p := named(t, cluster, names, dial)
	names.lookups.Store(0)
	for range 2 {
		if _, err := p.Renew(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	if n := names.lookups.Load(); n != 1 {
		t.Errorf("%d look-ups for two renewals, want one", n)
	}
	names.ip.Store(netip.MustParseAddr("10.0.0.2"))
	obtain(t, p)
	for name, lookup := range map[string]*dns{"the new address alone is in the DNS": names, "the DNS is down": {}} {
		p.SetLookup(lookup.lookup)
		if _, err := p.Renew(t.Context(), token); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// After a restart without DNS nobody knows whose address a token names. That passes,
// and is no reason to refuse the token.
//
// Shows: B08.
func TestB08_RestartWithoutDNSRefusesNothing(t *testing.T) {
	cluster := start(t, hadooptest.Config{})
	names := &dns{}
	p := named(t, cluster, names, func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr == nameOf(cluster.NameNode) {
			addr = cluster.Addr
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	})
	_, port, _ := net.SplitHostPort(cluster.Addr)
	token := plugins.Token{Kind: "HDFS_DELEGATION_TOKEN", Service: "10.0.0.1:" + port, Identifier: []byte("x"), Password: []byte("x")}
	if _, err := p.Renew(t.Context(), token); err == nil || plugins.KindOf(err) != plugins.KindRetry {
		t.Errorf("without DNS: %v, want kind retry", err)
	}
	names.ip.Store(netip.MustParseAddr("10.0.0.2"))
	if _, err := p.Renew(t.Context(), token); plugins.CodeOf(err) != "service-not-configured" {
		t.Errorf("with DNS: %v", err)
	}
}
