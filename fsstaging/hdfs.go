package fsstaging

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	client "github.com/colinmarc/hdfs/v2"

	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/internal/hadoopconf"
	"github.com/tokenwheel/tokenwheel/internal/hrpc"
	"github.com/tokenwheel/tokenwheel/internal/namenode"
	"github.com/tokenwheel/tokenwheel/internal/sasl"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// maxClients bounds the connections of one HDFS: the client library renews
// leases every second on each.
const maxClients = 8

// HDFSConfig says which Hadoop file system, and who we are there: a principal
// with Keytab or CCache, as a stager has it, or tokens alone, as an executor.
type HDFSConfig struct {
	ConfDir     string // core-site.xml and hdfs-site.xml; required
	Nameservice string // which of the configuration's; "": that of fs.defaultFS, or the only one

	Krb5Conf  string // "": /etc/krb5.conf
	Principal string // _HOST stands for this machine's name
	Keytab    string
	CCache    string // a FILE credential cache

	// Credentials hold the token to log in with where there is neither keytab nor
	// cache. Later ones come by UseCredentials.
	Credentials plugins.Credentials

	// ClearTransfer allows file contents to pass between us and DataNodes in clear
	// although the cluster's RPC is private. Otherwise that is refused.
	ClearTransfer bool

	Dial func(ctx context.Context, network, addr string) (net.Conn, error) // nil: a net.Dialer
}

// HDFS is one Hadoop file system. It may be used concurrently; at most 8
// directories are open at a time, each with a connection of its own, others
// wait.
//
// Every connection to a NameNode is opened by our own login, by Kerberos or by
// token, and protected as the configuration demands. A rename there could
// overwrite: [Stager] claims a name before it renames to it.
type HDFS struct {
	cluster  *namenode.Cluster
	service  hadoopconf.Nameservice
	options  client.ClientOptions
	kerberos bool
	slots    chan struct{}
	first    atomic.Int64 // index of the NameNode that is asked first

	life  context.Context // ends at Close
	close context.CancelFunc

	mu     sync.Mutex // guards tokens
	tokens []plugins.Token
}

// Format implements [fmt.Formatter]: printed field by field, it would show the
// passwords of its tokens.
func (h *HDFS) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "HDFS %s", h.service.Service) }

var (
	_ UserFS       = (*HDFS)(nil)
	_ CredentialFS = (*HDFS)(nil)
)

// DialHDFS reads the configuration and, with a Kerberos identity, logs in to the
// KDC. NameNodes are connected to when they are needed. The caller closes what it
// gets.
func DialHDFS(ctx context.Context, c HDFSConfig) (*HDFS, error) {
	h, err := openHDFS(c)
	if err == nil && h.kerberos {
		err = h.cluster.Login(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("dial HDFS: %w", err)
	}
	h.life, h.close = context.WithCancel(context.Background())
	h.UseCredentials(c.Credentials)
	return h, nil
}

func openHDFS(c HDFSConfig) (*HDFS, error) {
	cluster, err := namenode.Open(namenode.Config{
		ConfDir: c.ConfDir, Krb5Conf: c.Krb5Conf,
		Principal: c.Principal, Keytab: c.Keytab, CCache: c.CCache, Dial: c.Dial,
	})
	if err != nil {
		return nil, err
	}
	service, err := chooseService(cluster, c.Nameservice)
	if err != nil {
		return nil, err
	}
	options, err := transferOptions(cluster, c)
	if err != nil {
		return nil, err
	}
	return &HDFS{
		cluster: cluster, service: service, options: options,
		kerberos: c.Keytab != "" || c.CCache != "", slots: make(chan struct{}, maxClients),
	}, nil
}

func chooseService(cluster *namenode.Cluster, name string) (hadoopconf.Nameservice, error) {
	services := cluster.Services()
	for _, s := range services {
		byName := name != "" && (s.Name == name || slices.Contains(s.Addresses, name))
		byDefault := name == "" && (len(services) == 1 || cluster.Conf().DefaultFS() == "hdfs://"+s.Name)
		if byName || byDefault {
			return s, nil
		}
	}
	if name == "" {
		name = cluster.Conf().DefaultFS()
	}
	var names []string
	for _, s := range services {
		names = append(names, s.Name)
	}
	return hadoopconf.Nameservice{}, fmt.Errorf("%q is no nameservice of %s; it has %q", name, cluster.Conf(), names)
}

const (
	cipherSuites = "dfs.encrypt.data.transfer.cipher.suites"
	aesSuite     = "AES/CTR/NoPadding"
)

// transferOptions decides how DataNodes are spoken to.
func transferOptions(cluster *namenode.Cluster, c HDFSConfig) (client.ClientOptions, error) {
	// Of nothing the library makes its defaults; one of them, which spares
	// DataNodes on privileged ports the login, cannot be had otherwise.
	options := client.ClientOptionsFromConf(nil)
	conf := cluster.Conf()
	encrypted, err := conf.EncryptDataTransfer()
	if err != nil {
		return options, err
	}
	offered, err := conf.DataTransferProtection()
	if err != nil {
		return options, err
	}
	if options.UseDatanodeHostname, err = conf.Bool("dfs.client.use.datanode.hostname", false); err != nil {
		return options, err
	}
	switch {
	case encrypted || slices.Contains(offered, sasl.AuthConf.String()):
		options.DataTransferProtection = client.DataTransferProtectionPrivacy
	case slices.Contains(offered, sasl.AuthInt.String()):
		options.DataTransferProtection = client.DataTransferProtectionIntegrity
	case len(offered) > 0:
		options.DataTransferProtection = client.DataTransferProtectionAuthentication
	}
	private := options.DataTransferProtection == client.DataTransferProtectionPrivacy
	if cluster.Protection() == sasl.AuthConf && !private && !c.ClearTransfer {
		return options, plugins.Refused("clear-transfer", errors.New(
			"hadoop.rpc.protection is privacy, but dfs.data.transfer.protection would let tokens pass in clear"))
	}
	// The library writes through the privacy layer of SASL itself, but reads it
	// wrongly; where the DataNodes agree on AES that layer is not used.
	if private && !slices.Contains(conf.Strings(cipherSuites), aesSuite) {
		return options, plugins.Refused("transfer-cipher", fmt.Errorf(
			"private data transfer works with AES only: set %s to %s on the DataNodes and in this configuration", cipherSuites, aesSuite))
	}
	options.DatanodeDialFunc = c.Dial
	if options.DatanodeDialFunc == nil {
		options.DatanodeDialFunc = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	return options, nil
}

// Close ends what is under way. Directories still open fail from then on.
func (h *HDFS) Close() error {
	h.close()
	return nil
}

// UseCredentials implements [CredentialFS]: connections made from now on log in
// with the HDFS tokens among c. With a Kerberos identity it does nothing.
func (h *HDFS) UseCredentials(c plugins.Credentials) {
	if h.kerberos {
		return
	}
	var tokens []plugins.Token
	for _, t := range c.Tokens {
		if t.Kind == hadooptoken.KindHDFS {
			tokens = append(tokens, t.Clone())
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(tokens) > 0 {
		h.tokens = tokens
	}
}

// OpenDir implements [FS] for ourselves.
func (h *HDFS) OpenDir(ctx context.Context, dir string, create bool) (Dir, error) {
	// Without a name the NameNode would see the one that the library must be given.
	return hdfsUser{h: h, effective: h.cluster.Principal()}.OpenDir(ctx, dir, create)
}

// As implements [UserFS]. User is a short name: with a Kerberos identity anybody
// for whom the NameNode lets us be a proxy, or ourselves; with tokens only their
// owner.
func (h *HDFS) As(ctx context.Context, user string) (FS, error) {
	if h.kerberos {
		return hdfsUser{h: h, effective: h.cluster.EffectiveUser(user)}, nil
	}
	t, err := h.token(ctx)
	if err != nil {
		return nil, err
	}
	id, err := hadooptoken.ParseIdentifier(t.Kind, t.Identifier)
	if err != nil {
		return nil, plugins.Refused("unknown-user", err)
	}
	if owner, err := h.cluster.ShortName(id.Owner); err != nil || owner != user {
		return nil, plugins.Denied(fmt.Errorf("act as %q with a token of %q", user, id.Owner))
	}
	return hdfsUser{h: h}, nil
}

// token is the one for this file system: by the service text of the
// configuration, or by the addresses that its host names have.
func (h *HDFS) token(ctx context.Context) (plugins.Token, error) {
	h.mu.Lock()
	tokens := h.tokens
	h.mu.Unlock()
	if t, ok := tokenFor(tokens, h.service.Aliases); ok {
		return t, nil
	}
	for _, addr := range h.service.Addresses {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return plugins.Token{}, err
		}
		ips, err := net.DefaultResolver.LookupHost(ctx, host)
		if err != nil {
			continue // the next may be known
		}
		for i := range ips {
			ips[i] = net.JoinHostPort(ips[i], port)
		}
		if t, ok := tokenFor(tokens, ips); ok {
			return t, nil
		}
	}
	return plugins.Token{}, plugins.Denied(fmt.Errorf("no token for %s, and no keytab", h.service.Service))
}

func tokenFor(tokens []plugins.Token, services []string) (plugins.Token, bool) {
	i := slices.IndexFunc(tokens, func(t plugins.Token) bool { return slices.Contains(services, t.Service) })
	if i < 0 {
		return plugins.Token{}, false
	}
	return tokens[i], true
}

// addresses are the NameNodes in the order in which they are asked.
func (h *HDFS) addresses() []string {
	all, first := h.service.Addresses, int(h.first.Load())
	return append(slices.Clone(all[first:]), all[:first]...)
}

// judge has the next session begin with the NameNode that answered, and not with one
// that did not: it may take logins and hang all the same.
func (h *HDFS) judge(addr string, answered bool) {
	i := slices.Index(h.service.Addresses, addr)
	if i < 0 {
		return // none was reached
	}
	if !answered {
		i = (i + 1) % len(h.service.Addresses)
	}
	h.first.Store(int64(i))
}

// rpc is how to log in as effective; "" is ourselves.
func (h *HDFS) rpc(ctx context.Context, effective string) (hrpc.Config, error) {
	if h.kerberos {
		return h.cluster.RPC(effective), nil
	}
	t, err := h.token(ctx)
	if err != nil {
		return hrpc.Config{}, err
	}
	return h.cluster.TokenRPC(t.Identifier, t.Password), nil
}
