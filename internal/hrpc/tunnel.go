package hrpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	pb "github.com/tokenwheel/tokenwheel/internal/hadooppb"
)

// plainPreamble is that of a client that logs in nowhere.
var plainPreamble = []byte("hrpc\x09\x00\x00")

const maxContextFrame = 64 << 10

// Tunnel connects and logs in as [Dial] does, and returns a connection for a client of the same protocol version that
// cannot log in or cannot protect what it sends: it believes to speak to a server without security. Its preamble is
// swallowed, the effective user in its connection context is replaced (by none under a token, by Config.EffectiveUser
// otherwise if that is set), and everything is wrapped and unwrapped as agreed.
//
// Each Read and each Write has Config.CallTimeout; deadlines cannot be set from outside. After any failure, and after a
// fatal answer, which Read returns as [*RemoteError], the connection is dead for ever. One goroutine may read while
// another writes and a third closes.
func Tunnel(ctx context.Context, cfg Config, addr string) (net.Conn, error) {
	cfg, err := cfg.ready()
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", addr, err)
	}
	w, qop, err := open(ctx, cfg, addr)
	if err != nil {
		return nil, err // with a nil interface, or the client takes it for a connection
	}
	return &tunnel{cfg: cfg, addr: addr, wire: w, protected: qop > 0}, nil
}

type tunnel struct {
	cfg       Config
	addr      string
	wire      *wire
	protected bool

	opening []byte // of the writer: what came of preamble and context; nil after them
	opened  bool
	answer  []byte // of the reader: a frame not yet read out

	mu  sync.Mutex
	err error // why it is dead
}

// Write takes the client's bytes. Only whole openings are sent on, so that the context can be replaced.
func (t *tunnel) Write(p []byte) (int, error) {
	if err := t.dead(); err != nil {
		return 0, err
	}
	frames := p
	if !t.opened {
		var err error
		if frames, err = t.open(p); err != nil {
			return 0, t.fail("write to", err)
		}
		if frames == nil {
			return len(p), nil
		}
	}
	if err := t.wire.conn.SetWriteDeadline(time.Now().Add(t.cfg.CallTimeout)); err != nil {
		return 0, t.fail("write to", err)
	}
	if _, err := t.wire.send(frames); err != nil {
		return 0, t.fail("write to", err)
	}
	return len(p), nil
}

// open collects the preamble and the context, and returns the new context with what follows; nil until all is there.
func (t *tunnel) open(p []byte) ([]byte, error) {
	t.opening = append(t.opening, p...)
	have := min(len(t.opening), len(plainPreamble))
	if !bytes.Equal(t.opening[:have], plainPreamble[:have]) {
		return nil, fmt.Errorf("preamble %x: %w", t.opening[:have], ErrProtocol)
	}
	body := t.opening[have:]
	if len(body) < lengthBytes {
		return nil, nil
	}
	n := int64(binary.BigEndian.Uint32(body)) + lengthBytes
	if n > maxContextFrame {
		return nil, fmt.Errorf("connection context of %d bytes: %w", n, ErrProtocol)
	}
	if int64(len(body)) < n {
		return nil, nil
	}
	context, err := t.context(body[lengthBytes:n])
	if err != nil {
		return nil, err
	}
	t.opening, t.opened = nil, true
	return append(context, body[n:]...), nil
}

// context replaces the effective user of a client's connection context.
func (t *tunnel) context(frame []byte) ([]byte, error) {
	head, body := &pb.RpcRequestHeaderProto{}, &pb.IpcConnectionContextProto{}
	rest, err := cutMessage(frame, head)
	if err != nil {
		return nil, err
	}
	if head.GetCallId() != callContext {
		return nil, fmt.Errorf("call %d before the connection context: %w", head.GetCallId(), ErrProtocol)
	}
	if err := lastMessage(rest, body); err != nil {
		return nil, err
	}
	user := body.GetUserInfo().GetEffectiveUser()
	if t.cfg.Token != nil || t.cfg.EffectiveUser != "" {
		user = t.cfg.EffectiveUser
	}
	return contextFrame(head.GetClientId(), body.GetProtocol(), user)
}

// Read gives out whole answers only: what the client sees of a frame was received to its end.
func (t *tunnel) Read(p []byte) (int, error) {
	if err := t.dead(); err != nil {
		return 0, err
	}
	if len(t.answer) == 0 {
		if err := t.receive(); err != nil {
			return 0, t.fail("read from", err)
		}
	}
	n := copy(p, t.answer)
	t.answer = t.answer[n:]
	return n, nil
}

func (t *tunnel) receive() error {
	if err := t.wire.conn.SetReadDeadline(time.Now().Add(t.cfg.CallTimeout)); err != nil {
		return err
	}
	frame, err := t.wire.readFrame()
	if err != nil {
		return err
	}
	a, err := parseAnswer(frame)
	if err != nil {
		return err
	}
	if a.head.GetStatus() == pb.RpcResponseHeaderProto_FATAL {
		return newRemoteError(a.head, t.protected)
	}
	t.answer = append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...)
	return nil
}

func (t *tunnel) dead() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

func (t *tunnel) fail(op string, err error) error {
	t.mu.Lock()
	if t.err == nil {
		t.err = &TransportError{Op: op, Addr: t.addr, Sent: true, Err: err}
	}
	err = t.err
	t.mu.Unlock()
	t.wire.conn.Close()
	return err
}

// Close does not wait for anything.
func (t *tunnel) Close() error {
	_ = t.fail("use", net.ErrClosed)
	return nil
}

func (t *tunnel) LocalAddr() net.Addr  { return t.wire.conn.LocalAddr() }
func (t *tunnel) RemoteAddr() net.Addr { return t.wire.conn.RemoteAddr() }

func (t *tunnel) SetDeadline(time.Time) error      { return errOwnDeadlines }
func (t *tunnel) SetReadDeadline(time.Time) error  { return errOwnDeadlines }
func (t *tunnel) SetWriteDeadline(time.Time) error { return errOwnDeadlines }

var errOwnDeadlines = fmt.Errorf("a tunnel keeps its own deadlines: %w", errors.ErrUnsupported)
