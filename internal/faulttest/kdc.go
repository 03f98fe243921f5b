package faulttest

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/hadooptest/faultproxy"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// atKDCs is the cluster with other addresses of KDCs in its krb5.conf.
func (c Cluster) atKDCs(t *testing.T, addrs ...string) Cluster {
	t.Helper()
	text, err := os.ReadFile(c.Krb5Conf)
	if err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	for _, addr := range addrs {
		fmt.Fprintf(&lines, "    kdc = %s\n", addr)
	}
	changed := strings.Replace(string(text), "    kdc = "+c.KDC+"\n", lines.String(), 1)
	if changed == string(text) {
		t.Fatalf("%s has no line for the KDC %s", c.Krb5Conf, c.KDC)
	}
	c.Krb5Conf = filepath.Join(t.TempDir(), "krb5.conf")
	if err := os.WriteFile(c.Krb5Conf, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

// Two KDCs take connections and never answer, the third is well.
func deadKDCs(t *testing.T, c Cluster, _ string) {
	const most = 6 * time.Second
	silent := func() string {
		p := proxy(t, c.KDC)
		p.Use(func(int) faultproxy.Fault { return faultproxy.Fault{ToServer: faultproxy.HalfOpenAfter(0)} })
		return p.Addr()
	}
	p := c.atKDCs(t, silent(), silent(), c.KDC).provider(t, proxy(t, c.NameNode))
	for n, most := range []time.Duration{most, 2 * time.Second} { // the second time the good one is asked first
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		start := time.Now()
		if err := p.Check(ctx); err != nil {
			t.Errorf("login %d with one KDC of three: %v", n, err)
		}
		cancel()
		if took := time.Since(start); took > most {
			t.Errorf("login %d with one KDC of three took %s, want at most %s", n, took, most)
		}
	}
}

func nonsenseFromKDC(t *testing.T, c Cluster) {
	kdc := proxy(t, c.KDC)
	p := c.atKDCs(t, kdc.Addr()).provider(t, proxy(t, c.NameNode))
	login := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		return p.Check(ctx)
	}
	for _, h := range []struct {
		name  string
		bytes string
	}{
		{"a length of 4 GiB", "\xff\xff\xff\xff"},
		{"a length of 4 GiB and data", "\xff\xff\xff\xff" + strings.Repeat("x", 64<<10)},
		{"a header cut short", "\x00\x00\x00"},
		{"no message", "\x00\x00\x00\x00"},
		{"bad ASN.1", "\x00\x00\x00\x06\x6b\x84\xff\xff\xff\xff"},
		{"HTTP", "HTTP/1.1 404 Not Found\r\n\r\n"},
	} {
		kdc.Use(func(int) faultproxy.Fault {
			return faultproxy.Fault{ToClient: func(dst io.Writer, src io.Reader) error {
				if _, err := io.ReadFull(src, make([]byte, 4)); err != nil { // it has answered
					return err
				}
				_, err := io.WriteString(dst, h.bytes)
				return err
			}}
		})
		before := allocated()
		if err := login(); err == nil {
			t.Errorf("%s from the KDC: logged in", h.name)
		}
		if used := allocated() - before; used > 4<<20 {
			t.Errorf("%s from the KDC: %d bytes were allocated", h.name, used)
		}
	}
	// Bits of real replies: nothing to believe is in what the KDC says without a key.
	for n := int64(0); n < 400; n += 5 {
		kdc.Use(once(faultproxy.Fault{ToClient: faultproxy.Flip(n, 1<<(n%8))}))
		if err := login(); err != nil && plugins.CodeOf(err) == "unsafe-server" {
			t.Errorf("byte %d of the KDC's reply flipped: %v, which blames the NameNode", n, err)
		}
	}
	kdc.Use(nil)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := p.Check(ctx); err != nil {
		t.Errorf("after all that: %v", err)
	}
}
