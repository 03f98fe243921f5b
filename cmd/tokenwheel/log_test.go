package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/tokenwheel/tokenwheel/hadooptest"
)

// reading starts a command whose output goes through a pipe, and reads that until a
// line has a word.
func reading(t *testing.T, c *exec.Cmd, word string, pipe func() (io.ReadCloser, error)) io.Closer {
	t.Helper()
	out, err := pipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	for s := bufio.NewScanner(out); s.Scan(); {
		if strings.Contains(s.Text(), word) {
			return out
		}
	}
	t.Fatalf("it never said %q", word)
	return nil
}

// Who reads the daemon's log may end, and the daemon must not.
func TestB157_DaemonOutlivesTheReaderOfItsLog(t *testing.T) {
	s := newSite(t, hadooptest.Config{})
	c := process(t, "run", "--config", s.config(t, ""))
	t.Setenv("TOKENWHEEL_ADDRESS", "unix://"+s.file("control.sock"))
	if err := reading(t, c, "daemon started", c.StderrPipe).Close(); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		ok(t, "app", "register", fmt.Sprint("app", i), "--obtain", "hdfs", "--stage-to", s.file("staged"+fmt.Sprint(i)), "--wait")
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("asked to end: %v", err)
	}
}

// stalled is a log that nobody reads until it is let go.
type stalled struct {
	journal
	let chan struct{}
}

func (s *stalled) Write(b []byte) (int, error) {
	<-s.let
	return s.journal.Write(b)
}

// A log that nobody reads is waited for by nobody; what did not fit is counted.
func TestB157_NobodyWaitsForTheLog(t *testing.T) {
	s := newSite(t, hadooptest.Config{})
	config := s.config(t, "log: {level: debug}\n")
	t.Setenv("TOKENWHEEL_ADDRESS", "unix://"+s.file("control.sock"))
	log := &stalled{journal: journal{started: make(chan struct{})}, let: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	code := make(chan int, 1)
	go func() { code <- run(ctx, []string{"run", "--config", config}, strings.NewReader(""), io.Discard, log) }()
	eventually(t, "the daemon answers", &daemon{log: &log.journal}, func() bool { return tokenwheel(t, "status").code == exitOK })
	ok(t, "app", "register", "job", "--obtain", "hdfs", "--stage-to", s.file("staged"), "--wait")
	close(log.let)
	cancel()
	if got := <-code; got != exitOK {
		t.Errorf("it ended with %d", got)
	}
	for _, word := range []string{"daemon started", "app=", "daemon ended"} {
		if !strings.Contains(log.String(), word) {
			t.Errorf("the log does not have %q:\n%s", word, log)
		}
	}
}

func TestB157_LinesThatDoNotFitAreCounted(t *testing.T) {
	var text bytes.Buffer
	let := make(chan struct{})
	var lost int64
	l := newLogWriter(writer(func(b []byte) (int, error) {
		<-let
		return text.Write(b)
	}), func(lines int64) { lost = lines })
	for range logQueue + 12 {
		_, _ = fmt.Fprintln(l, "line")
	}
	close(let)
	_ = l.Close()
	written := int64(bytes.Count(text.Bytes(), []byte("\n")))
	if lost == 0 || written+lost != logQueue+12 {
		t.Errorf("%d lines are written and %d counted as dropped, of %d", written, lost, logQueue+12)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }
