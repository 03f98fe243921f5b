package hdfs

import (
	"context"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/tokenwheel/tokenwheel/internal/hrpc"
)

// connections keeps one open connection to each NameNode for calls as ourselves.
// Renewals come in crowds, and a login for each would cost more than the call. A
// server closes a connection that nobody uses; the next call opens another.
type connections struct {
	cfg hrpc.Config

	mu     sync.Mutex // guards what follows
	open   map[string]*hrpc.Conn
	closed bool
}

// call makes a call that may safely be made twice, as renewals, cancels and questions may:
// on a new connection if the kept one turns out to be dead.
func (c *connections) call(ctx context.Context, addr, method string, req, answer proto.Message) error {
	for kept := true; ; {
		conn := c.alive(addr)
		if conn == nil {
			var err error
			if conn, err = c.dial(ctx, addr); err != nil {
				return err
			}
			kept = false
		}
		err := conn.Call(ctx, method, req, answer)
		if err == nil || !kept || conn.Err() == nil || ctx.Err() != nil {
			return err
		}
	}
}

func (c *connections) alive(addr string) *hrpc.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	conn := c.open[addr]
	if conn != nil && conn.Err() != nil {
		delete(c.open, addr)
		return nil
	}
	return conn
}

// dial opens a connection and keeps it. Of two opened at once the first is kept.
func (c *connections) dial(ctx context.Context, addr string) (*hrpc.Conn, error) {
	conn, err := hrpc.Dial(ctx, c.cfg, addr)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if first := c.open[addr]; first != nil && first.Err() == nil {
		conn.Close()
		return first, nil
	}
	if c.closed {
		conn.Close() // its calls say so
		return conn, nil
	}
	c.open[addr] = conn
	return conn, nil
}

func (c *connections) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, conn := range c.open {
		conn.Close()
	}
	clear(c.open)
}
