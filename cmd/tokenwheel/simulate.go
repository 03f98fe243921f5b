package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/tokenwheel/tokenwheel/internal/sim"
)

// simulateFlags are those that have a type of flags already; the faults have
// types of their own.
type simulateFlags struct {
	config   string
	days     float64
	apps     int
	services int
	seed     uint64
	mix      string
	rate     float64
	interval time.Duration
	max      time.Duration
	crashes  int
	skew     time.Duration
	late     time.Duration
	shares   shareFlags
	outages  []string
	losses   []string
	steps    []string
}

func newSimulate() *cobra.Command {
	var f simulateFlags
	c := &cobra.Command{
		Use:   "simulate",
		Short: "Run the engine through weeks of faults, and count what is lost",
		Long: `Run the engine on a virtual clock through weeks in which calls fail, services go
down and forget tokens, and the process crashes, and count what applications lost.
It touches nothing outside this process. The judge goes by what the simulated
services did and what readers of the credentials files hold. A seed gives the same
run again. Exit code 4: a token was lost that could have been kept, or a cancel did
harm. With --config the run has your own renewal and retry settings:

  tokenwheel simulate --config tokenwheel.yaml --outage service1=6h@day3

What is simulated and what is not is told in docs/simulator.md.`,
		Args: cobra.NoArgs,
	}
	fs, output := c.Flags(), outputFlag(c)
	fs.StringVar(&f.config, "config", "", "configuration file whose renewal and retry settings the engine gets (default: the defaults)")
	fs.Float64Var(&f.days, "days", 30, "length of the run")
	fs.IntVar(&f.apps, "apps", 300, "applications at a time; those that leave are followed by others")
	fs.IntVar(&f.services, "services", 2, "services, each of which most applications need")
	fs.Uint64Var(&f.seed, "seed", 0, "what the run is drawn from (default: a random one, which is printed)")
	fs.StringVar(&f.mix, "mix", "m01", "faults to begin with, which the other flags change: m01 or none")
	fs.Float64Var(&f.rate, "calls-per-second", 0, "budget of calls to one service (default: that of the configuration)")
	fs.DurationVar(&f.interval, "renew-interval", 24*time.Hour, "how long a token lives from one renewal to the next")
	fs.DurationVar(&f.max, "max-lifetime", 7*24*time.Hour, "how long it can be renewed at all")
	fs.IntVar(&f.crashes, "crashes", 0, "times that the process ends between two actions and starts again from its store")
	fs.DurationVar(&f.skew, "skew", 0, "how far services' clocks are off, every other one the other way")
	fs.DurationVar(&f.late, "late-timers", 0, "how late timers come at most, as on a starved machine")
	f.shares.add(fs)
	fs.StringArrayVar(&f.outages, "outage", nil, outageUsage)
	fs.StringArrayVar(&f.losses, "token-loss", nil, "serviceN@WHEN: that service forgets all tokens, such as service1@day15; none")
	fs.StringArrayVar(&f.steps, "clock-step", nil, "LENGTH@WHEN: our wall clock is stepped, such as -10h@day3+2h")
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := f.world(c)
		if err != nil {
			return err
		}
		began := time.Now()
		r, err := sim.Run(c.Context(), cfg)
		if err != nil {
			return fmt.Errorf("simulate with --seed %d: %w", cfg.Seed, err)
		}
		took := time.Since(began)
		if err := output.write(c.OutOrStdout(), r, func(t *table) { showRun(t, r, took) }); err != nil {
			return err
		}
		if !r.OK() {
			return advise(fmt.Errorf("%w: %d lost and %d harmful cancels", errFound, r.Lost, r.Harmful),
				"repeat it with --seed %d and the same flags; docs/simulator.md tells what counts as lost", r.Seed)
		}
		return nil
	}
	return c
}

// world is what the flags ask for.
func (f *simulateFlags) world(c *cobra.Command) (sim.Config, error) {
	cfg := sim.Config{
		Seed: f.seed, Length: time.Duration(f.days * 24 * float64(time.Hour)), Apps: f.apps, Services: f.services,
		Lifetimes: sim.Lifetimes{RenewInterval: f.interval, MaxLifetime: f.max},
	}
	if !c.Flags().Changed("seed") {
		cfg.Seed = rand.Uint64N(1_000_000) // #nosec G404 -- it names a run
	}
	for name, n := range map[string]int{"apps": f.apps, "services": f.services} {
		if n <= 0 {
			return cfg, fmt.Errorf("--%s %d: want 1 or more", name, n)
		}
	}
	if !(f.days > 0 && f.days <= 3650) {
		return cfg, fmt.Errorf("--days %v: want more than 0, and at most 3650", f.days)
	}
	for name, ok := range map[string]bool{"calls-per-second": f.rate > 0, "renew-interval": f.interval > 0, "max-lifetime": f.max > 0} {
		if flag := c.Flags().Lookup(name); flag.Changed && !ok {
			return cfg, fmt.Errorf("--%s %s: want more than 0", name, flag.Value)
		}
	}
	if err := f.engine(&cfg); err != nil {
		return cfg, err
	}
	if err := f.faults(c.Flags(), &cfg.Faults, cfg.Length); err != nil {
		return cfg, err
	}
	return cfg, cfg.Validate()
}

// engine takes what the operator's configuration says of the engine.
func (f *simulateFlags) engine(cfg *sim.Config) error {
	own := parseConfig("defaults", nil)
	if f.config != "" {
		var err error
		if own, err = loadConfig(f.config); err != nil {
			return err
		}
		if !own.broken {
			own.checkRenewal() // the rest may be of another machine
		}
		if err := own.err(); err != nil {
			return advise(err, "mend the configuration; tokenwheel config check says whether all is well")
		}
	}
	r := own.Renewal
	cfg.Policy, cfg.PerAuthority, cfg.CallTimeout = sim.Policy(own.policy()), r.PerService, time.Duration(r.CallTimeout)
	cfg.CallsPerSecond = r.CallsPerSecond
	if f.rate != 0 {
		cfg.CallsPerSecond = f.rate
	}
	return nil
}

func showRun(t *table, r *sim.Report, took time.Duration) {
	t.row("Run:", fmt.Sprintf("%g days, %d applications at %d services, seed %d, in %v", r.Days, r.Apps, r.Services, r.Seed, took.Round(10*time.Millisecond)))
	t.row("History:", r.History)
	lost := strconv.Itoa(r.Lost) + " while obtainable"
	if r.Bound > 0 {
		lost += fmt.Sprintf("; below %.1e a token-day at 95 %% for these faults (3 of %.0f)", r.Bound, r.TokenDays)
	}
	t.row("Lost:", lost)
	t.row("Harmful cancels:", strconv.Itoa(r.Harmful))
	t.row("Not to be helped:", fmt.Sprintf("%d closed, %d over the cap, %d asleep, %d at their natural end", r.Closed, r.OverCap, r.Asleep, r.Finished))
	t.row("Applications:", fmt.Sprintf("%d registered, %d left, %d turned away; %d crashes, %d sets staged", r.Registered, r.Departed, sum(r.TurnedAway), r.Crashes, r.Sets))
	for _, name := range slices.Sorted(maps.Keys(r.Calls)) {
		n := r.Calls[name]
		t.row("Calls to "+name+":", fmt.Sprintf("%d, of them %d failed and %d declined; accepted %d issues, %d renewals, %d cancels; %d in one second at most",
			n.Sent, n.Failed, sum(n.Declined), n.Accepted["issue"], n.Accepted["renew"], n.Accepted["cancel"], n.PerSecond))
	}
	l := r.LifeLeft
	t.row("Life left at renewal:", fmt.Sprintf("median %.0f %%, one in a hundred %.0f %%, one in a thousand %.0f %%, least %.0f %%", 100*l.P50, 100*l.P01, 100*l.P001, 100*l.Min))
	t.line("")
	t.row("TIME", "N", "P50", "P90", "P99", "P99.9", "MAX")
	showTimes(t, "renewal late by", r.Lateness)
	showTimes(t, "registered to ready", r.Ready)
	showTimes(t, "tokens forgotten to new ones read", r.Recovery)
	showTimes(t, "without a good token", r.Dark)
	if len(r.Losses) > 0 {
		t.line("")
		t.row("LOST AT", "APP", "SERVICE", "TOKEN", "LIFE", "UP UNTIL")
		for _, one := range r.Losses {
			t.row(one.At.Round(time.Second).String(), one.App, one.Service, strconv.FormatInt(one.Token, 10), one.Life.Round(time.Second).String(),
				fmt.Sprintf("%.0f %% of it", 100*one.UpUntil))
		}
	}
	if len(r.Harms) > 0 {
		t.line("")
		t.row("CANCELLED AT", "SERVICE", "TOKEN", "THOUGH")
		for _, one := range r.Harms {
			t.row(one.At.Round(time.Second).String(), one.Service, strconv.FormatInt(one.Token, 10), one.Why)
		}
	}
}

func showTimes(t *table, what string, q sim.Quantiles) {
	if q.N == 0 {
		return
	}
	cells := []string{what, strconv.Itoa(q.N)}
	for _, d := range []time.Duration{q.P50, q.P90, q.P99, q.P999, q.Max} {
		unit := time.Second
		if d < time.Minute {
			unit = time.Millisecond
		}
		cells = append(cells, d.Round(unit).String())
	}
	t.row(cells...)
}

func sum(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}
