package control_test

import (
	"bufio"
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/control"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// TestB155_NobodyTakesAllConnections: a user at his limit gets no further one
// until he closes one; the others do not notice.
func TestB155_NobodyTakesAllConnections(t *testing.T) {
	w := newWorld(t, malloryUID)
	var held []net.Conn
	for range control.MaxPerUser {
		conn, err := w.hold(t)
		if err != nil {
			t.Fatalf("connection %d: %v", len(held)+1, err)
		}
		held = append(held, conn)
	}
	if _, err := w.hold(t); err == nil {
		t.Errorf("connection %d was served", len(held)+1)
	}
	w.uid.Store(aliceUID)
	if _, err := w.client().Apps(t.Context()); err != nil {
		t.Errorf("another user: %v", err)
	}

	w.uid.Store(malloryUID)
	_ = held[0].Close()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); ; <-tick.C {
		if _, err := w.hold(t); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("after one was closed: %v", err)
		}
	}
	if _, err := w.hold(t); err == nil {
		t.Error("one was closed, and two were served")
	}
}

// hold connects and has one request answered; the connection stays open until the
// test ends.
func (w *world) hold(t *testing.T) (net.Conn, error) {
	t.Helper()
	conn, err := net.Dial("unix", w.path)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return nil, err
	}
	if _, err := conn.Write([]byte("GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil, err
	}
	return conn, resp.Body.Close()
}

// A user at his limit cannot fill the log.
func TestB155_RefusedConnectionsAreToldOnce(t *testing.T) {
	var log bytes.Buffer // written by the one goroutine that accepts
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := control.NewServer(control.Config{
		As:     func(renewer.Caller) control.Engine { return told{} },
		Peer:   func(net.Conn) (control.Peer, error) { return control.Peer{}, nil },
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, l) }()
	w := &world{path: l.Addr().String()}
	for range control.MaxPerUser {
		if _, err := w.hold(t); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		if _, err := w.hold(t); err == nil {
			t.Fatal("a connection too many was served")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "too many connections"); n != 1 {
		t.Errorf("it is told %d times, want once:\n%s", n, log.String())
	}
}

// closing is a listener whose connections say when they are closed.
type closing struct {
	net.Listener
	closed chan struct{}
}

func (l closing) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return closingConn{c, l.closed}, err
}

type closingConn struct {
	net.Conn
	closed chan struct{}
}

func (c closingConn) Close() error {
	err := c.Conn.Close()
	select {
	case c.closed <- struct{}{}:
	default:
	}
	return err
}

// Who does not read what he asked for keeps it and his connection for a while only.
func TestB155_AnswerThatNobodyReadsIsLetGo(t *testing.T) {
	apps := make([]renewer.AppStatus, 20_000) // more than a socket takes
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := control.NewServer(control.Config{
		As:   func(renewer.Caller) control.Engine { return told{apps: apps} },
		Peer: func(net.Conn) (control.Peer, error) { return control.Peer{}, nil },
	})
	server.ReadWithin(50 * time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	on := closing{l, make(chan struct{}, 1)}
	go func() { done <- server.Serve(ctx, on) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET /v1/apps HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	select {
	case <-on.closed:
	case <-time.After(20 * time.Second):
		t.Error("the connection stays open")
	}
}
