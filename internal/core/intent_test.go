package core_test

import (
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
)

// A cancel cannot be taken back, so what goes before it has to be durable: whatever
// else is on its way.
func TestP3_CancelWaitsForItsIntentBehindARenewal(t *testing.T) {
	w := newWorld(t, day, 7*day)
	tok := w.svc.issue("alice")
	w.mustDone(w.register(registration{app: ending("a", appregistry.CancelAll), bring: bring(tok)}))
	w.step(core.TokenCommand{Request: w.ask(), Caller: operator, Token: w.idOf(tok), Verb: core.RenewNow})
	w.step(core.Unregister{Request: w.ask(), Caller: alice, App: keyOf("a")})
	if outAt[core.Commit](w) < 0 || outAt[core.Renew](w) < 0 {
		t.Fatalf("out: %v", w.out)
	}
	w.answer(outAt[core.Renew](w)) // before the commit of the intent
	w.boot += time.Second
	w.step(core.Tick{})
	if i := outAt[core.Cancel](w); i >= 0 {
		t.Error("a cancel went out before its intent was durable")
		w.answer(i)
	}
	w.crash() // the commit was never made: the application is still there
	w.run(time.Minute)
	if n := len(w.core.Apps()); n != 1 {
		t.Fatalf("%d apps", n)
	}
	if !w.valid("a", "ns1") {
		t.Error("the token of a registered application was cancelled")
	}
}

func TestP3_ResumeCancelsWaitsForIntents(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.mustDone(w.register(registration{app: ending("a", appregistry.CancelAll), bring: bring(w.svc.issue("alice"))}))
	w.step(core.Unregister{Request: w.ask(), Caller: alice, App: keyOf("a")})
	w.step(core.ResumeCancels{Request: w.ask(), Caller: operator})
	w.boot += time.Second
	w.step(core.Tick{})
	if outAt[core.Cancel](w) >= 0 {
		t.Error("a cancel went out before its intent was durable")
	}
}

// The same while what was stored waits to be set going.
func TestP3_RestoredTokensCancelWaitsForItsIntent(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.mustDone(w.register(registration{app: ending("a", appregistry.CancelAll), bring: bring(w.svc.issue("alice"))}))
	w.crash()
	w.step(core.Unregister{Request: w.ask(), Caller: alice, App: keyOf("a")}) // before the session's first commit is done
	w.answer(outAt[core.Commit](w))
	for range 3 {
		w.boot += time.Second
		w.step(core.Tick{})
	}
	if outAt[core.Commit](w) < 0 {
		t.Fatalf("out: %v, want the commit of the intent", w.out)
	}
	if outAt[core.Cancel](w) >= 0 {
		t.Error("a cancel went out before its intent was durable")
	}
}
