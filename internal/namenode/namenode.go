// Package namenode is how this process reaches the NameNodes of one Hadoop
// cluster: the addresses, principals and protection of HADOOP_CONF_DIR, a
// Kerberos identity, and what they make together, a way to log in. The provider
// of HDFS tokens and the staging of files onto HDFS share it, so that there is
// one login path.
//
// A Cluster does no I/O when it is opened but for reading its files, and is safe
// for concurrent use.
package namenode

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/tokenwheel/tokenwheel/internal/clock"
	"github.com/tokenwheel/tokenwheel/internal/hadoopconf"
	"github.com/tokenwheel/tokenwheel/internal/hrpc"
	"github.com/tokenwheel/tokenwheel/internal/krb"
	"github.com/tokenwheel/tokenwheel/internal/sasl"
)

// Config says where the cluster's files are and who we are there. Either Keytab
// or CCache is given for a Kerberos identity; neither for a process that has
// tokens only.
type Config struct {
	ConfDir   string // core-site.xml and hdfs-site.xml; required
	Krb5Conf  string // "": /etc/krb5.conf
	Principal string // with _HOST for this host; "" with CCache: the cache's own
	Keytab    string
	CCache    string
	Host      string // what _HOST in Principal stands for; "": this machine's name

	Dial  func(ctx context.Context, network, addr string) (net.Conn, error) // nil: a net.Dialer that remembers addresses
	Clock clock.Source                                                      // nil: the machine's
}

// Cluster is one Hadoop cluster as one identity sees it.
type Cluster struct {
	cfg      Config
	conf     *hadoopconf.Conf
	services []hadoopconf.Nameservice
	policy   sasl.Policy
	rules    *krb.NameRules
	krb      *krb.Client // nil: tokens only

	server, pattern string // the NameNode's principal, as configured
}

// Open reads the configuration. A cluster without Kerberos is refused: there is
// nothing on it to renew, and SIMPLE is never spoken.
func Open(cfg Config) (*Cluster, error) {
	if cfg.ConfDir == "" {
		return nil, errors.New("no Hadoop configuration directory is given")
	}
	conf, err := hadoopconf.Load(cfg.ConfDir)
	if err != nil {
		return nil, err
	}
	secure, err := conf.SecurityEnabled()
	if err != nil {
		return nil, err
	}
	if !secure {
		return nil, fmt.Errorf("%s: hadoop.security.authentication is not kerberos; delegation tokens need a secure cluster", cfg.ConfDir)
	}
	if cfg.Dial == nil {
		cfg.Dial = newResolver().dial
	}
	c := &Cluster{cfg: cfg, conf: conf}
	if c.services, err = conf.Namenodes(); err != nil {
		return nil, err
	}
	if len(c.services) == 0 {
		return nil, fmt.Errorf("%s: no NameNode: set fs.defaultFS or dfs.nameservices", cfg.ConfDir)
	}
	if c.policy, err = policyOf(conf); err != nil {
		return nil, err
	}
	if c.server, c.pattern = conf.NamenodePrincipal(); c.server == "" && c.pattern == "" {
		return nil, fmt.Errorf("%s: dfs.namenode.kerberos.principal is not set", cfg.ConfDir)
	}
	return c, c.identify()
}

// policyOf demands what the cluster itself demands, and never less.
func policyOf(conf *hadoopconf.Conf) (sasl.Policy, error) {
	names, err := conf.RPCProtection()
	if err != nil {
		return sasl.Policy{}, err
	}
	p := sasl.Policy{Minimum: sasl.AuthConf}
	for _, name := range names {
		q, err := sasl.ParseQOP(name)
		if err != nil {
			return sasl.Policy{}, err
		}
		p.Prefer = append(p.Prefer, q)
		p.Minimum = min(p.Minimum, q)
	}
	return p, nil
}

// identify makes the Kerberos identity and the rules for short names.
func (c *Cluster) identify() error {
	path := c.cfg.Krb5Conf
	if path == "" {
		path = "/etc/krb5.conf"
	}
	text, mechanism, err := c.conf.AuthToLocal()
	if err != nil {
		return err
	}
	if c.cfg.Keytab == "" && c.cfg.CCache == "" {
		// Rules that need no default realm still work for a process with tokens only.
		c.rules, err = krb.ParseNameRules(text, "", mechanism)
		return err
	}
	kc, err := krb.LoadConfig(path)
	if err != nil {
		return err
	}
	if c.rules, err = krb.ParseNameRules(text, kc.DefaultRealm, mechanism); err != nil {
		return fmt.Errorf("%s: hadoop.security.auth_to_local: %w", c.cfg.ConfDir, err)
	}
	host, err := c.host()
	if err != nil {
		return err
	}
	c.krb, err = krb.NewClient(krb.Options{
		Conf: kc, Principal: krb.ExpandHost(c.cfg.Principal, host), Keytab: c.cfg.Keytab, CCache: c.cfg.CCache,
		Dial: c.cfg.Dial, Clock: c.cfg.Clock,
	})
	return err
}

// Services are the cluster's namespaces, in the order of the configuration.
func (c *Cluster) Services() []hadoopconf.Nameservice { return slices.Clone(c.services) }

// Conf is the cluster's configuration.
func (c *Cluster) Conf() *hadoopconf.Conf { return c.conf }

// Protection is the least quality of protection that the cluster's connections have.
func (c *Cluster) Protection() sasl.QOP { return c.policy.Minimum }

// Principal is our own full name, "" without a Kerberos identity.
func (c *Cluster) Principal() string {
	if c.krb == nil {
		return ""
	}
	return c.krb.Principal()
}

// ShortName applies the cluster's auth_to_local rules to a full name. A name
// without realm and host is its own short name.
func (c *Cluster) ShortName(name string) (string, error) { return c.rules.ShortName(name) }

// Self is our own short name on this cluster.
func (c *Cluster) Self() (string, error) {
	if c.krb == nil {
		return "", errors.New("no Kerberos identity")
	}
	name, err := c.krb.Identity()
	if err != nil {
		return "", err
	}
	return c.ShortName(name)
}

// EffectiveUser is the name under which the NameNode shall see a short user name:
// our own full principal where it is our own, else the name itself, for which we
// must be a proxy.
func (c *Cluster) EffectiveUser(user string) string {
	if self, err := c.Self(); err == nil && self == user {
		return c.krb.Principal()
	}
	return user
}

// Login proves the Kerberos identity now.
func (c *Cluster) Login(ctx context.Context) error {
	if c.krb == nil {
		return errors.New("no Kerberos identity")
	}
	return c.krb.Login(ctx)
}

// Keep replaces our Kerberos ticket where the time has come, and tells what ails
// the identity while it still serves; nil: nothing.
func (c *Cluster) Keep(ctx context.Context) error {
	if c.krb == nil {
		return nil
	}
	c.krb.Keep(ctx)
	return c.krb.Trouble()
}

// RPC is how to reach a NameNode by Kerberos, seen there as effectiveUser; "" is
// ourselves.
func (c *Cluster) RPC(effectiveUser string) hrpc.Config {
	return hrpc.Config{
		Protocol: hrpc.ClientProtocol, EffectiveUser: effectiveUser, Policy: c.policy, Dial: c.cfg.Dial,
		Kerberos: &hrpc.Kerberos{Principal: c.server, Pattern: c.pattern, Context: c.context, Refused: c.refused},
	}
}

// TokenRPC is how to reach a NameNode by a delegation token.
func (c *Cluster) TokenRPC(identifier, password []byte) hrpc.Config {
	return hrpc.Config{
		Protocol: hrpc.ClientProtocol, Policy: c.policy, Dial: c.cfg.Dial,
		Token: &hrpc.Token{Identifier: identifier, Password: password},
	}
}

func (c *Cluster) refused(service string) {
	if c.krb != nil {
		c.krb.Doubt(service)
	}
}

func (c *Cluster) context(ctx context.Context, service string) (sasl.GSS, error) {
	if c.krb == nil {
		return nil, errors.New("no Kerberos identity")
	}
	return c.krb.Initiate(ctx, service)
}
