package core

import (
	"math"
	"slices"
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
	// behind has the same by what earlier sessions measured where the clock was behind
	// ours, and ours where it was ahead, earliest first: not believed, but held possible
	// before anything is given up. There are several where our clock was stepped in
	// between.
	behind map[appregistry.Authority][]time.Time
	// shown is the same if no time had passed since the last date that an earlier
	// session saw it show: it cannot be earlier, whatever was stepped since.
	shown map[appregistry.Authority]time.Time
	// doubtful: its clock is later than ours says, and nobody knows by how much.
	doubtful map[appregistry.Authority]bool
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
	return after(k.origin(a), date)
}

// last is the latest boot time at which the authority's clock may show the date:
// nothing is given up before.
func (k *clocks) last(a appregistry.Authority, date time.Time) time.Duration {
	at := k.boot(a, date)
	if at != never && len(k.behind[a]) > 0 {
		at = max(at, after(k.behind[a][0], date))
	}
	return at
}

// latest is the latest boot time at which the authority's clock can show the date,
// whatever clocks were stepped before this session: no reader of an earlier set is
// taken to have looked before.
func (k *clocks) latest(a appregistry.Authority, date time.Time) time.Duration {
	at := k.last(a, date)
	if o, ok := k.shown[a]; ok && at != never {
		at = max(at, after(o, date))
	}
	return at
}

// after is how long after boot time 0 a clock shows the date that showed origin then.
func after(origin, date time.Time) time.Duration {
	return min(max(date.Sub(origin), -farthest), farthest)
}

// renewedUntil learns from a renewal whose new date is past by what we believe,
// and is not if the clock is as far behind as it was. Of several ways in which it may
// be, the latest clock is taken, which leaves tokens less to live.
func (k *clocks) renewedUntil(a appregistry.Authority, expires time.Time, now time.Duration) {
	if k.boot(a, expires)-now >= leastWait {
		return
	}
	for i, o := range slices.Backward(k.behind[a]) {
		if after(o, expires)-now >= leastWait {
			k.measured[a], k.doubtful[a] = o, true
			k.behind[a] = k.behind[a][:i]
			return
		}
	}
}

// trust is how far a service's clock may be from ours before one of them is taken
// to be wrong: what Kerberos allows (RFC 4120, section 3.1.3).
const trust = 5 * time.Minute

// passed learns that the authority's clock once showed the date. Where that is yet
// to come by ours, ours is wrong, as that of a machine may be that has just booted,
// and what time it is there is to be asked.
func (k *clocks) passed(a appregistry.Authority, date time.Time, now time.Duration) {
	if date.Sub(k.date(a, now)) > trust {
		k.measured[a] = date.Add(-now)
		k.doubtful[a] = true
	}
}

// renewedFor learns from a token of which every renewal brings so much where our
// idea of the authority's clock is in doubt, or cannot be: a token that was past
// its end was renewed, and is so still.
func (k *clocks) renewedFor(a appregistry.Authority, before, expires time.Time, life, now time.Duration) {
	past := expires.After(before) && k.boot(a, expires)-now < leastWait
	if life > 0 && (k.doubtful[a] || past) {
		k.measured[a] = expires.Add(-life - now)
		delete(k.doubtful, a)
	}
}

// issuedBetween learns from a token that the authority dated issued while our
// call ran. Of what is possible the later clock is taken, which leaves tokens
// less to live.
func (k *clocks) issuedBetween(a appregistry.Authority, issued time.Time, sent, received time.Duration) {
	delete(k.behind, a)
	delete(k.shown, a)
	delete(k.doubtful, a)
	late, early := issued.Add(-sent), issued.Add(-received)
	if o := k.origin(a); o.Before(early) || o.After(late) {
		k.measured[a] = late
	}
}

// issuedBefore learns from a token of proved identifier that it was issued
// before now.
func (k *clocks) issuedBefore(a appregistry.Authority, issued time.Time, now time.Duration) {
	if issued.IsZero() {
		return
	}
	k.passed(a, issued, now)
	if o := issued.Add(-now); o.After(k.origin(a)) {
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
	if skew == 0 {
		return
	}
	if skew > 0 {
		k.measured[a], o = o, k.wall // unless ours was wrong then, and is right now
	}
	at, _ := slices.BinarySearchFunc(k.behind[a], o, time.Time.Compare)
	if near := k.behind[a][max(0, at-1):min(at+1, len(k.behind[a]))]; !slices.ContainsFunc(near, func(x time.Time) bool { return x.Sub(o).Abs() < time.Second }) {
		k.behind[a] = slices.Insert(k.behind[a], at, o)
	}
}
