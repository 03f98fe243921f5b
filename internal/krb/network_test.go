package krb_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/clock"
	"github.com/tokenwheel/tokenwheel/internal/krb"
	"github.com/tokenwheel/tokenwheel/internal/krb/minikdc"
)

// bubble runs f in a synctest bubble whose KDC and clients share its time.
func bubble(t *testing.T, f func(t *testing.T, r *realm)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f(t, newRealm(t, minikdc.Config{Clock: clock.Bubble(nil)}))
	})
}

// blackHole takes a connection and never says anything on it.
func blackHole(t *testing.T) krb.Dialer {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		client, server := net.Pipe()
		t.Cleanup(func() { server.Close() })
		go io.Copy(io.Discard, server)
		return client, nil
	}
}

// byAddress sends each address to its own dialer.
func byAddress(m map[string]krb.Dialer) krb.Dialer {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return m[addr](ctx, network, addr) }
}

func TestB02_TwoDeadKDCsDoNotBlock(t *testing.T) {
	bubble(t, func(t *testing.T, r *realm) {
		r.conf.Realms[r.Realm()] = krb.Realm{KDCs: []string{"dead1:88", "dead2:88", "live:88"}}
		hole := blackHole(t)
		c := r.client(t, func(o *krb.Options) {
			o.Clock = clock.Bubble(nil)
			o.Dial = byAddress(map[string]krb.Dialer{"dead1:88": hole, "dead2:88": hole, "live:88": r.Dial})
		})
		start := time.Now()
		if err := c.Login(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 6*time.Second {
			t.Errorf("first login took %v, want at most 6s", took)
		}
		start = time.Now()
		if err := c.Login(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("second login took %v: the last good KDC was not asked first", took)
		}
	})
}

func TestB02_LoginEndsAtItsDeadline(t *testing.T) {
	bubble(t, func(t *testing.T, r *realm) {
		r.SetHang(true)
		c := r.client(t, func(o *krb.Options) { o.Clock = clock.Bubble(nil) })
		start := time.Now()
		err := c.Login(t.Context())
		if !errors.Is(err, krb.ErrKDCUnreachable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if took := time.Since(start); took != 30*time.Second {
			t.Errorf("took %v, want 30s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start = time.Now()
		if err := c.Login(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("took %v, want the caller's 3s", took)
		}
	})
}

func TestUDPAnswerCountsAfterTCPFailed(t *testing.T) {
	for _, limit := range []int{1, 0} { // TCP first, UDP first
		bubble(t, func(t *testing.T, r *realm) {
			r.conf.UDPLimit = limit
			c := r.client(t, func(o *krb.Options) {
				o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
					if network == "tcp" {
						return nil, syscall.ECONNREFUSED
					}
					return r.Dial(ctx, network, addr)
				}
			})
			if err := c.Login(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, req := range r.Requests() {
				if req.Network != "udp" {
					t.Errorf("limit %d: request over %s", limit, req.Network)
				}
			}
		})
	}
}

func TestLargeAnswerMovesToTCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRealm(t, minikdc.Config{MaxDatagram: 300, Clock: clock.Bubble(nil)})
		if err := r.client(t, nil).Login(t.Context()); err != nil {
			t.Fatal(err)
		}
		var seen []string
		for _, req := range r.Requests() {
			seen = append(seen, req.Network)
		}
		if got, want := strings.Join(seen, " "), "udp udp tcp"; got != want {
			t.Errorf("requests went by %q, want %q", got, want)
		}
	})
}

func TestLostDatagramIsSentAgain(t *testing.T) {
	bubble(t, func(t *testing.T, r *realm) {
		var once sync.Once
		c := r.client(t, func(o *krb.Options) {
			o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if network == "tcp" {
					return nil, syscall.ECONNREFUSED
				}
				conn, err := r.Dial(ctx, network, addr)
				once.Do(func() { conn = &dropFirst{Conn: conn} })
				return conn, err
			}
		})
		if err := c.Login(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

type dropFirst struct {
	net.Conn
	dropped bool
}

func (d *dropFirst) Write(b []byte) (int, error) {
	if !d.dropped {
		d.dropped = true
		return len(b), nil
	}
	return d.Conn.Write(b)
}

// trickle gives what it reads byte by byte.
type trickle struct{ net.Conn }

func (c trickle) Read(b []byte) (int, error) { return c.Conn.Read(b[:min(1, len(b))]) }

// Shows: B04.
func TestB04_SplitTCPHeader(t *testing.T) {
	bubble(t, func(t *testing.T, r *realm) {
		r.conf.UDPLimit = 1
		c := r.client(t, func(o *krb.Options) {
			o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := r.Dial(ctx, network, addr)
				return trickle{conn}, err
			}
		})
		if err := c.Login(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// answering makes a TCP KDC that answers everything with these bytes and closes.
func answering(t *testing.T, raw []byte) krb.Dialer {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if network == "udp" {
			return nil, syscall.ECONNREFUSED
		}
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			server.Read(make([]byte, 1<<16))
			server.Write(raw)
		}()
		return client, nil
	}
}

func TestB04_BadRepliesAreErrors(t *testing.T) {
	framed := func(b ...byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }
	for name, raw := range map[string][]byte{
		"4 GiB length":      {0xff, 0xff, 0xff, 0xff, 1, 2, 3},
		"over 1 MiB":        {0, 0x10, 0, 1, 1, 2, 3},
		"header of 3 bytes": {0, 0, 0},
		"nothing":           {},
		"empty reply":       framed(),
		"cut reply":         {0, 0, 1, 0, 0x6b},
		"text":              framed([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")...),
		"empty KRB-ERROR":   framed(0x7e, 0),
		"empty AS-REP":      framed(0x6b, 0),
		"deep nesting":      framed(0x6b, 0x82, 0xff, 0xff, 0x30, 0x80, 0x30, 0x80),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRealm(t, minikdc.Config{})
				c := r.client(t, func(o *krb.Options) { o.Dial = answering(t, raw) })
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				err := c.Login(t.Context())
				runtime.ReadMemStats(&after)
				if bytes := after.TotalAlloc - before.TotalAlloc; err == nil || bytes > 2<<20 {
					t.Errorf("error %v, %d bytes allocated", err, bytes)
				}
			})
		})
	}
}

// One KDC that talks nonsense, or a service that is none, does not hide the others, nor
// is it asked first from then on.
//
// Shows: B02, B04.
func TestB04_NonsenseOfOneKDCIsNotTheRealms(t *testing.T) {
	for name, reply := range map[string][]byte{
		"text": []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), "empty AS-REP": {0x6b, 0}, "empty TGS-REP": {0x6d, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *realm) {
				r.conf.Realms[r.Realm()] = krb.Realm{KDCs: []string{"odd:88", "live:88"}}
				odd := answering(t, append(binary.BigEndian.AppendUint32(nil, uint32(len(reply))), reply...))
				asked := 0
				c := r.client(t, func(o *krb.Options) {
					o.Clock = clock.Bubble(nil)
					o.Dial = byAddress(map[string]krb.Dialer{"live:88": r.Dial, "odd:88": func(ctx context.Context, network, addr string) (net.Conn, error) {
						asked++
						return odd(ctx, network, addr)
					}})
				})
				r.conf.UDPLimit = 1
				for range 3 {
					if _, err := c.Initiate(t.Context(), spn); err != nil {
						t.Fatal(err)
					}
					if err := c.Login(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if asked != 1 {
					t.Errorf("it was asked %d times", asked)
				}
			})
		})
	}
}

// Shows: B04. Every reply of a whole login is cut at every byte, once each.
func TestB04_RepliesCutAnywhere(t *testing.T) {
	r := newRealm(t, minikdc.Config{})
	r.conf.UDPLimit = 1
	for nth := 1; nth <= 3; nth++ { // KRB-ERROR, AS-REP, TGS-REP
		for at, more := 0, true; more; at++ {
			n := 0
			c := r.client(t, func(o *krb.Options) {
				o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
					if network == "udp" {
						return nil, syscall.ECONNREFUSED
					}
					conn, err := r.Dial(ctx, network, addr)
					if n++; n == nth {
						conn = &cutReply{Conn: conn, at: at, more: &more}
					}
					return conn, err
				}
			})
			_, err := c.Initiate(context.Background(), spn)
			if more && !errors.Is(err, krb.ErrProtocol) && !errors.Is(err, krb.ErrKDCUnreachable) {
				t.Fatalf("reply %d cut to %d bytes: %v", nth, at, err)
			}
			if !more && err != nil {
				t.Fatalf("reply %d whole: %v", nth, err)
			}
		}
	}
}

// cutReply gives a reply whose frame is right and whose content ends early.
type cutReply struct {
	net.Conn
	at   int
	more *bool
	rest []byte
	read bool
}

func (c *cutReply) Read(b []byte) (int, error) {
	if !c.read {
		c.read = true
		var head [4]byte
		if _, err := io.ReadFull(c.Conn, head[:]); err != nil {
			return 0, err
		}
		reply := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(c.Conn, reply); err != nil {
			return 0, err
		}
		*c.more = c.at < len(reply)
		reply = reply[:min(c.at, len(reply))]
		c.rest = append(binary.BigEndian.AppendUint32(nil, uint32(len(reply))), reply...)
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func TestKDCsFromDNS(t *testing.T) {
	bubble(t, func(t *testing.T, r *realm) {
		r.conf.Realms = nil
		working := true
		lookup := func(ctx context.Context, service, proto, name string) (string, []*net.SRV, error) {
			if !working {
				<-ctx.Done()
				return "", nil, ctx.Err()
			}
			if name != r.Realm()+"." {
				t.Errorf("looked up %q", name)
			}
			return "", []*net.SRV{{Target: "kdc9.mini.test.", Port: 8888}}, nil
		}
		var dialed []string
		c := r.client(t, func(o *krb.Options) {
			o.LookupSRV = lookup
			o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				dialed = append(dialed, addr)
				return r.Dial(ctx, network, addr)
			}
		})
		if err := c.Login(t.Context()); !errors.Is(err, krb.ErrUnknownRealm) {
			t.Errorf("without dns_lookup_kdc: %v, want %v", err, krb.ErrUnknownRealm)
		}
		r.conf.DNSLookupKDC = true
		if err := c.Login(t.Context()); err != nil || dialed[0] != "kdc9.mini.test:8888" {
			t.Fatalf("dialed %v, %v", dialed, err)
		}
		working = false // B08: last known addresses, and a lookup's two seconds
		start := time.Now()
		if err := c.Login(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("took %v while DNS hangs", took)
		}
	})
}
