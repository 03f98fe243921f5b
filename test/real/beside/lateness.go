package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/renewer"
)

const (
	healthyTokens = 1000
	shortLife     = 10 * time.Second
	hangFor       = 15 * time.Second
	lateFor       = 60 * time.Second
	spreadBy      = 7 * time.Millisecond
)

// lateness tells how late the renewals of healthy tokens are while the service of one more takes long to answer. Both
// sides run at the same time; neither has much to do.
func (b *bench) lateness(ctx context.Context) error {
	tokens := b.size(healthyTokens)
	type result struct {
		f   figures
		err error
	}
	yarn := make(chan result, 1)
	go func() {
		f, err := b.yarn(ctx, nil, "lateness", arg("tokens", tokens), arg("life", int(shortLife.Milliseconds())),
			arg("hang", int(hangFor.Milliseconds())), arg("for", int(lateFor.Milliseconds())))
		yarn <- result{f, err}
	}()
	late, err := ourLateness(ctx, tokens, &hangingService{life: shortLife, hang: hangFor}, renewer.Config{}, lateFor)
	theirs := <-yarn
	if err := errors.Join(err, theirs.err); err != nil {
		return err
	}
	what := fmt.Sprintf("lateness of %d healthy tokens while one service hangs, ", tokens)
	for name, q := range map[string]float64{"p50": 0.50, "p99": 0.99} {
		theirs, err := theirs.f.one("late-" + name)
		if err != nil {
			return err
		}
		b.table.add(row{what: what + name, yarn: theirs, ours: millis(quantile(late, q)), unit: "ms", less: true, aim: "50 ms"})
	}
	renewals, err := theirs.f.one("renewals")
	if err != nil {
		return err
	}
	b.table.add(row{what: "renewals of these done in a minute", yarn: renewals, ours: float64(len(late)), aim: "–"})
	return nil
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// quantile of a sorted list.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// hangingService answers for healthy tokens at once and notes how late their renewals are; renewals of the last token,
// which is another service's, hang.
type hangingService struct {
	life, hang time.Duration
	one        bool // both names are one service

	mu   sync.Mutex // guards what follows
	due  []time.Time
	late []time.Duration
}

func (*hangingService) Kinds() []string { return []string{"BESIDE"} }

func (s *hangingService) Authorities(context.Context) ([]plugins.Authority, error) {
	if s.one {
		return []plugins.Authority{{Name: "one", Kinds: []string{"BESIDE"}, Services: []string{"healthy:1", "hung:1"}}}, nil
	}
	return []plugins.Authority{
		{Name: "healthy", Kinds: []string{"BESIDE"}, Services: []string{"healthy:1"}},
		{Name: "hung", Kinds: []string{"BESIDE"}, Services: []string{"hung:1"}},
	}, nil
}

func (*hangingService) Obtain(context.Context, plugins.ObtainRequest) ([]plugins.Grant, error) {
	return nil, plugins.Refused("not-obtainable", errors.New("nothing is issued here"))
}

func (*hangingService) Cancel(context.Context, plugins.Token) error { return nil }

func (s *hangingService) Renew(ctx context.Context, t plugins.Token) (time.Time, error) {
	n, called := int(binary.BigEndian.Uint32(t.Identifier)), time.Now()
	if s.begins(n, called) {
		select {
		case <-time.After(s.hang):
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		}
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.due[n] = now.Add(s.life * 3 / 4) // as the policy punctual has it
	return now.Add(s.life), nil
}

// begins notes a call's lateness and tells whether it is one that hangs.
func (s *hangingService) begins(n int, called time.Time) (hangs bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.due[n].IsZero() {
		return false // at registration
	}
	if n == len(s.due)-1 {
		return true
	}
	s.late = append(s.late, max(0, called.Sub(s.due[n])))
	return false
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ourLateness returns the lateness of all renewals of healthy tokens within a time, sorted.
func ourLateness(ctx context.Context, healthy int, s *hangingService, cfg renewer.Config, within time.Duration) ([]time.Duration, error) {
	s.due = make([]time.Time, healthy+1)
	tokens := numbered(healthy+1, "healthy:1")
	tokens[healthy].Service = "hung:1"
	cfg.Providers, cfg.Policy = map[string]plugins.Provider{"beside": s}, punctual
	cfg.CallsPerSecond = -1 // tokens of seconds need more calls than the default lets through
	err := withEngine(ctx, cfg, func(ctx context.Context, r *renewer.Renewer) error {
		// Spread as tokens of a fleet are, so that they do not wait for each other.
		for i := range tokens {
			if err := registerAll(ctx, r, fmt.Sprintf("user%d", i), tokens[i:i+1]); err != nil {
				return err
			}
			if err := pause(ctx, spreadBy); err != nil {
				return err
			}
		}
		return pause(ctx, within)
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.Sort(s.late)
	return slices.Clone(s.late), err
}
