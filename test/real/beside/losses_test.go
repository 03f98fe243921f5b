package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// day is the life of a token.
const day = 24 * time.Hour

// month is as many lives as YARN's side lives through: its renewals, each at nine tenths of a life.
const month = lossRenewals * day * 9 / 10

// faultyService issues tokens of a day and keeps the journal by which losses are judged. Calls about one token never
// overlap, so that its fields need no lock.
type faultyService struct {
	fails   func(token, call int) bool
	calls   []int
	expires []time.Time
	total   atomic.Int64
}

func newFaultyService(tokens int, fails func(token, call int) bool) *faultyService {
	return &faultyService{fails: fails, calls: make([]int, tokens), expires: make([]time.Time, tokens)}
}

func (*faultyService) Kinds() []string { return []string{"BESIDE"} }

func (*faultyService) Authorities(context.Context) ([]plugins.Authority, error) {
	return []plugins.Authority{{Name: "one", Kinds: []string{"BESIDE"}, Services: []string{"beside:1"}}}, nil
}

func (*faultyService) Obtain(context.Context, plugins.ObtainRequest) ([]plugins.Grant, error) {
	return nil, plugins.Refused("not-obtainable", errors.New("nothing is issued here"))
}

func (*faultyService) Cancel(context.Context, plugins.Token) error { return nil }

func (s *faultyService) Renew(_ context.Context, t plugins.Token) (time.Time, error) {
	s.total.Add(1)
	n, now := int(binary.BigEndian.Uint32(t.Identifier)), time.Now()
	call := s.calls[n]
	s.calls[n]++
	if call > 0 && !s.expires[n].After(now) {
		return time.Time{}, plugins.Replace(errors.New("the token is expired"))
	}
	if s.fails(n, call) {
		return time.Time{}, errors.New("scripted fault")
	}
	s.expires[n] = now.Add(day)
	return s.expires[n], nil
}

// lost counts the tokens that ended. None that did comes back.
func (s *faultyService) lost(now time.Time) (n int) {
	for _, end := range s.expires {
		if !end.After(now) {
			n++
		}
	}
	return n
}

// liveThrough registers all tokens and lets a month pass.
func liveThrough(t *testing.T, s *faultyService, p renewer.Policy) (lost int) {
	t.Helper()
	start := time.Now()
	cfg := renewer.Config{
		Providers: map[string]plugins.Provider{"beside": s}, Policy: p,
		Clock: func() (time.Duration, time.Time) { return time.Since(start), time.Now() },
	}
	err := withEngine(t.Context(), cfg, func(ctx context.Context, r *renewer.Renewer) error {
		if err := registerAll(ctx, r, "alice", numbered(len(s.calls), "beside:1")); err != nil {
			return err
		}
		time.Sleep(month)
		lost = s.lost(time.Now())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lost
}

// Our side of the command's row of losses; it runs this test with its own sizes. Days pass in the bubble's time.
//
// Shows: M03.
func TestM03_NoTokenIsLostToFailedCalls(t *testing.T) {
	tokens, percents := 200, []int{1, 5, 30}
	ask := os.Getenv(lossesEnv)
	if ask != "" {
		percents = make([]int, 1)
		if _, err := fmt.Sscan(ask, &tokens, &percents[0]); err != nil {
			t.Fatal(err)
		}
	}
	for _, percent := range percents {
		synctest.Test(t, func(t *testing.T) {
			s := newFaultyService(tokens, func(token, call int) bool { return fails(token, call, percent) })
			lost := liveThrough(t, s, renewer.Policy{})
			faults, hit := scripted(tokens, lossRenewals, percent)
			if hit == 0 || s.total.Load() < int64(tokens*lossRenewals) {
				t.Fatalf("%d calls and %d scripted faults show nothing", s.total.Load(), faults)
			}
			if ask != "" {
				fmt.Println("lost", lost, "tokens")
				return
			}
			if lost != 0 {
				t.Errorf("%d %% of calls fail: %d of %d tokens lost", percent, lost, tokens)
			}
		})
	}
}

// The judge is judged: a token that is not renewed is counted, and a rule that never tries again loses as many as the
// script hits.
func TestLossesAreCounted(t *testing.T) {
	seldom := renewer.Policy{MaxRetry: day} // what is lost is asked for seldom, or most calls would be for nothing
	t.Run("one that always fails", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newFaultyService(50, func(token, call int) bool { return token == 7 && call > 3 })
			if lost := liveThrough(t, s, seldom); lost != 1 {
				t.Errorf("%d tokens counted as lost, want the one whose renewals all fail", lost)
			}
		})
	})
	t.Run("YARN's rule", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			const tokens, percent = 100, 5
			dropped := make([]bool, tokens)
			s := newFaultyService(tokens, func(token, call int) bool {
				// As many renewals as YARN makes: at three quarters of a life ours makes more.
				dropped[token] = dropped[token] || call <= lossRenewals && fails(token, call, percent)
				return dropped[token]
			})
			_, hit := scripted(tokens, lossRenewals, percent)
			if lost := liveThrough(t, s, seldom); lost != hit || hit < tokens/2 {
				t.Errorf("%d of %d tokens counted as lost, want the %d that the script hits", lost, tokens, hit)
			}
		})
	})
}
