package faulttest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/tokenwheel/tokenwheel/hadooptest/faultproxy"
	"github.com/tokenwheel/tokenwheel/internal/hrpc"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// side is one direction of a connection to a NameNode.
type side struct {
	name    string
	opening int64 // bytes before its first message
	fault   func(faultproxy.Pass) faultproxy.Fault
}

var sides = []side{
	{"to the server", 7, func(p faultproxy.Pass) faultproxy.Fault { return faultproxy.Fault{ToServer: p} }},
	{"to the client", 0, func(p faultproxy.Pass) faultproxy.Fault { return faultproxy.Fault{ToClient: p} }},
}

// before makes an end come in place of the k-th message of a direction, and hit tells
// whether it came to that.
func (s side) before(k int, end error) (f faultproxy.Fault, hit *atomic.Bool) {
	hit = new(atomic.Bool)
	return s.fault(faultproxy.Messages(s.opening, func(i int, message []byte) ([]byte, error) {
		if i < k {
			return message, nil
		}
		hit.Store(true)
		return nil, end
	})), hit
}

// manyMessages is more than a login and a call have in either direction.
const manyMessages = 20

func resetAtEachByte(t *testing.T, c Cluster, _ string) {
	p := proxy(t, c.NameNode)
	for _, a := range c.attempts(t, p) {
		for _, s := range sides {
			for n := range int64(256) {
				what := fmt.Sprintf("a reset after %d bytes %s (%s)", n, s.name, a.name)
				p.Use(once(s.fault(faultproxy.ResetAfter(n))))
				broken(t, what, a.do(t.Context()))
				recovers(t, p, what, a)
				if t.Failed() {
					return // the next 255 say the same
				}
			}
		}
	}
}

func resetAtEachMessage(t *testing.T, c Cluster, _ string) {
	p := proxy(t, c.NameNode)
	for _, a := range c.attempts(t, p) {
		for _, s := range sides {
			k := 0
			for ; k < manyMessages; k++ {
				what := fmt.Sprintf("a reset before message %d %s (%s)", k, s.name, a.name)
				f, hit := s.before(k, faultproxy.ErrReset)
				p.Use(once(f))
				err := a.do(t.Context())
				if !hit.Load() {
					if err != nil {
						t.Errorf("%s, which was never sent: %v", what, err)
					}
					break
				}
				broken(t, what, err)
				recovers(t, p, what, a)
			}
			if k < 3 || k == manyMessages {
				t.Errorf("%s, %s: %d messages, which is no login and call", a.name, s.name, k)
			}
		}
	}
}

// answer is the index of the last message that a NameNode sends for an attempt: the
// answer to its call.
func (c Cluster) answer(t *testing.T, p *faultproxy.Proxy, a attempt) int {
	t.Helper()
	var count atomic.Int64
	p.Use(once(faultproxy.Fault{ToClient: faultproxy.Messages(0, func(_ int, message []byte) ([]byte, error) {
		count.Add(1)
		return message, nil
	})}))
	if err := a.do(t.Context()); err != nil {
		t.Fatal(err)
	}
	return int(count.Load()) - 1
}

// The service has done what it was asked, and nobody heard so: what may be done twice
// is done again, and what was cancelled is gone.
func resetBeforeTheAnswer(t *testing.T, c Cluster, _ string) {
	p := proxy(t, c.NameNode)
	provider := c.provider(t, p)
	token := mustObtain(t, provider)
	var last int
	for _, tt := range []struct {
		name string
		do   func(ctx context.Context) error
	}{
		{"renew", func(ctx context.Context) error { _, err := provider.Renew(ctx, token); return err }},
		{"obtain", func(ctx context.Context) error { _, err := obtain(ctx, provider); return err }},
		{"cancel", func(ctx context.Context) error { return provider.Cancel(ctx, token) }},
	} {
		a := attempt{tt.name, tt.do}
		p.Reset() // what was kept open is opened again
		if last == 0 {
			last = c.answer(t, p, a)
			p.Reset()
		}
		f, hit := sides[1].before(last, faultproxy.ErrReset)
		p.Use(once(f))
		err := a.do(t.Context())
		if !hit.Load() {
			t.Fatalf("%s: the answer came otherwise than it did before", tt.name)
		}
		broken(t, tt.name+" without its answer", err)
		if te, ok := errors.AsType[*hrpc.TransportError](err); ok && !te.Sent {
			t.Errorf("%s without its answer: %v says that nothing was sent", tt.name, err)
		}
		recovers(t, p, tt.name+" without its answer", a)
	}
	if _, err := provider.Renew(t.Context(), token); plugins.KindOf(err) != plugins.KindReplace {
		t.Errorf("renewing what was cancelled: %v, want kind replace", err)
	}
}
