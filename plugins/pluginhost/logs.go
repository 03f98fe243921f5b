package pluginhost

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"os"
	"slices"
	"time"
)

// maxLogLine bounds one line of a program's log in bytes; a longer one is cut
// into pieces.
const maxLogLine = 16 << 10

// logReader takes a program's standard error over into the host's log.
type logReader struct {
	in    *os.File
	first string        // the first line, for a program that ends at once; read after done
	done  chan struct{} // closed at the end of the output
}

func readLogs(in *os.File, log *slog.Logger) *logReader {
	r := &logReader{in: in, done: make(chan struct{})}
	go r.run(log)
	return r
}

func (r *logReader) run(log *slog.Logger) {
	defer close(r.done)
	lines, dam := bufio.NewReaderSize(r.in, maxLogLine), dam{}
	defer func() { tellDropped(log, dam.dropped) }()
	for {
		line, err := lines.ReadSlice('\n')
		if line = bytes.TrimSpace(line); len(line) > 0 && dam.lets(time.Now()) {
			tellDropped(log, dam.takeDropped())
			text := string(line)
			if r.first == "" {
				r.first = text[:min(len(text), 200)]
			}
			logLine(log, text)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

const (
	logRate  = 100  // lines a second that a program may log for long
	logBurst = 1000 // lines that it may log at once
)

// dam holds back a flood of lines. The zero value is full of water that may pass.
type dam struct {
	level   time.Duration // how far ahead of the rate the lines let through are
	last    time.Time
	dropped int
}

// lets reports whether a line may pass now.
func (d *dam) lets(now time.Time) bool {
	const each = time.Second / logRate
	d.level = max(0, d.level-max(0, now.Sub(d.last)))
	d.last = now
	if d.level+each > logBurst*each {
		d.dropped++
		return false
	}
	d.level += each
	return true
}

func (d *dam) takeDropped() int {
	n := d.dropped
	d.dropped = 0
	return n
}

func tellDropped(log *slog.Logger, n int) {
	if n > 0 {
		log.Warn("provider program logs too much", "lines_dropped", n)
	}
}

// logLine passes one line on: hclog's JSON form with its own level and fields,
// anything else, a panic's trace among it, as it is.
func logLine(log *slog.Logger, line string) {
	var fields map[string]any
	if line[0] != '{' || json.Unmarshal([]byte(line), &fields) != nil {
		log.Info("provider program: " + line)
		return
	}
	message, _ := fields["@message"].(string)
	level, _ := fields["@level"].(string)
	for _, name := range []string{"@message", "@level", "@timestamp"} {
		delete(fields, name)
	}
	var args []any
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		args = append(args, name, fields[name])
	}
	log.Log(context.Background(), levelOf(level), "provider program: "+message, args...)
}

func levelOf(word string) slog.Level {
	switch word {
	case "error":
		return slog.LevelError
	case "warn":
		return slog.LevelWarn
	case "trace", "debug":
		return slog.LevelDebug
	default:
		return slog.LevelInfo
	}
}
