package hadoopconf

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
)

// defaultPort is the NameNode's RPC port where an address has none.
const defaultPort = "8020"

// SecurityEnabled tells whether hadoop.security.authentication is kerberos; it
// is simple unless set.
func (c *Conf) SecurityEnabled() (bool, error) {
	const key = "hadoop.security.authentication"
	switch s := c.text(key, "simple"); strings.ToLower(s) {
	case "simple":
		return false, nil
	case "kerberos":
		return true, nil
	default:
		return false, c.bad(key, s, "want simple or kerberos")
	}
}

// RPCProtection returns the SASL qops of hadoop.rpc.protection (auth, auth-int,
// auth-conf) in the order given there, without repetition; auth where it is
// unset.
func (c *Conf) RPCProtection() ([]string, error) {
	qops, err := c.qops("hadoop.rpc.protection")
	if len(qops) == 0 && err == nil {
		qops = []string{"auth"}
	}
	return qops, err
}

// DataTransferProtection is the same for dfs.data.transfer.protection; none
// where it is unset: DataNodes then speak no SASL for it.
func (c *Conf) DataTransferProtection() ([]string, error) {
	return c.qops("dfs.data.transfer.protection")
}

// EncryptDataTransfer returns dfs.encrypt.data.transfer.
func (c *Conf) EncryptDataTransfer() (bool, error) { return c.Bool("dfs.encrypt.data.transfer", false) }

// qops reads a list of SaslRpcServer.QualityOfProtection.
func (c *Conf) qops(key string) ([]string, error) {
	var qops []string
	for _, s := range c.Strings(key) {
		var qop string
		switch strings.ToLower(s) {
		case "authentication":
			qop = "auth"
		case "integrity":
			qop = "auth-int"
		case "privacy":
			qop = "auth-conf"
		default:
			return nil, c.bad(key, s, "want authentication, integrity or privacy")
		}
		if !slices.Contains(qops, qop) {
			qops = append(qops, qop)
		}
	}
	return qops, nil
}

// AuthToLocal returns the rules that turn principals into short names, with
// Hadoop's defaults (HadoopKerberosName.setConfiguration), and the mechanism
// that applies them, hadoop or mit.
func (c *Conf) AuthToLocal() (rules, mechanism string, err error) {
	secure, err := c.SecurityEnabled()
	if err != nil {
		return "", "", err
	}
	rules = "RULE:[1:$1] RULE:[2:$1]"
	if secure {
		rules = "DEFAULT"
	}
	const key = "hadoop.security.auth_to_local.mechanism"
	mechanism = strings.ToLower(c.text(key, "hadoop"))
	if mechanism != "hadoop" && mechanism != "mit" {
		return "", "", c.bad(key, mechanism, "want hadoop or mit")
	}
	return c.text("hadoop.security.auth_to_local", rules), mechanism, nil
}

// UseIP tells whether the service text of a token holds an IP address rather
// than a host name (hadoop.security.token.service.use_ip).
func (c *Conf) UseIP() (bool, error) {
	return c.Bool("hadoop.security.token.service.use_ip", true)
}

// DefaultFS returns fs.defaultFS.
func (c *Conf) DefaultFS() string { return c.text("fs.defaultFS", "file:///") }

// NamenodePrincipal returns dfs.namenode.kerberos.principal, mostly with _HOST
// in it, and the glob that a principal may match instead (its .pattern); either
// may be "".
func (c *Conf) NamenodePrincipal() (principal, pattern string) {
	const key = "dfs.namenode.kerberos.principal"
	return c.text(key, ""), c.text(key+".pattern", "")
}

// Nameservice is one HDFS namespace and the NameNodes that serve it.
type Nameservice struct {
	// Name is the nameservice's; "" for the single host of fs.defaultFS.
	Name string
	// Service is the service text of a token as an HA client writes it,
	// ha-hdfs:NAME; without HA it is host:port.
	Service string
	// Addresses are the NameNodes' RPC addresses, host:port, in the order of
	// the configuration.
	Addresses []string
	// Aliases are all service texts that name it without a look-up: Service and
	// each address. Clients that write ip:port are up to who can resolve names.
	Aliases []string
}

// Namenodes returns every namespace of dfs.nameservices, and the single host of
// fs.defaultFS where that is none of them. Host names are in lower case.
func (c *Conf) Namenodes() ([]Nameservice, error) {
	var all []Nameservice
	for _, name := range c.Strings("dfs.nameservices") {
		ns, err := c.nameservice(name)
		if err != nil {
			return nil, err
		}
		all = append(all, ns)
	}
	single, err := c.defaultNamenode()
	if err != nil {
		return nil, err
	}
	known := func(ns Nameservice) bool {
		return slices.Contains(ns.Addresses, single) || strings.ToLower(ns.Name)+":"+defaultPort == single
	}
	if single != "" && !slices.ContainsFunc(all, known) {
		all = append(all, newNameservice("", single, []string{single}))
	}
	return all, nil
}

func newNameservice(name, service string, addresses []string) Nameservice {
	aliases := []string{service}
	for _, a := range addresses {
		if !slices.Contains(aliases, a) {
			aliases = append(aliases, a)
		}
	}
	return Nameservice{Name: name, Service: service, Addresses: addresses, Aliases: aliases}
}

// nameservice reads one of dfs.nameservices; with dfs.ha.namenodes it has an
// address for each of those, without it has one.
func (c *Conf) nameservice(name string) (Nameservice, error) {
	const prefix = "dfs.namenode.rpc-address."
	nodes := c.Strings("dfs.ha.namenodes." + name)
	if len(nodes) == 0 {
		a, err := c.address(prefix + name)
		return newNameservice(name, a, []string{a}), err
	}
	var addresses []string
	for _, node := range nodes {
		a, err := c.address(prefix + name + "." + node)
		if err != nil {
			return Nameservice{}, err
		}
		addresses = append(addresses, a)
	}
	return newNameservice(name, "ha-hdfs:"+name, addresses), nil
}

func (c *Conf) address(key string) (string, error) {
	s, ok := c.Get(key)
	if !ok {
		return "", fmt.Errorf("%s: nameservice without %s", c.Origin("dfs.nameservices"), key)
	}
	a, err := hostPort(s)
	if err != nil {
		return "", c.bad(key, s, "want host:port")
	}
	return a, nil
}

// defaultNamenode is the address in fs.defaultFS, "" where that is of another
// file system.
func (c *Conf) defaultNamenode() (string, error) {
	const key = "fs.defaultFS"
	s := c.DefaultFS()
	u, err := url.Parse(s)
	if err != nil {
		return "", c.bad(key, s, "want a URI")
	}
	if u.Scheme != "hdfs" || u.Host == "" {
		return "", nil
	}
	a, err := hostPort(u.Host)
	if err != nil {
		return "", c.bad(key, s, "want hdfs://host:port")
	}
	return a, nil
}

// hostPort puts the host in lower case and adds the default port.
func hostPort(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port, err = net.SplitHostPort(s + ":" + defaultPort)
	}
	if err == nil && (host == "" || port == "") {
		err = &net.AddrError{Err: "host or port is missing", Addr: s}
	}
	return net.JoinHostPort(strings.ToLower(host), port), err
}
