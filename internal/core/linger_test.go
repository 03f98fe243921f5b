package core_test

import (
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
)

// Keeping alive puts leaving off and never brings it nearer: the last of a group
// stays a minute, also when another one has come.
func TestKeepAlive_NeverShortens(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.mustDone(w.register(registration{app: grouped("launcher", "g"), bring: bring(w.svc.issue("alice"))}))
	w.mustDone(w.unregister(alice, "launcher"))
	w.mustDone(w.register(registration{app: grouped("job", "g"), bring: bring(w.svc.issue("alice"))}))
	before := w.now().Wall
	r := w.ask()
	w.step(core.KeepAlive{Request: r, Caller: alice, App: appregistry.AppKey{Owner: "alice", ID: "launcher"}})
	w.run(time.Second)
	if until := w.replies[r][0].Until; !until.After(before.Add(30 * time.Second)) {
		t.Errorf("kept alive until %v, now %v", until, before)
	}
}

// A linger time that began under a clock far ahead is over in its time after a
// restart under the right one.
func TestLinger_WallSteppedBack(t *testing.T) {
	w := newWorld(t, day, 7*day)
	real := w.wall
	w.svc.now = func() time.Time { return real.Add(w.boot) }
	a := ending("a", appregistry.CancelAll)
	a.Overlay = map[string]string{"linger": "600s"}
	w.mustDone(w.register(registration{app: a, bring: bring(w.svc.issue("alice"))}))
	w.wall = real.Add(4 * 365 * day)
	w.mustDone(w.unregister(alice, "a"))
	w.wall = real
	w.crash()
	w.run(20 * time.Minute)
	if len(w.core.Apps()) != 0 {
		t.Errorf("still there: %+v", w.core.Apps()[0].LeavesAt)
	}
}
