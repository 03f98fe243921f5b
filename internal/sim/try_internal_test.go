package sim

import (
	"hash/fnv"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/plugins"
)

// A token of a day that ended without a successor, and what was around it.
func TestTry(t *testing.T) {
	const at = 5 * day
	begun := at - day
	for name, c := range map[string]struct {
		shut     windows
		jobs     int // as due as it, at one call in ten seconds
		change   func(*death)
		want     verdict
		borrowed bool
	}{
		"all was well":                      {want: lost},
		"down but for 14 minutes":           {shut: windows{{begun, at - 14*time.Minute}}, want: closed},
		"down but for 15 minutes":           {shut: windows{{begun, at - 15*time.Minute}}, want: lost},
		"open in the first half only":       {shut: windows{{at - 12*time.Hour, at}}, want: closed},
		"open for minutes, again and again": {shut: everyHalfHour(begun, at), want: closed},
		"as many calls as fit":              {jobs: 4319, want: lost},
		"more calls than fit":               {jobs: 4320, want: overCap},
		"more than fit beside an outage":    {jobs: 2200, shut: windows{{at - 18*time.Hour, at - 6*time.Hour}}, want: overCap},
		"ended in a sleep":                  {change: func(d *death) { d.awoke = true }, want: asleep},
		"at its max date, and ours to get":  {change: func(d *death) { d.lease.max = at }, want: lost},
		"at its max date, and lent":         {change: func(d *death) { d.lease.max = at }, borrowed: true, want: finished},
		"lent, and to be renewed":           {borrowed: true, want: lost},
		"of another renewer":                {change: func(d *death) { d.lease.identity.Ours = false }, borrowed: true, want: finished},
		"forgotten by its service, and lent": {
			change: func(d *death) { d.lease.forgotten = at - time.Hour }, borrowed: true, want: finished,
		},
		"forgotten before the service went down": {
			change: func(d *death) { d.lease.forgotten = at - 2*time.Hour }, shut: windows{{at - 2*time.Hour, at}}, want: closed,
		},
		"registered a moment ago": {change: func(d *death) { d.slot.armed = at - time.Minute }, want: closed},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{cfg: Config{CallsPerSecond: 0.1}.withDefaults(), plan: &schedule{closed: []windows{c.shut}}}
			j := &judge{w: w, jobs: make([][]job, 1)}
			for range c.jobs {
				j.jobs[0] = append(j.jobs[0], job{begun + 12*time.Hour, at})
			}
			s := &service{}
			d := &death{
				slot:  &slot{svc: s, obtains: !c.borrowed},
				lease: &lease{svc: s, max: at + day, identity: plugins.Identity{Ours: true}}, begun: begun, at: at,
			}
			if c.change != nil {
				c.change(d)
			}
			j.deaths = append(j.deaths, d)
			if got := j.try(d); got != c.want {
				t.Errorf("verdict %s, want %s", got, c.want)
			}
		})
	}
}

// everyHalfHour is shut but for 10 minutes of each half an hour.
func everyHalfHour(from, to time.Duration) (ws windows) {
	for ; from < to; from += 30 * time.Minute {
		ws = append(ws, window{from, from + 20*time.Minute})
	}
	return ws
}

func TestWindows(t *testing.T) {
	ws := merge(windows{{10, 20}, {40, 50}}, windows{{15, 30}, {60, 60}}, windows{{30, 35}})
	if len(ws) != 3 || ws[0] != (window{10, 35}) {
		t.Errorf("merged to %v", ws)
	}
	if got := ws.longestOpen(0, 100); got != 40 {
		t.Errorf("longest open %v, want 40", got)
	}
	if got := ws.open(12, 45); got != 5 {
		t.Errorf("open %v between 12 and 45, want 5", got)
	}
	for at, want := range map[time.Duration]bool{9: false, 10: true, 34: true, 35: false, 45: true, 99: false} {
		if _, in := ws.at(at); in != want {
			t.Errorf("at %v: %v, want %v", at, in, want)
		}
	}
}

func TestTokenDays_OfManyApplications(t *testing.T) {
	w := &world{now: 30 * day, report: &Report{}, history: history{fnv.New64a()}}
	w.judge = &judge{w: w}
	for range 20_000 {
		a := &app{w: w, slots: []*slot{{}, {}}}
		a.reader = &reader{w: w, app: a}
		w.judge.leave(a)
	}
	w.finish()
	if got := w.report.TokenDays; got != 2*30*20_000 {
		t.Errorf("%g token-days, want 1,200,000", got)
	}
}
