package hadooptest_test

import (
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/internal/hrpc"
	"github.com/tokenwheel/tokenwheel/internal/namenode"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// tokenLogin logs in at one NameNode with a token alone.
func tokenLogin(t *testing.T, n *hadooptest.NameNode, client *namenode.Cluster, token plugins.Token) error {
	t.Helper()
	conn, err := hrpc.Dial(t.Context(), client.TokenRPC(token.Identifier, token.Password), n.Addr)
	if err == nil {
		conn.Close()
	}
	return err
}

// NameNodes of one nameservice know each other's tokens; one of them serves.
func TestNameservice_OneServesAndAllKnow(t *testing.T) {
	cluster, client := setUp(t, hadooptest.Config{Nameservice: "lab", NameNodes: 3})
	services := client.Services()
	if len(services) != 1 || services[0].Service != "ha-hdfs:lab" || len(services[0].Addresses) != 3 {
		t.Fatalf("the configuration names %+v", services)
	}
	token := tokenFor(t, cluster, client, "alice")
	for _, active := range []int{0, 2, -1, 1} {
		cluster.Failover(active)
		for i, n := range cluster.NameNodes {
			err := tokenLogin(t, n, client, token)
			if (i == active) != (err == nil) || (err != nil && !isClass(err, hrpc.Standby)) {
				t.Errorf("with %d active, a login at %d: %v", active, i, err)
			}
		}
	}
}

func TestNameservice_OneThatIsBehindDoesNotKnowYoungTokens(t *testing.T) {
	cluster, client := setUp(t, hadooptest.Config{Nameservice: "lab"})
	token := tokenFor(t, cluster, client, "alice")
	cluster.NameNode.SetFault(hadooptest.Fault{Behind: time.Minute})
	if err := tokenLogin(t, cluster.NameNode, client, token); !isClass(err, hrpc.InvalidToken) {
		t.Errorf("a token of a moment ago: %v, want it unknown", err)
	}
	cluster.NameNode.SetFault(hadooptest.Fault{Behind: time.Nanosecond})
	if err := tokenLogin(t, cluster.NameNode, client, token); err != nil {
		t.Errorf("once the edit was read: %v", err)
	}
}
