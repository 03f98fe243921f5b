package core

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/tokenwheel/tokenwheel/plugins"
)

// Policy says when things are done. It is what users know as renewer.Policy,
// where each field and its default is told; the two convert into each other.
type Policy struct {
	Ratio                float64
	Jitter               float64
	MinLead              time.Duration
	ReplaceOnly          bool
	ReplaceLead          time.Duration
	FirstRetry, MaxRetry time.Duration
	DefaultValidity      time.Duration
	Grace                time.Duration
	Coalesce             time.Duration
	CancelBurst          int
	Cooldown             time.Duration
}

// Preset returns a policy by name: "" for the default, and yarn, spark2 and
// flink for what users of those systems have. Presets are values: no code asks
// for their names.
func Preset(name string) (Policy, bool) {
	switch name {
	case "":
		return Policy{}, true
	case "yarn":
		return Policy{Ratio: 0.9, Jitter: -1, ReplaceLead: 3 * time.Hour}, true
	case "spark2", "flink":
		return Policy{Ratio: 0.75, Jitter: -1, ReplaceOnly: true}, true
	}
	return Policy{}, false
}

// presets are the names that [Preset] knows.
var presets = []string{"flink", "spark2", "yarn"}

const (
	leastWait = time.Second
	// suspectMost bounds the life that a date may tell of: more is not believed.
	suspectMost = 30 * 24 * time.Hour
	// askedMost bounds the wait that a service may ask for.
	askedMost = time.Hour
	// confirmMost is the longest wait before a terminal answer is asked for again.
	confirmMost = 30 * time.Second
)

// fraction of d, without the overflow of a product of durations.
func fraction(d time.Duration, f float64) time.Duration { return time.Duration(float64(d) * f) }

// RenewAfter is the wait before a token with that much life left is renewed:
// a second at least, or half of a shorter life.
func (p Policy) RenewAfter(remains time.Duration, r *rand.Rand) time.Duration {
	wait := fraction(remains, cmp.Or(p.Ratio, 0.75))
	if jitter := cmp.Or(p.Jitter, 0.1); jitter > 0 {
		wait -= fraction(wait, jitter*r.Float64())
	}
	lead := max(cmp.Or(p.MinLead, time.Second), remains/50)
	// A lead of more than there is must not mean: now, and now again.
	most := remains - min(lead, remains/2)
	return max(min(wait, most), min(leastWait, most))
}

// LeadBeforeMax is how long before its max date a token of that whole life is replaced.
func (p Policy) LeadBeforeMax(life time.Duration) time.Duration {
	lead := max(life/10, min(3*time.Hour, life/4))
	if p.ReplaceLead > 0 {
		// A fixed lead that suits days would leave nothing of a short life.
		lead = min(p.ReplaceLead, life/2)
	}
	return lead
}

// RetryAfter is the wait after the given number of failures in a row, the first
// being 1, where the token has that much life left; remains <= 0: it has ended,
// or nobody knows.
func (p Policy) RetryAfter(failures int, remains time.Duration, r *rand.Rand) time.Duration {
	most := cmp.Or(p.MaxRetry, 5*time.Minute)
	wait := cmp.Or(p.FirstRetry, 10*time.Second)
	for i := 1; i < failures && wait < most; i++ {
		wait *= 2
	}
	wait = fraction(min(wait, most), 0.5+r.Float64())
	return p.within(wait, remains)
}

// heed makes a wait as long as the service asked for with its error, within a
// third of the life left and [askedMost].
func heed(wait, remains time.Duration, err error) time.Duration {
	e, ok := errors.AsType[*plugins.Error](err)
	if !ok {
		return wait
	}
	asked := min(e.RetryAfter, askedMost)
	if remains > 0 {
		asked = min(asked, remains/3)
	}
	return max(wait, asked)
}

// DeniedAfter is the wait after a denial, which only an operator can end.
func (p Policy) DeniedAfter(remains time.Duration) time.Duration {
	return p.within(cmp.Or(p.MaxRetry, 5*time.Minute), remains)
}

func (p Policy) within(wait, remains time.Duration) time.Duration {
	if remains > 0 {
		wait = min(wait, remains/3)
	}
	return max(wait, leastWait)
}

// ConfirmAfter is the wait before a terminal answer from an unprotected channel
// is asked for again.
func (p Policy) ConfirmAfter(remains time.Duration) time.Duration {
	if remains <= 0 {
		return confirmMost
	}
	return max(min(confirmMost, remains/10), leastWait)
}

// GraceAfter is how long a replaced token stays once nobody needs it.
func (p Policy) GraceAfter(remains time.Duration) time.Duration {
	return max(0, min(cmp.Or(p.Grace, time.Minute), remains/4))
}

// CoalesceFor is how long changes of a set are gathered before it is staged.
func (p Policy) CoalesceFor(remains time.Duration) time.Duration {
	return max(0, min(cmp.Or(p.Coalesce, 2*time.Second), remains/100))
}

// CancelsAllowed is the number of cancels within the window, for that many tokens.
func (p Policy) CancelsAllowed(tokens int) int {
	if p.CancelBurst > 0 {
		return p.CancelBurst
	}
	return max(100, min(1000, tokens/20))
}
