package minikdc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

const maxRequest = 1 << 17

// network is the KDC's connections and its network faults.
type network struct {
	kdc    *KDC
	ctx    context.Context // ends at Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu     sync.Mutex // guards what follows
	closed bool
	down   bool
	hang   chan struct{} // not nil: answers wait until it closes
}

func (n *network) init(k *KDC) {
	n.kdc = k
	n.ctx, n.cancel = context.WithCancel(context.Background())
}

// Close ends all connections and waits for their goroutines.
func (k *KDC) Close() error {
	k.net.mu.Lock()
	k.net.closed = true
	k.net.mu.Unlock()
	k.net.cancel()
	k.net.wg.Wait()
	return nil
}

// SetDown makes the KDC refuse connections and drop datagrams, or work again.
func (k *KDC) SetDown(down bool) {
	k.net.mu.Lock()
	defer k.net.mu.Unlock()
	k.net.down = down
}

// SetHang makes the KDC take requests and not answer; when it is undone, waiting
// requests are answered.
func (k *KDC) SetHang(hang bool) {
	k.net.mu.Lock()
	defer k.net.mu.Unlock()
	switch {
	case hang && k.net.hang == nil:
		k.net.hang = make(chan struct{})
	case !hang && k.net.hang != nil:
		close(k.net.hang)
		k.net.hang = nil
	}
}

// start runs f on a goroutine that Close waits for; stop is called at Close, to
// wake f up.
func (n *network) start(stop func(), f func()) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		stop()
		return net.ErrClosed
	}
	n.wg.Go(func() {
		end := context.AfterFunc(n.ctx, stop)
		defer end()
		f()
	})
	return nil
}

func (n *network) isDown() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.down
}

// wait blocks while the KDC hangs; false means it was closed.
func (n *network) wait() bool {
	n.mu.Lock()
	hang := n.hang
	n.mu.Unlock()
	if hang == nil {
		return true
	}
	select {
	case <-hang:
		return true
	case <-n.ctx.Done():
		return false
	}
}

// Serve answers TCP clients of l until Close, which also closes l.
func (k *KDC) Serve(l net.Listener) error {
	return k.net.start(func() { l.Close() }, func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if k.net.isDown() || k.net.serveStream(conn) != nil {
				conn.Close()
			}
		}
	})
}

// ServePacket answers UDP clients of pc until Close, which also closes pc.
func (k *KDC) ServePacket(pc net.PacketConn) error {
	return k.net.start(func() { pc.Close() }, func() {
		buf := make([]byte, maxRequest)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			if k.net.isDown() || !k.net.wait() {
				continue
			}
			if _, err := pc.WriteTo(k.answer("udp", buf[:n]), from); errors.Is(err, net.ErrClosed) {
				return
			}
		}
	})
}

// Listen serves TCP and UDP on a free loopback port until Close.
func (k *KDC) Listen() (addr string, err error) {
	for range 20 { // the TCP port may be taken for UDP
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		pc, err := net.ListenPacket("udp", l.Addr().String())
		if err != nil {
			l.Close()
			continue
		}
		return l.Addr().String(), errors.Join(k.Serve(l), k.ServePacket(pc))
	}
	return "", errors.New("no port is free for both TCP and UDP")
}

// Dial connects to the KDC in memory; it is a krb.Dialer that answers for every
// address. On network "udp" each Write is a datagram.
func (k *KDC) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if k.net.isDown() {
		return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("%s: %w", addr, syscall.ECONNREFUSED)}
	}
	client, server := net.Pipe()
	serve := k.net.serveStream
	if network == "udp" {
		serve = k.net.serveDatagrams
	}
	if err := serve(server); err != nil {
		return nil, err
	}
	return client, nil
}

func (n *network) serveStream(conn net.Conn) error {
	return n.start(func() { conn.Close() }, func() {
		defer conn.Close()
		for {
			var head [4]byte
			if _, err := io.ReadFull(conn, head[:]); err != nil {
				return
			}
			size := binary.BigEndian.Uint32(head[:])
			if size > maxRequest {
				return
			}
			req := make([]byte, size)
			if _, err := io.ReadFull(conn, req); err != nil || !n.wait() {
				return
			}
			reply := n.kdc.answer("tcp", req)
			if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(reply))), reply...)); err != nil {
				return
			}
		}
	})
}

func (n *network) serveDatagrams(conn net.Conn) error {
	return n.start(func() { conn.Close() }, func() {
		defer conn.Close()
		buf := make([]byte, maxRequest)
		for {
			size, err := conn.Read(buf)
			if err != nil || !n.wait() {
				return
			}
			_ = conn.SetWriteDeadline(time.Now().Add(time.Second)) // nobody may be reading
			if _, err := conn.Write(n.kdc.answer("udp", buf[:size])); err != nil {
				return
			}
		}
	})
}
