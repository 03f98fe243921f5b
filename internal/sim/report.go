package sim

import (
	"slices"
	"time"

	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/internal/core"
)

// Report is what a run came to. But for nothing it depends on the configuration
// alone: two runs of one seed have equal reports.
type Report struct {
	Seed     uint64  `json:"seed"`
	Days     float64 `json:"days"`
	Apps     int     `json:"apps"` // at a time
	Services int     `json:"services"`
	// History is a digest of all that services and readers saw.
	History string `json:"history"`

	// TokenDays is how long applications needed tokens, summed over applications
	// and services.
	TokenDays float64 `json:"tokenDays"`
	// Lost are tokens that ended without a good one in their place while one was
	// obtainable.
	Lost int `json:"lost"`
	// Bound is the rate of losses for each token-day that is not exceeded, with
	// 95 % confidence and for this mix of faults only (rule of three); 0: there
	// were losses.
	Bound float64 `json:"bound"`
	// Closed, OverCap, Asleep and Finished ended too, but could not be helped: what was
	// needed was down for too long, our machine slept, the cap on calls let no more through, or
	// nobody may extend them.
	Closed   int `json:"closed"`
	OverCap  int `json:"overCap"`
	Asleep   int `json:"asleep"`
	Finished int `json:"finished"`
	// Harmful are cancels of tokens that somebody needed, or that were never proved.
	Harmful int `json:"harmful"`

	Losses []Loser `json:"losses,omitempty"` // the first of them
	Harms  []Harm  `json:"harms,omitempty"`  // the first of them

	Calls map[string]Calls `json:"calls"` // by service
	// Lateness is the time from the engine's wish to renew to the service's yes,
	// all failed tries and outages in between included.
	Lateness Quantiles `json:"lateness"`
	// LifeLeft is the share of its life that a token had left when it was renewed.
	LifeLeft Shares `json:"lifeLeft"`
	// Ready is the time from registration to the first set at its readers.
	Ready Quantiles `json:"ready"`
	// Recovery is the time from a service's loss of all tokens to a good one at
	// the application's readers.
	Recovery Quantiles `json:"recovery"`
	// Dark is how long applications were without a good token, each time that one
	// had ended.
	Dark Quantiles `json:"dark"`

	Registered int            `json:"registered"`
	Departed   int            `json:"departed"`
	TurnedAway map[string]int `json:"turnedAway"`
	Sets       int            `json:"sets"`
	Crashes    int            `json:"crashes"`
	// Overslept are looks of stock readers that came after the end of the token they had.
	Overslept int            `json:"overslept"`
	Notices   map[string]int `json:"notices"` // what the engine said of itself
	Steps     int            `json:"steps"`

	ready []time.Duration
}

// Loser is a token that was lost.
type Loser struct {
	At      time.Duration `json:"at"` // since the beginning
	App     string        `json:"app"`
	Service string        `json:"service"`
	Token   int64         `json:"token"`
	Life    time.Duration `json:"life"`
	// UpUntil is the share of its life that had passed when a call could last be
	// made, for long enough; the rest is an outage. 1: at its end.
	UpUntil float64 `json:"upUntil"`
}

// Calls counts the calls to one service.
type Calls struct {
	Sent      int            `json:"sent"`
	Accepted  map[string]int `json:"accepted,omitempty"` // by operation
	Declined  map[string]int `json:"declined,omitempty"` // answered by the service with an error
	Failed    int            `json:"failed"`             // by fault, with or without effect
	PerSecond int            `json:"perSecond"`

	second   time.Duration
	inSecond int
}

func (c *Calls) sent(now time.Duration, f fate) {
	c.Sent++
	if f != works {
		c.Failed++
	}
	if s := now.Truncate(time.Second); s != c.second {
		c.second, c.inSecond = s, 0
	}
	c.inSecond++
	c.PerSecond = max(c.PerSecond, c.inSecond)
}

func (c *Calls) add(op hadooptest.Op, err error) {
	into := &c.Accepted
	if err != nil {
		into = &c.Declined
	}
	if *into == nil {
		*into = map[string]int{}
	}
	(*into)[string(op)]++
}

// Quantiles of durations.
type Quantiles struct {
	N    int           `json:"n"`
	P50  time.Duration `json:"p50"`
	P90  time.Duration `json:"p90"`
	P99  time.Duration `json:"p99"`
	P999 time.Duration `json:"p999"`
	Max  time.Duration `json:"max"`
}

func quantiles(d []time.Duration) Quantiles {
	if len(d) == 0 {
		return Quantiles{}
	}
	slices.Sort(d)
	at := func(q float64) time.Duration { return d[int(q*float64(len(d)-1))] }
	return Quantiles{N: len(d), P50: at(0.5), P90: at(0.9), P99: at(0.99), P999: at(0.999), Max: d[len(d)-1]}
}

// Shares are quantiles from below.
type Shares struct {
	N    int     `json:"n"`
	Min  float64 `json:"min"`
	P001 float64 `json:"p001"`
	P01  float64 `json:"p01"`
	P50  float64 `json:"p50"`
}

func shares(d []float32) Shares {
	if len(d) == 0 {
		return Shares{}
	}
	slices.Sort(d)
	at := func(q float64) float64 { return float64(d[int(q*float64(len(d)-1))]) }
	return Shares{N: len(d), Min: at(0), P001: at(0.001), P01: at(0.01), P50: at(0.5)}
}

func newReport(c Config) *Report {
	return &Report{
		Seed: c.Seed, Days: c.Length.Hours() / 24, Apps: c.Apps, Services: c.Services,
		Calls: map[string]Calls{}, TurnedAway: map[string]int{}, Notices: map[string]int{},
	}
}

func (r *Report) notice(n core.Notify) {
	word := n.What.String()
	if n.Op != "" && (n.What == core.TryFailed || n.What == core.TryAlarmed) {
		word += " " + n.Op
	}
	r.Notices[word]++
}

// OK reports whether nothing was lost that could be kept, and nothing harmed.
func (r *Report) OK() bool { return r.Lost == 0 && r.Harmful == 0 }
