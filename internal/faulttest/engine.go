package faulttest

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/hadooptest/faultproxy"
	"github.com/tokenwheel/tokenwheel/internal/clock"
	"github.com/tokenwheel/tokenwheel/internal/hrpc"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/plugins/hdfs"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// counted counts what the engine asks a provider to do that ends a token.
type counted struct {
	*hdfs.Provider
	obtains, cancels atomic.Int64
	asked            chan struct{} // signalled at each obtain, if anybody waits
}

func (c *counted) Obtain(ctx context.Context, req plugins.ObtainRequest) ([]plugins.Grant, error) {
	c.obtains.Add(1)
	select {
	case c.asked <- struct{}{}:
	default:
	}
	return c.Provider.Obtain(ctx, req)
}

func (c *counted) Cancel(ctx context.Context, t plugins.Token) error {
	c.cancels.Add(1)
	return c.Provider.Cancel(ctx, t)
}

// ahead is the machine's clock, moved on by hand.
type ahead struct{ by atomic.Int64 }

func (a *ahead) read() (boot time.Duration, wall time.Time) {
	now, by := clock.System().Now(), time.Duration(a.by.Load())
	return now.Boot + by, now.Wall.Add(by)
}

// Somebody in the middle answers renewals with refusals of his own. Where integrity is
// checked he is never believed, however often he says it. At authentication, where
// nothing can be checked, InvalidToken is believed only when it is said again, half a
// minute later.
func forgedAnswers(t *testing.T, c Cluster, protection string) {
	p := proxy(t, c.NameNode)
	hook := &counted{Provider: c.provider(t, p), asked: make(chan struct{}, 1)}
	var now ahead
	r, err := renewer.New(renewer.Config{
		Providers: map[string]plugins.Provider{"hdfs": hook}, Clock: now.read,
		Policy: renewer.Policy{Cooldown: time.Millisecond}, // each renewal that is asked for is one
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Run(t.Context(), func(ctx context.Context) error {
		m := middle{t: t, p: p, r: r, hook: hook}
		if err := r.Register(ctx, appregistry.App{ID: "job", User: "alice", Obtain: []string{"hdfs"}}); err != nil {
			return err
		}
		entries, err := r.Entries(ctx)
		if err != nil {
			return err
		}
		m.token = entries[0].Tokens[0].ID
		// Past the time in which a server may not know a new token yet.
		now.by.Add(int64(2 * time.Minute))
		if protection != "authentication" {
			for range 5 {
				m.forged(ctx, hrpc.InvalidToken)
				now.by.Add(int64(time.Minute))
			}
			m.forged(ctx, hrpc.Standby)
			m.forged(ctx, hrpc.AccessControl)
			m.healthy(ctx)
			m.ended(0)
			return nil
		}
		m.forged(ctx, hrpc.InvalidToken)
		m.healthy(ctx) // which takes the doubt away
		m.forged(ctx, hrpc.Standby)
		m.forged(ctx, hrpc.InvalidToken)
		m.forged(ctx, hrpc.InvalidToken) // at once: that is the same lie
		m.healthy(ctx)
		m.ended(0)
		m.forged(ctx, hrpc.InvalidToken)
		m.ended(0)
		now.by.Add(int64(time.Minute))
		<-hook.asked // for the first token
		m.forged(ctx, hrpc.InvalidToken)
		select { // now it is believed: the test can see a replacement
		case <-hook.asked:
		case <-ctx.Done():
		case <-time.After(patience):
			t.Error("said twice, a minute apart, and still not believed: what this test saw before shows nothing")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// middle is somebody between an engine and its NameNode.
type middle struct {
	t     *testing.T
	p     *faultproxy.Proxy
	r     *renewer.Renewer
	hook  *counted
	token appregistry.TokenID
}

// forged has the token renewed, and the answer replaced.
func (m middle) forged(ctx context.Context, class hrpc.Class) {
	m.t.Helper()
	var lied atomic.Bool
	m.p.Use(func(int) faultproxy.Fault {
		return faultproxy.Fault{ToClient: faultproxy.Messages(0, func(_ int, message []byte) ([]byte, error) {
			call := callOf(message)
			if call == -33 { // of the login, or wrapped
				if !isWrap(message) {
					return message, nil
				}
				call = 0
			}
			lied.Store(true)
			return forge(call, class), nil
		})}
	})
	m.p.Reset()
	if err := m.r.As(renewer.Caller{Trusted: true}).RenewToken(ctx, m.token); err == nil || !lied.Load() {
		m.t.Errorf("a renewal whose answer was forged: %v; forged: %v", err, lied.Load())
	}
}

// healthy has the token renewed, and nobody in between.
func (m middle) healthy(ctx context.Context) {
	m.t.Helper()
	m.p.Use(nil)
	m.p.Reset()
	if err := m.r.As(renewer.Caller{Trusted: true}).RenewToken(ctx, m.token); err != nil {
		m.t.Errorf("a renewal with nobody in between: %v", err)
	}
}

// ended tells how many replacements and cancels were asked for beyond the first token.
func (m middle) ended(want int64) {
	m.t.Helper()
	if o, c := m.hook.obtains.Load()-1, m.hook.cancels.Load(); o != want || c != want {
		m.t.Errorf("%d replacements and %d cancels, want %d of each", o, c, want)
	}
}
