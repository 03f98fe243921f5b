package hdfstest

import (
	"context"
	"net"
	"sync/atomic"
)

// dialer is the seam through which a provider opens its connections.
type dialer = func(ctx context.Context, network, addr string) (net.Conn, error)

// meter counts the connections that were tried and the bytes sent over them.
type meter struct{ count atomic.Int64 }

func (m *meter) sent() int64 { return m.count.Load() }

func (m *meter) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	m.count.Add(1) // a connection is packets, even if nothing is written to it
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return metered{Conn: conn, m: m}, nil
}

type metered struct {
	net.Conn
	m *meter
}

func (c metered) Write(p []byte) (int, error) {
	c.m.count.Add(int64(len(p)))
	return c.Conn.Write(p)
}
