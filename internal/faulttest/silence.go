package faulttest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/hadooptest/faultproxy"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// slack is what an attempt may take beyond its deadline on a busy machine.
const slack = 2 * time.Second

// endsAt makes an attempt with a deadline, which must end there, and in time.
func endsAt(t *testing.T, what string, deadline time.Duration, a attempt) (took time.Duration) {
	t.Helper()
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	err := a.do(ctx)
	took = time.Since(start)
	if took > deadline+slack {
		t.Errorf("%s: the attempt ended after %s, its deadline was %s", what, took, deadline)
	}
	broken(t, what, err)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%s: %v, want the deadline", what, err)
	}
	return took
}

func halfOpen(t *testing.T, c Cluster, _ string) {
	const deadline = 200 * time.Millisecond
	p := proxy(t, c.NameNode)
	for _, a := range c.attempts(t, p) {
		for _, s := range sides {
			for k := range c.answer(t, p, a) + 1 {
				what := fmt.Sprintf("silence from message %d %s (%s)", k, s.name, a.name)
				f, hit := s.before(k, faultproxy.ErrHalfOpen)
				p.Use(once(f))
				if endsAt(t, what, deadline, a) < deadline && hit.Load() {
					t.Errorf("%s: the attempt ended before its deadline", what)
				}
				recovers(t, p, what, a)
			}
		}
	}
}

// The connection that is kept for renewals goes silent under one. The next one is not
// made on it again.
func keptSilent(t *testing.T, c Cluster, _ string) {
	const deadline = time.Second
	p := proxy(t, c.NameNode)
	provider := c.provider(t, p)
	token := mustObtain(t, provider)
	renew := attempt{"renew", func(ctx context.Context) error { _, err := provider.Renew(ctx, token); return err }}
	last := c.answer(t, p, renew)
	p.Reset()
	f, hit := sides[1].before(last+1, faultproxy.ErrHalfOpen)
	p.Use(once(f))
	recovers(t, p, "a reset", renew)
	endsAt(t, "silence on the kept connection", deadline, renew)
	if !hit.Load() || p.Connections() != 1 {
		t.Errorf("%d connections, silent: %v; want the kept one to fall silent", p.Connections(), hit.Load())
	}
	recovers(t, p, "silence on the kept connection", renew)
}

// Every byte is progress, so that only a deadline of the whole attempt ends it.
func oneByteASecond(t *testing.T, c Cluster, _ string) {
	const deadline = 1500 * time.Millisecond
	for _, s := range sides {
		p := proxy(t, c.NameNode)
		all := c.attempts(t, p)
		p.Use(func(int) faultproxy.Fault { return s.fault(faultproxy.Slow(time.Second)) })
		var both sync.WaitGroup
		for _, a := range all {
			both.Go(func() { endsAt(t, "one byte a second "+s.name+" ("+a.name+")", deadline, a) })
		}
		both.Wait()
		p.Use(nil)
		for _, a := range all {
			recovers(t, p, "one byte a second "+s.name, a)
		}
	}
}

// Slow is not broken.
func delayed(t *testing.T, c Cluster, _ string) {
	p := proxy(t, c.NameNode)
	all := c.attempts(t, p)
	p.Use(func(int) faultproxy.Fault {
		return faultproxy.Fault{ToServer: faultproxy.Delay(50 * time.Millisecond), ToClient: faultproxy.Delay(50 * time.Millisecond)}
	})
	for _, a := range all {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if err := a.do(ctx); err != nil {
			t.Errorf("everything 50 ms late (%s): %v", a.name, err)
		}
		cancel()
	}
}

// A hundred services hang, each on a connection of its own, and the engine is told to
// stop.
func stopHalfOpen(t *testing.T, c Cluster, _ string) {
	const services, most = 100, 5 * time.Second
	p := proxy(t, c.NameNode)
	var hung atomic.Int64
	all := make(chan struct{})
	p.Use(func(n int) faultproxy.Fault {
		if n >= services { // the engine asks again
			return faultproxy.Fault{ToClient: faultproxy.HalfOpenAfter(0)}
		}
		// Some hang in the login, the others in the call.
		return faultproxy.Fault{ToClient: faultproxy.Messages(0, func(i int, message []byte) ([]byte, error) {
			if i < n%5 {
				return message, nil
			}
			if hung.Add(1) == services {
				close(all)
			}
			return nil, faultproxy.ErrHalfOpen
		})}
	})
	providers := map[string]plugins.Provider{}
	for n := range services {
		providers[fmt.Sprintf("hdfs@n%d", n)] = c.provider(t, p)
	}
	r, err := renewer.New(renewer.Config{Providers: providers})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- r.Run(ctx, func(ctx context.Context) error {
			var registering sync.WaitGroup
			defer registering.Wait()
			for name := range providers {
				registering.Go(func() {
					app := appregistry.App{ID: appregistry.AppID("job-" + name[len("hdfs@"):]), User: "alice", Obtain: []string{name}}
					if err := r.Register(ctx, app); err == nil {
						t.Errorf("%s answered", name)
					}
				})
			}
			<-ctx.Done()
			return nil
		})
	}()
	select {
	case <-all:
	case <-time.After(patience):
		t.Fatalf("only %d services hang: this test would show too little", hung.Load())
	}
	start := time.Now()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, provider := range providers {
		if closer, ok := provider.(interface{ Close() error }); ok {
			_ = closer.Close()
		}
	}
	if took := time.Since(start); took > most {
		t.Errorf("stopping took %s with %d half-open connections, want at most %s", took, services, most)
	}
}
