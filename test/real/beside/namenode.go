package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pb "github.com/tokenwheel/tokenwheel/internal/hadooppb"
	"github.com/tokenwheel/tokenwheel/internal/hrpc"
	"github.com/tokenwheel/tokenwheel/internal/namenode"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/plugins/hdfs"
	"github.com/tokenwheel/tokenwheel/renewer"
	"github.com/tokenwheel/tokenwheel/test/real/cluster"
	"google.golang.org/protobuf/proto"
)

const (
	nameNodeTokens = 8000
	pairs          = 7
	yarnRounds     = 3
	warmUp         = 12_000 // renewals before anything is measured, since the NameNode's JVM gets faster at first
	armFor         = time.Second
	cpuTokens      = 20_000
)

// inFlight are the numbers of calls at a time of the bare loop.
var inFlight = []int{1, 4, 16, 64}

// nameNode measures renewals at a real NameNode that both sides share.
func (b *bench) nameNode(ctx context.Context) (err error) {
	c, err := cluster.Start(ctx, cluster.Options{
		DaemonFlags: []string{"-Xmx1g"},
		HDFS:        map[string]string{"dfs.namenode.handler.count": "64"},
	})
	if err != nil {
		return err
	}
	defer func() {
		c.Stop()
		if err != nil {
			fmt.Fprint(os.Stderr, c.Logs())
		}
		err = errors.Join(err, c.Remove())
	}()
	n, err := newNameNodeBench(ctx, c, b.size(nameNodeTokens))
	if err != nil {
		return err
	}
	defer n.close()
	for done := 0; done < b.size(warmUp); done += len(n.tokens) {
		if _, _, err := n.bare(ctx, 64, len(n.tokens)); err != nil {
			return err
		}
	}
	yarn, err := b.yarn(ctx, c, "namenode", "principal="+cluster.TokenwheelPrincipal, "keytab="+c.Keytab(cluster.TokenwheelPrincipal),
		arg("tokens", len(n.tokens)/2), arg("bursts", yarnRounds))
	if err != nil {
		return err
	}
	return b.beside(ctx, n, yarn)
}

// beside measures our side and adds the rows.
func (b *bench) beside(ctx context.Context, n *nameNodeBench, yarn figures) error {
	scheduled, err := yarn.one("scheduled-renewals")
	if err != nil {
		return err
	}
	registered, err := yarn.one("register-with-renewal")
	if err != nil {
		return err
	}
	theirCPU, err := yarn.one("renewal-cpu")
	if err != nil {
		return err
	}
	best, most, bareCPU := 0.0, 1, 0.0
	for _, k := range inFlight {
		rate, cpu, err := n.bare(ctx, k, min(len(n.tokens), b.size(1500)*k))
		if err != nil {
			return err
		}
		b.table.add(row{what: fmt.Sprintf("bare loop of our client, %d in flight", k), yarn: scheduled, ours: rate, unit: "/s", aim: "–"})
		if rate > best {
			best, most, bareCPU = rate, k, cpu
		}
	}
	if b.profile != "" {
		f, err := os.Create(b.profile)
		if err != nil {
			return err
		}
		defer f.Close()
		n.provider.profile = f
	}
	var engine, ratios, cpus []float64
	for range max(1, b.size(pairs)) {
		e, cpu, err := n.scheduled(ctx, most)
		if err != nil {
			return err
		}
		l, _, err := n.bare(ctx, most, len(n.tokens))
		if err != nil {
			return err
		}
		engine, ratios, cpus = append(engine, e), append(ratios, e/l), append(cpus, cpu)
	}
	byDefault, _, err := n.scheduled(ctx, 0)
	if err != nil {
		return err
	}
	aim := fmt.Sprintf("%.2f", min(5, best/scheduled))
	b.table.add(row{what: fmt.Sprintf("scheduled renewals at the NameNode, %d in flight", most), yarn: scheduled, ours: median(engine), unit: "/s", aim: aim})
	b.table.add(row{what: "the same, 16 in flight as by default", yarn: scheduled, ours: byDefault, unit: "/s", aim: aim})
	b.table.add(row{what: fmt.Sprintf("engine against bare loop, %d pairs", len(ratios)), yarn: nothing, ours: median(ratios), aim: "0.95"})
	for _, share := range []int{most, 0} {
		rate, err := n.register(ctx, share)
		if err != nil {
			return err
		}
		what := "register with first renewal at the NameNode"
		if share == 0 {
			what = "the same, 16 in flight as by default"
		}
		b.table.add(row{what: what, yarn: registered, ours: rate, unit: "/s", aim: "2"})
	}
	cpu, err := engineCPU(ctx, b.size(cpuTokens))
	if err != nil {
		return err
	}
	b.table.add(row{what: "CPU of a scheduled renewal, in the renewer's process", yarn: theirCPU, ours: median(cpus), unit: "µs", less: true, aim: "–"})
	b.table.add(row{what: "our client's CPU a renewal, in the bare loop", yarn: nothing, ours: bareCPU, unit: "µs", aim: "–"})
	b.table.add(row{what: "engine's CPU a renewal, the provider doing nothing", yarn: nothing, ours: cpu, unit: "µs", aim: "–"})
	return nil
}

// nameNodeBench is our side: tokens of the NameNode and the provider that renews them.
type nameNodeBench struct {
	provider *planned
	user     string
	tokens   []plugins.Token
}

func newNameNodeBench(ctx context.Context, c *cluster.Cluster, tokens int) (*nameNodeBench, error) {
	p, err := hdfs.New(hdfs.Config{
		ConfDir: c.ConfDir, Krb5Conf: c.Krb5Conf, Principal: cluster.TokenwheelPrincipal, Keytab: c.Keytab(cluster.TokenwheelPrincipal),
	})
	if err != nil {
		return nil, err
	}
	user, _, _ := strings.Cut(cluster.TokenwheelPrincipal, "/")
	n := &nameNodeBench{provider: &planned{Provider: p, renew: p.Renew}, user: user, tokens: make([]plugins.Token, tokens)}
	return n, n.obtain(ctx, c)
}

func (n *nameNodeBench) close() { _ = n.provider.Close() }

// obtain gets the tokens over one connection: a login for each, as the provider makes for its users, is not what is
// measured here.
func (n *nameNodeBench) obtain(ctx context.Context, c *cluster.Cluster) error {
	at, err := namenode.Open(namenode.Config{
		ConfDir: c.ConfDir, Krb5Conf: c.Krb5Conf, Principal: cluster.TokenwheelPrincipal, Keytab: c.Keytab(cluster.TokenwheelPrincipal),
	})
	if err != nil {
		return err
	}
	conn, err := hrpc.Dial(ctx, at.RPC(""), c.NameNodeAddr)
	if err != nil {
		return err
	}
	defer conn.Close()
	authorities, err := n.provider.Authorities(ctx)
	if err != nil {
		return err
	}
	return spread(ctx, 64, len(n.tokens), func(ctx context.Context, i int) error {
		var answer pb.GetDelegationTokenResponseProto
		err := conn.Call(ctx, "getDelegationToken", &pb.GetDelegationTokenRequestProto{Renewer: proto.String(n.user)}, &answer)
		if err != nil {
			return err
		}
		t := answer.GetToken()
		n.tokens[i] = plugins.Token{Kind: t.GetKind(), Service: authorities[0].Services[0], Identifier: t.GetIdentifier(), Password: t.GetPassword()}
		return nil
	})
}

// bare renews count tokens by the client alone, k calls in flight, and returns how many a second, and what each cost
// this process in microseconds of CPU.
func (n *nameNodeBench) bare(ctx context.Context, k, count int) (rate, micros float64, err error) {
	start, before := time.Now(), cpuTime()
	err = spread(ctx, k, count, func(ctx context.Context, i int) error {
		_, err := n.provider.Provider.(*hdfs.Provider).Renew(ctx, n.tokens[i%len(n.tokens)])
		return err
	})
	return float64(count) / time.Since(start).Seconds(), perCall(cpuTime()-before, count), err
}

// perCall is the microseconds of each of count calls.
func perCall(all time.Duration, count int) float64 {
	return float64(all.Nanoseconds()) / 1000 / float64(count)
}

func (n *nameNodeBench) config(share int) renewer.Config {
	return renewer.Config{Providers: map[string]plugins.Provider{"hdfs": n.provider}, Policy: punctual, PerAuthority: share, CallsPerSecond: -1}
}

// register registers all tokens, each with its first renewal at the NameNode, and returns how many a second. Share is
// PerAuthority of the engine.
func (n *nameNodeBench) register(ctx context.Context, share int) (rate float64, err error) {
	n.provider.plan(time.Now().Add(time.Hour), true, len(n.tokens))
	err = withEngine(ctx, n.config(share), func(ctx context.Context, r *renewer.Renewer) error {
		start := time.Now()
		err := registerAll(ctx, r, n.user, n.tokens)
		rate = float64(len(n.tokens)) / time.Since(start).Seconds()
		return err
	})
	return rate, err
}

// scheduled has the renewals of all tokens fall due at one moment and returns how many a second are done until the last,
// and what each cost this process in microseconds of CPU.
func (n *nameNodeBench) scheduled(ctx context.Context, share int) (rate, micros float64, err error) {
	took, cpu, err := n.provider.burst(ctx, n.config(share), n.user, n.tokens)
	return float64(len(n.tokens)) / took.Seconds(), perCall(cpu, len(n.tokens)), err
}

// engineCPU is what the engine spends on a renewal, in microseconds.
func engineCPU(ctx context.Context, count int) (micros float64, err error) {
	p := &planned{Provider: &hangingService{}, renew: func(context.Context, plugins.Token) (time.Time, error) { return time.Time{}, nil }}
	cfg := renewer.Config{Providers: map[string]plugins.Provider{"beside": p}, Policy: punctual, PerAuthority: 64, CallsPerSecond: -1}
	_, cpu, err := p.burst(ctx, cfg, "alice", numbered(count, "healthy:1"))
	return perCall(cpu, count), err
}

// spread calls f with 0 to count-1, k at a time, until one fails.
func spread(ctx context.Context, k, count int, f func(ctx context.Context, i int) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(k, count) {
		group.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= count {
					return
				}
				if err := f(ctx, i); err != nil {
					stop(err)
				}
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}
