package hrpc

import (
	"bufio"
	"fmt"
	"io"
	"net"

	pb "github.com/tokenwheel/tokenwheel/internal/hadooppb"
	"github.com/tokenwheel/tokenwheel/internal/sasl"
)

const (
	maxLoginFrame = 128 << 10 // a challenge is at most some KiB; GSSAPI tokens are capped at 64 KiB
	wrapOverhead  = 64 << 10  // what a layer and its frame may add to a full answer
)

// wire is a connection below its calls: it reads and writes frames, inside WRAP messages once a layer is set. One
// goroutine may read while another writes.
type wire struct {
	conn  net.Conn
	in    *bufio.Reader
	layer sasl.Layer // nil: in clear
	limit int        // longest frame read
	plain []byte     // unwrapped, not yet read
}

func newWire(conn net.Conn, limit int) *wire {
	return &wire{conn: conn, in: bufio.NewReader(conn), limit: limit}
}

// readFrame returns the next frame of the server without its length.
func (w *wire) readFrame() ([]byte, error) { return readFrame(w, w.limit) }

// Read reads the stream of frames, of which a WRAP holds several or a part of one.
func (w *wire) Read(p []byte) (int, error) {
	if w.layer == nil {
		return w.in.Read(p)
	}
	for len(w.plain) == 0 {
		var err error
		if w.plain, err = w.readWrapped(); err != nil {
			return 0, err
		}
	}
	n := copy(p, w.plain)
	w.plain = w.plain[n:]
	return n, nil
}

// readWrapped opens one WRAP. Whatever else comes now was not written by whom we logged in to.
func (w *wire) readWrapped() ([]byte, error) {
	frame, err := readFrame(w.in, w.limit+wrapOverhead)
	if err != nil {
		return nil, err
	}
	a, err := parseAnswer(frame)
	if err != nil {
		return nil, err
	}
	if a.id != callSASL || a.head.GetStatus() != pb.RpcResponseHeaderProto_SUCCESS {
		return nil, fmt.Errorf("call id %d, status %s: %w", a.id, a.head.GetStatus(), ErrUnprotected)
	}
	m := &pb.RpcSaslProto{}
	if err := lastMessage(a.rest, m); err != nil {
		return nil, err
	}
	if m.GetState() != pb.RpcSaslProto_WRAP {
		return nil, fmt.Errorf("SASL state %s: %w", m.GetState(), ErrUnprotected)
	}
	return w.layer.Unwrap(m.GetToken())
}

// send writes frames, as many WRAPs as the server's buffer asks for. N counts bytes that left, so that 0 means that
// nothing of the request can have arrived.
func (w *wire) send(frames []byte) (n int, err error) {
	if w.layer == nil {
		return w.conn.Write(frames)
	}
	for len(frames) > 0 {
		part := frames[:min(len(frames), w.layer.MaxPlain())]
		frames = frames[len(part):]
		token, err := w.layer.Wrap(part)
		if err != nil {
			return n, err
		}
		frame, err := saslFrame(&pb.RpcSaslProto{State: pb.RpcSaslProto_WRAP.Enum(), Token: token})
		if err != nil {
			return n, err
		}
		k, err := w.conn.Write(frame)
		n += k
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

var _ io.Reader = (*wire)(nil)
