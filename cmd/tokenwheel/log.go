package main

import (
	"bytes"
	"io"
	"log/slog"
	"sync/atomic"
	"time"
)

// logQueue is how many lines wait for who reads the log, and logFlush how long the
// last ones may take at the end.
const (
	logQueue = 4096
	logFlush = 2 * time.Second
)

// logWriter hands lines of the log to a goroutine that writes them, so that nobody
// waits for a disk that is full or for who reads a pipe. Lines that find no room are
// dropped and counted.
type logWriter struct {
	lines   chan []byte
	dropped atomic.Int64
	stop    chan struct{}
	done    chan struct{}
}

// newLogWriter writes to w until it is closed; lost tells there how many lines were
// dropped.
func newLogWriter(w io.Writer, lost func(lines int64)) *logWriter {
	l := &logWriter{lines: make(chan []byte, logQueue), stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		for ended := false; ; {
			select {
			case line := <-l.lines:
				_, _ = w.Write(line) // there is nobody else to tell
				if n := l.dropped.Swap(0); n > 0 {
					lost(n)
				}
				continue
			default:
			}
			if ended {
				return
			}
			select {
			case line := <-l.lines:
				_, _ = w.Write(line)
			case <-l.stop:
				ended = true
			}
		}
	}()
	return l
}

// Write implements io.Writer. It never waits.
func (l *logWriter) Write(line []byte) (int, error) {
	select {
	case l.lines <- bytes.Clone(line):
	default:
		l.dropped.Add(1)
	}
	return len(line), nil
}

// Close returns once what was logged is written, or cannot be.
func (l *logWriter) Close() error {
	close(l.stop)
	limit := time.NewTimer(logFlush)
	defer limit.Stop()
	select {
	case <-l.done:
	case <-limit.C:
	}
	return nil
}

// openLog is the daemon's log, to be closed at its end.
func (c *config) openLog(w io.Writer) (*slog.Logger, io.Closer) {
	direct := slog.New(c.logHandler(w))
	l := newLogWriter(w, func(lines int64) { direct.Warn("log lines dropped: nobody takes them", "lines", lines) })
	return slog.New(c.logHandler(l)), l
}

func (c *config) logHandler(w io.Writer) slog.Handler {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Log.Level)) // was checked
	options := &slog.HandlerOptions{Level: level}
	if c.Log.Format == "json" {
		return slog.NewJSONHandler(w, options)
	}
	return slog.NewTextHandler(w, options)
}
