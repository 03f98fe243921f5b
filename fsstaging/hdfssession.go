package fsstaging

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"sync"

	client "github.com/colinmarc/hdfs/v2"

	"github.com/tokenwheel/tokenwheel/internal/hrpc"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// session is one client of the library with the connections it made. The library
// knows no contexts: cutting its connections is how a call under way is ended.
type session struct {
	*client.Client
	ctx context.Context // bounds its dialling; ends when it is cut
	end context.CancelFunc

	mu      sync.Mutex // guards all below
	cut     bool
	conns   map[net.Conn]bool
	dialErr error  // of the last dial, whose kind the library drops
	asked   string // the NameNode that was dialled last
}

// newSession logs in; ctx bounds that.
func (h *HDFS) newSession(ctx context.Context, effective string) (*session, error) {
	rpc, err := h.rpc(ctx, effective)
	if err != nil {
		return nil, err
	}
	s := &session{conns: map[net.Conn]bool{}}
	s.ctx, s.end = context.WithCancel(h.life)
	o := h.options
	o.Addresses = h.addresses()
	o.User = "tokenwheel" // must not be empty; our login puts the effective user in its place
	o.NamenodeDialFunc = func(_ context.Context, _, addr string) (net.Conn, error) {
		s.mu.Lock()
		s.asked = addr
		s.mu.Unlock()
		return s.dial(func() (net.Conn, error) { return hrpc.Tunnel(s.ctx, rpc, addr) })
	}
	dataNode := o.DatanodeDialFunc
	o.DatanodeDialFunc = func(_ context.Context, network, addr string) (net.Conn, error) {
		return s.dial(func() (net.Conn, error) { return dataNode(s.ctx, network, addr) })
	}
	stop := context.AfterFunc(ctx, s.sever)
	defer stop()
	if s.Client, err = client.NewClient(o); err != nil {
		s.sever()
		return nil, s.cause(ctx, err)
	}
	return s, nil
}

// dial keeps account of a connection. After sever there are no new ones, or the
// library's lease renewal would make them.
func (s *session) dial(open func() (net.Conn, error)) (net.Conn, error) {
	conn, err := open()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dialErr = err
	if err != nil {
		return nil, err
	}
	if s.cut {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	t := &tracked{Conn: conn, s: s}
	s.conns[t] = true
	return t, nil
}

// nameNode is the one that was dialled last.
func (s *session) nameNode() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// tracked leaves the account when it is closed.
type tracked struct {
	net.Conn
	s *session
}

func (t *tracked) Close() error {
	t.s.mu.Lock()
	delete(t.s.conns, t)
	t.s.mu.Unlock()
	return t.Conn.Close()
}

// sever breaks every connection, now and later.
func (s *session) sever() {
	s.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = true
	for conn := range s.conns {
		_ = conn.(*tracked).Conn.Close()
	}
}

func (s *session) close() {
	s.sever() // first, or closing waits for a lease renewal that hangs
	_ = s.Client.Close()
}

// cause says in our words what the library reports, with the error of a dial
// that it turned into text.
func (s *session) cause(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ended := context.Cause(ctx); ended != nil {
		return fmt.Errorf("%w: %w", ended, err)
	}
	s.mu.Lock()
	dialErr := s.dialErr
	s.mu.Unlock()
	if dialErr != nil {
		err = dialErr
	}
	return loginError(err)
}

// loginError gives the error of a login its kind: what a server says through its
// classes, which for proxy users comes with the first answer, and our own
// refusals. The rest is tried again.
func loginError(err error) error {
	if remote, ok := errors.AsType[*hrpc.RemoteError](err); ok {
		switch remote.Class {
		case hrpc.AccessControl, hrpc.Authorization, hrpc.InvalidToken, hrpc.NoSuchProtocol, hrpc.VersionMismatch:
			return &plugins.Error{Kind: plugins.KindDenied, Protected: remote.Protected, Err: err}
		}
		return err
	}
	for _, refusal := range []error{hrpc.ErrSimple, hrpc.ErrMechanism, hrpc.ErrServerName} {
		if errors.Is(err, refusal) {
			return plugins.Denied(err)
		}
	}
	return err
}

// answered reports whether a NameNode answered, if with a refusal: the
// connection is sound.
func answered(err error) bool {
	if err == nil {
		return true
	}
	var remote client.Error
	_, ours := errors.AsType[*plugins.Error](err)
	return ours || errors.As(err, &remote) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrPermission)
}

// accessControl is a refusal that the library leaves as it came in some calls.
const accessControl = string(hrpc.AccessControl)

func posixError(err error) error {
	var remote client.Error
	if errors.As(err, &remote) && remote.Exception() == accessControl {
		return fmt.Errorf("%w: %w", fs.ErrPermission, err)
	}
	return err
}
