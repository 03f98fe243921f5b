package fsstaging_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tokenwheel/tokenwheel/fsstaging"
	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// confDir is a Hadoop configuration with one NameNode at addr.
func confDir(t *testing.T, addr string, more map[string]string) string {
	t.Helper()
	d := t.TempDir()
	properties := map[string]string{
		"fs.defaultFS":                    "hdfs://" + addr,
		"hadoop.security.authentication":  "kerberos",
		"hadoop.security.auth_to_local":   "RULE:[1:$1]",
		"dfs.namenode.kerberos.principal": "nn/_HOST@EXAMPLE.COM",
	}
	for k, v := range more {
		properties[k] = v
	}
	var b strings.Builder
	b.WriteString("<configuration>")
	for k, v := range properties {
		fmt.Fprintf(&b, "<property><name>%s</name><value>%s</value></property>", k, v)
	}
	b.WriteString("</configuration>")
	for _, name := range []string{"core-site.xml", "hdfs-site.xml"} {
		if err := os.WriteFile(filepath.Join(d, name), []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// hdfsToken is a token of alice's for the NameNode at addr.
func hdfsToken(t *testing.T, addr string) plugins.Credentials {
	t.Helper()
	id, err := hadooptoken.MarshalIdentifier(hadooptoken.Identifier{
		Kind: hadooptoken.KindHDFS, Owner: "alice@EXAMPLE.COM", Renewer: "tokenwheel",
		Issued: time.Now(), Max: time.Now().Add(7 * 24 * time.Hour), Sequence: 1, MasterKeyID: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return plugins.Credentials{Tokens: map[string]plugins.Token{"nn": {
		Kind: hadooptoken.KindHDFS, Service: addr, Identifier: id, Password: []byte("password"),
	}}}
}

func dialHDFS(t *testing.T, c fsstaging.HDFSConfig) *fsstaging.HDFS {
	t.Helper()
	h, err := fsstaging.DialHDFS(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// TestHDFSConfigIsChecked before anything is connected to.
func TestHDFSConfigIsChecked(t *testing.T) {
	const addr = "nn.example.com:8020"
	tests := []struct {
		name string
		conf map[string]string
		edit func(*fsstaging.HDFSConfig)
		code string // "": accepted
		part string
	}{
		{name: "sound"},
		{name: "no security", conf: map[string]string{"hadoop.security.authentication": "simple"}, part: "kerberos"},
		{name: "another nameservice", edit: func(c *fsstaging.HDFSConfig) { c.Nameservice = "other" }, part: `"other"`},
		{name: "by address", edit: func(c *fsstaging.HDFSConfig) { c.Nameservice = addr }},
		{name: "no configuration", edit: func(c *fsstaging.HDFSConfig) { c.ConfDir = "/nonexistent" }, part: "/nonexistent"},
		{name: "private RPC, clear transfer", conf: map[string]string{"hadoop.rpc.protection": "privacy"}, code: "clear-transfer", part: "in clear"},
		{
			name: "private RPC, transfer with integrity", code: "clear-transfer", part: "in clear",
			conf: map[string]string{"hadoop.rpc.protection": "privacy", "dfs.data.transfer.protection": "integrity"},
		},
		{name: "private both", conf: map[string]string{
			"hadoop.rpc.protection": "privacy", "dfs.data.transfer.protection": "privacy", "dfs.encrypt.data.transfer.cipher.suites": "AES/CTR/NoPadding",
		}},
		{name: "private RPC, encrypted transfer", conf: map[string]string{
			"hadoop.rpc.protection": "privacy", "dfs.encrypt.data.transfer": "true", "dfs.encrypt.data.transfer.cipher.suites": "AES/CTR/NoPadding",
		}},
		{
			name: "private transfer without AES", code: "transfer-cipher", part: "dfs.encrypt.data.transfer.cipher.suites",
			conf: map[string]string{"dfs.data.transfer.protection": "privacy"},
		},
		{
			name: "private RPC, clear transfer allowed", conf: map[string]string{"hadoop.rpc.protection": "privacy"},
			edit: func(c *fsstaging.HDFSConfig) { c.ClearTransfer = true },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := fsstaging.HDFSConfig{ConfDir: confDir(t, addr, tt.conf)}
			if tt.edit != nil {
				tt.edit(&c)
			}
			h, err := fsstaging.DialHDFS(t.Context(), c)
			if err == nil {
				_ = h.Close()
			}
			if (err == nil) != (tt.part == "") || plugins.CodeOf(err) != tt.code {
				t.Fatalf("got %v, want code %q", err, tt.code)
			}
			if err != nil && !strings.Contains(err.Error(), tt.part) {
				t.Errorf("%q does not tell of %s", err, tt.part)
			}
		})
	}
}

// TestHDFSByToken: a token acts for its owner alone, whichever way its service is
// spelt, and without one there is no access.
func TestHDFSByToken(t *testing.T) {
	const addr = "localhost:8020"
	h := dialHDFS(t, fsstaging.HDFSConfig{ConfDir: confDir(t, addr, nil)})
	if _, err := h.As(t.Context(), alice); plugins.KindOf(err) != plugins.KindDenied {
		t.Errorf("no token: got %v, want it denied", err)
	}
	for _, service := range []string{addr, "127.0.0.1:8020"} {
		h.UseCredentials(hdfsToken(t, service))
		if _, err := h.As(t.Context(), alice); err != nil {
			t.Errorf("token for %s: %v", service, err)
		}
		if _, err := h.As(t.Context(), "bob"); plugins.KindOf(err) != plugins.KindDenied {
			t.Errorf("as bob: got %v, want it denied", err)
		}
	}
	h.UseCredentials(plugins.Credentials{}) // a set without a token for us takes nothing away
	if _, err := h.As(t.Context(), alice); err != nil {
		t.Errorf("after an empty set: %v", err)
	}
}

// silent is a NameNode that takes connections and says nothing.
func silent(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var conns []net.Conn
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range conns {
			_ = c.Close()
		}
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
		}
	}()
	return l.Addr().String()
}

// TestB100_SilentNameNode: whoever waits for one ends with its context, with
// Close, and leaves room for the next; nothing stays behind.
func TestB100_SilentNameNode(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) }) // after all else is closed
	addr := silent(t)
	h := dialHDFS(t, fsstaging.HDFSConfig{ConfDir: confDir(t, addr, nil), Credentials: hdfsToken(t, addr)})
	start := time.Now()
	var wg sync.WaitGroup
	for range 20 { // more than there are connections
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if _, err := h.OpenDir(ctx, dir, false); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want it to end with its context", err)
			}
		})
	}
	wg.Wait()
	if took := time.Since(start); took > 9*time.Second { // a login has 10 s
		t.Errorf("contexts of 100 ms ended after %v", took)
	}
	done := make(chan error)
	go func() { _, err := h.OpenDir(t.Context(), dir, false); done <- err }()
	_ = h.Close()
	select {
	case err := <-done:
		if err == nil {
			t.Error("a directory was opened after Close")
		}
	case <-time.After(4 * time.Second): // before the login's own deadline
		t.Error("Close did not end what was under way")
	}
	if _, err := h.OpenDir(t.Context(), dir, false); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("after Close: got %v, want %v", err, fs.ErrClosed)
	}
}

// TestB100_NoNameNode is tried again, by whoever asks.
func TestB100_NoNameNode(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	h := dialHDFS(t, fsstaging.HDFSConfig{ConfDir: confDir(t, addr, nil), Credentials: hdfsToken(t, addr)})
	_, err = fsstaging.NewStager(h).Stage(t.Context(), set(1, 1))
	if err == nil || plugins.KindOf(err) != plugins.KindRetry || !strings.Contains(err.Error(), addr) {
		t.Errorf("got %v (%v), want it to be tried again", err, plugins.KindOf(err))
	}
	if strings.Contains(fmt.Sprintf("%+v", err), "password") {
		t.Errorf("%+v tells the password", err)
	}
}

func TestT20_HDFSPrintsNoToken(t *testing.T) {
	token := hdfsToken(t, "127.0.0.1:8020")
	h := dialHDFS(t, fsstaging.HDFSConfig{ConfDir: confDir(t, "127.0.0.1:8020", nil), Credentials: token})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
		if got := fmt.Sprintf(verb, h); got != "HDFS 127.0.0.1:8020" {
			t.Errorf("%s prints %q", verb, got)
		}
	}
}
