// Package hdfs is the built-in provider of HDFS delegation tokens: it obtains
// them from the NameNodes of a Hadoop configuration, for itself or as proxy user,
// renews and cancels them.
//
// It talks to the configured NameNodes only, whatever a token says, and always by
// Kerberos: NameNodes issue and renew nothing over a token login. A Provider
// opens connections when it needs them and is safe for concurrent use.
package hdfs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/internal/clock"
	"github.com/tokenwheel/tokenwheel/internal/hadoopconf"
	pb "github.com/tokenwheel/tokenwheel/internal/hadooppb"
	"github.com/tokenwheel/tokenwheel/internal/hrpc"
	"github.com/tokenwheel/tokenwheel/internal/namenode"
	"github.com/tokenwheel/tokenwheel/internal/sasl"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// Config says which cluster, and who we are there.
type Config struct {
	ConfDir   string // HADOOP_CONF_DIR; required
	Krb5Conf  string // "": /etc/krb5.conf
	Principal string // ours; _HOST stands for this machine's name
	Keytab    string // either this or CCache
	CCache    string // a FILE credential cache

	// Renewer is the name by which clusters know us as a renewer; "": our
	// principal through the cluster's auth_to_local.
	Renewer string

	Dial func(ctx context.Context, network, addr string) (net.Conn, error) // nil: a net.Dialer

	// Clock gives the time since some fixed moment, never backwards and going on
	// through suspend, and the date, by which Kerberos goes. nil: the machine's clocks.
	Clock func() (boot time.Duration, wall time.Time)

	Logger *slog.Logger // nil: silent
}

func (c Config) clock() clock.Source {
	if c.Clock == nil {
		return clock.System()
	}
	return clock.Func(func() clock.Instant {
		boot, wall := c.Clock()
		return clock.Instant{Boot: boot, Wall: wall}
	})
}

// Provider is a [plugins.Provider] that also says which services are its own and
// reads identifiers. Make one with [New].
type Provider struct {
	cluster   *namenode.Cluster
	renewer   string
	addresses map[string]*hrpc.Addresses // by authority
	services  []hadoopconf.Nameservice
	conns     connections

	log *slog.Logger
	// lookup finds the addresses of a host.
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)

	mu      sync.Mutex          // guards what follows
	texts   map[string][]string // of each NameNode as ip:port, the newest last
	trouble string              // what was last said of our identity
}

var (
	_ plugins.Provider   = (*Provider)(nil)
	_ plugins.Authorizer = (*Provider)(nil)
	_ plugins.Identifier = (*Provider)(nil)
)

// New reads the configuration. It connects to nothing.
func New(c Config) (*Provider, error) {
	cluster, err := namenode.Open(namenode.Config{
		ConfDir: c.ConfDir, Krb5Conf: c.Krb5Conf, Principal: c.Principal, Keytab: c.Keytab, CCache: c.CCache, Dial: c.Dial, Clock: c.clock(),
	})
	if err != nil {
		return nil, fmt.Errorf("hdfs provider: %w", err)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if cluster.Protection() < sasl.AuthInt {
		c.Logger.Warn("hadoop.rpc.protection lets token passwords pass in clear and unchecked; integrity or privacy would not", "hadoop_conf", c.ConfDir)
	}
	p := &Provider{
		cluster: cluster, renewer: c.Renewer, services: cluster.Services(), log: c.Logger,
		addresses: map[string]*hrpc.Addresses{}, texts: map[string][]string{}, lookup: net.DefaultResolver.LookupNetIP,
		conns: connections{cfg: cluster.RPC(""), open: map[string]*hrpc.Conn{}},
	}
	for _, s := range p.services {
		p.addresses[authorityName(s)] = hrpc.NewAddresses(s.Addresses...)
	}
	return p, nil
}

// Close closes the connections that stand. Calls under way fail.
func (p *Provider) Close() error {
	p.conns.close()
	return nil
}

// Check logs in by Kerberos and has every service answer a call that changes
// nothing: a NameNode that is in standby, hangs or is none of this kind is found.
func (p *Provider) Check(ctx context.Context) error {
	if err := p.cluster.Login(ctx); err != nil {
		return serviceError(err)
	}
	var errs []error
	for _, s := range p.services {
		name := authorityName(s)
		err := p.addresses[name].Again(ctx, func(ctx context.Context, addr string) error {
			// Request and answer are read as messages without fields: that there is an
			// answer is all that matters.
			return p.conns.call(ctx, addr, "getServerDefaults", &pb.CancelDelegationTokenResponseProto{}, &pb.CancelDelegationTokenResponseProto{})
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("hdfs %s: %w", name, serviceError(err)))
		}
	}
	return errors.Join(errs...)
}

// Kinds implements [plugins.Provider].
func (p *Provider) Kinds() []string { return []string{hadooptoken.KindHDFS} }

// authorityName is what the operator calls a service: the nameservice, or the
// address of a cluster that has one NameNode.
func authorityName(s hadoopconf.Nameservice) string {
	if s.Name != "" {
		return s.Name
	}
	return s.Addresses[0]
}

// Obtain implements [plugins.Provider]. The service of a token is the text that
// clients of the configuration look for: the logical name, or ip:port, or
// host:port where the cluster has use_ip off.
func (p *Provider) Obtain(ctx context.Context, req plugins.ObtainRequest) ([]plugins.Grant, error) {
	names, err := p.wanted(req.Services)
	if err != nil {
		return nil, err
	}
	renewer := req.Renewer
	if renewer == "" {
		if renewer, err = p.ownName(); err != nil {
			return nil, err
		}
	}
	var grants []plugins.Grant
	for _, name := range names {
		g, err := p.obtainOne(ctx, name, req.User, renewer)
		if err != nil {
			return nil, obtainError(err)
		}
		grants = append(grants, g)
	}
	return grants, nil
}

func (p *Provider) wanted(services []string) ([]string, error) {
	if len(services) == 0 {
		for _, s := range p.services {
			services = append(services, authorityName(s))
		}
		return services, nil
	}
	for _, name := range services {
		if p.addresses[name] == nil {
			return nil, plugins.Refused("service-not-configured", fmt.Errorf("service %q is not in the Hadoop configuration", name))
		}
	}
	return services, nil
}

func (p *Provider) obtainOne(ctx context.Context, name, user, renewer string) (plugins.Grant, error) {
	p.keepIdentity(ctx)
	service, err := p.serviceText(ctx, name)
	if err != nil {
		return plugins.Grant{}, err
	}
	var answer pb.GetDelegationTokenResponseProto
	cfg := p.cluster.RPC(p.cluster.EffectiveUser(user))
	err = p.addresses[name].Once(ctx, func(ctx context.Context, addr string) error {
		// A connection belongs to one effective user, and this one is not ours.
		conn, err := hrpc.Dial(ctx, cfg, addr)
		if err != nil {
			return err
		}
		defer conn.Close()
		return conn.Call(ctx, "getDelegationToken", &pb.GetDelegationTokenRequestProto{Renewer: proto.String(renewer)}, &answer)
	})
	if err != nil {
		return plugins.Grant{}, err
	}
	t := answer.GetToken()
	if t == nil {
		return plugins.Grant{}, plugins.Denied(errors.New("the NameNode issues no tokens"))
	}
	token := plugins.Token{Kind: t.GetKind(), Service: service, Identifier: t.GetIdentifier(), Password: t.GetPassword()}
	id, err := hadooptoken.ParseIdentifier(token.Kind, token.Identifier)
	if err != nil {
		return plugins.Grant{}, plugins.Suspect(err)
	}
	// The answer does not tell the expiry; renewing once does.
	return plugins.Grant{Alias: service, Token: token, Max: id.Max}, nil
}

// Renew implements [plugins.Provider].
func (p *Provider) Renew(ctx context.Context, t plugins.Token) (time.Time, error) {
	var answer pb.RenewDelegationTokenResponseProto
	err := p.call(ctx, t, "renewDelegationToken", &pb.RenewDelegationTokenRequestProto{Token: tokenProto(t)}, &answer)
	if err != nil {
		return time.Time{}, err
	}
	return time.UnixMilli(int64(answer.GetNewExpiryTime())).UTC(), nil
}

// Cancel implements [plugins.Provider].
func (p *Provider) Cancel(ctx context.Context, t plugins.Token) error {
	err := p.call(ctx, t, "cancelDelegationToken", &pb.CancelDelegationTokenRequestProto{Token: tokenProto(t)}, &pb.CancelDelegationTokenResponseProto{})
	if plugins.KindOf(err) == plugins.KindReplace {
		return nil // unknown there: the aim is reached
	}
	return err
}

// call makes one idempotent call about a token at the service that issued it.
func (p *Provider) call(ctx context.Context, t plugins.Token, method string, req, answer proto.Message) error {
	name, err := p.issuer(ctx, t.Service)
	if err != nil {
		return err
	}
	p.keepIdentity(ctx)
	return serviceError(p.addresses[name].Again(ctx, func(ctx context.Context, addr string) error {
		return p.conns.call(ctx, addr, method, req, answer)
	}))
}

// keepIdentity sees to our Kerberos ticket, which the connections that stand need
// for as long as they stand and no longer, and says once what ails it.
func (p *Provider) keepIdentity(ctx context.Context) {
	trouble := ""
	if err := p.cluster.Keep(ctx); err != nil {
		trouble = err.Error()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if trouble == p.trouble {
		return
	}
	p.trouble = trouble
	if trouble == "" {
		p.log.Info("our Kerberos identity is well again", "principal", p.cluster.Principal())
		return
	}
	p.log.Warn("our Kerberos identity will not serve much longer", "principal", p.cluster.Principal(), "error", trouble)
}

func tokenProto(t plugins.Token) *pb.TokenProto {
	return &pb.TokenProto{Identifier: t.Identifier, Password: t.Password, Kind: proto.String(t.Kind), Service: proto.String(t.Service)}
}

// Authorities implements [plugins.Authorizer].
func (p *Provider) Authorities(ctx context.Context) ([]plugins.Authority, error) {
	list := make([]plugins.Authority, len(p.services))
	for i, s := range p.services {
		canonical, err := p.serviceText(ctx, authorityName(s))
		if err != nil {
			return nil, err
		}
		list[i] = plugins.Authority{Name: authorityName(s), Kinds: p.Kinds(), Obtains: true, Services: []string{canonical}}
		numeric, _ := p.numericTexts(ctx, s) // of a nameservice hardly anybody uses them
		for _, text := range append(slices.Clone(s.Aliases), numeric...) {
			if !slices.Contains(list[i].Services, text) {
				list[i].Services = append(list[i].Services, text)
			}
		}
	}
	return list, nil
}

// Identify implements [plugins.Identifier].
func (p *Provider) Identify(_ context.Context, t plugins.Token) (plugins.Identity, error) {
	id, err := hadooptoken.ParseIdentifier(t.Kind, t.Identifier)
	if err != nil {
		return plugins.Identity{}, plugins.Refused("identifier", fmt.Errorf("token for %q: %w", t.Service, err))
	}
	own, err := p.ownName()
	if err != nil {
		return plugins.Identity{}, err
	}
	out := plugins.Identity{
		Owner: id.Owner, RealUser: id.RealUser, Renewer: id.Renewer, Ours: id.Renewer == own,
		Issued: id.Issued, Max: id.Max, Sequence: id.Sequence,
	}
	out.User, _ = p.cluster.ShortName(id.Owner) // no rule: it is nobody's token
	if id.RealUser != "" {
		out.RealShort, _ = p.cluster.ShortName(id.RealUser)
	}
	return out, nil
}

// ownName is the name that renewers are compared with.
func (p *Provider) ownName() (string, error) {
	if p.renewer != "" {
		return p.renewer, nil
	}
	self, err := p.cluster.Self()
	if err != nil {
		return "", plugins.Denied(fmt.Errorf("our own name as a renewer: %w; set it, or add a rule to hadoop.security.auth_to_local", err))
	}
	return self, nil
}
