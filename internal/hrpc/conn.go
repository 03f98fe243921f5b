package hrpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"google.golang.org/protobuf/proto"

	pb "github.com/tokenwheel/tokenwheel/internal/hadooppb"
	"github.com/tokenwheel/tokenwheel/internal/sasl"
)

// Conn is one connection, logged in, to one server. Its methods may be called concurrently. It has one goroutine, which
// reads and ends with the connection: by [Conn.Close] or by the first failure, after which every call fails.
type Conn struct {
	cfg  Config
	addr string
	wire *wire
	qop  sasl.QOP
	turn chan struct{} // held by the one call that writes; a channel, so that waiting for it ends with a context

	mu      sync.Mutex // guards what follows; never held over I/O
	next    int32
	pending map[int32]chan<- reply // each has room for its one reply
	stats   Stats
	err     error // why it is dead

	greeting []byte // the context, which travels with the first call; of whoever has the turn
}

// Stats counts what came over a connection.
type Stats struct {
	Answers  uint64 // delivered to their calls
	Repeated uint64 // to calls already answered or given up; ignored
	Unknown  uint64 // to calls never made; the connection dies of the first
}

type reply struct {
	body []byte
	err  error
}

// Dial connects to addr, a host and port, and logs in. Ctx bounds both but not the connection's life. Its errors are
// those of [SafeToRetry] and [FailOver], since no call was made yet.
func Dial(ctx context.Context, cfg Config, addr string) (*Conn, error) {
	cfg, err := cfg.ready()
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", addr, err)
	}
	greeting, err := contextFrame(cfg.clientID, cfg.Protocol, cfg.EffectiveUser)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", addr, err)
	}
	w, qop, err := open(ctx, cfg, addr)
	if err != nil {
		return nil, err
	}
	c := &Conn{
		cfg: cfg, addr: addr, wire: w, qop: qop, turn: make(chan struct{}, 1),
		pending: map[int32]chan<- reply{}, greeting: greeting,
	}
	go c.read()
	return c, nil
}

// Addr is the address that was dialled.
func (c *Conn) Addr() string { return c.addr }

// QOP is the protection that was agreed.
func (c *Conn) QOP() sasl.QOP { return c.qop }

// Err is why the connection is dead; nil while it lives.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Stats returns the counts so far.
func (c *Conn) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// Close ends the connection and every call on it. It does not wait for anything.
func (c *Conn) Close() error {
	_ = c.fail(ErrClosed)
	return nil
}

// Call sends req and decodes the answer into resp. It ends with ctx or after the configured time, whichever is first;
// the server may then have done what was asked. A [*RemoteError] is the server's refusal, a [*TransportError] says
// whether anything was sent.
//
// A call that meets its deadline takes the connection with it if nothing at all came since it was sent: a server drops
// a message whose checksum is wrong without a word, and a half-open connection is silent too.
func (c *Conn) Call(ctx context.Context, method string, req, resp proto.Message) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.CallTimeout)
	defer cancel()
	replies := make(chan reply, 1)
	id, before, err := c.send(ctx, method, req, replies)
	if err != nil {
		return err
	}
	select {
	case r := <-replies:
		return c.receive(method, r, resp)
	case <-ctx.Done():
		c.giveUp(ctx, id, before)
		return c.lost(method, true, ctx.Err())
	}
}

// lost is the error of a call that got no answer.
func (c *Conn) lost(method string, sent bool, err error) error {
	return &TransportError{Op: method + " at", Addr: c.addr, Sent: sent, Err: err}
}

// send writes one request. Before is the count of answers at that time.
func (c *Conn) send(ctx context.Context, method string, req proto.Message, replies chan<- reply) (id int32, before uint64, err error) {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return 0, 0, c.lost(method, false, ctx.Err())
	}
	if id, before, err = c.enter(replies); err != nil {
		return 0, 0, c.lost(method, false, c.fail(err))
	}
	frame, err := c.request(id, method, req)
	if err != nil {
		c.leave(id)
		return 0, 0, fmt.Errorf("%s at %s: %w", method, c.addr, err)
	}
	undo := interruptAt(ctx, c.wire.conn.SetWriteDeadline)
	n, err := c.wire.send(append(c.greeting, frame...))
	undo()
	c.greeting = nil
	if err == nil {
		return id, before, nil
	}
	// What was cut cannot be taken back, and a layer has counted it. Why the reader died, if it did, says more.
	c.leave(id)
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return 0, 0, c.lost(method, n > 0, c.fail(err))
}

func (c *Conn) request(id int32, method string, req proto.Message) ([]byte, error) {
	head := requestHeader(id, c.cfg.clientID)
	if c.cfg.CallerContext != "" {
		head.CallerContext = &pb.RPCCallerContextProto{Context: &c.cfg.CallerContext}
	}
	return appendFrame(nil, head, &pb.RequestHeaderProto{
		MethodName: &method, DeclaringClassProtocolName: &c.cfg.Protocol, ClientProtocolVersion: &c.cfg.Version,
	}, req)
}

// enter gives a call its id. Ids stay non-negative, as those below zero have other meanings.
func (c *Conn) enter(replies chan<- reply) (id int32, before uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, 0, c.err
	}
	id = c.next
	if id < 0 {
		return 0, 0, errUsedUp
	}
	c.next++
	c.pending[id] = replies
	return id, c.stats.received(), nil
}

// errUsedUp ends a connection after two thousand million calls.
var errUsedUp = errors.New("call ids used up")

func (s Stats) received() uint64 { return s.Answers + s.Repeated + s.Unknown }

func (c *Conn) leave(id int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, id)
}

// giveUp forgets a call whose context ended.
func (c *Conn) giveUp(ctx context.Context, id int32, before uint64) {
	c.mu.Lock()
	delete(c.pending, id)
	silent := c.stats.received() == before
	c.mu.Unlock()
	if silent && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		_ = c.fail(ErrSilent)
	}
}

// receive decodes an answer on the goroutine of its call, the only one that may write to resp.
func (c *Conn) receive(method string, r reply, resp proto.Message) error {
	if re, ok := r.err.(*RemoteError); ok { //nolint:errorlint // itself: the answer, not the end of the connection
		return fmt.Errorf("%s at %s: %w", method, c.addr, re)
	}
	if r.err != nil {
		return c.lost(method, true, r.err)
	}
	if err := lastMessage(r.body, resp); err != nil {
		_ = c.fail(err)
		return c.lost(method, true, err)
	}
	return nil
}

// read hands answers to their calls until the connection is dead.
func (c *Conn) read() {
	for {
		frame, err := c.wire.readFrame()
		var a answer
		if err == nil {
			a, err = parseAnswer(frame)
		}
		if err == nil {
			err = c.deliver(a)
		}
		if err != nil {
			_ = c.fail(err)
			return
		}
	}
}

// deliver passes one answer on. Its error is the end of the connection.
func (c *Conn) deliver(a answer) error {
	if id := a.head.GetClientId(); len(id) > 0 && !bytes.Equal(id, c.cfg.clientID) {
		return fmt.Errorf("answer to another client: %w", ErrProtocol)
	}
	r := reply{body: a.rest}
	if a.head.GetStatus() != pb.RpcResponseHeaderProto_SUCCESS {
		re := newRemoteError(a.head, c.qop >= sasl.AuthInt)
		if re.Fatal && refusesAll(a.id) {
			return re
		}
		r.err = re
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	call, waiting := c.pending[a.id]
	switch {
	case waiting:
		delete(c.pending, a.id)
		c.stats.Answers++
		call <- r
	case a.id >= 0 && a.id < c.next:
		c.stats.Repeated++
	default:
		c.stats.Unknown++
		return fmt.Errorf("answer to call %d, which was never made: %w", a.id, ErrProtocol)
	}
	if a.head.GetStatus() == pb.RpcResponseHeaderProto_FATAL {
		return fmt.Errorf("server ended the connection: %v", r.err) //nolint:errorlint // to the other calls it is no answer
	}
	return nil
}

// refusesAll reports whether a fatal answer with this id refuses the connection as such, and with it every call: the
// context or the authorisation was refused, and nothing was done.
func refusesAll(id int32) bool { return id == callContext || id == callAuthorization }

// fail makes the connection dead for ever, tells the calls that wait, and returns why; only the first reason counts.
func (c *Conn) fail(err error) error {
	c.mu.Lock()
	if c.err != nil {
		defer c.mu.Unlock()
		return c.err
	}
	c.err = err
	calls := c.pending
	c.pending = nil
	c.mu.Unlock()
	c.wire.conn.Close()
	for _, call := range calls {
		call <- reply{err: err} // each has room, and deliver can no longer find it
	}
	return err
}
