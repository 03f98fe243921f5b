package krb

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

const (
	maxReply    = 1 << 20
	maxDatagram = 1 << 16
	udpResend   = time.Second // doubles: a datagram or its answer may be lost
)

// Dialer opens connections to KDCs. It must honour ctx. For network "udp" each
// Write is one datagram, as with net.Dialer.
type Dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// ask sends one request to one KDC and returns its answer, a slice of its own.
func (d Dialer) ask(ctx context.Context, network, addr string, req []byte) (reply []byte, err error) {
	conn, err := d(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	// A deadline in the past wakes reads and writes; ctx alone does not reach them.
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if network == "udp" {
		reply, err = askUDP(ctx, conn, req)
	} else {
		reply, err = askTCP(conn, req)
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return reply, err
}

// askTCP frames by a 4-byte length, RFC 4120 section 7.2.2.
func askTCP(conn net.Conn, req []byte) ([]byte, error) {
	framed := append(binary.BigEndian.AppendUint32(nil, uint32(len(req))), req...)
	if _, err := conn.Write(framed); err != nil {
		return nil, err
	}
	var head [4]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, fmt.Errorf("reply length: %w", err)
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > maxReply {
		return nil, protocolError("reply of %d bytes is over the limit of %d", size, maxReply)
	}
	reply := make([]byte, size)
	if _, err := io.ReadFull(conn, reply); err != nil {
		return nil, fmt.Errorf("reply: %w", err)
	}
	return reply, nil
}

func askUDP(ctx context.Context, conn net.Conn, req []byte) ([]byte, error) {
	buf := make([]byte, maxDatagram)
	for wait := udpResend; ; wait *= 2 {
		if err := conn.SetDeadline(time.Now().Add(wait)); err != nil {
			return nil, err
		}
		if ctx.Err() != nil { // after SetDeadline, which may have undone the one of ctx
			return nil, context.Cause(ctx)
		}
		if _, err := conn.Write(req); err != nil && !isTimeout(err) {
			return nil, err
		}
		n, err := conn.Read(buf)
		if err == nil {
			return buf[:n], nil
		}
		if !isTimeout(err) {
			return nil, err
		}
	}
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}
