package hdfs_test

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/plugins/hdfs"
)

// ledger counts connections from their opening to their end.
type ledger struct{ opened, open atomic.Int64 }

type counted struct {
	net.Conn
	closed atomic.Bool
	l      *ledger
}

func (c *counted) Close() error {
	if !c.closed.Swap(true) {
		c.l.open.Add(-1)
	}
	return c.Conn.Close()
}

func (l *ledger) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	l.opened.Add(1)
	l.open.Add(1)
	return &counted{Conn: conn, l: l}, nil
}

// Each obtain has a connection of its own, as the user it acts for, and leaves
// nothing behind: no connection, descriptor or goroutine, whether it works or not.
// A thousand show what ten thousand do, which take half a minute.
//
// Shows: C-Y15.
func TestY32_ObtainsLeaveNothingBehind(t *testing.T) {
	const replacements = 1_000
	cluster := start(t, hadooptest.Config{Protection: []string{"authentication"}})
	keytab, err := cluster.Keytab(self)
	if err != nil {
		t.Fatal(err)
	}
	var conns ledger
	p, err := hdfs.New(hdfs.Config{
		ConfDir: cluster.ConfDir, Krb5Conf: cluster.Krb5Conf, Principal: self + "@" + cluster.Realm, Keytab: keytab, Dial: conns.dial,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	for range 3 {
		obtain(t, p)
	}
	open, descriptors, goroutines := conns.open.Load(), countDescriptors(t), runtime.NumGoroutine()
	for i := range replacements {
		switch i % 100 {
		case 97:
			cluster.NameNode.SetFault(hadooptest.Fault{Cut: true})
		case 98:
			cluster.NameNode.SetFault(hadooptest.Fault{Refuse: func(hadooptest.Op, hadooptest.Caller) error { return errors.New("out of disk") }})
		case 0:
			cluster.NameNode.SetFault(hadooptest.Fault{})
		}
		_, err := p.Obtain(t.Context(), plugins.ObtainRequest{User: "alice"})
		if failing := i%100 >= 97; failing != (err != nil) {
			t.Fatalf("obtain %d: %v", i, err)
		}
	}
	if got := conns.open.Load(); got != open {
		t.Errorf("%d connections are open, want %d as before", got, open)
	}
	if got := conns.opened.Load(); got < replacements {
		t.Errorf("%d connections for %d obtains: this shows nothing", got, replacements)
	}
	// The kit's side ends its connections when it sees that ours did.
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		if countDescriptors(t) <= descriptors && runtime.NumGoroutine() <= goroutines {
			return
		}
		runtime.Gosched()
	}
	t.Errorf("%d descriptors and %d goroutines, want %d and %d as before", countDescriptors(t), runtime.NumGoroutine(), descriptors, goroutines)
}

func countDescriptors(t *testing.T) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		return 0
	}
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// A NameNode issues and renews nothing over a token's login; we never try.
func TestB28_ObtainAndRenewAlwaysByKerberos(t *testing.T) {
	cluster := pair(t)
	p := provider(t, cluster)
	for i := range 20 {
		cluster.Failover(i % 2)
		token := obtain(t, p)
		for range 2 {
			if _, err := p.Renew(t.Context(), token); err != nil {
				t.Error(err)
			}
		}
		cluster.NameNode.DropConnections()
	}
	for _, c := range cluster.NameNode.Journal.Calls() {
		if c.Op == hadooptest.OpLogin || (c.Err != nil && strings.Contains(c.Err.Error(), "only with kerberos or web authentication")) {
			t.Errorf("%s by token: %+v", c.Op, c)
		}
	}
}

// Shows: Y46.
func TestY46_NoPrincipalIsAnError(t *testing.T) {
	cluster := start(t, hadooptest.Config{})
	p, err := hdfs.New(hdfs.Config{ConfDir: cluster.ConfDir, Krb5Conf: cluster.Krb5Conf})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	_, err = p.Obtain(t.Context(), plugins.ObtainRequest{User: "alice"})
	if plugins.KindOf(err) != plugins.KindDenied || !strings.Contains(err.Error(), "our own name as a renewer") {
		t.Errorf("got %v, want it said that we have no name as a renewer", err)
	}
	if n := len(cluster.NameNode.Journal.Calls()); n > 0 {
		t.Errorf("%d calls were made", n)
	}
}
