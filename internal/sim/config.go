// Package sim runs the engine through weeks of bad days in seconds.
//
// It drives the same core as package renewer by discrete events on a virtual
// clock, against hadooptest's secret manager called directly, with seeded faults
// in between: calls fail, time out, or are done and their answer lost; services,
// KDC and store go down; a service forgets its tokens; the process crashes. The
// judge goes by the services' journal and by what readers of the credentials
// files hold, never by the engine's own word. There is no goroutine, no lock and
// no real clock, so a run is a function of its [Config]: the same seed gives the
// same history. What is simulated and what is not is told in docs/simulator.md.
package sim

import (
	"errors"
	"fmt"
	"time"

	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/internal/core"
)

const day time.Duration = 24 * time.Hour

// Policy is what the engine goes by.
type Policy = core.Policy

// Lifetimes are what the services go by.
type Lifetimes = hadooptest.Lifetimes

// Config is a world to be run through. Zero fields take what their comments say.
type Config struct {
	Seed     uint64
	Length   time.Duration // 0: 30 days
	Apps     int           // at a time; those that leave are followed by others; 0: 300
	Services int           // 0: 2
	Arrivals time.Duration // over which the first applications come; 0: 6 h, or a quarter of Length

	Policy         Policy
	PerAuthority   int           // calls to one service at a time; 0: 16
	CallTimeout    time.Duration // 0: 30 s
	CallsPerSecond float64       // to one service; 0: 100
	Lifetimes      Lifetimes
	Faults         Faults

	// Tamper stands between core and world and may change what the core wants
	// done. With it the judge's own test plants bugs. nil: nothing is changed.
	Tamper func(core.Action) []core.Action
}

// Faults is what goes wrong. The zero value is a world without faults.
type Faults struct {
	Fail      float64 // share of calls and stagings that fail without effect
	Timeouts  float64 // share of calls without an answer, half of them with effect
	Ambiguous float64 // share of calls that have their effect and are answered by an error
	StoreFail float64 // share of commits that fail, half of them with effect

	Outages []Outage
	// Losses are when a service forgets all its tokens.
	Losses []Loss
	// Skew is how far the clock of the first service is ahead of ours; that of the
	// second is as far behind, and so on in turn.
	Skew time.Duration
	// Crashes is how often the process ends between any two actions, at random
	// times, and starts again from its store.
	Crashes int
	// Steps are changes of our own wall clock.
	Steps []Step
	// LateTicks is how late timers come at most, as on a starved machine.
	LateTicks time.Duration
}

// Part is what an outage is of.
type Part string

// The parts of the world that go down.
const (
	Service  Part = "service"
	KDC      Part = "kdc"      // no call can log in
	Store    Part = "store"    // no commit succeeds
	Failover Part = "failover" // a service answers that it is in standby
	Suspend  Part = "suspend"  // our machine sleeps, and boot time goes on
)

// Outage is a time in which a part of the world does not work: once at At, or,
// where Every is set, at a random time in each period.
type Outage struct {
	Part Part
	// Service is its number from 1; 0: of each period another one for [Service],
	// each for [Failover].
	Service int
	For     time.Duration
	At      time.Duration
	Every   time.Duration
}

// Loss is a service that forgets all tokens it has issued.
type Loss struct {
	Service int // from 1
	At      time.Duration
}

// Step is a change of our wall clock.
type Step struct {
	At, By time.Duration
}

// M01 is the mix of faults that the figure M01 is about: 5 % of calls fail, 1 %
// time out, 0.1 % are done without an answer; each week one service is out for 2
// hours, each day there is a failover and half an hour without KDC; and once a
// service loses all its tokens.
func M01() Faults {
	return Faults{
		Fail: 0.05, Timeouts: 0.01, Ambiguous: 0.001,
		Outages: []Outage{
			{Part: Service, For: 2 * time.Hour, Every: 7 * day},
			{Part: Failover, For: 30 * time.Second, Every: day},
			{Part: KDC, For: 30 * time.Minute, Every: day},
		},
		Losses: []Loss{{Service: 1, At: 15*day + 7*time.Hour}},
	}
}

const mostServices = 16

func (c Config) withDefaults() Config {
	if c.Length == 0 {
		c.Length = 30 * day
	}
	orElse := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	orElse(&c.Apps, 300)
	orElse(&c.Services, 2)
	orElse(&c.PerAuthority, 16)
	if c.CallsPerSecond == 0 {
		c.CallsPerSecond = 100
	}
	if c.Arrivals == 0 {
		c.Arrivals = min(6*time.Hour, c.Length/4)
	}
	if c.CallTimeout == 0 {
		c.CallTimeout = 30 * time.Second
	}
	if c.Lifetimes.RenewInterval == 0 {
		c.Lifetimes.RenewInterval = day
	}
	if c.Lifetimes.MaxLifetime == 0 {
		c.Lifetimes.MaxLifetime = 7 * day
	}
	return c
}

// Validate reports all that cannot be run.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Length > 0 && c.Length <= 3650*day, "a length of %v: want more than nothing, and at most 3,650 days", c.Length)
	check(c.Apps > 0 && c.Apps <= 1_000_000, "%d applications: want 1 to 1,000,000", c.Apps)
	check(c.Services > 0 && c.Services <= mostServices, "%d services: want 1 to %d", c.Services, mostServices)
	check(c.Arrivals > 0 && c.Arrivals <= c.Length, "arrivals over %v: want more than nothing, and no more than the length", c.Arrivals)
	check(c.PerAuthority > 0, "%d calls to a service at a time: want 1 or more", c.PerAuthority)
	check(c.CallTimeout > 0, "a call timeout of %v: want more than nothing", c.CallTimeout)
	check(c.CallsPerSecond > 0, "%v calls a second: want more than 0", c.CallsPerSecond)
	l := c.Lifetimes
	check(l.RenewInterval >= 5*time.Second, "a renew interval of %v: want 5s or more", l.RenewInterval)
	check(l.MaxLifetime >= l.RenewInterval, "a max lifetime of %v is shorter than the renew interval %v", l.MaxLifetime, l.RenewInterval)
	errs = append(errs, c.Faults.validate(c)...)
	return errors.Join(errs...)
}

func (f Faults) validate(c Config) (errs []error) {
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	for _, s := range []struct {
		of    string
		share float64
	}{{"failing calls", f.Fail}, {"timeouts", f.Timeouts}, {"ambiguous answers", f.Ambiguous}, {"failing commits", f.StoreFail}} {
		check(s.share >= 0 && s.share < 1, "a share of %s of %v: want 0 or more, and less than 1", s.of, s.share)
	}
	check(f.Fail+f.Timeouts+f.Ambiguous < 1, "no call is left that works: failing, timed out and ambiguous together are %v", f.Fail+f.Timeouts+f.Ambiguous)
	for _, o := range f.Outages {
		check(o.For > 0, "an outage of %s that takes %v: want more than nothing", o.Part, o.For)
		check(o.Service >= 0 && o.Service <= c.Services, "an outage of service %d: there are %d", o.Service, c.Services)
		check(o.At >= 0 && o.Every >= 0, "an outage of %s before the beginning", o.Part)
		check(o.Every == 0 || o.Every > o.For, "an outage of %s of %v each %v leaves nothing between", o.Part, o.For, o.Every)
	}
	for _, l := range f.Losses {
		check(l.Service > 0 && l.Service <= c.Services, "a loss of tokens at service %d: there are %d", l.Service, c.Services)
	}
	check(f.Crashes >= 0 && f.Crashes <= 100_000, "%d crashes: want 0 to 100,000", f.Crashes)
	check(f.LateTicks >= 0, "timers that come %v late: want 0 or more", f.LateTicks)
	return errs
}
