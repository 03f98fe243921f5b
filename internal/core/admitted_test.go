package core_test

import (
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
)

// A caller who only admits, or has gone, is owed nothing more: what is kept of
// requests must not grow with each heartbeat while a target is down.
func TestRegister_OwesNothingToWhoDoesNotWait(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.stageErr = func(appregistry.Set) error { return errDown }
	ask := func(admit bool) core.Request {
		ev := w.event(registration{app: app("a"), plan: plan(ns1)})
		ev.Admit = admit
		w.step(ev)
		w.run(time.Minute)
		return ev.Request
	}
	first, again, waits := ask(true), ask(true), ask(false)
	for _, r := range []core.Request{first, again} {
		w.mustDone(r)
	}
	if w.isDone(waits) {
		t.Fatal("it is ready though its target is down")
	}
	w.step(core.Abandon{Request: waits, App: appregistry.AppKey{Owner: "alice", ID: "a"}})
	if !w.isDone(waits) {
		t.Error("a request that nobody waits for any more is kept")
	}
	w.stageErr = nil
	w.run(time.Hour)
	for _, r := range []core.Request{first, again, waits} {
		n := 0
		for _, reply := range w.replies[r] {
			if reply.Moment == core.Done {
				n++
			}
		}
		if n != 1 {
			t.Errorf("request %d has %d last words", r, n)
		}
	}
}
