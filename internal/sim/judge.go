package sim

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// slot is the place of one service's token at one application that is there: what
// the figures count tokens by.
type slot struct {
	app   *app
	svc   *service
	lease *lease // in the newest readable set; nil: that set has none
	last  *lease // the last one it had
	end   time.Duration
	armed time.Duration
	// obtains: somebody may get a new token for it. Else the token that was
	// brought can at best be renewed to its max date.
	obtains   bool
	deadSince time.Duration // 0: it is good
}

// judge goes by what services did and readers hold.
type judge struct {
	w      *world
	deaths []*death
	harms  []Harm
	jobs   [][]job // by service: what had to be called by when

	slotTime   int64 // in microseconds: in nanoseconds 10,000 applications overflow it
	lateness   []time.Duration
	left       []float32 // of the life, at each renewal of a token that somebody holds
	dark       []time.Duration
	recoveries []time.Duration
	overslept  int
}

// job is one call that a token needs in the second half of its life.
type job struct{ release, end time.Duration }

// death is a slot at the end of its token without a good one.
type death struct {
	slot      *slot
	lease     *lease
	begun, at time.Duration
	awoke     bool // it ended while our machine slept, and was good again soon after
}

// Harm is a cancel that the service accepted and should not have been sent.
type Harm struct {
	At      time.Duration `json:"at"`
	Service string        `json:"service"`
	Token   int64         `json:"token"`
	Why     string        `json:"why"`
}

// arm begins to watch a slot, which has that token.
func (j *judge) arm(a *app, s *service, l *lease, obtains bool) {
	sl := &slot{app: a, svc: s, armed: j.w.now, obtains: obtains}
	a.slots[s.index] = sl
	j.give(sl, l)
}

// give puts a token, or none, in a slot's newest readable set.
func (j *judge) give(sl *slot, l *lease) {
	if sl.lease == l && l != nil {
		return
	}
	j.take(sl)
	if l == nil {
		return
	}
	if old := sl.last; old != nil && old.forgotten != 0 && !l.dead(j.w.now) {
		j.recoveries = append(j.recoveries, j.w.now-max(old.forgotten, sl.armed))
	}
	sl.lease, sl.last = l, l
	l.slots = append(l.slots, sl)
	if sl.deadSince != 0 && !l.dead(j.w.now) {
		j.dark = append(j.dark, j.w.now-sl.deadSince)
		sl.deadSince = 0
	}
	sl.end = max(sl.end, l.expires)
	if l.checkAt == 0 {
		j.watch(l, max(j.w.now, l.expires))
	}
}

func (j *judge) take(sl *slot) {
	l := sl.lease
	if l == nil {
		return
	}
	sl.end = max(sl.end, l.expires)
	l.slots = slices.DeleteFunc(l.slots, func(s *slot) bool { return s == sl })
	sl.lease = nil
	if sl.end > j.w.now {
		// Should nothing better come, it is judged when the token would have ended.
		j.w.at(sl.end, func() { j.judgeSlot(sl) })
	}
}

// watch looks at a token at its end, or at what is its end by then.
func (j *judge) watch(l *lease, at time.Duration) {
	l.checkAt = at
	j.w.at(at, func() {
		l.checkAt = 0
		if len(l.slots) == 0 {
			return
		}
		if l.expires > j.w.now {
			j.watch(l, l.expires)
			return
		}
		for _, sl := range slices.Clone(l.slots) {
			sl.end = max(sl.end, l.expires)
			j.judgeSlot(sl)
		}
	})
}

// judgeSlot is called at the end of a token that a slot had.
func (j *judge) judgeSlot(sl *slot) {
	if sl.app.gone || sl.deadSince != 0 || sl.end > j.w.now {
		return
	}
	if sl.lease != nil && !sl.lease.dead(j.w.now) {
		return
	}
	sl.deadSince = j.w.now
	l := sl.last
	begun := l.begun
	if begun >= sl.end { // renewed after its end
		begun = sl.end - j.w.cfg.Lifetimes.RenewInterval
	}
	d := &death{slot: sl, lease: l, begun: begun, at: sl.end}
	j.deaths = append(j.deaths, d)
	if sleep, ok := j.w.plan.sleptBefore(sl.end, d.need()); ok {
		// Nobody was there to renew it. What counts is whether it is good again
		// soon after.
		j.w.at(sleep.to+d.need(), func() {
			_, known := l.svc.secrets.RenewDate(l.token.Identifier)
			d.awoke = sl.app.gone || sl.deadSince == 0 || (!known && !sl.obtains)
		})
	}
}

// need is the unbroken time that makes a token obtainable: a minute, or 1 % of its
// life; of a life of few minutes a quarter.
func (d *death) need() time.Duration {
	life := d.at - d.begun
	return min(max(time.Minute, life/100), life/4)
}

// leave ends the watch over an application: it needs nothing any more.
func (j *judge) leave(a *app) {
	for _, sl := range a.slots {
		if sl == nil {
			continue
		}
		j.slotTime += (j.w.now - sl.armed).Microseconds()
		if l := sl.lease; l != nil {
			l.slots = slices.DeleteFunc(l.slots, func(s *slot) bool { return s == sl })
			sl.lease = nil
		}
	}
	a.reader.drop()
}

// renewed takes note of a renewal that the service accepted.
func (j *judge) renewed(l *lease, expires time.Duration) {
	if len(l.slots) > 0 {
		j.jobs[l.svc.index] = append(j.jobs[l.svc.index], job{l.begun + (l.expires-l.begun)/2, l.expires})
		if life := l.expires - l.begun; life > 0 {
			j.left = append(j.left, float32(max(0, l.expires-j.w.now))/float32(life))
		}
	}
	if l.askedSince {
		j.lateness = append(j.lateness, j.w.now-l.askedAt)
		l.askedSince = false
	}
	l.begun, l.expires, l.proved = j.w.now, expires, true
	for _, sl := range l.slots {
		if sl.deadSince != 0 {
			j.dark = append(j.dark, j.w.now-sl.deadSince)
			sl.deadSince = 0
		}
	}
	if len(l.slots) > 0 && l.checkAt == 0 {
		j.watch(l, l.expires)
	}
}

// cancelled judges a cancel that the service accepted.
func (j *judge) cancelled(l *lease) {
	l.cancelled = true
	var why string
	switch {
	case len(l.slots) > 0:
		why = fmt.Sprintf("%s has it in its newest set", l.slots[0].app.id)
	case l.lagging > 0:
		why = fmt.Sprintf("%d readers have not looked for its successor", l.lagging)
	case l.brought && !l.proved:
		why = "it was brought, and nothing proved its password"
	case l.keep:
		why = "somebody who held it did not ask for its cancel"
	case !l.identity.Ours:
		why = "we are not its renewer"
	default:
		return
	}
	j.harms = append(j.harms, Harm{At: j.w.now, Service: l.svc.authority.Name, Token: l.identity.Sequence, Why: why})
}

// verdict is why a slot was without a token.
type verdict string

const (
	lost     verdict = "lost"
	closed   verdict = "closed"   // service, login, store or our machine were down for too long
	overCap  verdict = "over-cap" // there was more to call than the cap lets through
	asleep   verdict = "asleep"   // our machine slept; it was good again soon after
	finished verdict = "finished" // nobody can extend it: at its max date, and no successor allowed
)

// try gives the verdict on a death. A token was obtainable when, from the middle
// of its life to its end, there was an unbroken stretch of at least a minute, and
// 1 % of its life, in which everything needed would have accepted the call, and
// what there was to call, in order of deadlines, fitted the cap.
func (j *judge) try(d *death) verdict {
	l := d.lease
	// Dates come in milliseconds.
	renewable := l.identity.Ours && l.forgotten == 0 && d.at < l.max-time.Second
	if !d.slot.obtains && !renewable {
		return finished
	}
	if d.awoke {
		return asleep
	}
	life := d.at - d.begun
	release := max(d.begun+life/2, l.forgotten, d.slot.armed)
	shut := j.w.plan.closed[d.slot.svc.index]
	if shut.longestOpen(release, d.at) < d.need() {
		return closed
	}
	if j.overloaded(d, release, life) {
		return overCap
	}
	return lost
}

// upUntil is the share of a token's life that had passed at the end of the last
// stretch that made it obtainable.
func (j *judge) upUntil(d *death) float64 {
	last := d.begun
	j.w.plan.closed[d.slot.svc.index].between(d.begun, d.at, func(w window) {
		if w.to-w.from >= d.need() {
			last = w.to
		}
	})
	return float64(last-d.begun) / float64(d.at-d.begun)
}

// overloaded reports whether, in some stretch that ends with the death, more
// calls had to be made than the cap lets through. Stretches that matter begin at
// the release or when something went down.
func (j *judge) overloaded(d *death, release, life time.Duration) bool {
	s := d.slot.svc.index
	shut := j.w.plan.closed[s]
	starts := []time.Duration{release}
	for i := range 14 { // what was too much for long piles up
		starts = append(starts, max(0, release-time.Duration(i+1)*life/2))
	}
	for _, w := range shut {
		if w.from >= d.at-2*life && w.from < d.at {
			starts = append(starts, w.from)
		}
	}
	rate := j.w.capacity()
	for _, from := range starts {
		calls := 0
		jobs := j.jobs[s]
		first, _ := slices.BinarySearchFunc(jobs, from, func(job job, from time.Duration) int { return cmp.Compare(job.end, from) })
		for _, job := range jobs[first:] {
			if job.end > d.at {
				break
			}
			if job.release >= from {
				calls++
			}
		}
		for _, other := range j.deaths {
			if other.slot.svc.index == s && other.begun+(other.at-other.begun)/2 >= from && other.at <= d.at {
				calls++
			}
		}
		if float64(calls) > rate*shut.open(from, d.at).Seconds() {
			return true
		}
	}
	return false
}
