// Package hclogslog joins the two loggers at the plugin boundary: go-plugin speaks
// hclog, the rest of tokenwheel log/slog. [Logger] gives the host an hclog logger
// that ends in a slog one; [Handler] lets a provider program log by slog in the
// JSON lines that go-plugin reads back. Both are safe for concurrent use.
package hclogslog

import (
	"context"
	"io"
	"log/slog"

	"github.com/hashicorp/go-hclog"
)

// Logger is an hclog logger that writes to l; nil is silent. Trace counts as
// debug. Whether l is enabled for a level is asked at each line.
func Logger(l *slog.Logger) hclog.Logger {
	if l == nil {
		return hclog.NewNullLogger()
	}
	root := hclog.NewInterceptLogger(&hclog.LoggerOptions{Level: lowest(l), Output: io.Discard})
	root.RegisterSink(sink{l})
	return root
}

type sink struct{ log *slog.Logger }

// Accept implements [hclog.SinkAdapter].
func (s sink) Accept(name string, level hclog.Level, msg string, args ...any) {
	log := s.log
	if name != "" {
		log = log.With("logger", name)
	}
	log.Log(context.Background(), toSlog(level), msg, args...)
}

func toSlog(level hclog.Level) slog.Level {
	switch level {
	case hclog.Error:
		return slog.LevelError
	case hclog.Warn:
		return slog.LevelWarn
	case hclog.Trace, hclog.Debug:
		return slog.LevelDebug
	default:
		return slog.LevelInfo
	}
}

// lowest is the level below which go-plugin need not even format a line.
func lowest(l *slog.Logger) hclog.Level {
	for _, level := range []hclog.Level{hclog.Debug, hclog.Info, hclog.Warn} {
		if l.Enabled(context.Background(), toSlog(level)) {
			return level
		}
	}
	return hclog.Error
}

// Handler writes hclog's JSON lines to w: what a host takes over with its level.
func Handler(w io.Writer, level slog.Leveler) slog.Handler {
	return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: hclogNames})
}

// hclogNames gives the three fields every line has the names and forms of hclog.
func hclogNames(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	switch a.Key {
	case slog.TimeKey:
		return slog.String("@timestamp", a.Value.Time().Format(hclog.TimeFormatJSON))
	case slog.MessageKey:
		a.Key = "@message"
	case slog.LevelKey:
		level, _ := a.Value.Any().(slog.Level)
		return slog.String("@level", hclogLevel(level).String())
	}
	return a
}

func hclogLevel(level slog.Level) hclog.Level {
	switch {
	case level >= slog.LevelError:
		return hclog.Error
	case level >= slog.LevelWarn:
		return hclog.Warn
	case level >= slog.LevelInfo:
		return hclog.Info
	default:
		return hclog.Debug
	}
}
