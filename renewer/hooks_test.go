package renewer_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// eventful has everything happen that a hook is for.
func eventful(t *testing.T, c renewer.Config) {
	l, s := newLender(hadooptest.Lifetimes{RenewInterval: time.Hour, MaxLifetime: 4 * time.Hour}), newShelf()
	c.Providers, c.Stager = providers(l), s
	running(t, c, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		must(t, r.Register(ctx, app("job", "hdfs")))
		time.Sleep(6 * time.Hour)
		l.fail(func(string) error { return plugins.Denied(errTest(1)) })
		time.Sleep(6 * time.Hour)
	})
}

// A hook that is alone hears all that it is for: what nobody hears is not even
// made.
func TestHooks_EachHearsWithoutTheOthers(t *testing.T) {
	for name, only := range map[string]func(h *renewer.Hooks, hear func(renewer.Event)){
		"token-renewed":  func(h *renewer.Hooks, hear func(renewer.Event)) { h.Renewed = hear },
		"token-replaced": func(h *renewer.Hooks, hear func(renewer.Event)) { h.Replaced = hear },
		"set-staged":     func(h *renewer.Hooks, hear func(renewer.Event)) { h.Staged = hear },
		"try-failed":     func(h *renewer.Hooks, hear func(renewer.Event)) { h.Failed = hear },
		"try-alarmed":    func(h *renewer.Hooks, hear func(renewer.Event)) { h.Failed = hear },
		"token-lost":     func(h *renewer.Hooks, hear func(renewer.Event)) { h.Lost = hear },
		"app-admitted":   func(h *renewer.Hooks, hear func(renewer.Event)) { h.Each = hear },
		"app-ready":      func(h *renewer.Hooks, hear func(renewer.Event)) { h.Each = hear },
	} {
		t.Run(name, func(t *testing.T) {
			var seen events
			var alone renewer.Hooks
			only(&alone, seen.hooks().Each)
			eventful(t, renewer.Config{Hooks: alone})
			ev := seen.last[name]
			if seen.count(name) == 0 || len(ev.Apps) != 1 || ev.Apps[0].ID != "job" {
				t.Errorf("heard %v, the last as %+v; want it, and of the application", seen.seen, ev)
			}
		})
	}
}

// The log is asked again and again which levels it wants, since they may change.
func TestLog_HearsByItsPresentLevel(t *testing.T) {
	var level slog.LevelVar
	var text bytes.Buffer
	level.Set(slog.LevelError)
	var once sync.Once
	hooks := renewer.Hooks{Renewed: func(renewer.Event) { once.Do(func() { level.Set(slog.LevelInfo) }) }}
	eventful(t, renewer.Config{Hooks: hooks, Logger: slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: &level}))})
	log := text.String()
	if strings.Contains(log, "msg=app-admitted") {
		t.Error("an application that was admitted is logged at level error")
	}
	for _, what := range []string{"token-obtained", "token-renewed", "token-replaced", "try-alarmed", "token-lost"} {
		if !strings.Contains(log, "msg="+what) {
			t.Errorf("%s is not logged at level info", what)
		}
	}
}

// moody is a log that does as the test says.
type moody struct {
	slog.Handler
	enabled, handle func()
}

func (m *moody) Enabled(context.Context, slog.Level) bool {
	m.enabled()
	return true
}

func (m *moody) Handle(context.Context, slog.Record) error {
	m.handle()
	return nil
}

// A log that hangs or throws, in whatever it is asked, costs no token.
func TestLog_ThatHangsOrThrowsDelaysNoRenewal(t *testing.T) {
	var block chan struct{}
	var hang atomic.Bool
	hangs := func() {
		if hang.Load() {
			<-block
		}
	}
	throws := func() { panic("a bug of the log") }
	well := func() {}
	for name, log := range map[string]*moody{
		"asked for its level, it hangs":  {enabled: hangs, handle: well},
		"asked for its level, it throws": {enabled: throws, handle: well},
		"told, it hangs":                 {enabled: well, handle: hangs},
		"told, it throws":                {enabled: well, handle: throws},
	} {
		t.Run(name, func(t *testing.T) {
			l, s := newLender(hadooptest.Lifetimes{RenewInterval: time.Hour, MaxLifetime: 48 * time.Hour}), newShelf()
			running(t, renewer.Config{Providers: providers(l), Stager: s, Logger: slog.New(log)}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
				block = make(chan struct{})
				must(t, r.Register(ctx, app("job", "hdfs")))
				hang.Store(true)
				time.Sleep(5 * time.Hour)
				if n := l.count("renew"); n < 5 {
					t.Errorf("%d renewals in five hours of tokens that live for one", n)
				}
				hang.Store(false)
				close(block)
			})
		})
	}
}
