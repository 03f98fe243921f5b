// Package clock is the one seam through which time enters the engine.
//
// An Instant carries two readings: boot time, which only ever moves forward and
// goes on through suspend, and wall time, which an operator or NTP may step.
// Deadlines are kept on boot time; wall time only translates dates that servers
// send. A Source is safe for concurrent use. The package starts nothing and
// holds no state of its own.
package clock

import "time"

// Instant is one reading of a Source.
type Instant struct {
	// Boot is the time since an arbitrary fixed moment, usually the start of the
	// machine. It never goes backwards and includes time spent suspended where
	// the system can tell. Two readings compare only within one machine's boot.
	Boot time.Duration
	// Wall is the machine's idea of the date, without a monotonic reading, so
	// that its arithmetic follows steps of the wall clock.
	Wall time.Time
}

// Source gives the time. Implementations are safe for concurrent use and never block.
type Source interface {
	Now() Instant
}

// Func lets a plain function be a Source.
type Func func() Instant

// Now calls f.
func (f Func) Now() Instant { return f() }

// System reads the machine's clocks: CLOCK_BOOTTIME on Linux, elsewhere Go's
// monotonic clock, which may stand still during suspend.
func System() Source { return Func(systemNow) }

func systemNow() Instant {
	return Instant{Boot: bootTime(), Wall: time.Now().Round(0)}
}

// Bubble is a Source for tests. Boot time is Go's own clock counted from this
// call, so inside a testing/synctest bubble it is the bubble's time; wall time
// is the same clock plus wallOffset(), read at each Now. A nil wallOffset means
// no offset. A test changes what wallOffset returns to step the wall clock.
func Bubble(wallOffset func() time.Duration) Source {
	start := time.Now()
	return Func(func() Instant {
		now := time.Now()
		wall := now.Round(0)
		if wallOffset != nil {
			wall = wall.Add(wallOffset())
		}
		return Instant{Boot: now.Sub(start), Wall: wall}
	})
}
