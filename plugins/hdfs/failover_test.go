package hdfs_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/internal/hrpc"
	"github.com/tokenwheel/tokenwheel/internal/namenode"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/plugins/hdfs"
	"github.com/tokenwheel/tokenwheel/plugins/hdfs/hdfstest"
)

// The real tier runs the same suite on two real NameNodes.
//
// Shows: C-H23, C-H25, C-H27, C-H29, N19, N24.
func TestCH23_PairOnTheKit(t *testing.T) {
	hdfstest.RunPair(t, func(t *testing.T) hdfstest.Pair {
		cluster := pair(t)
		reader, err := namenode.Open(namenode.Config{ConfDir: cluster.ConfDir, Krb5Conf: cluster.Krb5Conf})
		if err != nil {
			t.Fatal(err)
		}
		return hdfstest.Pair{
			Cluster: hdfstest.Cluster{
				ConfDir: cluster.ConfDir, Krb5Conf: cluster.Krb5Conf, Realm: cluster.Realm, Self: self, Other: other,
				Keytab:        func(principal string) (string, error) { return cluster.Keytab(principal) },
				RenewInterval: 24 * time.Hour, MaxLifetime: 7 * 24 * time.Hour,
			},
			Nameservice: "lab",
			Failover:    func(_ context.Context, to int) error { cluster.Failover(to); return nil },
			Login: func(ctx context.Context, at int, token plugins.Token) error {
				conn, err := hrpc.Dial(ctx, reader.TokenRPC(token.Identifier, token.Password), cluster.NameNodes[at].Addr)
				if err == nil {
					err = conn.Close()
				}
				return err
			},
		}
	})
}

func pair(t *testing.T) *hadooptest.Cluster {
	t.Helper()
	return start(t, hadooptest.Config{Nameservice: "lab"})
}

func obtain(t *testing.T, p *hdfs.Provider) plugins.Token {
	t.Helper()
	grants, err := p.Obtain(t.Context(), plugins.ObtainRequest{User: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	return grants[0].Token
}

// After a failover the first call asks two NameNodes, every later one the active
// one alone.
func TestB10_OneExtraRoundTripAfterAFailover(t *testing.T) {
	cluster := pair(t)
	p := provider(t, cluster)
	token := obtain(t, p)
	cluster.Failover(1)
	before := len(cluster.NameNode.Journal.Calls())
	const renewals = 5
	for range renewals {
		if _, err := p.Renew(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	byNode := map[string]int{}
	for _, c := range cluster.NameNode.Journal.Calls()[before:] {
		byNode[c.NameNode]++
	}
	if byNode["nn1"] != 1 || byNode["nn2"] != renewals {
		t.Errorf("the NameNodes were asked %v times, want the standby once and the active one %d times", byNode, renewals)
	}
}

// The active NameNode does what it is asked, and the answer is lost because it
// fails over.
//
// Shows: B15.
func TestB11_FailoverInMidCall(t *testing.T) {
	cluster := pair(t)
	p := provider(t, cluster)
	token := obtain(t, p)
	// lose loses the answer to the next call, after which the other one is active.
	lose := func() {
		var lost atomic.Bool
		for _, n := range cluster.NameNodes {
			n.SetFault(hadooptest.Fault{Lose: func(hadooptest.Op, hadooptest.Caller) bool {
				if lost.Swap(true) {
					return false
				}
				cluster.Failover(map[string]int{"nn1": 1, "nn2": 0}[n.ID])
				return true
			}})
		}
	}
	journal := cluster.NameNode.Journal

	lose()
	if _, err := p.Renew(t.Context(), token); err != nil {
		t.Errorf("renew: %v", err)
	}
	if n := journal.Count(hadooptest.OpRenew); n != 2 {
		t.Errorf("it was renewed %d times, want at both", n)
	}

	lose()
	_, err := p.Obtain(t.Context(), plugins.ObtainRequest{User: "alice"})
	if plugins.KindOf(err) != plugins.KindRetry || plugins.CodeOf(err) != plugins.CodeAnswerLost {
		t.Errorf("obtain: %v, want it retried and its token recorded", err)
	}
	if n := journal.Count(hadooptest.OpIssue); n != 2 {
		t.Errorf("%d tokens were issued, want the first and one that nobody received", n)
	}
	if _, err := p.Obtain(t.Context(), plugins.ObtainRequest{User: "alice"}); err != nil {
		t.Errorf("obtain again: %v", err)
	}

	lose()
	if err := p.Cancel(t.Context(), token); err != nil {
		t.Errorf("cancel: %v", err)
	}
	if n := journal.Count(hadooptest.OpCancel); n != 1 {
		t.Errorf("%d cancels took effect, want 1", n)
	}
}

// A NameNode that was given new keys refuses the ticket that we have of it for hours
// yet. That costs one call.
func TestRekeyedNameNodeCostsOneCall(t *testing.T) {
	var passed atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(passed.Load())) }
	cluster := start(t, hadooptest.Config{Now: now})
	began := time.Now()
	p := providerWith(t, cluster, func(c *hdfs.Config) {
		c.Clock = func() (time.Duration, time.Time) { return now().Sub(began), now() }
	})
	token := obtain(t, p)
	passed.Store(int64(time.Hour))
	if err := cluster.Rekey(); err != nil {
		t.Fatal(err)
	}
	cluster.NameNode.DropConnections()
	for i, want := range []bool{false, true, true} {
		if _, err := p.Renew(t.Context(), token); (err == nil) != want {
			t.Errorf("renewal %d: %v", i+1, err)
		}
	}
}

// The active NameNode's handlers are stuck: it takes connections and logins, and
// answers no call. When another took its place it costs one call of each sort.
//
// Shows: B12.
func TestB12_StuckNameNodeCostsOneCall(t *testing.T) {
	cluster := pair(t)
	p := provider(t, cluster)
	token := obtain(t, p)
	cluster.NameNodes[0].SetFault(hadooptest.Fault{Hang: true})
	cluster.Failover(1)
	cluster.Revive(0)
	for name, call := range map[string]func(context.Context, *hdfs.Provider) error{
		"renew": func(ctx context.Context, p *hdfs.Provider) error { _, err := p.Renew(ctx, token); return err },
		"obtain": func(ctx context.Context, p *hdfs.Provider) error {
			_, err := p.Obtain(ctx, plugins.ObtainRequest{User: "alice"})
			return err
		},
	} {
		p := provider(t, cluster)
		for i, want := range []bool{false, true} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := call(ctx, p); (err == nil) != want {
				t.Errorf("%s %d: %v", name, i+1, err)
			}
			cancel()
		}
	}
}

// While no NameNode is active a call waits for the one that will be.
func TestN24_CallWaitsForTheNewActive(t *testing.T) {
	cluster := pair(t)
	p := provider(t, cluster)
	token := obtain(t, p)
	cluster.Failover(-1)
	var seen atomic.Int64
	for i, n := range cluster.NameNodes {
		n.SetFault(hadooptest.Fault{Lose: func(hadooptest.Op, hadooptest.Caller) bool {
			if seen.Add(1) == 4 { // both have said twice that they do not serve
				cluster.Failover(i)
			}
			return false
		}})
	}
	if _, err := p.Renew(t.Context(), token); err != nil {
		t.Errorf("renew: %v", err)
	}
	if n := cluster.NameNode.Journal.Count(hadooptest.OpRenew); n != 1 {
		t.Errorf("it was renewed %d times, want once", n)
	}
}

// A NameNode that was active, is not and has not noticed, does not know what the
// other one issued. It is not believed.
func TestN25_StaleNameNodeIsNotBelieved(t *testing.T) {
	cluster := pair(t)
	p := provider(t, cluster)
	obtain(t, p) // so that the first one is asked first
	stale := cluster.NameNodes[0]
	cluster.Failover(1)
	token := obtain(t, provider(t, cluster))
	cluster.Revive(0)
	stale.SetFault(hadooptest.Fault{Behind: time.Hour})
	if _, err := p.Renew(t.Context(), token); err != nil {
		t.Errorf("renew: %v", err)
	}
	if err := p.Cancel(t.Context(), token); err != nil || cluster.NameNode.Journal.Count(hadooptest.OpCancel) != 1 {
		t.Errorf("cancel: %v; %d took effect, want 1", err, cluster.NameNode.Journal.Count(hadooptest.OpCancel))
	}
	// A token that nobody knows is dead all the same, and in safe hands of belief.
	_, err := p.Renew(t.Context(), token)
	answer, ok := errors.AsType[*plugins.Error](err)
	if !ok || answer.Kind != plugins.KindReplace || !answer.Protected {
		t.Errorf("renew what is cancelled: %v, want kind replace, protected", err)
	}
}

// An observer that is far behind is the first in the list. Tokens log in there, once
// it has heard of them; no call of ours takes its word.
//
// Shows: C-H26.
func TestB32_ObserverIsPassedOver(t *testing.T) {
	cluster := start(t, hadooptest.Config{Nameservice: "lab", NameNodes: 3})
	cluster.Failover(2)
	cluster.NameNodes[0].SetFault(hadooptest.Fault{Observer: true, Behind: time.Hour})
	p := provider(t, cluster)
	token := obtain(t, p)
	if _, err := provider(t, cluster).Renew(t.Context(), token); err != nil {
		t.Errorf("renew: %v", err)
	}
	reader, err := namenode.Open(namenode.Config{ConfDir: cluster.ConfDir, Krb5Conf: cluster.Krb5Conf})
	if err != nil {
		t.Fatal(err)
	}
	for _, behind := range []time.Duration{time.Hour, 0} {
		cluster.NameNodes[0].SetFault(hadooptest.Fault{Observer: true, Behind: behind})
		conn, err := hrpc.Dial(t.Context(), reader.TokenRPC(token.Identifier, token.Password), cluster.NameNodes[0].Addr)
		if err == nil {
			conn.Close()
		}
		if (err == nil) != (behind == 0) {
			t.Errorf("login at an observer that is %v behind: %v", behind, err)
		}
	}
	if err := provider(t, cluster).Cancel(t.Context(), token); err != nil {
		t.Errorf("cancel: %v", err)
	}
	for _, c := range cluster.NameNode.Journal.Calls() {
		if c.Op != hadooptest.OpLogin && c.Err == nil && c.NameNode != "nn3" {
			t.Errorf("%s was done by %s", c.Op, c.NameNode)
		}
	}
	if n := cluster.NameNode.Journal.Count(hadooptest.OpCancel); n != 1 {
		t.Errorf("%d cancels, want 1", n)
	}
}

// Shows: C-H24.
func TestCH24_NameserviceWithoutAddressesIsNamed(t *testing.T) {
	cluster := pair(t)
	keytab, err := cluster.Keytab(self)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(cluster.ConfDir)); err != nil {
		t.Fatal(err)
	}
	site := filepath.Join(dir, "hdfs-site.xml")
	text, err := os.ReadFile(site)
	if err != nil {
		t.Fatal(err)
	}
	bare := strings.ReplaceAll(string(text), "dfs.namenode.rpc-address.", "x.")
	if err := os.WriteFile(site, []byte(bare), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = hdfs.New(hdfs.Config{ConfDir: dir, Krb5Conf: cluster.Krb5Conf, Principal: self + "@" + cluster.Realm, Keytab: keytab})
	if err == nil || !strings.Contains(err.Error(), "dfs.namenode.rpc-address.lab.nn1") || !strings.Contains(err.Error(), site) {
		t.Errorf("got %v, want an error that names file, nameservice and setting", err)
	}
	token := plugins.Token{Kind: "HDFS_DELEGATION_TOKEN", Service: "ha-hdfs:other", Identifier: []byte("x"), Password: []byte("x")}
	_, err = provider(t, cluster).Renew(t.Context(), token)
	if plugins.KindOf(err) != plugins.KindRefused || !strings.Contains(err.Error(), "ha-hdfs:other") {
		t.Errorf("a token of another nameservice: %v, want it refused by name", err)
	}
	if n := len(cluster.NameNode.Journal.Calls()); n > 0 {
		t.Errorf("%d calls were made", n)
	}
}
