// Package cluster runs a real MIT KDC, a Hadoop NameNode and a DataNode for one test run: on loopback, in a
// folder of its own, with lifetimes of seconds where a test wants them, touching no configuration of the system. Linux only.
//
// Start installs or finds what it needs and fails where it cannot; nothing is ever skipped. All daemons are
// children of the test process: Stop ends them by their process groups, and the kernel does if the test dies.
// A Cluster's paths and addresses do not change while it lives, also across restarts of its daemons.
// Commands (FsShell, DtUtil, Login, …) may run concurrently; starting and stopping daemons may not.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"
)

// Realm is the Kerberos realm of every Cluster.
const Realm = "REAL.TEST"

// Principals that every Cluster has, each with a keytab. On HDFS nn, dn and hdfs are the superuser "hdfs";
// the others are known by their first component.
const (
	TokenwheelPrincipal = "tokenwheel/localhost@" + Realm // may act as any user from any host
	AlicePrincipal      = "alice@" + Realm                // has /user/alice
	BobPrincipal        = "bob@" + Realm                  // has /user/bob
	SuperuserPrincipal  = "hdfs@" + Realm
	NameNodePrincipal   = "nn/localhost@" + Realm

	dataNodePrincipal = "dn/localhost@" + Realm
	webPrincipal      = "HTTP/localhost@" + Realm
)

// Options are what a test chooses about its Cluster.
type Options struct {
	RenewInterval time.Duration // of delegation tokens; 0: Hadoop's 24 h
	MaxLifetime   time.Duration // of delegation tokens; 0: Hadoop's 7 d
	TicketLife    time.Duration // longest life of a Kerberos ticket; 0: 10 h
	RenewableLife time.Duration // how long a ticket can be renewed; 0: 7 d

	// Protection is hadoop.rpc.protection of servers and clients: authentication, integrity, privacy, or a comma
	// list in the order of preference; "": authentication.
	Protection string

	// DaemonFlags are the JVM flags of the NameNode and the DataNode where speed counts; nil: those that start quickly.
	DaemonFlags []string

	// HA: three NameNodes serve the nameservice lab; the first is active.
	HA bool

	// Core and HDFS are further properties of core-site.xml and hdfs-site.xml; they win over the harness's own.
	Core, HDFS map[string]string
}

// Cluster is a running KDC, NameNode and DataNode.
type Cluster struct {
	Dir          string // everything lies here: databases, keytabs, logs
	Krb5Conf     string // path of krb5.conf
	KDCAddr      string // host:port, TCP and UDP
	ConfDir      string // HADOOP_CONF_DIR: core-site.xml and hdfs-site.xml as servers and clients read them
	NameNodeAddr string // host:port of the NameNode's RPC, as in fs.defaultFS; with HA the first one's
	WebAddr      string // host:port of the NameNode's HTTP: WebHDFS and JMX; with HA the first one's

	NameNodes []*NameNode // with HA

	opts  Options
	tools tools

	kdc, nameNode, dataNode *process
}

// Start starts a Cluster and returns when it serves: tickets are issued, the DataNode is live and the home
// folders exist. The caller must Stop it, and Remove its folder if it is not needed for a look.
// On an error everything started is stopped again; the error carries the end of the log that tells why.
func Start(ctx context.Context, opts Options) (_ *Cluster, err error) {
	root, err := sourceDir()
	if err != nil {
		return nil, err
	}
	t, err := install(ctx, filepath.Join(root, "hadoop", "pom.xml"))
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "tokenwheel-real-")
	if err != nil {
		return nil, fmt.Errorf("start cluster: %w", err)
	}
	ports, err := freePorts(7)
	if err != nil {
		return nil, fmt.Errorf("start cluster: %w", err)
	}
	c := &Cluster{
		Dir:          dir,
		Krb5Conf:     filepath.Join(dir, "krb5.conf"),
		KDCAddr:      net.JoinHostPort("127.0.0.1", ports[0]),
		ConfDir:      filepath.Join(dir, "conf"),
		NameNodeAddr: net.JoinHostPort("localhost", ports[1]),
		WebAddr:      net.JoinHostPort("localhost", ports[2]),
		opts:         opts,
		tools:        t,
	}
	defer func() {
		if err != nil {
			c.Stop()
			err = fmt.Errorf("start cluster in %s: %w", dir, err)
		}
	}()
	steps := []func(context.Context) error{
		c.createRealm, c.StartKDC, c.writeHadoopConf, c.format, c.StartNameNode, c.startDataNode, c.createHomes,
	}
	if opts.HA {
		c.nameservice(ports[1:])
		steps = slices.Replace(steps, 3, 5, c.startNameservice)
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Stop stops all daemons and keeps the folder. It may be called more than once.
func (c *Cluster) Stop() {
	c.dataNode.stop()
	c.nameNode.stop()
	for _, n := range c.NameNodes {
		n.proc.stop()
		n.proc = nil
	}
	c.kdc.stop()
	c.dataNode, c.nameNode, c.kdc = nil, nil, nil
}

// Remove removes the Cluster's folder with all that its stopped daemons left.
func (c *Cluster) Remove() error { return os.RemoveAll(c.Dir) }

// Logs returns the last lines of each daemon's log, for a failed test's output.
func (c *Cluster) Logs() string {
	var s string
	names := []string{kdcName, nameNodeName, dataNodeName}
	for _, n := range c.NameNodes {
		names = append(names, n.ID)
	}
	for _, name := range names {
		s += tail(c.logFile(name)) + "\n"
	}
	return s
}

func (c *Cluster) logFile(name string) string { return filepath.Join(c.Dir, name+".log") }

// sourceDir returns the folder of this module: its pom and Java sources are read from there.
func sourceDir() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(file) {
		return "", errors.New("start cluster: the sources of the real tier cannot be found (built with -trimpath?)")
	}
	return filepath.Dir(filepath.Dir(file)), nil
}

// freePorts returns n ports on which nothing listens on loopback, TCP or UDP. They lie below the ports that
// the kernel gives to outgoing connections, so that none of those takes one before its server does.
func freePorts(n int) ([]string, error) {
	const first, count, tries = 20000, 10000, 200
	var ports []string
	for range tries {
		port := strconv.Itoa(first + rand.IntN(count))
		addr := net.JoinHostPort("127.0.0.1", port)
		tcp, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		defer tcp.Close() // all are held until the last is found, so that they differ
		udp, err := net.ListenPacket("udp", addr)
		if err != nil {
			continue
		}
		defer udp.Close()
		if ports = append(ports, port); len(ports) == n {
			return ports, nil
		}
	}
	return nil, fmt.Errorf("no %d free ports on loopback from %d to %d", n, first, first+count)
}
