package core_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// checkCounts holds what is counted as things change to what is there, one by one.
func (w *world) checkCounts() error {
	want := core.Counts{Entries: len(w.core.Entries()), Tokens: map[appregistry.State]int{}}
	owned := map[string]int{}
	for _, a := range w.core.Apps() {
		want.Apps++
		owned[a.Key.Owner]++
		if a.Ready {
			want.Ready++
		}
	}
	for _, tok := range w.statuses() {
		want.Tokens[tok.State]++
	}
	for _, owner := range []string{"alice", "root"} {
		if of := w.core.AppsAmong(w.core.NumbersOf(owner, 0)); len(of) != owned[owner] {
			return fmt.Errorf("%d applications of %s, counted %d", owned[owner], owner, len(of))
		}
	}
	got := w.core.Counts()
	got.Restoring = 0 // is nothing that is listed
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("counts (-there +counted):\n%s", diff)
	}
	return nil
}

// After each step of a random history, with faults, restarts and answers that
// come in any order, the counts are those of what is there.
func TestCV10_CountsAreRightAfterEachStep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, day, 7*day)
		w.cfg.Policy.CancelBurst = 2
		faulty := 0
		w.svc.fault = func(string, string) error {
			if faulty > 0 {
				faulty--
				return rapid.SampledFrom([]error{errDown, plugins.Denied(errDown), plugins.Suspect(errDown), plugins.Replace(errDown)}).Draw(t, "fault")
			}
			return nil
		}
		w.stageErr = func(appregistry.Set) error { return w.svc.fault("stage", "") }
		w.storeErr = func() error { return w.svc.fault("commit", "") }
		w.watch = func() {
			if err := w.checkCounts(); err != nil {
				t.Fatal(err)
			}
		}
		name := func() string { return fmt.Sprint("app", rapid.IntRange(0, 3).Draw(t, "app")) }
		t.Repeat(map[string]func(*rapid.T){
			"register": func(t *rapid.T) {
				r := registration{app: ending(name(), rapid.SampledFrom([]appregistry.AtEnd{appregistry.CancelObtained, appregistry.CancelAll, appregistry.KeepAll}).Draw(t, "at end"))}
				if rapid.Bool().Draw(t, "obtain") {
					r.plan = plan(ns1)
				} else {
					r.bring = bring(w.svc.issue(rapid.SampledFrom([]string{"alice", "bob"}).Draw(t, "owner")))
					r.caller, r.app.User = operator, "alice"
				}
				w.step(w.event(r))
			},
			"unregister": func(t *rapid.T) {
				for _, owner := range []string{"alice", "root"} {
					key := appregistry.AppKey{Owner: owner, ID: appregistry.AppID(name())}
					w.step(core.Unregister{Request: w.ask(), Caller: operator, App: key})
				}
			},
			"answer": func(t *rapid.T) {
				if len(w.out) == 0 {
					t.Skip("nothing is out")
				}
				w.answer(rapid.IntRange(0, len(w.out)-1).Draw(t, "which"))
			},
			"command": func(t *rapid.T) {
				all := w.statuses()
				if len(all) == 0 {
					t.Skip("no token")
				}
				verb := rapid.SampledFrom([]core.Verb{core.RenewNow, core.ReplaceNow, core.CancelNow}).Draw(t, "verb")
				w.step(core.TokenCommand{Request: w.ask(), Caller: operator, Token: rapid.SampledFrom(all).Draw(t, "token").ID, Verb: verb, Force: true})
			},
			"crash": func(*rapid.T) { w.crash() },
			"wait": func(t *rapid.T) {
				faulty = rapid.IntRange(0, 4).Draw(t, "faults")
				w.run(time.Duration(rapid.IntRange(1, 48).Draw(t, "hours")) * time.Hour)
			},
		})
	})
}
