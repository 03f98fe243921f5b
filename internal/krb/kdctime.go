package krb

import (
	"sync"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/clock"
)

// kdcTime is the time by a realm's KDC. Until the KDC's date is known it is the
// wall clock; from then on boot time plus a fixed offset, so that a step of the
// wall clock changes nothing. Safe for concurrent use.
type kdcTime struct {
	source clock.Source

	mu     sync.Mutex // guards what follows
	anchor time.Time  // KDC's date at boot time 0; zero: not known
	last   time.Time  // the last stamp given out
}

// now gives the KDC's date as far as known.
func (k *kdcTime) now() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.at(k.source.Now())
}

func (k *kdcTime) at(i clock.Instant) time.Time {
	if k.anchor.IsZero() {
		return i.Wall.UTC()
	}
	return k.anchor.Add(i.Boot)
}

// stamp is now() plus shift, in microseconds and never the same twice: services
// keep authenticators by date to catch replays.
func (k *kdcTime) stamp(shift time.Duration) (at time.Time, microseconds int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.at(k.source.Now()).Add(shift).Truncate(time.Microsecond)
	if !t.After(k.last) && k.last.Sub(t) < time.Second {
		t = k.last.Add(time.Microsecond)
	}
	k.last = t
	return t.Truncate(time.Second), t.Nanosecond() / 1000
}

// learn takes a date that a KDC vouched for just now. Dates come in whole
// seconds, so a small difference only pins the present estimate down.
func (k *kdcTime) learn(date time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	i := k.source.Now()
	estimate := k.at(i)
	if d := date.Sub(estimate); d.Abs() > 2*time.Second {
		estimate = date
	}
	k.anchor = estimate.Add(-i.Boot).UTC()
}

// skew is how far date is ahead of the estimate.
func (k *kdcTime) skew(date time.Time) time.Duration {
	return date.Sub(k.now()).Round(time.Second)
}

// offset is how far the KDC's date is ahead of the wall clock.
func (k *kdcTime) offset() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	i := k.source.Now()
	return k.at(i).Sub(i.Wall)
}
