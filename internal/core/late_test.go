package core_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
)

// lateObtain registers an application whose first obtain does not return in
// time, and gives back what it brings later.
func lateObtain(t *testing.T, end appregistry.AtEnd) (w *world, r core.Request, answer core.Obtained) {
	t.Helper()
	w = newWorld(t, day, 7*day)
	ev := w.event(registration{app: ending("a", end), plan: plan(ns1)})
	w.step(ev)
	for {
		if o, ok := w.out[0].(core.Obtain); ok {
			w.out = w.out[1:]
			grants, _ := w.svc.obtain(o.Request)
			w.boot += 32 * time.Second
			w.step(core.Obtained{Job: o.Job, Err: context.DeadlineExceeded, Unfinished: true})
			return w, ev.Request, core.Obtained{Job: o.Job, Grants: grants}
		}
		w.answer(0)
	}
}

// Shows: B11, B15, KP04.
func TestP3_LateGrantIsUsedOrCancelled(t *testing.T) {
	t.Run("before the next try", func(t *testing.T) {
		w, r, late := lateObtain(t, appregistry.CancelObtained)
		if n := w.noted(core.GrantOrphaned); len(n) != 1 || n[0].Authority != ns1 || len(n[0].Apps) != 1 {
			t.Fatalf("told %+v, want of one grant that may be lost", n)
		}
		w.step(late)
		w.run(time.Hour)
		w.mustDone(r)
		if w.held("a", "ns1") != "alice#1" || w.svc.issued != 1 || len(w.svc.cancels) != 0 {
			t.Errorf("held %s of %d, cancels %v: want the late one used", w.held("a", "ns1"), w.svc.issued, w.svc.cancels)
		}
	})
	t.Run("after another has come", func(t *testing.T) {
		w, _, late := lateObtain(t, appregistry.CancelObtained)
		w.run(10 * time.Minute)
		w.step(late)
		w.run(time.Hour)
		if w.held("a", "ns1") != "alice#2" || !slices.Equal(w.svc.cancels, []string{"alice#1"}) {
			t.Errorf("held %s, cancels %v: want the late one cancelled", w.held("a", "ns1"), w.svc.cancels)
		}
	})
	t.Run("after its application left", func(t *testing.T) {
		for end, want := range map[appregistry.AtEnd][]string{appregistry.CancelObtained: {"alice#1"}, appregistry.KeepAll: nil} {
			w, _, late := lateObtain(t, end)
			w.mustDone(w.unregister(alice, "a"))
			w.step(late)
			w.run(time.Hour)
			if !slices.Equal(w.svc.cancels, want) {
				t.Errorf("at end %v: cancels %v, want %v", end, w.svc.cancels, want)
			}
		}
	})
	t.Run("as an error", func(t *testing.T) {
		w, r, late := lateObtain(t, appregistry.CancelObtained)
		w.step(core.Obtained{Job: late.Job, Err: errDown})
		if n := len(w.noted(core.TryFailed)); n != 1 {
			t.Errorf("%d failures, want one for one call", n)
		}
		w.step(late) // a third answer is to nothing
		w.run(10 * time.Minute)
		w.mustDone(r)
		if got := w.held("a", "ns1"); got != "alice#2" {
			t.Errorf("held %s", got)
		}
	})
}
