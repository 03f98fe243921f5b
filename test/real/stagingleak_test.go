package real_test

import (
	"bytes"
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/fsstaging"
	"github.com/tokenwheel/tokenwheel/fsstaging/stagetest"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/test/real/cluster"
)

// wiretaps keeps all that goes over the connections it dials.
type wiretaps struct {
	mu   sync.Mutex // guards taps
	taps []*wiretap
}

func (w *wiretaps) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	tap := &wiretap{Conn: conn}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.taps = append(w.taps, tap)
	return tap, nil
}

func (w *wiretaps) heard(secret []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.taps, func(tap *wiretap) bool { return bytes.Contains(tap.text(), secret) })
}

// hearsStaging stages a file by keytab and picks it up by token, and reports which of the staged token's bytes were in
// clear on the wire: between us and the KDC, the NameNode and the DataNode.
func hearsStaging(t *testing.T, c *cluster.Cluster, config fsstaging.HDFSConfig) (password, identifier bool) {
	t.Helper()
	ctx := within(t, time.Minute)
	const dir = "/user/alice/wire"
	var wire wiretaps
	config.Dial = wire.dial
	set := stagetest.Set("alice", dir, 1, 1)
	staged := get(t, c)
	set.Credentials = credentials(staged)
	if _, err := fsstaging.NewStager(dialHDFS(t, config)).Stage(ctx, set); err != nil {
		t.Fatal(err)
	}
	config.Principal, config.Keytab = "", ""
	config.Credentials = credentials(get(t, c))
	got, err := fsstaging.NewPickup(dialHDFS(t, config), dir).Next(ctx)
	if err != nil || !got.Equal(set.Credentials) {
		t.Fatalf("what was staged was not picked up (%v)", err)
	}
	return wire.heard(staged.Password), wire.heard(staged.Identifier)
}

func TestStagedBytesAreHiddenAtPrivacy(t *testing.T) {
	password, identifier := hearsStaging(t, shared, byKeytab(t))
	if password || identifier {
		t.Errorf("in clear on the wire: password %v, identifier %v", password, identifier)
	}
}

// Where calls are private and file contents would not be, tokens are not staged, unless the operator says so. That
// they can then be heard shows that the taps work.
func TestClearTransferIsRefusedUnlessAllowed(t *testing.T) {
	c := startCluster(t, cluster.Options{Protection: "privacy"}) // its DataNode knows no protection
	config := fsstaging.HDFSConfig{
		ConfDir: c.ConfDir, Krb5Conf: c.Krb5Conf,
		Principal: cluster.TokenwheelPrincipal, Keytab: c.Keytab(cluster.TokenwheelPrincipal),
	}
	_, err := fsstaging.DialHDFS(t.Context(), config)
	if plugins.KindOf(err) != plugins.KindRefused || plugins.CodeOf(err) != "clear-transfer" {
		t.Errorf("got %v, want it refused as clear-transfer", err)
	}
	config.ClearTransfer = true
	if password, identifier := hearsStaging(t, c, config); !password || !identifier {
		t.Errorf("in clear on the wire: password %v, identifier %v, want both", password, identifier)
	}
}
