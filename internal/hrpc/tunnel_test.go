package hrpc_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	pb "github.com/tokenwheel/tokenwheel/internal/hadooppb"
	"github.com/tokenwheel/tokenwheel/internal/hrpc"
	"github.com/tokenwheel/tokenwheel/internal/sasl"
)

// client is what a client without security writes and reads.
type client struct{ net.Conn }

func tunnel(t *testing.T, cfg hrpc.Config) client {
	t.Helper()
	conn, err := hrpc.Tunnel(t.Context(), cfg, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return client{conn}
}

func (c client) opening(t *testing.T) []byte {
	t.Helper()
	return append(golden(t, "preamble-simple"), golden(t, "context-simple")...)
}

// get sends golden bytes and reads one frame.
func (c client) get(t *testing.T) ([]byte, error) {
	t.Helper()
	if _, err := c.Write(golden(t, "get-req")); err != nil {
		return nil, err
	}
	return (&peer{}).frame(c)
}

// A client that knows no security gets one: its preamble is swallowed however it is cut, its context says who logged in,
// and everything travels in the layer agreed.
// Shows: CH36.
func TestN29_Tunnel(t *testing.T) {
	type config func(testing.TB, func(*peer) error) hrpc.Config
	for _, tt := range []struct {
		name    string
		config  config
		user    string
		context string
	}{
		{"token", tokenConfig, "", "context-token"},
		{"kerberos", kerberosConfig, "", "context-kerberos"},
		{"kerberos for another", kerberosConfig, "bob", "context-kerberos-proxy"},
	} {
		for _, q := range everyQOP {
			for _, piece := range []int{1, 7, 1000} {
				t.Run(tt.name+" "+q.String(), func(t *testing.T) {
					seen := make(chan *peer, 1)
					cfg := tt.config(t, func(p *peer) error {
						p.offer = []sasl.QOP{q}
						defer func() { seen <- p }()
						return loginAndServe(p)
					})
					cfg.EffectiveUser = tt.user
					c := tunnel(t, cfg)
					for rest := c.opening(t); len(rest) > 0; {
						n := min(piece, len(rest))
						if k, err := c.Write(rest[:n]); k != n || err != nil {
							t.Fatal(k, err)
						}
						rest = rest[n:]
					}
					for range 3 {
						answer, err := c.get(t)
						if err != nil {
							t.Fatal(err)
						}
						wantBytes(t, "answer", answer, call{renewer: "yarn"}.echo())
					}
					c.Close()
					p := <-seen
					wantBytes(t, "context", p.got[len(p.got)-4], golden(t, tt.context))
					wantBytes(t, "call", p.got[len(p.got)-1], golden(t, "get-req"))
				})
			}
		}
	}
}

// The context that the client sends may come together with its first call.
func TestN29_TunnelOpeningAndCallInOneWrite(t *testing.T) {
	c := tunnel(t, tokenConfig(t, loginAndServe))
	if _, err := c.Write(append(c.opening(t), golden(t, "get-req")...)); err != nil {
		t.Fatal(err)
	}
	answer, err := (&peer{}).frame(c)
	if err != nil {
		t.Fatal(err)
	}
	wantBytes(t, "answer", answer, call{renewer: "yarn"}.echo())
}

// A client that is not what the tunnel is made for is refused before anything of it is sent on.
func TestTunnelRefusesOtherClients(t *testing.T) {
	long := append(golden(t, "preamble-simple"), 0, 2, 0, 0)
	for name, opening := range map[string][]byte{
		"asks for SASL":          golden(t, "preamble-sasl"),
		"other version":          []byte("hrpc\x0a\x00\x00"),
		"HTTP":                   []byte("GET / HTTP/1.1"),
		"call before context":    append(golden(t, "preamble-simple"), golden(t, "get-req")...),
		"context of 128 KiB":     long,
		"context cannot be read": append(golden(t, "preamble-simple"), 0, 0, 0, 2, 9, 9),
	} {
		t.Run(name, func(t *testing.T) {
			seen := make(chan *peer, 1)
			c := tunnel(t, tokenConfig(t, func(p *peer) error {
				defer func() { seen <- p }()
				return p.login()
			}))
			if _, err := c.Write(opening); !errors.Is(err, hrpc.ErrProtocol) {
				t.Errorf("%v, want ErrProtocol", err)
			}
			if _, err := c.Write(c.opening(t)); err == nil {
				t.Error("alive after that")
			}
			if p := <-seen; len(p.got) != 2 {
				t.Errorf("%d frames sent, want those of the login", len(p.got))
			}
		})
	}
}

// After a fatal answer, a cut answer or garbage nothing is read or written any more.
// Shows: B17.
func TestB14_TunnelDiesForEver(t *testing.T) {
	for name, last := range map[string][]byte{
		"fatal":       failure(-3, isFatal, hrpc.Authorization, "no"),
		"cut":         call{}.echo()[:9],
		"end":         nil,
		"4 GiB frame": {0xff, 0xff, 0xff, 0xff},
		"no header":   {0, 0, 0, 1, 9},
	} {
		t.Run(name, func(t *testing.T) {
			c := tunnel(t, tokenConfig(t, func(p *peer) error {
				if err := p.login(); err != nil {
					return err
				}
				if _, err := p.nextCall(); err != nil {
					return err
				}
				_, err := p.Write(last)
				return err
			}))
			if _, err := c.Write(c.opening(t)); err != nil {
				t.Fatal(err)
			}
			answer, first := c.get(t)
			if first == nil {
				t.Fatalf("%x taken for an answer", answer)
			}
			if re, ok := errors.AsType[*hrpc.RemoteError](first); ok != (name == "fatal") || ok && re.Class != hrpc.Authorization {
				t.Errorf("%v", first)
			}
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, first) {
				t.Errorf("read: %v", err)
			}
			if _, err := c.Write([]byte{0}); !errors.Is(err, first) {
				t.Errorf("write: %v", err)
			}
		})
	}
}

// An error of one call passes as it came; the tunnel stays.
func TestN24_TunnelPassesErrorsOn(t *testing.T) {
	c := tunnel(t, tokenConfig(t, func(p *peer) error {
		if err := p.login(); err != nil {
			return err
		}
		if _, err := p.nextCall(); err != nil {
			return err
		}
		if err := p.send(golden(t, "error-standby-resp")); err != nil {
			return err
		}
		return p.serve()
	}))
	if _, err := c.Write(c.opening(t)); err != nil {
		t.Fatal(err)
	}
	for _, want := range [][]byte{golden(t, "error-standby-resp"), call{renewer: "yarn"}.echo()} {
		answer, err := c.get(t)
		if err != nil {
			t.Fatal(err)
		}
		wantBytes(t, "answer", answer, want)
	}
}

// A server that falls silent does not hang a client that knows no deadlines; idle time between calls does not count.
func TestB12_TunnelDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		c := tunnel(t, tokenConfig(t, func(p *peer) error {
			if err := p.login(); err != nil {
				return err
			}
			in, err := p.nextCall()
			if err != nil {
				return err
			}
			if err := p.send(in.echo()); err != nil {
				return err
			}
			_, err = p.nextCall()
			<-release
			return err
		}))
		time.Sleep(time.Hour)
		if _, err := c.Write(c.opening(t)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if _, err := c.get(t); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		start := time.Now()
		_, err := c.get(t)
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(start) != 20*time.Second {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		if err := c.SetDeadline(time.Now()); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("deadline from outside: %v", err)
		}
		close(release)
	})
}

// Close ends a Read under way.
func TestB13_TunnelCloseEndsRead(t *testing.T) {
	c := tunnel(t, tokenConfig(t, func(p *peer) error {
		if err := p.login(); err != nil {
			return err
		}
		_, err := p.in.ReadByte()
		return err
	}))
	if _, err := c.Write(c.opening(t)); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		_, err := c.Read(make([]byte, 1))
		ended <- err
	}()
	c.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v, want net.ErrClosed", err)
	}
}

// The caller context travels in the header of each call, for the audit log.
func TestCallerContext(t *testing.T) {
	seen := make(chan string, 1)
	cfg := tokenConfig(t, func(p *peer) error {
		if err := p.login(); err != nil {
			return err
		}
		head := &pb.RpcRequestHeaderProto{}
		if err := p.next(head); err != nil {
			return err
		}
		seen <- head.GetCallerContext().GetContext()
		return p.send(call{id: head.GetCallId()}.echo())
	})
	cfg.CallerContext = "tokenwheel_stream-42"
	if _, err := get(t.Context(), dial(t, cfg), ""); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("tokenwheel_stream-42", <-seen); diff != "" {
		t.Error(diff)
	}
}

// fixed is a connection on which the server has already said all that it will say.
type fixed struct {
	net.Conn
	in io.Reader
}

func (f fixed) Read(b []byte) (int, error)     { return f.in.Read(b) }
func (fixed) Write(b []byte) (int, error)      { return len(b), nil }
func (fixed) Close() error                     { return nil }
func (fixed) SetDeadline(time.Time) error      { return nil }
func (fixed) SetWriteDeadline(time.Time) error { return nil }

// No sequence of bytes logs a client in, or hangs or crashes it.
func FuzzLogin(f *testing.F) {
	for _, name := range []string{"sasl-negotiate-resp", "sasl-challenge-resp", "sasl-success-token-resp", "sasl-simple-only-resp", "fatal-sasl-invalidtoken-resp", "sasl-wrap-resp"} {
		f.Add(append(golden(f, "sasl-negotiate-resp"), golden(f, name)...))
		f.Add(golden(f, name))
	}
	f.Fuzz(func(t *testing.T, server []byte) {
		cfg := hrpc.Config{
			Protocol: hrpc.ClientProtocol, Token: &hrpc.Token{Identifier: []byte("id"), Password: password},
			Dial: func(context.Context, string, string) (net.Conn, error) {
				return fixed{in: bytes.NewReader(server)}, nil
			},
		}
		if c, err := hrpc.Dial(t.Context(), cfg, addr); err == nil {
			c.Close()
			t.Errorf("logged in by %x", server)
		}
	})
}

// The decoder of answers neither crashes nor invents, and a cut frame is an error.
func FuzzAnswer(f *testing.F) {
	for _, name := range []string{"get-resp", "get-resp-null", "renew-resp", "cancel-resp", "error-invalidtoken-resp", "error-standby-resp", "fatal-simple-refused-resp", "sasl-wrap-resp"} {
		f.Add(golden(f, name))
	}
	negative, _ := hex.DecodeString("0000000affffffffffffffffff01")
	f.Add(negative)
	f.Fuzz(func(t *testing.T, in []byte) {
		frame, err := hrpc.ReadFrame(bytes.NewReader(in), 1<<16)
		if err != nil {
			return
		}
		for n := range 4 + len(frame) {
			if _, err := hrpc.ReadFrame(bytes.NewReader(in[:n]), 1<<16); err == nil {
				t.Fatalf("cut at %d of %d accepted", n, len(in))
			}
		}
		_, head, rest, err := hrpc.ParseAnswer(frame)
		if err != nil {
			return
		}
		if head.CallId == nil || head.Status == nil || len(rest) >= len(frame) {
			t.Errorf("header %v and %d of %d bytes", head, len(rest), len(frame))
		}
		if err := hrpc.LastMessage(rest, &pb.GetDelegationTokenResponseProto{}); err != nil && !errors.Is(err, hrpc.ErrProtocol) {
			t.Error(err)
		}
	})
}
