package sim

import (
	"cmp"
	"fmt"
	"slices"
)

// mostNamed is how many losses and harms a report names.
const mostNamed = 20

// finish judges the run.
func (w *world) finish() {
	r, j := w.report, w.judge
	for a := range w.living {
		j.leave(a)
	}
	for _, jobs := range j.jobs {
		slices.SortFunc(jobs, func(a, b job) int { return cmp.Compare(a.end, b.end) })
	}
	for _, d := range j.deaths {
		switch j.try(d) {
		case finished:
			r.Finished++
		case asleep:
			r.Asleep++
		case closed:
			r.Closed++
		case overCap:
			r.OverCap++
		default:
			r.Lost++
			if len(r.Losses) < mostNamed {
				r.Losses = append(r.Losses, Loser{
					At: d.at, App: string(d.slot.app.id), Service: d.slot.svc.authority.Name,
					Token: d.lease.identity.Sequence, Life: d.at - d.begun,
					UpUntil: j.upUntil(d),
				})
			}
		}
	}
	r.Harmful = len(j.harms)
	r.Harms = j.harms[:min(len(j.harms), mostNamed)]
	r.TokenDays = float64(j.slotTime) / float64(day.Microseconds())
	if r.Lost == 0 && r.TokenDays > 0 {
		r.Bound = 3 / r.TokenDays
	}
	for _, s := range w.services {
		r.Calls[s.authority.Name] = s.calls
	}
	r.Lateness, r.Dark, r.Recovery, r.Ready = quantiles(j.lateness), quantiles(j.dark), quantiles(j.recoveries), quantiles(r.ready)
	r.LifeLeft = shares(j.left)
	r.Overslept = j.overslept
	r.History = fmt.Sprintf("%016x", w.history.hash.Sum64())
	r.ready = nil
}
