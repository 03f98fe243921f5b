package pluginhost

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
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
	lines := bufio.NewReaderSize(r.in, maxLogLine)
	for {
		line, err := lines.ReadSlice('\n')
		if text := strings.TrimSpace(string(line)); text != "" {
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
