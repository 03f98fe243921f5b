// Package hadooptest is a Kerberos realm and a NameNode in the test's own
// process, as net/http/httptest is a web server: a KDC, a NameNode that issues,
// renews and cancels delegation tokens by the rules of the real one, a journal of
// every call it answered, and switches for what goes wrong in real clusters. With
// a [Config].Nameservice there are several NameNodes, which fail over. It needs no
// Java, no root and no network but loopback.
//
// A rule is in it only when the real service showed it; SKIPPED.md lists what it
// leaves out. Everything is safe for concurrent use.
package hadooptest

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/clock"
	"github.com/tokenwheel/tokenwheel/internal/krb"
	"github.com/tokenwheel/tokenwheel/internal/krb/minikdc"
	"github.com/tokenwheel/tokenwheel/internal/sasl"
)

// Config is what a cluster is like. The zero value is a realm HADOOP.TEST with
// the NameNode's default lifetimes.
type Config struct {
	Realm     string    // "": HADOOP.TEST
	Lifetimes Lifetimes // of delegation tokens
	// TicketLifetime is how long Kerberos tickets live; 0: ten hours.
	TicketLifetime time.Duration
	// Principals to make, with or without realm, besides the NameNode's.
	Principals []string
	// ProxyUsers says which users a service may act for, by the service's short
	// name: hadoop.proxyuser.NAME.users. "*" is any.
	ProxyUsers map[string][]string
	// Protection is hadoop.rpc.protection: authentication, integrity, privacy, in
	// order of preference; empty: privacy.
	Protection []string
	// Nameservice, if set, is the logical name that NameNodes NameNodes serve over
	// one table of tokens; the first is active.
	Nameservice string
	NameNodes   int // 0: two with a Nameservice; without one there is one
	// InMemory clusters use no network: they are reached by [Cluster.Dial] alone, at
	// addresses that stand for nothing. So they can be in a testing/synctest bubble.
	InMemory bool
	// Now is the cluster's clock; nil: the machine's.
	Now func() time.Time
	// Dir is where configuration and keytabs are written; "": a temporary
	// directory that Close removes.
	Dir string
}

// Cluster is a running realm and its NameNodes.
type Cluster struct {
	Realm     string
	KDC       *KDC
	NameNode  *NameNode   // the first
	NameNodes []*NameNode // all
	Addr      string      // host:port of the first NameNode
	KDCAddr   string      // host:port of the KDC, TCP and UDP
	ConfDir   string      // core-site.xml and hdfs-site.xml
	Krb5Conf  string      // path of a krb5.conf

	dir     string
	ownsDir bool
	kdc     *minikdc.KDC
	source  clock.Source
	service atomic.Pointer[krb.Service] // what the NameNodes accept by Kerberos
	secrets *SecretManager
	served  chan error // of each NameNode
}

// KDC is the realm's key distribution centre.
type KDC struct{ kdc *minikdc.KDC }

// SetDown makes it refuse connections, or work again.
func (k *KDC) SetDown(down bool) { k.kdc.SetDown(down) }

// Logins is how many tickets it gave for passwords or keys.
func (k *KDC) Logins() int { return k.kdc.Count("AS") }

// ServiceTickets is how many tickets for services it gave.
func (k *KDC) ServiceTickets() int { return k.kdc.Count("TGS") }

// TB is what [NewCluster] needs of a test; a *testing.T, *testing.B or *testing.F
// has it. Programs that use [Start] so link no testing package.
type TB interface {
	Helper()
	Fatal(args ...any)
	Error(args ...any)
	Cleanup(f func())
}

// NewCluster starts a cluster that ends with the test.
func NewCluster(t TB, cfg Config) *Cluster {
	t.Helper()
	c, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// Start starts a cluster on loopback. The caller closes it.
func Start(cfg Config) (_ *Cluster, err error) {
	if cfg.Realm == "" {
		cfg.Realm = "HADOOP.TEST"
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	offer, err := offerOf(cfg.Protection)
	if err != nil {
		return nil, err
	}
	c := &Cluster{Realm: cfg.Realm, dir: cfg.Dir, secrets: NewSecretManager(cfg.Lifetimes)}
	defer func() {
		if err != nil {
			_ = c.Close()
		}
	}()
	if c.dir == "" {
		if c.dir, err = os.MkdirTemp("", "hadooptest-"); err != nil {
			return nil, err
		}
		c.ownsDir = true
	}
	c.source = clock.Func(func() clock.Instant { return clock.Instant{Wall: cfg.Now()} })
	if err := c.startKDC(cfg); err != nil {
		return nil, fmt.Errorf("start the KDC: %w", err)
	}
	if err := c.startNameNodes(cfg, offer); err != nil {
		return nil, fmt.Errorf("start the NameNode: %w", err)
	}
	if err := c.writeConfig(cfg); err != nil {
		return nil, fmt.Errorf("write the configuration: %w", err)
	}
	return c, nil
}

func (c *Cluster) startKDC(cfg Config) (err error) {
	if c.kdc, err = minikdc.New(minikdc.Config{Realm: cfg.Realm, Clock: c.source, TicketLifetime: cfg.TicketLifetime}); err != nil {
		return err
	}
	c.KDC = &KDC{c.kdc}
	for _, p := range append([]string{nnService}, cfg.Principals...) {
		if err := c.kdc.AddPrincipal(c.qualify(p)); err != nil {
			return err
		}
	}
	if cfg.InMemory {
		c.KDCAddr = "127.0.0.1:88"
		return nil
	}
	c.KDCAddr, err = c.kdc.Listen()
	return err
}

// nnService is the NameNode's principal, less realm. Its host is the text of its
// address, since loopback has no better name.
const nnService = "nn/127.0.0.1"

func (c *Cluster) startNameNodes(cfg Config, offer []sasl.QOP) error {
	if err := c.readKeys(); err != nil {
		return err
	}
	journal, count := &Journal{}, 1
	if cfg.Nameservice != "" {
		count = cmp.Or(cfg.NameNodes, 2)
	}
	c.served = make(chan error, count)
	for i := range count {
		lis, err := cfg.listen(i)
		if err != nil {
			return err
		}
		n := &NameNode{
			ID: fmt.Sprintf("nn%d", i+1), Addr: lis.Addr().String(), Secrets: c.secrets, Journal: journal,
			principal: c.qualify(nnService), offer: offer, proxyUsers: cfg.ProxyUsers,
			acceptor: func() sasl.GSS { return c.service.Load().Acceptor() }, now: cfg.Now, standby: i > 0,
			lis: lis, conns: map[net.Conn]struct{}{}, quit: make(chan struct{}),
		}
		c.NameNodes = append(c.NameNodes, n)
		go func() { c.served <- n.Serve(lis) }()
	}
	c.NameNode, c.Addr = c.NameNodes[0], c.NameNodes[0].Addr
	return nil
}

// readKeys gives the NameNodes the keys that the KDC has of them.
func (c *Cluster) readKeys() error {
	raw, err := c.kdc.Keytab(c.qualify(nnService))
	if err != nil {
		return err
	}
	keys, err := krb.ParseKeytab(raw)
	if err != nil {
		return err
	}
	c.service.Store(krb.NewService(krb.ServiceOptions{Keytab: keys, Clock: c.source}))
	return nil
}

// Rekey gives the NameNodes new keys and a keytab without the old ones, so that
// they refuse every ticket that was given out before. Connections stand.
func (c *Cluster) Rekey() error {
	if err := c.kdc.AddPrincipal(c.qualify(nnService)); err != nil {
		return err
	}
	return c.readKeys()
}

func (c Config) listen(nth int) (net.Listener, error) {
	if c.InMemory {
		return listenInMemory(fmt.Sprintf("127.0.0.1:%d", 8020+nth)), nil
	}
	return net.Listen("tcp", "127.0.0.1:0")
}

func (c *Cluster) qualify(principal string) string {
	if strings.Contains(principal, "@") {
		return principal
	}
	return principal + "@" + c.Realm
}

// Keytab writes a keytab with the keys of principals and returns its path, which
// is the same for the same principals.
func (c *Cluster) Keytab(principals ...string) (string, error) {
	full := make([]string, len(principals))
	for i, p := range principals {
		full[i] = c.qualify(p)
	}
	raw, err := c.kdc.Keytab(full...)
	if err != nil {
		return "", err
	}
	name := url.PathEscape(strings.Join(full, "+")) // tells any two lists apart
	path := filepath.Join(c.dir, name+".keytab")
	return path, os.WriteFile(path, raw, 0o600)
}

// Close stops everything and waits for it.
func (c *Cluster) Close() (err error) {
	for _, n := range c.NameNodes {
		n.lis.Close()
	}
	for _, n := range c.NameNodes {
		if e := <-c.served; err == nil {
			err = e
		}
		n.close()
	}
	if c.kdc != nil {
		if e := c.kdc.Close(); err == nil {
			err = e
		}
	}
	if c.ownsDir {
		if e := os.RemoveAll(c.dir); err == nil {
			err = e
		}
	}
	return err
}

// offerOf translates the words of hadoop.rpc.protection.
func offerOf(protection []string) ([]sasl.QOP, error) {
	if len(protection) == 0 {
		protection = []string{"privacy"}
	}
	words := map[string]sasl.QOP{"authentication": sasl.Auth, "integrity": sasl.AuthInt, "privacy": sasl.AuthConf}
	var offer []sasl.QOP
	for _, p := range protection {
		q, ok := words[p]
		if !ok {
			return nil, fmt.Errorf("protection %q: want authentication, integrity or privacy", p)
		}
		offer = append(offer, q)
	}
	return offer, nil
}
