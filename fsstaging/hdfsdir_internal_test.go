package fsstaging

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/hadooptest"
)

// dialKit is the file system of a cluster of the kit, which knows no files.
func dialKit(t *testing.T, cluster *hadooptest.Cluster) *HDFS {
	t.Helper()
	keytab, err := cluster.Keytab("tw/host")
	if err != nil {
		t.Fatal(err)
	}
	h, err := DialHDFS(t.Context(), HDFSConfig{
		ConfDir: cluster.ConfDir, Krb5Conf: cluster.Krb5Conf, Principal: "tw/host@" + cluster.Realm, Keytab: keytab, ClearTransfer: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// openKit is a directory that was not looked at.
func openKit(h *HDFS) *hdfsDir {
	h.slots <- struct{}{}
	return &hdfsDir{user: hdfsUser{h: h, effective: h.cluster.Principal()}, path: "/x"}
}

// Who is given no user to act for is itself, and needs no right to be anybody else.
func TestOpenDirIsForOurselves(t *testing.T) {
	h := dialKit(t, hadooptest.NewCluster(t, hadooptest.Config{Principals: []string{"tw/host"}}))
	_, err := h.OpenDir(t.Context(), "/x", false)
	if err == nil || !strings.Contains(err.Error(), "RpcNoSuchMethodException") {
		t.Errorf("%v, want that the kit knows no files", err)
	}
}

// A NameNode that takes logins and answers no call, while another has its place, has
// one staging and not every one.
func TestB12_StuckNameNodeCostsOneStaging(t *testing.T) {
	cluster := hadooptest.NewCluster(t, hadooptest.Config{Principals: []string{"tw/host"}, Nameservice: "lab"})
	h := dialKit(t, cluster)
	cluster.NameNodes[0].SetFault(hadooptest.Fault{Hang: true})
	cluster.Failover(1)
	step := func() error {
		d := openKit(h)
		defer func() { _ = d.Close() }()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return d.do(ctx, func(s *session) error { _, err := s.ServerDefaults(); return err })
	}
	if err := step(); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("at the stuck one: %v", err)
	}
	for range 2 {
		if err := step(); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	}
}

// An answer that the library panics at is an error, and its connection is not used
// again.
func TestB50_PanicOfTheLibraryIsAnError(t *testing.T) {
	h := dialKit(t, hadooptest.NewCluster(t, hadooptest.Config{Principals: []string{"tw/host"}}))
	d := openKit(h)
	var used *session
	err := d.do(t.Context(), func(s *session) error {
		used = s
		var none []byte
		_ = none[len(s.conns)]
		return nil
	})
	if err == nil || errors.Is(err, fs.ErrNotExist) || d.session != nil {
		t.Errorf("%v, session %v; want an error and no session", err, d.session)
	}
	if _, err := used.dial(func() (net.Conn, error) { c, _ := net.Pipe(); return c, nil }); !errors.Is(err, net.ErrClosed) {
		t.Errorf("it dials on: %v", err)
	}
	if err := d.do(t.Context(), func(*session) error { return nil }); err != nil {
		t.Errorf("the next step: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}
