package real_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/plugins/hdfs/hdfstest"
	"github.com/tokenwheel/tokenwheel/test/real/cluster"
)

// allProtections is what the shared cluster offers.
const allProtections = "authentication,integrity,privacy"

// confDemanding returns a HADOOP_CONF_DIR whose clients demand one protection of the shared cluster.
func confDemanding(t *testing.T, protection string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(shared.ConfDir)); err != nil {
		t.Fatal(err)
	}
	coreSite := filepath.Join(dir, "core-site.xml")
	text, err := os.ReadFile(coreSite)
	if err != nil {
		t.Fatal(err)
	}
	offered := "<value>" + allProtections + "</value>"
	if !strings.Contains(string(text), offered) {
		t.Fatalf("core-site.xml no longer holds %s", offered)
	}
	narrowed := strings.Replace(string(text), offered, "<value>"+protection+"</value>", 1)
	if err := os.WriteFile(coreSite, []byte(narrowed), 0o600); err != nil {
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
// Shows: N1, N3, N6, N9, N13, N18, N32, Y24, Y32, C-H03, C-H04, C-H20, C-H31, B14, B27, T-07, T-08, P12.
func TestTheProviderOnTheRealNameNode(t *testing.T) {
	hdfstest.Run(t, func(t *testing.T, protection string) hdfstest.Cluster {
		return hdfstest.Cluster{
			ConfDir: confDemanding(t, protection), Krb5Conf: shared.Krb5Conf, Realm: cluster.Realm,
			Service: "127.0.0.1:" + port(t, shared.NameNodeAddr),
			Self:    first(cluster.TokenwheelPrincipal), Other: first(cluster.BobPrincipal),
			Keytab:        func(principal string) (string, error) { return shared.Keytab(principal), nil },
			RenewInterval: 24 * time.Hour, MaxLifetime: 7 * 24 * time.Hour,
			Break: shared.RestartNameNode,
		}
	})
}
