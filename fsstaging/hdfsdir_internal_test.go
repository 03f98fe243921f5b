package fsstaging

import (
	"errors"
	"io/fs"
	"net"
	"testing"

	"github.com/tokenwheel/tokenwheel/hadooptest"
)

// An answer that the library panics at is an error, and its connection is not used
// again.
func TestB50_PanicOfTheLibraryIsAnError(t *testing.T) {
	cluster := hadooptest.NewCluster(t, hadooptest.Config{Principals: []string{"tw/host"}})
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
	defer h.Close()
	h.slots <- struct{}{}
	d := &hdfsDir{user: hdfsUser{h: h}, path: "/x"}
	var used *session
	err = d.do(t.Context(), func(s *session) error {
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
