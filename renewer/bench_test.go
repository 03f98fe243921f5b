package renewer_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/metrics"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// What the engine spends on a scheduled renewal: all tokens of a fleet fall due
// at one moment, 64 calls at a time. Read us-cpu/renewal, which other programs on
// the machine disturb least.
func BenchmarkRenewals(b *testing.B) {
	b.Run("answered at once", func(b *testing.B) { benchmarkRenewals(b, func(context.Context) {}) })
	b.Run("answered by another goroutine", func(b *testing.B) {
		benchmarkRenewals(b, answered(b, 0))
	})
	b.Run("answered together after a millisecond", func(b *testing.B) { // the processors have pauses
		benchmarkRenewals(b, answered(b, time.Millisecond))
	})
}

// answered is a call over a connection that one goroutine reads, which pauses when
// it has told all answers that are there.
func answered(b *testing.B, pause time.Duration) func(context.Context) {
	asked := make(chan chan struct{}, 64)
	b.Cleanup(func() { close(asked) })
	go func() {
		for answer := range asked {
			close(answer)
			if pause > 0 && len(asked) == 0 {
				time.Sleep(pause)
			}
		}
	}()
	return func(ctx context.Context) {
		answer := make(chan struct{})
		asked <- answer
		select {
		case <-answer:
		case <-ctx.Done():
		}
	}
}

const fleet = 20_000

func benchmarkRenewals(b *testing.B, call func(context.Context)) {
	p := &instant{call: call}
	r, err := renewer.New(renewer.Config{
		Providers: map[string]plugins.Provider{"bench": p}, PerAuthority: 64, CallsPerSecond: -1,
		Policy: renewer.Policy{Jitter: -1}, Clock: p.now,
	})
	if err != nil {
		b.Fatal(err)
	}
	err = r.Run(b.Context(), func(ctx context.Context) error {
		for i := range fleet {
			id := binary.BigEndian.AppendUint64(nil, uint64(i))
			a := appregistry.App{ID: appregistry.AppID(fmt.Sprint("app-", i)), User: "alice"}
			a.Credentials.Tokens = map[string]plugins.Token{"t": {Kind: "BENCH", Service: "bench", Identifier: id, Password: plugins.Secret("password")}}
			if err := r.As(renewer.Caller{Trusted: true}).Admit(ctx, a); err != nil {
				return err
			}
		}
		var cpu int64
		var objects uint64
		b.StopTimer()
		b.ResetTimer()
		for range b.N {
			if err := settled(ctx, r, p); err != nil {
				return err
			}
			done := p.after(fleet)
			c, o := spent()
			b.StartTimer()
			p.passed.Add(int64(20 * time.Hour))
			_, _ = r.As(renewer.Caller{Trusted: true}).KeepAlive(ctx, appregistry.AppKey{ID: "nobody"}) // has the engine look at the clock
			<-done
			b.StopTimer()
			c2, o2 := spent()
			cpu, objects = cpu+c2-c, objects+o2-o
		}
		b.ReportMetric(float64(cpu)/1000/float64(b.N)/fleet, "us-cpu/renewal")
		b.ReportMetric(float64(objects)/float64(b.N)/fleet, "allocs/renewal")
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

// settled waits until the engine has heard the answers to all renewals.
func settled(ctx context.Context, r *renewer.Renewer, p *instant) error {
	for {
		list, err := r.Entries(ctx)
		if err != nil {
			return err
		}
		_, now := p.now()
		if !slices.ContainsFunc(list, func(e appregistry.Entry) bool { return e.Tokens[0].Expires.Sub(now) < 23*time.Hour }) {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// spent is what this process has used of CPU, in nanoseconds, and allocated, in objects.
func spent() (cpu int64, objects uint64) {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}}
	metrics.Read(sample)
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r) // fails for a bad argument only
	return r.Utime.Nano() + r.Stime.Nano(), sample[0].Value.Uint64()
}

// instant is a service whose renewals live for a day of a clock that goes on by
// hand as well.
type instant struct {
	call   func(context.Context)
	passed atomic.Int64 // by hand
	left   atomic.Int64
	done   chan struct{}
}

var benchBegan = time.Now()

func (p *instant) now() (time.Duration, time.Time) {
	by := time.Duration(p.passed.Load())
	return time.Since(benchBegan) + by, time.Now().Add(by)
}

// after returns a channel that is closed once so many more renewals were made.
func (p *instant) after(n int64) <-chan struct{} {
	p.done = make(chan struct{})
	p.left.Store(n)
	return p.done
}

func (*instant) Kinds() []string { return []string{"BENCH"} }

func (*instant) Authorities(context.Context) ([]plugins.Authority, error) {
	return []plugins.Authority{{Name: "one", Kinds: []string{"BENCH"}, Services: []string{"bench"}}}, nil
}

func (*instant) Obtain(context.Context, plugins.ObtainRequest) ([]plugins.Grant, error) {
	return nil, plugins.Refused("not-obtainable", errors.New("nothing is issued here"))
}

func (p *instant) Renew(ctx context.Context, _ plugins.Token) (time.Time, error) {
	p.call(ctx)
	if p.left.Add(-1) == 0 {
		close(p.done)
	}
	_, now := p.now()
	return now.Add(24 * time.Hour).Truncate(time.Millisecond), nil
}

func (*instant) Cancel(context.Context, plugins.Token) error { return nil }
