package sim

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"
)

// window is a stretch of boot time, the end not included.
type window struct{ from, to time.Duration }

func (w window) has(t time.Duration) bool { return w.from <= t && t < w.to }

// windows are in order and do not touch.
type windows []window

func (ws windows) at(t time.Duration) (window, bool) {
	i, found := slices.BinarySearchFunc(ws, t, func(w window, t time.Duration) int { return cmp.Compare(w.from, t) })
	if !found {
		i--
	}
	if i >= 0 && ws[i].has(t) {
		return ws[i], true
	}
	return window{}, false
}

// merge brings windows in order and joins those that meet.
func merge(all ...windows) windows {
	list := slices.Concat(all...)
	slices.SortFunc(list, func(a, b window) int { return cmp.Compare(a.from, b.from) })
	var out windows
	for _, w := range list {
		if last := len(out) - 1; last >= 0 && w.from <= out[last].to {
			out[last].to = max(out[last].to, w.to)
			continue
		}
		out = append(out, w)
	}
	return out
}

// between calls each for every stretch of a window that is in none of ws.
func (ws windows) between(from, to time.Duration, each func(window)) {
	for _, w := range ws {
		if w.to <= from {
			continue
		}
		if w.from >= to {
			break
		}
		if w.from > from {
			each(window{from, w.from})
		}
		from = w.to
	}
	if from < to {
		each(window{from, to})
	}
}

// longestOpen is the longest stretch within [from, to) that is in none of ws.
func (ws windows) longestOpen(from, to time.Duration) (longest time.Duration) {
	ws.between(from, to, func(w window) { longest = max(longest, w.to-w.from) })
	return longest
}

// open is how much of [from, to) is in none of ws.
func (ws windows) open(from, to time.Duration) (sum time.Duration) {
	ws.between(from, to, func(w window) { sum += w.to - w.from })
	return sum
}

// sleptBefore is the sleep of our machine that t lies in, or up to so long after.
func (s *schedule) sleptBefore(t, after time.Duration) (window, bool) {
	for _, w := range s.suspends {
		if w.from <= t && t < w.to+after {
			return w, true
		}
	}
	return window{}, false
}

// schedule is when what is down, drawn before the run begins.
type schedule struct {
	outages   []windows // by service
	failovers []windows // by service
	kdc       windows
	store     windows
	suspends  windows
	// closed is, by service, when no call to it can do its work, whatever the
	// engine does. The judge goes by it.
	closed []windows
}

func newSchedule(c Config, r *rand.Rand) *schedule {
	s := &schedule{outages: make([]windows, c.Services), failovers: make([]windows, c.Services)}
	for _, o := range c.Faults.Outages {
		for i, w := range o.times(c.Length, r) {
			s.add(o, i, w)
		}
	}
	s.kdc, s.store, s.suspends = merge(s.kdc), merge(s.store), merge(s.suspends)
	for i := range c.Services {
		s.outages[i], s.failovers[i] = merge(s.outages[i]), merge(s.failovers[i])
		s.closed = append(s.closed, merge(s.outages[i], s.failovers[i], s.kdc, s.store, s.suspends))
	}
	return s
}

func (s *schedule) add(o Outage, nth int, w window) {
	switch o.Part {
	case KDC:
		s.kdc = append(s.kdc, w)
	case Store:
		s.store = append(s.store, w)
	case Suspend:
		s.suspends = append(s.suspends, w)
	case Service:
		i := nth % len(s.outages)
		if o.Service > 0 {
			i = o.Service - 1
		}
		s.outages[i] = append(s.outages[i], w)
	case Failover:
		for i := range s.failovers {
			if o.Service == 0 || o.Service == i+1 {
				s.failovers[i] = append(s.failovers[i], w)
			}
		}
	}
}

func (o Outage) times(length time.Duration, r *rand.Rand) (out windows) {
	if o.Every == 0 {
		return windows{{o.At, o.At + o.For}}
	}
	for start := time.Duration(0); start+o.Every <= length; start += o.Every {
		at := start + time.Duration(r.Int64N(int64(o.Every-o.For)))
		out = append(out, window{at, at + o.For})
	}
	return out
}
