package core

import (
	"math"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/clock"
)

// Deadlines are boot times. A date of a service becomes one through what we know
// of that service's clock; our wall clock stands in until something is known,
// read once at the start, so that stepping it later moves nothing.

// never is a boot time that does not come.
const never = time.Duration(math.MaxInt64)

// farthest bounds how far away a date may be, so that sums cannot overflow.
const farthest = 100 * 365 * 24 * time.Hour

// clocks holds, for each authority, its date at boot time 0.
type clocks struct {
	wall     time.Time // ours at boot time 0, as of the start
	measured map[appregistry.Authority]time.Time
	// behind is the same by what an earlier session measured, where the clock was
	// behind ours: not believed, but held possible before anything is given up.
	behind map[appregistry.Authority]time.Time
}

func (k *clocks) origin(a appregistry.Authority) time.Time {
	if o, ok := k.measured[a]; ok {
		return o
	}
	return k.wall
}

// date is what the authority's clock shows at a boot time.
func (k *clocks) date(a appregistry.Authority, boot time.Duration) time.Time {
	return k.origin(a).Add(boot)
}

// boot is when the authority's clock shows the date; never for the zero date.
func (k *clocks) boot(a appregistry.Authority, date time.Time) time.Duration {
	if date.IsZero() {
		return never
	}
	return min(max(date.Sub(k.origin(a)), -farthest), farthest)
}

// last is the latest boot time at which the authority's clock may show the date:
// nothing is given up before.
func (k *clocks) last(a appregistry.Authority, date time.Time) time.Duration {
	at := k.boot(a, date)
	if o, ok := k.behind[a]; ok && at != never {
		at = max(at, min(max(date.Sub(o), -farthest), farthest))
	}
	return at
}

// renewedUntil learns from a renewal whose new date is past by what we believe,
// and is not if the clock is as far behind as it was.
func (k *clocks) renewedUntil(a appregistry.Authority, expires time.Time, now time.Duration) {
	if o, ok := k.behind[a]; ok && k.boot(a, expires)-now < leastWait && k.last(a, expires)-now >= leastWait {
		k.measured[a] = o
		delete(k.behind, a)
	}
}

// issuedBetween learns from a token that the authority dated issued while our
// call ran. Of what is possible the later clock is taken, which leaves tokens
// less to live.
func (k *clocks) issuedBetween(a appregistry.Authority, issued time.Time, sent, received time.Duration) {
	delete(k.behind, a)
	late, early := issued.Add(-sent), issued.Add(-received)
	if o := k.origin(a); o.Before(early) || o.After(late) {
		k.measured[a] = late
	}
}

// issuedBefore learns from a token of proved identifier that it was issued
// before now.
func (k *clocks) issuedBefore(a appregistry.Authority, issued time.Time, now time.Duration) {
	if o := issued.Add(-now); !issued.IsZero() && o.After(k.origin(a)) {
		k.measured[a] = o
	}
}

// skew is how far the authority's clock is ahead of our wall clock now, to be
// kept for the next session.
func (k *clocks) skew(a appregistry.Authority, now clock.Instant) time.Duration {
	return k.date(a, now.Boot).Sub(now.Wall)
}

// restore takes a skew of an earlier session for the present one. Our wall clock
// may have been set since, then or now, so only a skew that leaves tokens less
// to live is believed: a wrong one makes us early, never late. The other kind is
// kept in mind.
func (k *clocks) restore(a appregistry.Authority, skew time.Duration) {
	o := k.wall.Add(min(max(skew, -farthest), farthest))
	if skew > 0 {
		k.measured[a] = o
	}
	if have, ok := k.behind[a]; skew < 0 && (!ok || o.Before(have)) {
		k.behind[a] = o
	}
}
