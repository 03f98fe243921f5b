package core_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwheel/tokenwheel/internal/core"
)

// A day with 10,000 entries leaves nothing behind that was not there before, and
// while nothing is due there is nothing to do: YARN's map of futures grows by
// every renewal that works, and its tracker looks once a millisecond.
// Shows: Y22.
func TestY22_ADayWithTenThousandEntriesLeavesNothingBehind(t *testing.T) {
	const entries = 10_000
	w := newWorld(t, day, 7*day)
	w.svc.now = func() time.Time { return w.wall.Add(w.boot) }
	for i := range entries {
		r := registration{app: app(fmt.Sprintf("app-%d", i)), bring: bring(w.svc.issue("alice"))}
		w.step(w.event(r))
		for len(w.out) > 0 {
			w.answer(0)
		}
		w.notes, w.replies = nil, map[core.Request][]core.Reply{}
	}
	steps := 0
	pass := func(d time.Duration) {
		for end := w.boot + d; w.boot < end; w.notes = nil {
			next, ok := w.core.Next()
			if !ok {
				t.Fatal("nothing is planned")
			}
			w.boot = min(end, max(w.boot, next))
			w.step(core.Tick{})
			for steps++; len(w.out) > 0; steps++ {
				w.answer(0)
			}
		}
	}
	// Renewals are spread over 16 to 18 hours from now: until then all is idle.
	pass(time.Minute)
	before := w.core.Sizes()
	steps = 0
	pass(15 * time.Hour)
	if most := 1000; steps > most { // the wheel sorts its buckets, and no more
		t.Errorf("%d steps in 15 idle hours, want at most %d", steps, most)
	}
	steps = 0
	pass(9 * time.Hour)
	renewals := 0
	for _, n := range w.svc.renewals {
		renewals += n
	}
	if renewals < 2*entries {
		t.Fatalf("%d renewals, want each token renewed at its registration and once that day", renewals)
	}
	// For each renewal: its tick, its answer and its part of a commit.
	if most := 4 * entries; steps > most {
		t.Errorf("%d steps for %d renewals, want at most %d", steps, entries, most)
	}
	pass(time.Minute)
	after := w.core.Sizes()
	for _, sizes := range []map[string]int{before, after} {
		if sizes["open"] > 100 {
			t.Errorf("%d records are open while nothing is due", sizes["open"])
		}
		delete(sizes, "open")
	}
	if d := cmp.Diff(before, after); d != "" {
		t.Errorf("sizes (-before +after a day):\n%s", d)
	}
	if want := maps.Clone(before); want["jobs"]+want["lazy"]+want["waiting"]+want["aboard"] > 0 || want["timers"] != entries {
		t.Errorf("while nothing is due: %v", before)
	}
}
