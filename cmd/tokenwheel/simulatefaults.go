package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/tokenwheel/tokenwheel/internal/sim"
)

const outageUsage = "PART=LENGTH/PERIOD at a random time in each, or PART=LENGTH@WHEN; PART is service1 and so on, service (one after the other), kdc, failover, store or sleep. " +
	"Replaces that part's of the mix; PART=none removes them. Such as service=2h/week, kdc=30m/day, service1=6h@day3, sleep=10h@day4+2h; day0 is the first"

// share is a part of all calls, written as 0.05 or 5%.
type share float64

func (s *share) String() string { return strconv.FormatFloat(float64(*s), 'g', -1, 64) }

// Set implements pflag.Value.
func (s *share) Set(text string) error {
	number, percent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v < 1) {
		return fmt.Errorf("want a share such as 5%% or 0.05, less than all")
	}
	*s = share(v)
	return nil
}

// Type implements pflag.Value.
func (s *share) Type() string { return "share" }

type shareFlags struct{ fail, timeouts, ambiguous, store share }

func (f *shareFlags) add(fs *pflag.FlagSet) {
	fs.Var(&f.fail, "fail", "calls and stagings that fail without effect, such as 5%")
	fs.Var(&f.timeouts, "timeouts", "calls that are not answered, half of them with effect")
	fs.Var(&f.ambiguous, "ambiguous", "calls that have their effect and are answered by an error")
	fs.Var(&f.store, "store-fail", "commits that fail, half of them with effect")
}

// faults puts together the mix and what the flags change of it. What a flag asks for
// behind the run's end would pass for something that was borne.
func (f *simulateFlags) faults(set *pflag.FlagSet, out *sim.Faults, length time.Duration) error {
	within := func(at time.Duration) error {
		if at >= length {
			return fmt.Errorf("it begins after %v, and the run ends after %v: raise --days (day0 is the first)", at, length)
		}
		return nil
	}
	switch f.mix {
	case "m01":
		*out = sim.M01()
	case "none":
	default:
		return fmt.Errorf("--mix %q: want m01 or none", f.mix)
	}
	for _, one := range []struct {
		flag string
		from share
		to   *float64
	}{
		{"fail", f.shares.fail, &out.Fail},
		{"timeouts", f.shares.timeouts, &out.Timeouts},
		{"ambiguous", f.shares.ambiguous, &out.Ambiguous},
		{"store-fail", f.shares.store, &out.StoreFail},
	} {
		if set.Changed(one.flag) {
			*one.to = float64(one.from)
		}
	}
	out.Skew, out.Crashes, out.LateTicks = f.skew, f.crashes, f.late
	replaced := map[sim.Part]bool{}
	for _, text := range f.outages {
		o, part, err := parseOutage(text)
		if err == nil {
			err = within(o.At)
		}
		if err != nil {
			return fmt.Errorf("--outage %q: %w", text, err)
		}
		if !replaced[part] {
			replaced[part] = true
			out.Outages = slices.DeleteFunc(out.Outages, func(o sim.Outage) bool { return o.Part == part })
		}
		if o.For > 0 {
			out.Outages = append(out.Outages, o)
		}
	}
	if len(f.losses) > 0 {
		out.Losses = nil
	}
	for _, text := range f.losses {
		if text == "none" {
			continue
		}
		l, err := parseLoss(text)
		if err == nil {
			err = within(l.At)
		}
		if err != nil {
			return fmt.Errorf("--token-loss %q: %w", text, err)
		}
		out.Losses = append(out.Losses, l)
	}
	for _, text := range f.steps {
		by, at, err := parseAt(text)
		if err == nil {
			err = within(at)
		}
		if err != nil {
			return fmt.Errorf("--clock-step %q: %w", text, err)
		}
		out.Steps = append(out.Steps, sim.Step{At: at, By: by})
	}
	return nil
}

// parseOutage reads PART=LENGTH/PERIOD, PART=LENGTH@WHEN or PART=none, which is
// one without a length.
func parseOutage(text string) (o sim.Outage, part sim.Part, err error) {
	name, rest, ok := strings.Cut(text, "=")
	if !ok {
		return o, "", fmt.Errorf("want PART=LENGTH/PERIOD or PART=LENGTH@WHEN")
	}
	parts := map[string]sim.Part{"kdc": sim.KDC, "failover": sim.Failover, "store": sim.Store, "sleep": sim.Suspend, "service": sim.Service}
	o.Part, ok = parts[name]
	if number, numbered := strings.CutPrefix(name, "service"); !ok && numbered {
		o.Part = sim.Service
		o.Service, err = strconv.Atoi(number)
		ok = err == nil && o.Service > 0
	}
	if !ok {
		return o, "", fmt.Errorf("%q is no part: want service1 and so on, %s", name, strings.Join(slices.Sorted(maps.Keys(parts)), ", "))
	}
	if rest == "none" {
		return o, o.Part, nil
	}
	if length, period, ok := strings.Cut(rest, "/"); ok {
		if o.For, err = parseLength(length); err == nil {
			o.Every, err = parsePeriod(period)
		}
	} else {
		o.For, o.At, err = parseAt(rest)
	}
	if err == nil && o.For <= 0 {
		err = fmt.Errorf("a length of %v: want more than nothing", o.For)
	}
	return o, o.Part, err
}

func parseLoss(text string) (l sim.Loss, err error) {
	name, when, ok := strings.Cut(text, "@")
	number, named := strings.CutPrefix(name, "service")
	if l.Service, err = strconv.Atoi(number); !ok || !named || err != nil {
		return l, fmt.Errorf("want serviceN@WHEN, or none")
	}
	l.At, err = parseWhen(when)
	return l, err
}

// parseAt reads LENGTH@WHEN.
func parseAt(text string) (length, at time.Duration, err error) {
	first, when, ok := strings.Cut(text, "@")
	if !ok {
		return 0, 0, fmt.Errorf("want LENGTH@WHEN, such as 6h@day3")
	}
	if length, err = parseLength(first); err == nil {
		at, err = parseWhen(when)
	}
	return length, at, err
}

const simDay = 24 * time.Hour

// parseWhen reads a time since the beginning: day3, day3+4h or 76h. Days count
// from 0.
func parseWhen(text string) (time.Duration, error) {
	days, ok := strings.CutPrefix(text, "day")
	if !ok {
		return parseLength(text)
	}
	days, more, plus := strings.Cut(days, "+")
	n, err := strconv.ParseUint(days, 10, 16)
	if err != nil || n > 3650 {
		return 0, fmt.Errorf("%q: want dayN, dayN+4h or a time such as 76h", text)
	}
	at := time.Duration(n) * simDay
	if !plus {
		return at, nil
	}
	rest, err := parseLength(more)
	return at + rest, err
}

// parsePeriod reads hour, day, week, or a length.
func parsePeriod(text string) (time.Duration, error) {
	if p, ok := map[string]time.Duration{"hour": time.Hour, "day": simDay, "week": 7 * simDay}[text]; ok {
		return p, nil
	}
	p, err := parseLength(text)
	if err == nil && p <= 0 {
		err = fmt.Errorf("a period of %v: want more than nothing", p)
	}
	return p, err
}

// parseLength reads a duration, of days too.
func parseLength(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err == nil && n >= -10_000 && n <= 10_000 {
			return time.Duration(n * float64(simDay)), nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is no length: write a number with its unit, such as 30s, 2h or 3d", text)
	}
	return d, nil
}
