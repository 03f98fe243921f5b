package core_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
)

// outAt is where a call of that type is among those that are out; -1: nowhere.
func outAt[T core.Action](w *world) int {
	return slices.IndexFunc(w.out, func(a core.Action) bool { _, ok := a.(T); return ok })
}

// Killed between the intent to obtain and the call, or after the call: it is made
// again, and nothing is lost. Shows: KP04.
func TestKP03_KilledAroundAnObtain(t *testing.T) {
	for _, called := range []bool{false, true} {
		w := newWorld(t, day, 7*day)
		ev := w.event(registration{app: app("a"), plan: plan(ns1)})
		w.step(ev)
		for outAt[core.Obtain](w) < 0 {
			w.answer(0)
		}
		if called {
			if _, err := w.svc.obtain(w.out[outAt[core.Obtain](w)].(core.Obtain).Request); err != nil {
				t.Fatal(err)
			}
		}
		w.crash()
		w.run(time.Minute)
		want := 1
		if called {
			want = 2 // the answer was lost with us: one orphan
		}
		if w.svc.issued != want || !w.valid("a", "ns1") {
			t.Errorf("called %v: %d tokens issued, want %d; valid %v", called, w.svc.issued, want, w.valid("a", "ns1"))
		}
	}
}

// Killed after the service cancelled a token and before that is recorded: the
// cancel is sent once more, "not found" is the aim reached, and who brings the
// token after that hears that it was cancelled. Shows: KP16, KP18.
func TestKP17_KilledBeforeACancelIsRecorded(t *testing.T) {
	w := newWorld(t, day, 7*day)
	tok := w.svc.issue("alice")
	w.mustDone(w.register(registration{app: ending("a", appregistry.CancelAll), bring: bring(tok)}))
	w.step(core.Unregister{Request: w.ask(), Caller: alice, App: appregistry.AppKey{Owner: "alice", ID: "a"}})
	for outAt[core.Cancel](w) < 0 {
		w.answer(0)
	}
	w.answer(outAt[core.Cancel](w)) // done, and its record is on its way
	w.crash()
	w.run(time.Minute)
	if len(w.svc.cancels) != 2 {
		t.Errorf("cancels %v, want one repeated", w.svc.cancels)
	}
	w.crash() // recorded now: nothing is sent again
	w.run(time.Hour)
	if len(w.svc.cancels) != 2 {
		t.Errorf("cancels %v after it was recorded", w.svc.cancels)
	}
	wantCode(t, w.done(w.register(registration{app: app("late"), bring: bring(tok)})), core.CodeTokenCancelled)
	w.run(8 * day)
	if n := len(w.core.Remembered()); n != 0 {
		t.Errorf("%d tokens are remembered beyond their max date", n)
	}
}

// The one order of every replacement, whatever brought it: the new token is
// recorded, staged, and only then, after a grace and another look at the holders,
// is the old one cancelled. Shows: P4, C-Y11, C-Y29.
func TestP4_OneOrderOfReplacement(t *testing.T) {
	for name, begin := range map[string]func(*world){
		"max date": func(w *world) { w.run(7*day - 17*time.Hour) },
		"demand": func(w *world) {
			w.step(core.TokenCommand{Request: w.ask(), Caller: operator, Token: w.only().Tokens[0].ID, Verb: core.ReplaceNow})
		},
	} {
		w := newWorld(t, day, 7*day)
		a := ending("a", appregistry.CancelAll)
		w.mustDone(w.register(registration{app: a, plan: plan(ns1)}))
		old := w.held("a", "ns1")
		begin(w)
		for steps := 0; w.svc.issued == 1 || w.held("a", "ns1") == old; steps++ {
			if steps > 10_000 {
				t.Fatalf("%s: no replacement", name)
			}
			if len(w.svc.cancels) > 0 {
				t.Fatalf("%s: cancelled before its successor was staged", name)
			}
			stored := false
			for _, v := range w.store {
				stored = stored || (w.svc.issued > 1 && bytes.Contains(v, []byte("alice#2")))
			}
			if outAt[core.Stage](w) >= 0 && w.svc.issued > 1 && !stored {
				t.Fatalf("%s: staged before it was recorded", name)
			}
			if len(w.out) > 0 {
				w.answer(0)
				continue
			}
			next, _ := w.core.Next()
			w.boot = max(w.boot, next)
			w.step(core.Tick{})
		}
		staged := w.boot
		if len(w.svc.cancels) != 0 {
			t.Errorf("%s: cancelled at once", name)
		}
		for len(w.svc.cancels) == 0 && w.boot < staged+7*day {
			w.run(10 * time.Second)
		}
		if len(w.svc.cancels) != 1 || w.svc.cancels[0] != old || w.boot < staged+50*time.Second {
			t.Errorf("%s: cancels %v, %v after its successor was staged", name, w.svc.cancels, w.boot-staged)
		}
		if !w.valid("a", "ns1") {
			t.Errorf("%s: the reader's token is dead", name)
		}
	}
}
