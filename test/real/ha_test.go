package real_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwheel/tokenwheel/fsstaging"
	"github.com/tokenwheel/tokenwheel/internal/hrpc"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/plugins/hdfs"
	"github.com/tokenwheel/tokenwheel/plugins/hdfs/hdfstest"
	"github.com/tokenwheel/tokenwheel/test/real/cluster"
)

const (
	haRenewInterval = 20 * time.Second
	haMaxLifetime   = 40 * time.Second
)

// Secure NameNodes that fail over by hand, and everything that depends on them.
//
// Shows: C-H23, C-H25, C-H26, C-H27, C-H28, C-H29, C-H30, N19, N20, N21, N22, N23, N24, N25, B10, B32.
func TestTwoNameNodes(t *testing.T) {
	c := startCluster(t, cluster.Options{
		HA: true, RenewInterval: haRenewInterval, MaxLifetime: haMaxLifetime, Protection: "privacy", HDFS: privateTransfer,
	})
	for _, test := range []struct {
		name string
		run  func(*testing.T, *cluster.Cluster)
	}{
		{"the suite of the kit", pairSuite},
		{"stock clients", stockClients},
		{"what a restart reads", persisted},
		{"an observer", observer},
		{"the daemon", daemonOverFailovers},
		{"a NameNode that does not notice", staleNameNode}, // the last one: it leaves the two at odds
	} {
		t.Run(test.name, func(t *testing.T) {
			start := time.Now()
			test.run(t, c)
			t.Logf("took %s", time.Since(start).Round(100*time.Millisecond))
		})
	}
}

func haProvider(t *testing.T, c *cluster.Cluster) *hdfs.Provider {
	t.Helper()
	p, err := hdfs.New(hdfs.Config{
		ConfDir: c.ConfDir, Krb5Conf: c.Krb5Conf, Principal: cluster.TokenwheelPrincipal, Keytab: c.Keytab(cluster.TokenwheelPrincipal),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func haObtain(t *testing.T, p *hdfs.Provider) plugins.Token {
	t.Helper()
	grants, err := p.Obtain(t.Context(), plugins.ObtainRequest{User: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	return grants[0].Token
}

func loginAt(ctx context.Context, n *cluster.NameNode, token plugins.Token) error {
	conn, err := hrpc.Dial(ctx, withToken(token), n.Addr)
	if err == nil {
		err = conn.Close()
	}
	return err
}

// The suite that the kit passes, too.
func pairSuite(t *testing.T, c *cluster.Cluster) {
	hdfstest.RunPair(t, func(t *testing.T) hdfstest.Pair {
		return hdfstest.Pair{
			Cluster: hdfstest.Cluster{
				ConfDir: c.ConfDir, Krb5Conf: c.Krb5Conf, Realm: cluster.Realm,
				Self: first(cluster.TokenwheelPrincipal), Other: first(cluster.BobPrincipal),
				Keytab:        func(principal string) (string, error) { return c.Keytab(principal), nil },
				RenewInterval: haRenewInterval, MaxLifetime: haMaxLifetime,
			},
			Nameservice: cluster.Nameservice,
			Failover:    func(ctx context.Context, to int) error { return c.Failover(ctx, c.NameNodes[to]) },
			Login: func(ctx context.Context, at int, token plugins.Token) error {
				return loginAt(ctx, c.NameNodes[at], token)
			},
		}
	})
}

// A stock client clones the token of a nameservice for each NameNode, in its memory. The clones follow a successor that
// comes under the alias of their origin's service, and no other (HDFS-9276, SPARK-11182). So a file needs to hold the one
// token, under that alias.
func stockClients(t *testing.T, c *cluster.Cluster) {
	ctx := within(t, time.Minute)
	p := haProvider(t, c)
	for alias, follows := range map[string]bool{"ha-hdfs:" + cluster.Nameservice: true, "another": false} {
		file := func(token plugins.Token) string {
			return credentialsFile(t, plugins.Credentials{Tokens: map[string]plugins.Token{alias: token}})
		}
		before, after := file(haObtain(t, p)), file(haObtain(t, p))
		out, err := c.JavaSource(ctx, cluster.Identity{TokenFile: before}, "Clones.java", after, "/user/alice")
		if err != nil {
			t.Fatal(err)
		}
		services := []string{"ha-hdfs:" + cluster.Nameservice}
		for _, n := range c.NameNodes {
			services = append(services, net.JoinHostPort("127.0.0.1", port(t, n.Addr)))
		}
		for _, s := range services {
			if strings.Count(out, s) < 1 {
				t.Errorf("alias %q: no token for service %s in\n%s", alias, s, out)
			}
		}
		if got := !strings.Contains(out, "second listing failed"); got != follows {
			t.Errorf("alias %q: the clones followed their origin: %v, want %v\n%s", alias, got, follows, out)
		}
	}
}

// What the real secret manager does when it reads image and edits, in the words that the kit has.
func persisted(t *testing.T, c *cluster.Cluster) {
	out, err := c.JavaSource(within(t, time.Minute), cluster.Identity{}, "Persisted.java")
	if err != nil {
		t.Fatal(err)
	}
	want := `highest number: 7
tokens, one of an unknown key: 2
twice: java.io.IOException: Same delegation token being added twice; invalid entry in fsimage or editlogs
running: java.io.IOException: Can't add persisted delegation token to a running SecretManager.
`
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("it says (-want +got):\n%s", diff)
	}
}

// An observer lets tokens log in, once it has read of them; before that it denies to know them (HDFS-17964). It renews
// nothing, so that no renewal ever meets such a denial.
func observer(t *testing.T, c *cluster.Cluster) {
	ctx := within(t, time.Minute)
	if err := c.Failover(ctx, c.NameNodes[0]); err != nil {
		t.Fatal(err)
	}
	o := c.NameNodes[2]
	if err := o.Observe(ctx); err != nil {
		t.Fatal(err)
	}
	p := haProvider(t, c)
	token := haObtain(t, p)
	var err error
	denied := 0
	if wait := eventually(within(t, 20*time.Second), func() bool {
		if err = loginAt(ctx, o, token); err != nil {
			refusedAs(t, err, hrpc.InvalidToken, "can't be found in cache")
			denied++
		}
		return err == nil
	}); wait != nil {
		t.Errorf("the observer never let the token in: %v", err)
	}
	t.Logf("the observer denied to know the token %d times", denied)
	conn, err := hrpc.Dial(ctx, withKerberos(t, c, cluster.TokenwheelPrincipal, ""), o.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = nameNode{conn}.renew(ctx, token)
	refusedAs(t, err, hrpc.Observer, "WRITE is not supported in state observer")
	if _, err := p.Renew(ctx, token); err != nil {
		t.Errorf("renew: %v", err)
	}
}

// The daemon renews, replaces and stages while the NameNodes fail over again and again, twice by kill -9.
func daemonOverFailovers(t *testing.T, c *cluster.Cluster) {
	ctx := within(t, 3*time.Minute)
	// Renewals come every 2 s at first; successors after 30 s.
	d := newDaemon(t, c, "renewal: {time-ratio: 0.1}\nretry: {initial-backoff: 1s}\n")
	d.start()
	const apps = 5
	for i := range apps {
		name := fmt.Sprintf("a%d", i)
		d.do("app", "register", name, "--user", "alice", "--obtain", "hdfs", "--stage-to", "/user/alice/stage/"+name, "--wait")
	}
	failovers := 0
	active := 0
	var slowest time.Duration
	for end := time.Now().Add(haMaxLifetime); time.Now().Before(end) && ctx.Err() == nil; failovers++ {
		to := c.NameNodes[1-active]
		start := time.Now()
		if old := c.NameNodes[active]; failovers%8 == 3 {
			old.Kill()
			if err := to.Activate(ctx); err != nil {
				t.Fatal(err)
			}
			if err := old.Start(ctx); err != nil {
				t.Fatal(err)
			}
		} else if err := c.Failover(ctx, to); err != nil {
			t.Fatal(err)
		}
		slowest = max(slowest, time.Since(start))
		active = 1 - active
		renewed := d.logged("token-renewed")
		if err := eventually(within(t, 20*time.Second), func() bool { return d.logged("token-renewed") >= renewed+2 }); err != nil {
			t.Fatalf("nothing was renewed after failover %d", failovers)
		}
	}
	lost, replaced := d.logged("token-lost"), d.logged("token-replaced")
	t.Logf("%d failovers (the slowest took %s): %d renewals, %d successors, %d lost; failed tries: %d of renewals, %d of obtains, %d of stagings",
		failovers, slowest.Round(100*time.Millisecond), d.logged("token-renewed"), replaced, lost,
		d.logged("try-failed op=renew"), d.logged("try-failed op=obtain"), d.logged("try-failed op=stage"))
	if lost > 0 || replaced < apps {
		t.Errorf("%d tokens lost and %d replaced, want none and %d", lost, replaced, apps)
	}
	h := dialHDFS(t, fsstaging.HDFSConfig{ConfDir: c.ConfDir, Credentials: credentials(haObtain(t, haProvider(t, c)))})
	for _, a := range d.apps() {
		if !a.Ready || a.Generation < 2 {
			t.Errorf("%+v, want it ready and past its first generation", a)
		}
		creds, err := fsstaging.NewPickup(h, "/user/alice/stage/"+string(a.ID)).Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := loginAt(ctx, c.NameNodes[active], only(t, creds)); err != nil {
			t.Errorf("login with what %s has: %v", a.ID, err)
		}
	}
}

// A NameNode that was suspended, and comes back without noticing that the other one is active, denies to know what that
// one issued. We ask both.
func staleNameNode(t *testing.T, c *cluster.Cluster) {
	ctx := within(t, time.Minute)
	if err := c.Failover(ctx, c.NameNodes[0]); err != nil {
		t.Fatal(err)
	}
	// A standby asks whoever is active to begin a new segment of edits, and one that has lost the shared folder dies of that.
	c.NameNodes[2].Kill()
	p := haProvider(t, c)
	haObtain(t, p) // the first one is asked first from now on
	resume := c.NameNodes[0].Pause()
	if err := c.NameNodes[1].Activate(ctx); err != nil {
		t.Fatal(err)
	}
	token := haObtain(t, haProvider(t, c))
	resume()
	stale, err := c.NameNodes[0].State(ctx)
	if err != nil || stale != "active" {
		t.Fatalf("the suspended NameNode says that it is %s, %v", stale, err)
	}
	conn, err := hrpc.Dial(ctx, withKerberos(t, c, cluster.TokenwheelPrincipal, ""), c.NameNodes[0].Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = nameNode{conn}.renew(ctx, token)
	refusedAs(t, err, hrpc.InvalidToken, "Unable to find master key")
	if _, err := p.Renew(ctx, token); err != nil {
		t.Errorf("renew, with the stale one asked first: %v", err)
	}
}
