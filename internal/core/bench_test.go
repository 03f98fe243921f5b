package core_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
)

// All of a group leave, each with a token of its own that the others carry on:
// in order of their coming, and the other way round.
func BenchmarkGroup_AllLeave(b *testing.B) {
	for _, n := range []int{200, 800, 3200} {
		for _, oldestFirst := range []bool{true, false} {
			b.Run(fmt.Sprintf("members=%d/oldestFirst=%v", n, oldestFirst), func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					w := newWorld(b, day, 7*day)
					for i := range n {
						w.step(w.event(registration{app: grouped(fmt.Sprint(i), "g"), bring: bring(w.svc.issue("alice"))}))
						for len(w.out) > 0 {
							w.answer(0)
						}
					}
					b.StartTimer()
					start := time.Now()
					for i := range n {
						if !oldestFirst {
							i = n - 1 - i
						}
						key := appregistry.AppKey{Owner: "alice", ID: appregistry.AppID(fmt.Sprint(i))}
						w.step(core.Unregister{Request: w.ask(), Caller: alice, App: key})
						for len(w.out) > 0 {
							w.answer(0)
						}
					}
					b.ReportMetric(float64(time.Since(start).Microseconds())/float64(n), "µs/leave")
				}
			})
		}
	}
}
