package renewer

import (
	"fmt"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
)

// Policy says when things are done. The zero value is the default, and so is
// each field's zero.
type Policy struct {
	// Ratio of what remains that passes before a renewal; 0: 0.75.
	Ratio float64
	// Jitter is the part of that which is taken off at random, at most; 0: 0.1,
	// below 0: none.
	Jitter float64
	// MinLead is the least time between a renewal and the end; 0: 1 s. It is
	// never less than 2 % of what remains.
	MinLead time.Duration
	// ReplaceOnly never renews, not even to learn an expiry.
	ReplaceOnly bool
	// ReplaceLead is the time before the max date at which a successor is
	// obtained; 0: a tenth of the life, or 3 h or a quarter of it, whichever of
	// these two is less, where that is more.
	ReplaceLead time.Duration
	// FirstRetry is the delay after a first failure, which doubles up to
	// MaxRetry; 0: 10 s and 5 min. What is denied waits MaxRetry at once.
	FirstRetry, MaxRetry time.Duration
	// DefaultValidity is what a token is taken to live where nobody says; 0: 12 h.
	DefaultValidity time.Duration
	// Grace is how long a replaced token stays after the last readers of a set with
	// it have looked for the next one, at most; 0: 60 s. It is never more than a
	// quarter of what remains of it.
	Grace time.Duration
	// Coalesce is how long changes of one application's credentials are
	// gathered, at most; 0: 2 s. It is never more than 1 % of what remains.
	Coalesce time.Duration
	// CancelBurst is the number of cancels within 5 minutes that pauses them; 0:
	// 5 % of all tokens, but at least 100 and at most 1,000. Paused are those of who
	// registered most of what left, where that is a quarter of them, else those of all.
	CancelBurst int
	// Cooldown is the least time between two renewals of one token, or obtains of
	// its successor, that somebody asked for; who asks sooner waits. 0: 10 s.
	Cooldown time.Duration
}

// Preset returns a policy by name: yarn, spark2 and flink are what users of those
// systems have; "" is the default.
func Preset(name string) (Policy, bool) {
	p, ok := core.Preset(name)
	return Policy(p), ok
}

func corePolicies(named map[string]Policy) map[string]core.Policy {
	out := make(map[string]core.Policy, len(named))
	for name, p := range named {
		out[name] = core.Policy(p)
	}
	return out
}

// Mode says what is done with the tokens of one provider.
type Mode = core.Mode

// The modes.
const (
	ModeRenew   = core.ModeRenew   // renewed, and replaced when that ends: the default
	ModeReplace = core.ModeReplace // replaced only
	ModeWatch   = core.ModeWatch   // delivered, and alarmed about before they end; their service is never asked
	ModeIgnore  = core.ModeIgnore  // delivered, and nothing else
)

// ParseMode reads a mode's word: renew (also ""), replace, watch or ignore.
func ParseMode(word string) (Mode, error) {
	for m := ModeRenew; m <= ModeIgnore; m++ {
		if word == m.String() || word == "" {
			return m, nil
		}
	}
	return 0, fmt.Errorf("policy %q: want renew, replace, watch or ignore", word)
}

// InstancePolicy is the operator's policy for one provider, that is for one
// cluster. The zero value is the default.
type InstancePolicy struct {
	Mode Mode
	// Exclude names services of it, by authority, service text or host, whose
	// tokens are delivered and watched, but not renewed. What is obtained there is
	// replaced in time.
	Exclude []string
	// Policy has its own numbers; nil: those of [Config].
	Policy *Policy
}

func coreInstances(named map[string]InstancePolicy) map[string]core.Instance {
	out := make(map[string]core.Instance, len(named))
	for name, i := range named {
		o := core.Instance{Mode: i.Mode, Exclude: i.Exclude}
		if i.Policy != nil {
			p := core.Policy(*i.Policy)
			o.Policy = &p
		}
		out[name] = o
	}
	return out
}

// Counts is how much there is. Registrations that wait to replace an application
// are not counted.
type Counts struct {
	Apps    int // applications
	Ready   int // of them, those whose first credentials were staged
	Entries int
	Tokens  map[appregistry.State]int // none of a state: it is not in it
	// Restoring is how many stored applications and tokens wait to be planned yet,
	// after a start. They are there, and are registered and unregistered as all are.
	Restoring int
}

// AppStatus is what an operator may know of one application. It holds no secret.
type AppStatus struct {
	Key        appregistry.AppKey
	User       string
	Group      string // of applications that belong together; "": none
	UUID       string // names its credentials files
	Generation uint32
	Ready      bool
	Entries    map[string]appregistry.EntryID // by alias
	Missing    map[string]string              // by authority: why a token asked for is not there
	NextStage  time.Time                      // by our wall clock; zero: not planned
	Trouble    string                         // why the last staging failed; "" once one works
	LeavesAt   time.Time                      // after its linger time or at the end of its lease; zero: it stays
}
