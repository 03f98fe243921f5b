package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/tokenwheel/tokenwheel/internal/clock"
	"github.com/tokenwheel/tokenwheel/internal/hrpc"
	"github.com/tokenwheel/tokenwheel/internal/krb"
	"github.com/tokenwheel/tokenwheel/internal/sasl"
)

// Nameservice is the logical name of a Cluster with Options.HA.
const Nameservice = "lab"

// NameNode is one of the NameNodes of a Cluster with Options.HA.
type NameNode struct {
	ID      string // nn1, nn2, nn3
	Addr    string // host:port of its RPC
	WebAddr string // host:port of its HTTP

	c    *Cluster
	proc *process
}

// haSite is what hdfs-site.xml says of them: edits are shared through a local folder, which standbys tail every
// second, and who is active is decided by hand.
func (c *Cluster) haSite() map[string]string {
	if !c.opts.HA {
		return map[string]string{}
	}
	site := map[string]string{
		"dfs.nameservices": Nameservice,
		"dfs.client.failover.proxy.provider." + Nameservice: "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider",
		"dfs.namenode.shared.edits.dir":                     "file://" + filepath.Join(c.Dir, "shared"),
		"dfs.ha.fencing.methods":                            "shell(/bin/true)",
		"dfs.ha.automatic-failover.enabled":                 "false",
		"dfs.ha.tail-edits.period":                          "1",
		"dfs.ha.log-roll.period":                            "2", // a standby tails finished segments only
		"dfs.client.failover.sleep.base.millis":             "200",
		"dfs.namenode.checkpoint.period":                    "86400", // none: a checkpoint is no part of any test
		"dfs.ha.standby.checkpoints":                        "false",
	}
	var ids []string
	for _, n := range c.NameNodes {
		ids = append(ids, n.ID)
		suffix := "." + Nameservice + "." + n.ID
		site["dfs.namenode.rpc-address"+suffix] = n.Addr
		site["dfs.namenode.http-address"+suffix] = n.WebAddr
		site["dfs.namenode.name.dir"+suffix] = "file://" + n.nameDir()
	}
	site["dfs.ha.namenodes."+Nameservice] = strings.Join(ids, ",")
	return site
}

func (n *NameNode) nameDir() string { return filepath.Join(n.c.Dir, "name-"+n.ID) }

// startNameservice formats one NameNode, copies what that made for the others (as bootstrapStandby does, without a JVM),
// starts all and makes the first active.
func (c *Cluster) startNameservice(ctx context.Context) error {
	first := c.NameNodes[0]
	if _, err := c.Java(ctx, Identity{}, nameNodeClass, "-D", "dfs.ha.namenode.id="+first.ID, "-format", "-force", "-nonInteractive"); err != nil {
		return fmt.Errorf("format the NameNodes: %w", err)
	}
	for _, n := range c.NameNodes[1:] {
		if err := os.CopyFS(n.nameDir(), os.DirFS(first.nameDir())); err != nil {
			return fmt.Errorf("format the NameNodes: %w", err)
		}
	}
	for _, n := range c.NameNodes {
		if err := n.launch(); err != nil {
			return err
		}
	}
	for _, n := range c.NameNodes {
		if err := n.awaitUp(ctx); err != nil {
			return err
		}
	}
	return first.Activate(ctx)
}

// Start starts a stopped NameNode, as standby, and waits until it answers.
func (n *NameNode) Start(ctx context.Context) error {
	if err := n.launch(); err != nil {
		return err
	}
	return n.awaitUp(ctx)
}

func (n *NameNode) launch() (err error) {
	n.proc, err = startProcess(n.ID, n.c.logFile(n.ID), n.c.javaCommand(Identity{}, nameNodeClass, "-D", "dfs.ha.namenode.id="+n.ID))
	return err
}

func (n *NameNode) awaitUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, daemonTimeout)
	defer cancel()
	return n.proc.await(ctx, func(ctx context.Context) error {
		state, err := n.State(ctx)
		if err == nil && state == "initializing" {
			err = fmt.Errorf("%s is in state %q", n.ID, state)
		}
		return err
	})
}

// Kill ends the NameNode as kill -9 does.
func (n *NameNode) Kill() {
	if n.proc == nil {
		return
	}
	_ = syscall.Kill(-n.proc.pid, syscall.SIGKILL)
	<-n.proc.exited
	n.proc = nil
}

// Pause stops the NameNode in its tracks, as a long collection of garbage does, and returns what lets it go on.
func (n *NameNode) Pause() (resume func()) {
	_ = syscall.Kill(-n.proc.pid, syscall.SIGSTOP)
	return func() { _ = syscall.Kill(-n.proc.pid, syscall.SIGCONT) }
}

// State is what the NameNode says of itself: active, standby, observer.
func (n *NameNode) State(ctx context.Context) (string, error) {
	var beans []struct{ State string }
	if err := jmx(ctx, n.WebAddr, "NameNodeStatus", &beans); err != nil {
		return "", err
	}
	if len(beans) != 1 {
		return "", fmt.Errorf("%s has no NameNodeStatus yet", n.ID)
	}
	return beans[0].State, nil
}

// jmx reads one of a NameNode's beans.
func jmx(ctx context.Context, addr, bean string, beans any) error {
	u := url.URL{Scheme: "http", Host: addr, Path: "/jmx", RawQuery: "qry=Hadoop:service=NameNode,name=" + bean}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer := struct {
		Beans any `json:"beans"`
	}{beans}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("read JMX (%s): %w", resp.Status, err)
	}
	return nil
}

// Failover makes to the active NameNode, and the one that was active a standby first, if it runs: what
// "hdfs haadmin -transitionToStandby" and "-transitionToActive --forcemanual" do, without two JVMs.
func (c *Cluster) Failover(ctx context.Context, to *NameNode) error {
	for _, n := range c.NameNodes {
		if n == to || n.proc == nil {
			continue
		}
		if err := n.change(ctx, "transitionToStandby"); err != nil {
			return err
		}
	}
	return to.Activate(ctx)
}

// Observe makes a standby an observer, which serves reads of what it has tailed.
func (n *NameNode) Observe(ctx context.Context) error { return n.change(ctx, "transitionToObserver") }

// Activate makes the NameNode active, whatever the others think.
func (n *NameNode) Activate(ctx context.Context) error { return n.change(ctx, "transitionToActive") }

// change makes a call of Hadoop's HAServiceProtocol as the superuser. Its request is
// {reqInfo: {reqSource: REQUEST_BY_USER}}.
func (n *NameNode) change(ctx context.Context, method string) error {
	conn, err := hrpc.Dial(ctx, n.c.superuserRPC(), n.Addr)
	if err != nil {
		return fmt.Errorf("%s at %s: %w", method, n.ID, err)
	}
	defer conn.Close()
	info := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 0)
	var request, answer emptypb.Empty
	request.ProtoReflect().SetUnknown(protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), info))
	if err := conn.Call(ctx, method, &request, &answer); err != nil {
		return fmt.Errorf("%s at %s: %w", method, n.ID, err)
	}
	return nil
}

func (c *Cluster) superuserRPC() hrpc.Config {
	return hrpc.Config{
		Protocol:    "org.apache.hadoop.ha.HAServiceProtocol",
		CallTimeout: daemonTimeout,
		Kerberos: &hrpc.Kerberos{
			Principal: NameNodePrincipal,
			Context: func(ctx context.Context, service string) (sasl.GSS, error) {
				conf, err := krb.LoadConfig(c.Krb5Conf)
				if err != nil {
					return nil, err
				}
				client, err := krb.NewClient(krb.Options{
					Conf: conf, Principal: SuperuserPrincipal, Keytab: c.Keytab(SuperuserPrincipal), Clock: clock.System(),
				})
				if err != nil {
					return nil, err
				}
				return client.Initiate(ctx, service)
			},
		},
	}
}

// nameservice makes the NameNodes of a Cluster with HA out of two ports for each.
func (c *Cluster) nameservice(ports []string) {
	for i, id := range []string{"nn1", "nn2", "nn3"} {
		c.NameNodes = append(c.NameNodes, &NameNode{
			ID: id, Addr: net.JoinHostPort("localhost", ports[2*i]), WebAddr: net.JoinHostPort("localhost", ports[2*i+1]), c: c,
		})
	}
}

// with returns site and what more says, which wins.
func with(site, more map[string]string) map[string]string {
	all := maps.Clone(site)
	maps.Copy(all, more)
	return all
}
