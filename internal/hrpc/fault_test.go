package hrpc_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	pb "github.com/tokenwheel/tokenwheel/internal/hadooppb"
	"github.com/tokenwheel/tokenwheel/internal/hrpc"
	"github.com/tokenwheel/tokenwheel/internal/sasl"
)

// faultyWriter passes on what the server writes, changed.
type faultyWriter struct {
	io.Writer
	left int           // bytes until the cut; negative: none
	slow time.Duration // for each byte
}

func (w *faultyWriter) Write(b []byte) (int, error) {
	for i := range b {
		if w.left == 0 {
			return i, io.ErrClosedPipe
		}
		w.left--
		time.Sleep(w.slow)
		if _, err := w.Writer.Write(b[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

// A connection cut at each byte of what the server says, from its first in the login to its last in the answer, gives a
// clean error, and the next attempt works. The first 256 bytes end within the login.
func TestB14_CutAtEachByte(t *testing.T) {
	for _, q := range everyQOP {
		t.Run(q.String(), func(t *testing.T) {
			cut := 0
			for cutEarly := true; cutEarly; cut++ {
				cutEarly = false
				var attempts atomic.Int32
				cfg := tokenConfig(t, func(p *peer) error {
					p.offer = []sasl.QOP{q}
					if attempts.Add(1) == 1 {
						p.Writer = &faultyWriter{Writer: p.Writer, left: cut}
					}
					return loginAndServe(p)
				})
				err := dialAndGet(t, cfg)
				if err != nil {
					cutEarly = true
					if te, ok := errors.AsType[*hrpc.TransportError](err); !ok || te.Sent != strings.HasPrefix(te.Op, "get") {
						t.Fatalf("cut after %d bytes: %#v", cut, err)
					}
					if err := dialAndGet(t, cfg); err != nil {
						t.Fatalf("attempt after a cut at %d: %v", cut, err)
					}
				}
			}
			if cut < 256 {
				t.Errorf("the server says %d bytes in all; that is too little to show anything", cut)
			}
		})
	}
}

// dialAndGet makes one call on a connection of its own, which must be dead afterwards if the call failed.
func dialAndGet(t *testing.T, cfg hrpc.Config) error {
	t.Helper()
	c, err := hrpc.Dial(t.Context(), cfg, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err = get(t.Context(), c, "yarn"); err != nil && c.Err() == nil {
		t.Errorf("the connection survived %v", err)
	}
	return err
}

// One byte a second never beats the deadline of the whole login or the whole call.
func TestB16_SlowServer(t *testing.T) {
	for _, tt := range []struct {
		name string
		at   string
		want time.Duration
	}{{"login", "log in to", 10 * time.Second}, {"call", "getDelegationToken at", 20 * time.Second}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := tokenConfig(t, func(p *peer) error {
					slow := &faultyWriter{Writer: p.Writer, left: -1, slow: time.Second}
					if tt.name == "login" {
						p.Writer = slow
					}
					if err := p.login(); err != nil {
						return err
					}
					p.Writer = slow
					return p.serve()
				})
				start := time.Now()
				err := dialAndGet(t, cfg)
				te, ok := errors.AsType[*hrpc.TransportError](err)
				if !ok || te.Op != tt.at || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v", err)
				}
				if d := time.Since(start); d != tt.want {
					t.Errorf("ended after %s, want %s", d, tt.want)
				}
			})
		})
	}
}

// A login that is cancelled ends at once.
func TestB16_CancelledLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		cfg := tokenConfig(t, func(p *peer) error {
			err := p.negotiate()
			<-release
			return err
		})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		_, err := hrpc.Dial(ctx, cfg, addr)
		if !errors.Is(err, context.Canceled) || hrpc.FailOver(err) || time.Since(start) != time.Second {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		close(release)
	})
}

// hostile is what a server may send in place of an answer to call 0.
var hostile = []struct {
	name  string
	bytes []byte
}{
	{"4 GiB frame", []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}},
	{"one byte over the limit", binary.BigEndian.AppendUint32(nil, 1<<20+1)},
	{"HTTP", []byte("HTTP/1.1 404 Not Found\r\n\r\n")},
	{"empty frame", []byte{0, 0, 0, 0}},
	{"negative varint", []byte("\x00\x00\x00\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")},
	{"varint without end", []byte("\x00\x00\x00\x0c\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")},
	{"header longer than the frame", []byte{0, 0, 0, 2, 9, 8}},
	{"header without its fields", []byte{0, 0, 0, 1, 0}},
	{"no second message", encode(responseHeader(0))},
	{"second message of another kind", encode(responseHeader(0), &pb.RequestHeaderProto{MethodName: new("\xff"), DeclaringClassProtocolName: new(""), ClientProtocolVersion: new(uint64(0))})},
	{"third message", encode(responseHeader(0), &pb.GetDelegationTokenResponseProto{}, &pb.GetDelegationTokenResponseProto{})},
	{"call never made", encode(responseHeader(7), &pb.GetDelegationTokenResponseProto{})},
	{"answer to nobody", encode(responseHeader(-5), &pb.GetDelegationTokenResponseProto{})},
	{"other client", encode(&pb.RpcResponseHeaderProto{CallId: new(uint32(0)), Status: pb.RpcResponseHeaderProto_SUCCESS.Enum(), ClientId: []byte("somebody else's.")}, &pb.GetDelegationTokenResponseProto{})},
}

// Whatever is no answer ends the connection, and costs no more memory than the limit.
func TestB17_GarbageInPlaceOfAnAnswer(t *testing.T) {
	for _, tt := range hostile {
		t.Run(tt.name, func(t *testing.T) {
			c := dial(t, tokenConfig(t, func(p *peer) error {
				if err := p.login(); err != nil {
					return err
				}
				if _, err := p.nextCall(); err != nil {
					return err
				}
				if _, err := p.Write(tt.bytes); err != nil {
					return err
				}
				_, err := p.in.ReadByte() // until the client hangs up
				return err
			}))
			before := allocated()
			_, err := get(t.Context(), c, "yarn")
			if used := allocated() - before; used > 1<<20+64<<10 {
				t.Errorf("%d bytes allocated", used)
			}
			if !errors.Is(err, hrpc.ErrProtocol) || hrpc.SafeToRetry(err) {
				t.Errorf("%v, want ErrProtocol", err)
			}
			if !errors.Is(c.Err(), hrpc.ErrProtocol) {
				t.Errorf("the connection: %v", c.Err())
			}
		})
	}
}

// The same in the login, where a frame is much shorter.
func TestB17_GarbageInTheLogin(t *testing.T) {
	for _, tt := range hostile {
		t.Run(tt.name, func(t *testing.T) {
			cfg := tokenConfig(t, func(p *peer) error {
				if err := p.negotiate(); err != nil {
					return err
				}
				_, err := p.Write(tt.bytes)
				return err
			})
			before := allocated()
			_, err := hrpc.Dial(t.Context(), cfg, addr)
			if used := allocated() - before; used > 256<<10 {
				t.Errorf("%d bytes allocated", used)
			}
			if te, ok := errors.AsType[*hrpc.TransportError](err); !ok || !errors.Is(err, hrpc.ErrProtocol) || te.Sent {
				t.Errorf("%v, want ErrProtocol, nothing sent", err)
			}
		})
	}
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// A message changed under way is the end of a protected connection.
func TestT15_ChangedMessage(t *testing.T) {
	for _, q := range []sasl.QOP{sasl.AuthInt, sasl.AuthConf} {
		t.Run(q.String(), func(t *testing.T) {
			c := dial(t, tokenConfig(t, func(p *peer) error {
				p.offer = []sasl.QOP{q}
				if err := p.login(); err != nil {
					return err
				}
				in, err := p.nextCall()
				if err != nil {
					return err
				}
				token, err := p.layer.Wrap(failure(in.id, isError, hrpc.Standby, "forged"))
				if err != nil {
					return err
				}
				token[10] ^= 1
				_, err = p.Write(saslAnswer(&pb.RpcSaslProto{State: pb.RpcSaslProto_WRAP.Enum(), Token: token}))
				return err
			}))
			if _, err := get(t.Context(), c, "yarn"); !errors.Is(err, sasl.ErrIntegrity) || hrpc.FailOver(err) {
				t.Errorf("%v, want ErrIntegrity", err)
			}
		})
	}
}

// Class and message of an error, however the server wraps them, without its stack trace and without control characters.
// Shows: T-18.
func TestB34_RemoteErrorText(t *testing.T) {
	for _, tt := range []struct {
		name            string
		class           hrpc.Class
		text            string
		want, wantClass string
	}{
		{"stack trace", hrpc.InvalidToken, "unknown\n\tat java", "unknown", string(hrpc.InvalidToken)},
		{"control characters", hrpc.AccessControl, "a\x1b[31m\u202eb\x00 \"quoted\" zoë", `a\x1b[31m\u202eb\x00 "quoted" zoë`, string(hrpc.AccessControl)},
		{"class too", "evil\x1b", "x", "x", `evil\x1b`},
		{"wrapped by YARN", "org.apache.hadoop.yarn.exceptions.YarnException", string(hrpc.InvalidToken) + ": gone\n\tat", "gone", string(hrpc.InvalidToken)},
		{"YARN's own", "org.apache.hadoop.yarn.exceptions.YarnException", "no such application: 7", "no such application: 7", "org.apache.hadoop.yarn.exceptions.YarnException"},
		{"long", hrpc.JavaIO, strings.Repeat("x", 5000), strings.Repeat("x", 512), string(hrpc.JavaIO)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := dial(t, tokenConfig(t, func(p *peer) error {
				if err := p.login(); err != nil {
					return err
				}
				in, err := p.nextCall()
				if err != nil {
					return err
				}
				return p.send(failure(in.id, isError, tt.class, tt.text))
			}))
			_, err := get(t.Context(), c, "yarn")
			want := fmt.Sprintf("getDelegationToken at %s: %s: %s", addr, tt.wantClass, tt.want)
			if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
