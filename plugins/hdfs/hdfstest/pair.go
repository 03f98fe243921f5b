package hdfstest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/plugins/hdfs"
)

// Pair is a realm and two NameNodes of one nameservice, as their clients see them.
type Pair struct {
	Cluster     // Service and Break are not used
	Nameservice string

	// Failover makes the NameNode of that index active and the other one standby.
	Failover func(ctx context.Context, to int) error
	// Login logs in at the NameNode of that index with a token alone.
	Login func(ctx context.Context, at int, t plugins.Token) error
}

// RunPair runs the suite of two NameNodes, in which they fail over many times.
func RunPair(t *testing.T, open func(t *testing.T) Pair) {
	t.Helper()
	p := open(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, Pair)
	}{
		{"a token's life over failovers", lifeOverFailovers},
		{"no call is lost while they fail over", callsDuringFailovers},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, p) })
	}
}

func (p Pair) failover(t *testing.T, to int) {
	t.Helper()
	if err := p.Failover(t.Context(), to); err != nil {
		t.Fatal(err)
	}
}

// Obtain, renew, log in and cancel, each before and after a failover.
func lifeOverFailovers(t *testing.T, p Pair) {
	provider := p.provider(t, p.Self, nil)
	for _, first := range []int{0, 1} {
		p.failover(t, first)
		g, other := obtain(t, provider, "alice"), obtain(t, provider, "alice")
		if want := "ha-hdfs:" + p.Nameservice; g.Token.Service != want || g.Alias != want {
			t.Errorf("service %q under alias %q, want %q for both", g.Token.Service, g.Alias, want)
		}
		id, err := provider.Identify(t.Context(), g.Token)
		if err != nil || id.Owner != "alice" || id.RealUser != p.Self+"@"+p.Realm {
			t.Errorf("the token is %+v, %v; want it alice's, got by us", id, err)
		}
		renews(t, provider, p, g.Token, first)
		p.failover(t, 1-first)
		renews(t, provider, p, g.Token, 1-first)
		if err := provider.Cancel(t.Context(), g.Token); err != nil {
			t.Errorf("cancel after the failover: %v", err)
		}
		p.failover(t, first)
		if _, err := provider.Renew(t.Context(), g.Token); plugins.KindOf(err) != plugins.KindReplace {
			t.Errorf("renew what was cancelled at the other one: %v, want kind replace", err)
		}
		renews(t, provider, p, other.Token, first)
		if err := provider.Cancel(t.Context(), other.Token); err != nil {
			t.Errorf("cancel where it was issued: %v", err)
		}
	}
}

func renews(t *testing.T, provider *hdfs.Provider, p Pair, token plugins.Token, active int) {
	t.Helper()
	before := time.Now().Truncate(time.Millisecond)
	expires, err := provider.Renew(t.Context(), token)
	if err != nil || expires.Before(before.Add(p.RenewInterval)) {
		t.Errorf("with %d active: renewed until %v, %v", active, expires, err)
	}
	if err := p.Login(t.Context(), active, token); err != nil {
		t.Errorf("with %d active: login there: %v", active, err)
	}
}

// Callers see neither a standby nor the moment in which nobody serves.
func callsDuringFailovers(t *testing.T, p Pair) {
	const workers, failovers = 4, 6
	provider := p.provider(t, p.Self, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	calls := make([]int, workers)
	var wg sync.WaitGroup
	for w := range workers {
		token := obtain(t, provider, "alice").Token
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := provider.Renew(t.Context(), token); err != nil {
					t.Errorf("renewal %d of worker %d: %v", calls[w], w, err)
					return
				}
				calls[w]++
				if w > 0 {
					continue
				}
				grants, err := provider.Obtain(t.Context(), plugins.ObtainRequest{User: "alice"})
				if err != nil {
					t.Errorf("obtain %d: %v", calls[w], err)
					return
				}
				if err := provider.Cancel(t.Context(), grants[0].Token); err != nil {
					t.Errorf("cancel %d: %v", calls[w], err)
					return
				}
			}
		})
	}
	for i := range failovers {
		p.failover(t, (i+1)%2)
		if _, err := provider.Renew(t.Context(), obtain(t, provider, "alice").Token); err != nil {
			t.Errorf("after failover %d: %v", i, err)
		}
	}
	cancel()
	wg.Wait()
	for w, n := range calls {
		if n == 0 {
			t.Errorf("worker %d made no call", w)
		}
	}
	t.Logf("renewals of each worker during %d failovers: %v", failovers, calls)
}
