package control_test

import (
	"bufio"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/control"
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
