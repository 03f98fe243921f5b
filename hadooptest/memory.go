package hadooptest

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
)

// Dial connects to the KDC or a NameNode of a cluster in memory, by their
// addresses; to no other.
func (c *Cluster) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if addr == c.KDCAddr {
		return c.kdc.Dial(ctx, network, addr)
	}
	for _, n := range c.NameNodes {
		if l, ok := n.lis.(*pipes); ok && n.Addr == addr {
			return l.dial(ctx)
		}
	}
	return nil, refused(network, addr)
}

func refused(network, addr string) error {
	return &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("%s: %w", addr, syscall.ECONNREFUSED)}
}

// pipes is a listener without a network.
type pipes struct {
	addr   pipeAddr
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

type pipeAddr string

func (pipeAddr) Network() string  { return "tcp" }
func (a pipeAddr) String() string { return string(a) }

func listenInMemory(addr string) *pipes {
	return &pipes{addr: pipeAddr(addr), conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.closed:
		return nil, refused("tcp", p.addr.String())
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// Addr implements net.Listener.
func (p *pipes) Addr() net.Addr { return p.addr }
