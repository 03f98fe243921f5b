// Package faultproxy is a TCP proxy on loopback that does to connections what bad
// networks and men in the middle do: it resets them at any byte, lets them hang
// half-open, slows them down, changes what they carry. It knows nothing of what it
// passes on, but that some protocols send messages with a length before each.
//
// It stands in front of the kit's services and of real ones alike. Everything is
// safe for concurrent use, and [Proxy.Close] waits for all goroutines.
package faultproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// Fault is what happens to one connection: how each of its directions is passed
// on. The zero value passes everything on.
type Fault struct {
	ToServer, ToClient Pass
}

// Pass moves one direction of a connection until src ends, and returns nil then: the
// end is passed on too. [ErrReset] and [ErrHalfOpen] are what else may become of the
// connection; any other error is a reset. A Pass belongs to one connection.
type Pass func(dst io.Writer, src io.Reader) error

var (
	// ErrReset ends a connection with an RST to both sides.
	ErrReset = errors.New("reset")
	// ErrHalfOpen makes a connection dead without a word: nothing is passed on any
	// more in either direction, its end included.
	ErrHalfOpen = errors.New("half-open")
)

// Proxy passes connections on to one address. Make one with [New].
type Proxy struct {
	target string
	lis    net.Listener
	quit   chan struct{}
	wg     sync.WaitGroup

	mu     sync.Mutex // guards what follows
	faults func(n int) Fault
	count  int // connections since faults was set
	links  map[*link]struct{}
	closed bool
}

// New listens on a free port of loopback for connections to target, a host and port.
func New(target string) (*Proxy, error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for %s: %w", target, err)
	}
	p := &Proxy{target: target, lis: lis, quit: make(chan struct{}), links: map[*link]struct{}{}}
	p.wg.Go(p.accept)
	return p, nil
}

// Addr is where the proxy listens, a host and port.
func (p *Proxy) Addr() string { return p.lis.Addr().String() }

// DialContext connects to the proxy where addr is its target, and to addr itself
// otherwise: a client that checks the name of its server is so led here.
func (p *Proxy) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if addr == p.target {
		addr = p.Addr()
	}
	return new(net.Dialer).DialContext(ctx, network, addr)
}

// Use says what happens to connections from now on: to the n-th of them, from 0, what
// faults returns. Nil passes all on. Connections that stand stay as they are.
func (p *Proxy) Use(faults func(n int) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults, p.count = faults, 0
}

// Connections is how many connections came since [Proxy.Use].
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

// Reset ends all connections that stand with an RST to both sides.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.reset()
	}
}

// Close ends everything and waits for it.
func (p *Proxy) Close() error {
	err := p.lis.Close()
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.quit)
	}
	p.mu.Unlock()
	p.Reset()
	p.wg.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		client, err := p.lis.Accept()
		if err != nil {
			return // closed
		}
		p.mu.Lock()
		var f Fault
		if p.faults != nil {
			f = p.faults(p.count)
		}
		p.count++
		p.mu.Unlock()
		p.wg.Go(func() { p.serve(client, f) })
	}
}

// serve passes one connection on until both directions have ended.
func (p *Proxy) serve(client net.Conn, f Fault) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		closeHard(client)
		return
	}
	l := &link{client: client, server: server, dead: make(chan struct{})}
	p.mu.Lock()
	p.links[l] = struct{}{}
	closed := p.closed
	p.mu.Unlock()
	if closed {
		l.reset()
	}
	var both sync.WaitGroup
	both.Go(func() { p.pass(l, f.ToServer, server, client) })
	both.Go(func() { p.pass(l, f.ToClient, client, server) })
	both.Wait()
	client.Close()
	server.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// pass moves one direction and does what became of it.
func (p *Proxy) pass(l *link, how Pass, dst, src net.Conn) {
	if how == nil {
		how = plain
	}
	err := how(dst, l.unlessDead(src))
	switch {
	case err == nil:
		if half, ok := dst.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite() // an error: the other side is gone already
		}
	case errors.Is(err, ErrHalfOpen):
		l.die()
		<-p.quit
		l.reset()
	default:
		l.reset()
	}
}

func plain(dst io.Writer, src io.Reader) error {
	_, err := io.Copy(dst, src)
	return err
}

// link is one connection through the proxy.
type link struct {
	client, server net.Conn
	once           sync.Once
	dead           chan struct{} // closed when it is half-open
}

func (l *link) die() { l.once.Do(func() { close(l.dead) }) }

func (l *link) reset() {
	closeHard(l.client)
	closeHard(l.server)
}

// closeHard closes with an RST rather than a FIN.
func closeHard(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // an error: it is closed already
	}
	c.Close()
}

// unlessDead reads from one side for as long as the link is not half-open; what comes
// later, data or end, is lost.
func (l *link) unlessDead(src io.Reader) io.Reader {
	return readerFunc(func(b []byte) (int, error) {
		n, err := src.Read(b)
		select {
		case <-l.dead:
			return 0, ErrHalfOpen
		default:
			return n, err
		}
	})
}

type readerFunc func(b []byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }
