package real_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/plugins/hdfs"
	"github.com/tokenwheel/tokenwheel/plugins/hdfs/hdfstest"
	"github.com/tokenwheel/tokenwheel/test/real/cluster"
)

// allProtections is what the shared cluster offers.
const allProtections = "authentication,integrity,privacy"

// clientConf returns a HADOOP_CONF_DIR that is the cluster's, but demands one protection of calls.
func clientConf(t *testing.T, c *cluster.Cluster, protection string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(c.ConfDir)); err != nil {
		t.Fatal(err)
	}
	coreSite := filepath.Join(dir, "core-site.xml")
	text, err := os.ReadFile(coreSite)
	if err != nil {
		t.Fatal(err)
	}
	const end = "</configuration>"
	last := "<property><name>hadoop.rpc.protection</name><value>" + protection + "</value></property>\n" // the later value counts
	if err := os.WriteFile(coreSite, []byte(strings.Replace(string(text), end, last+end, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// first is a principal without its realm.
func first(principal string) string {
	name, _, _ := strings.Cut(principal, "@")
	return name
}

// The suite that the in-process kit passes, on a real KDC and NameNode.
//
// Shows: N1, N3, N6, N9, N13, N18, N32, Y24, C-H03, C-H04, C-H06, C-H20, C-H31, T-07, T-08, P12.
func TestTheProviderOnTheRealNameNode(t *testing.T) {
	hdfstest.Run(t, asSuitesSeeIt)
}

// asSuitesSeeIt is the shared cluster for clients that demand one protection.
func asSuitesSeeIt(t *testing.T, protection string) hdfstest.Cluster {
	return hdfstest.Cluster{
		ConfDir: clientConf(t, shared, protection), Krb5Conf: shared.Krb5Conf, Realm: cluster.Realm,
		Service: "127.0.0.1:" + port(t, shared.NameNodeAddr),
		Self:    first(cluster.TokenwheelPrincipal), Other: first(cluster.BobPrincipal),
		Keytab:        func(principal string) (string, error) { return shared.Keytab(principal), nil },
		RenewInterval: 24 * time.Hour, MaxLifetime: 7 * 24 * time.Hour,
		Break: shared.RestartNameNode,
	}
}

func TestCheckIsAnsweredByTheRealNameNode(t *testing.T) {
	p, err := hdfs.New(hdfs.Config{
		ConfDir: shared.ConfDir, Krb5Conf: shared.Krb5Conf, Principal: cluster.TokenwheelPrincipal, Keytab: shared.Keytab(cluster.TokenwheelPrincipal),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Check(within(t, 20*time.Second)); err != nil {
		t.Error(err)
	}
}
