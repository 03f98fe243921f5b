package minikdc_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tokenwheel/tokenwheel/internal/clock"
	"github.com/tokenwheel/tokenwheel/internal/krb"
	"github.com/tokenwheel/tokenwheel/internal/krb/minikdc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newKDC(t testing.TB, c minikdc.Config) *minikdc.KDC {
	t.Helper()
	kdc, err := minikdc.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kdc.Close() })
	for _, name := range []string{"app", "nn/host"} {
		if err := kdc.AddPrincipal(name); err != nil {
			t.Fatal(err)
		}
	}
	return kdc
}

func client(t testing.TB, kdc *minikdc.KDC, o krb.Options, addr string) *krb.Client {
	t.Helper()
	b, err := kdc.Keytab("app")
	if err != nil {
		t.Fatal(err)
	}
	o.Keytab = filepath.Join(t.TempDir(), "keytab")
	if err := os.WriteFile(o.Keytab, b, 0o600); err != nil {
		t.Fatal(err)
	}
	o.Principal = "app@" + kdc.Realm()
	o.Conf = &krb.Config{Realms: map[string]krb.Realm{kdc.Realm(): {KDCs: []string{addr}}}, UDPLimit: o.Conf.UDPLimit}
	c, err := krb.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOverSockets(t *testing.T) {
	kdc := newKDC(t, minikdc.Config{})
	addr, err := kdc.Listen()
	if err != nil {
		t.Fatal(err)
	}
	for network, limit := range map[string]int{"tcp": 1, "udp": 5000} {
		before := len(kdc.Requests())
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := client(t, kdc, krb.Options{Conf: &krb.Config{UDPLimit: limit}}, addr).Initiate(ctx, "nn/host"); err != nil {
			t.Fatalf("%s: %v", network, err)
		}
		var got []minikdc.Request
		for _, r := range kdc.Requests()[before:] {
			r.At = time.Time{}
			got = append(got, r)
		}
		tgt := "krbtgt/MINI.TEST"
		if diff := cmp.Diff([]minikdc.Request{
			{Kind: "AS", Network: network, Client: "app", Server: tgt, Error: 25},
			{Kind: "AS", Network: network, Client: "app", Server: tgt},
			{Kind: "TGS", Network: network, Client: "app", Server: "nn/host"},
		}, got); diff != "" {
			t.Error(diff)
		}
	}
	if as, tgs := kdc.Count("AS"), kdc.Count("TGS"); as != 2 || tgs != 2 {
		t.Errorf("counted %d logins and %d service tickets, want 2 and 2", as, tgs)
	}
	if err := kdc.Close(); err != nil {
		t.Error(err)
	}
	if _, err := kdc.Dial(t.Context(), "tcp", addr); !errors.Is(err, net.ErrClosed) {
		t.Errorf("dial after Close: %v", err)
	}
	if _, err := net.DialTimeout("tcp", addr, 5*time.Second); err == nil {
		t.Error("the port is open after Close")
	}
}

func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := clock.Bubble(nil)
		kdc := newKDC(t, minikdc.Config{Clock: src, TicketLifetime: time.Minute})
		c := client(t, kdc, krb.Options{Conf: &krb.Config{}, Dial: kdc.Dial, Clock: src}, "kdc:88")
		login := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			return c.Login(ctx)
		}
		kdc.SetDown(true)
		if err := login(); !errors.Is(err, krb.ErrKDCUnreachable) {
			t.Errorf("down: %v", err)
		}
		kdc.SetDown(false)
		kdc.SetHang(true)
		if err := login(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("hanging: %v", err)
		}
		kdc.SetHang(false)
		kdc.SetClockOffset(time.Hour)
		if err := login(); err != nil {
			t.Errorf("an hour ahead: %v", err)
		}
		if got := c.ClockOffset().Round(time.Second); got != time.Hour {
			t.Errorf("offset %v, want 1h", got)
		}
		if left, life := c.TicketLife(); life != time.Minute || left > life {
			t.Errorf("ticket of %v with %v left, want a minute", life, left)
		}
		if err := kdc.Revoke("app", true); err != nil {
			t.Fatal(err)
		}
		if err := login(); !errors.Is(err, krb.ErrRevoked) {
			t.Errorf("revoked: %v", err)
		}
		if err := kdc.Revoke("app", false); err != nil {
			t.Fatal(err)
		}
		if err := login(); err != nil {
			t.Errorf("no longer revoked: %v", err)
		}
		if kdc.Revoke("nobody", true) == nil || kdc.Trust(kdc) == nil || kdc.AddPrincipal("a@b@c") == nil || kdc.AddPrincipal("x", 99) == nil {
			t.Error("a mistake went unnoticed")
		}
	})
}

// ask sends one framed request in memory.
func ask(t testing.TB, kdc *minikdc.KDC, req []byte) []byte {
	t.Helper()
	conn, err := kdc.Dial(t.Context(), "tcp", "kdc")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(req))), req...)); err != nil {
		t.Fatal(err)
	}
	var head [4]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(conn, reply); err != nil {
		t.Fatal(err)
	}
	return reply
}

func FuzzRequest(f *testing.F) {
	kdc := newKDC(f, minikdc.Config{})
	c := client(f, kdc, krb.Options{Conf: &krb.Config{}, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := kdc.Dial(ctx, network, addr)
		return tap{conn, f}, err
	}}, "kdc:88")
	if _, err := c.Initiate(context.Background(), "nn/host"); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, req []byte) {
		if reply := ask(t, kdc, req); len(reply) == 0 {
			t.Fatal("no answer")
		}
	})
}

// tap adds what is written to the corpus.
type tap struct {
	net.Conn
	f *testing.F
}

func (c tap) Write(b []byte) (int, error) {
	c.f.Add(append([]byte(nil), b...))
	return c.Conn.Write(b)
}
