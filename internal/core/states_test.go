package core_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

var update = flag.Bool("update", false, "write the generated part of docs/states.md anew")

// statuses are all tokens that the core tells of.
func (w *world) statuses() []appregistry.TokenStatus {
	all := w.core.Remembered()
	for _, e := range w.core.Entries() {
		all = append(all, e.Tokens...)
	}
	return all
}

// checkStates holds every token to the row of its state.
func (w *world) checkStates() error {
	rules := core.States()
	for _, s := range w.statuses() {
		rule := rules[s.State]
		if s.Reason == "" || s.Action == "" {
			return fmt.Errorf("token %d is %v, reason %q, action %q", s.ID, s.State, s.Reason, s.Action)
		}
		if !w.waitsFor(rule.Waits, s) {
			return fmt.Errorf("token %d is %v (%q), should wait for %d, and does not: next %v", s.ID, s.State, s.Reason, rule.Waits, s.Next)
		}
	}
	return nil
}

// waitsFor reports whether what a state waits for is on its way: a call that is
// out, a commit, or a timer.
func (w *world) waitsFor(a core.Attempt, s appregistry.TokenStatus) bool {
	called, committing, obtaining := false, false, false
	for _, act := range w.out {
		switch act := act.(type) {
		case core.Renew:
			called = called || act.ID == s.ID
		case core.Cancel:
			called = called || act.ID == s.ID
		case core.Obtain:
			obtaining = true
		case core.Commit:
			committing = true
		}
	}
	planned := !s.Next.IsZero()
	if committing { // what is written may be what it waits for
		return true
	}
	switch a {
	case core.AttemptAnswer:
		return called
	case core.AttemptEnd: // of some nobody knows it
		return planned || (s.Expires.IsZero() && s.Max.IsZero())
	case core.AttemptForget:
		return planned
	case core.AttemptRevive: // where nobody can give a new one, the holders' leaving ends it
		return true
	}
	return planned || called || obtaining
}

// Every state has all columns, leads on, and comes to an end where the record is
// dropped; the words are in the order of their numbers.
// Shows: C-X06, P10.
func TestCX06_NoStateWithoutExitReasonAndAction(t *testing.T) {
	rules := core.States()
	if got := len(rules); got != int(appregistry.GivenUp)+1 {
		t.Fatalf("%d rules for %d states", got, appregistry.GivenUp+1)
	}
	ends := func(s core.StateRule) bool { return s.Waits == core.AttemptForget }
	for i, r := range rules {
		if r.State != appregistry.State(i) || r.State.String() == "unknown" {
			t.Errorf("row %d is of state %v", i, r.State)
		}
		if r.Meaning == "" || r.Reason == "" || r.Action == "" {
			t.Errorf("%v lacks a column: %+v", r.State, r)
		}
		if len(r.Next) == 0 && !ends(r) {
			t.Errorf("%v has no exit", r.State)
		}
		reached := map[appregistry.State]bool{r.State: true}
		for todo := []appregistry.State{r.State}; len(todo) > 0; todo = todo[1:] {
			for _, n := range rules[todo[0]].Next {
				if !core.MayFollow(todo[0], n) {
					t.Errorf("%v may not follow on %v, though the table has it", n, todo[0])
				}
				if !reached[n] {
					reached[n] = true
					todo = append(todo, n)
				}
			}
		}
		if !slices.ContainsFunc(rules, func(r core.StateRule) bool { return ends(r) && reached[r.State] }) {
			t.Errorf("from %v no end is reached", r.State)
		}
	}
	if core.MayFollow(appregistry.Cancelled, appregistry.Live) || core.MayFollow(99, appregistry.Live) {
		t.Error("a way leads out of the end")
	}
}

// One story in which a token passes through each state, and in each waits for
// what the table says. Shows: C-X06.
func TestCX06_EveryStateIsReached(t *testing.T) {
	w := newWorld(t, time.Hour, 5*time.Hour)
	w.cfg.Policy.CancelBurst = 1000
	w.cfg.Open = 0 // all is listed after each step
	w.crash()
	seen := map[appregistry.State]bool{}
	w.watch = func() {
		for _, s := range w.statuses() {
			seen[s.State] = true
		}
		if err := w.checkStates(); err != nil {
			t.Fatalf("at %v: %v", w.boot, err)
		}
	}
	var fault error
	failing := ""
	w.svc.fault = func(op, _ string) error {
		if op == failing {
			return fault
		}
		return nil
	}
	fail := func(op string, err error, d time.Duration) {
		failing, fault = op, err
		w.run(d)
		failing = ""
	}
	foreign := w.svc.issue("alice")
	foreign.Service = "elsewhere:8020"
	w.mustDone(w.register(registration{app: app("guest"), bring: bring(foreign), brought: map[string]core.Brought{"ns1": {Reason: "no provider serves it"}}}))
	w.mustDone(w.register(registration{app: ending("own", appregistry.CancelAll), bring: bring(w.svc.issue("alice"))}))
	w.stageErr, w.svc.noExpiry = func(appregistry.Set) error { return errDown }, true
	w.register(registration{app: app("asks"), plan: plan(ns1)})
	w.stageErr = nil
	w.run(10 * time.Minute)
	fail("renew", plugins.Replace(errDown), time.Hour)             // suspect: said once, unprotected
	fail("renew", terminal(plugins.KindDenied, "no"), 6*time.Hour) // denied, and past its end: expired
	fail("obtain", errDown, 6*time.Hour)                           // replacing
	w.run(time.Hour)
	w.mustDone(w.unregister(alice, "asks")) // cancelled
	w.mustDone(w.register(registration{app: app("keep"), bring: bring(w.svc.issue("alice"))}))
	w.mustDone(w.unregister(alice, "keep")) // kept
	failing, fault = "cancel", errDown
	w.unregister(alice, "own")
	fail("cancel", errDown, 6*time.Hour) // given up
	for _, r := range core.States() {
		if !seen[r.State] {
			t.Errorf("%v was not reached", r.State)
		}
	}
}

const (
	statesBegin = "<!-- generated: go test ./internal/core -run StatesPage -update -->\n"
	statesEnd   = "<!-- end of the generated part -->\n"
)

func statesPage() string {
	attempts := map[core.Attempt]string{
		core.AttemptStore: "the commit of its registration", core.AttemptRenew: "a renewal", core.AttemptAnswer: "the answer, or the call's timeout",
		core.AttemptObtain: "an obtain; it is renewed meanwhile", core.AttemptStage: "a staging; it is renewed meanwhile", core.AttemptEnd: "its end",
		core.AttemptRevive: "an obtain or a renewal, where there may be one", core.AttemptRelease: "its last reader and a grace; it is renewed meanwhile",
		core.AttemptCancel: "a cancel", core.AttemptForget: "its end, when it is forgotten",
	}
	var b strings.Builder
	b.WriteString("| state | meaning | usual reason | next without your doing | what you do | may become |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, r := range core.States() {
		var next []string
		for _, n := range r.Next {
			next = append(next, n.String())
		}
		if len(next) == 0 {
			next = []string{"–"}
		}
		fmt.Fprintf(&b, "| `%v` | %s | %s | %s | %s | %s |\n", r.State, r.Meaning, r.Reason, attempts[r.Waits], r.Action, strings.Join(next, ", "))
	}
	return b.String()
}

func TestStatesPageIsUpToDate(t *testing.T) {
	const path = "../../docs/states.md"
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(raw), statesBegin)
	got, after, ok2 := strings.Cut(rest, statesEnd)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no generated part", path)
	}
	if want := statesPage(); *update {
		if err := os.WriteFile(path, []byte(before+statesBegin+want+statesEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s is not what the engine goes by; run with -update (-engine +page):\n%s", path, diff)
	}
}
