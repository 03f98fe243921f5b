package main

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenwheel/tokenwheel/renewer"
)

// The command's row of lateness in the bubble's time. The judge is judged by one thread for all services, as YARN has it:
// there the healthy tokens wait for as long as the other service hangs.
//
// Shows: Y18.
func TestY18_LatenessBesideAHungService(t *testing.T) {
	const tokens = 50
	measure := func(t *testing.T, s *hangingService, cfg renewer.Config) (p99 time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			cfg.Clock = func() (time.Duration, time.Time) { return time.Since(start), time.Now() }
			late, err := ourLateness(t.Context(), tokens, s, cfg, lateFor)
			if err != nil {
				t.Fatal(err)
			}
			if len(late) < tokens {
				t.Fatalf("%d renewals show nothing", len(late))
			}
			p99 = quantile(late, 0.99)
		})
		return p99
	}
	if late := measure(t, &hangingService{life: shortLife, hang: hangFor}, renewer.Config{}); late > 50*time.Millisecond {
		t.Errorf("p99 is %v beside a service that hangs", late)
	}
	if late := measure(t, &hangingService{life: shortLife, hang: hangFor, one: true}, renewer.Config{PerAuthority: 1}); late < hangFor/2 {
		t.Errorf("one thread for all: p99 is %v, want about the %v of the service that hangs", late, hangFor)
	}
}
