package faultproxy_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tokenwheel/tokenwheel/hadooptest/faultproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo is a server that says what it is told, and how each of its connections ended.
func echo(t *testing.T) (addr string, ends <-chan error) {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	all := make(chan error, 10)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := lis.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				_, err := io.Copy(c, c)
				all <- err
			})
		}
	})
	t.Cleanup(func() { lis.Close(); wg.Wait() })
	return lis.Addr().String(), all
}

// through connects by a proxy with a fault.
func through(t *testing.T, f faultproxy.Fault) (*net.TCPConn, *faultproxy.Proxy, <-chan error) {
	t.Helper()
	addr, ends := echo(t)
	p, err := faultproxy.New(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	p.Use(func(int) faultproxy.Fault { return f })
	c, err := p.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if p.Connections() > 1 || c.RemoteAddr().String() != p.Addr() {
		t.Fatalf("connected to %s, the proxy is %s", c.RemoteAddr(), p.Addr())
	}
	return c.(*net.TCPConn), p, ends
}

func say(t *testing.T, c net.Conn, what []byte) {
	t.Helper()
	if _, err := c.Write(what); err != nil {
		t.Fatal(err)
	}
}

// hear reads to the end, or until nothing came for a while.
func hear(t *testing.T, c net.Conn) ([]byte, error) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	return io.ReadAll(c)
}

var words = []byte("\x00\x00\x00\x03one\x00\x00\x00\x03two\x00\x00\x00\x05three")

func TestProxy_PassesEverythingOn(t *testing.T) {
	c, _, ends := through(t, faultproxy.Fault{})
	say(t, c, words)
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := hear(t, c); err != nil || !bytes.Equal(got, words) {
		t.Errorf("got %q, %v", got, err)
	}
	if err := <-ends; err != nil {
		t.Errorf("the server saw %v, want the end that the client made", err)
	}
}

func TestProxy_Resets(t *testing.T) {
	for name, f := range map[string]faultproxy.Fault{
		"to the server": {ToServer: faultproxy.ResetAfter(7)},
		"to the client": {ToClient: faultproxy.ResetAfter(7)},
	} {
		t.Run(name, func(t *testing.T) {
			c, _, ends := through(t, f)
			say(t, c, words)
			got, err := hear(t, c)
			if !errors.Is(err, syscall.ECONNRESET) || len(got) > 7 {
				t.Errorf("the client heard %q, %v, want at most 7 bytes and a reset", got, err)
			}
			if err := <-ends; !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
				t.Errorf("the server saw %v, want a reset", err)
			}
		})
	}
}

// Neither data nor the end of either side gets through, and nobody is told.
func TestProxy_HalfOpen(t *testing.T) {
	c, p, ends := through(t, faultproxy.Fault{ToServer: faultproxy.HalfOpenAfter(7)})
	say(t, c, words)
	got, err := hear(t, c)
	if !errors.Is(err, os.ErrDeadlineExceeded) || len(got) > 7 {
		t.Errorf("the client heard %q, %v, want at most 7 bytes and silence", got, err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-ends:
		t.Errorf("the server heard of the end: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	p.Close()
	if err := <-ends; err == nil {
		t.Error("closing the proxy was an orderly end")
	}
}

func TestProxy_ResetEndsWhatStands(t *testing.T) {
	c, p, _ := through(t, faultproxy.Fault{})
	say(t, c, words)
	if _, err := io.ReadFull(c, make([]byte, len(words))); err != nil {
		t.Fatal(err)
	}
	p.Reset()
	if _, err := hear(t, c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
}

func TestPasses(t *testing.T) {
	edit := func(i int, m []byte) ([]byte, error) {
		switch i {
		case 0:
			return nil, nil // swallowed
		case 1:
			return append(m, m...), nil
		}
		return binary.BigEndian.AppendUint32(nil, 9), faultproxy.ErrReset
	}
	for _, tt := range []struct {
		name  string
		pass  faultproxy.Pass
		want  string
		least time.Duration
	}{
		{"flip", faultproxy.Flip(4, 0x20), "\x00\x00\x00\x03One\x00\x00\x00\x03two\x00\x00\x00\x05three", 0},
		{"flip behind the end", faultproxy.Flip(100, 0x20), string(words), 0},
		{"reset behind the end", faultproxy.ResetAfter(100), string(words), 0},
		{"slow", faultproxy.Slow(3 * time.Millisecond), string(words), 23 * 3 * time.Millisecond},
		{"delay", faultproxy.Delay(40 * time.Millisecond), string(words), 40 * time.Millisecond},
		{"messages", faultproxy.Messages(0, edit), "\x00\x00\x00\x03two\x00\x00\x00\x03two\x00\x00\x00\x09", 0},
		{"messages behind an opening", faultproxy.Messages(7, func(_ int, m []byte) ([]byte, error) { return bytes.ToUpper(m), nil }), "\x00\x00\x00\x03one\x00\x00\x00\x03TWO\x00\x00\x00\x05THREE", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _, _ := through(t, faultproxy.Fault{ToClient: tt.pass})
			start := time.Now()
			say(t, c, words)
			if err := c.CloseWrite(); err != nil && !errors.Is(err, syscall.ENOTCONN) { // not connected: it is reset already
				t.Fatal(err)
			}
			got, err := hear(t, c)
			if string(got) != tt.want || err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("got %q, %v\nwant %q", got, err, tt.want)
			}
			if took := time.Since(start); took < tt.least {
				t.Errorf("took %s, want %s at least", took, tt.least)
			}
		})
	}
}
