package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tokenwheel/tokenwheel/internal/sim"
)

func simulated(t *testing.T, args ...string) (r sim.Report) {
	t.Helper()
	out := ok(t, append([]string{"simulate", "-o", "json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return r
}

// Shows: M04.
func TestM04_SimulatePrintsWhatARunCameTo(t *testing.T) {
	out := ok(t, "simulate", "--seed", "3", "--days", "16", "--apps", "30")
	for _, want := range []string{
		"16 days, 30 applications at 2 services, seed 3", "0 while obtainable; below ", " a token-day at 95 %", "Harmful cancels:", "Calls to ns2:",
		"renewal late by", "tokens forgotten to new ones read",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	r := simulated(t, "--seed", "3", "--days", "16", "--apps", "30")
	if r.TokenDays < 800 || r.Bound < 3/r.TokenDays || r.Bound > 3.01/r.TokenDays {
		t.Errorf("a bound of %g for %g token-days, want three over these", r.Bound, r.TokenDays)
	}
	if !strings.Contains(out, r.History) {
		t.Errorf("the same seed has another history %s:\n%s", r.History, out)
	}
	if a, b := simulated(t, "--days", "1", "--apps", "3"), simulated(t, "--days", "1", "--apps", "3"); a.Seed == b.Seed {
		t.Errorf("two runs without --seed have both the seed %d", a.Seed)
	}
}

func TestSimulate_TakesTheOperatorsConfiguration(t *testing.T) {
	config := filepath.Join(t.TempDir(), "tokenwheel.yaml")
	late := "renewal: {time-ratio: 0.95, jitter: 0, calls-per-second: 5}\nretry: {initial-backoff: 10m, max-backoff: 10m}\n"
	if err := os.WriteFile(config, []byte(late), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--seed", "1", "--days", "6", "--apps", "40", "--mix", "none", "--outage", "service1=2h@day3"}
	simulated(t, args...) // with the defaults nothing is lost
	r := fails(t, exitFound, []string{"lost", "--seed 1"}, append([]string{"simulate", "--config", config}, args...)...)
	if !strings.Contains(r.out, "LOST AT") {
		t.Errorf("what was lost is not named:\n%s", r.out)
	}
	fails(t, exitLocal, []string{"nothere.yaml"}, "simulate", "--config", "nothere.yaml")
	if err := os.WriteFile(config, []byte("renewal: {time-ratio: 2}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fails(t, exitLocal, []string{"renewal.time-ratio"}, "simulate", "--config", config)
}

func TestSimulate_RefusesWhatItCannotRun(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--mix m07", "m01 or none"},
		{"--days 0", "more than 0"},
		{"--days NaN", "more than 0"},
		{"--apps -1", "1 or more"},
		{"--services 99", "16"},
		{"--fail 100%", "less than all"},
		{"--fail 60% --timeouts 50%", "no call is left"},
		{"--outage 6h", "PART=LENGTH"},
		{"--outage disk=6h@day1", "is no part"},
		{"--outage service3=6h@day1", "there are 2"},
		{"--outage kdc=2h/1h", "leaves nothing between"},
		{"--outage kdc=0s@day1", "more than nothing"},
		{"--outage kdc=1h@tomorrow", "no length"},
		{"--token-loss day3", "serviceN@WHEN"},
		{"--token-loss service9@day3", "there are 2"},
		{"--clock-step 10h", "LENGTH@WHEN"},
		{"--renew-interval 1s", "5s or more"},
		{"--renew-interval 0s", "more than 0"},
		{"--calls-per-second 0", "more than 0"},
		{"--days 2 --outage service1=6h@day2", "the run ends after 48h0m0s"},
		{"--days 2 --token-loss service1@day15", "raise --days"},
		{"--days 2 --clock-step 1h@day9", "raise --days"},
		{"--max-lifetime 1h", "shorter than"},
	} {
		fails(t, exitLocal, []string{c.want}, append([]string{"simulate"}, strings.Fields(c.args)...)...)
	}
}

func TestSimulate_FlagsChangeTheMix(t *testing.T) {
	c := newSimulate()
	if err := c.ParseFlags(strings.Fields("--seed 1")); err != nil {
		t.Fatal(err)
	}
	f := simulateFlags{days: 30, apps: 1, services: 2, mix: "m01", interval: day, max: 7 * day}
	f.outages = []string{"kdc=none", "service1=6h@day3+2h", "service2=29m/hour", "sleep=10h/3d"}
	f.losses = []string{"service2@day4"}
	f.steps = []string{"-10h@76h"}
	cfg, err := f.world(c)
	if err != nil {
		t.Fatal(err)
	}
	want := sim.M01()
	want.Outages = []sim.Outage{
		{Part: sim.Failover, For: 30 * time.Second, Every: day},
		{Part: sim.Service, Service: 1, For: 6 * time.Hour, At: 3*day + 2*time.Hour},
		{Part: sim.Service, Service: 2, For: 29 * time.Minute, Every: time.Hour},
		{Part: sim.Suspend, For: 10 * time.Hour, Every: 3 * day},
	}
	want.Losses = []sim.Loss{{Service: 2, At: 4 * day}}
	want.Steps = []sim.Step{{At: 76 * time.Hour, By: -10 * time.Hour}}
	if diff := cmp.Diff(want, cfg.Faults, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

const day = 24 * time.Hour
