package core_test

import (
	"errors"
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

// A lease is over though the daemon restarts before each end of it; whoever keeps the
// application alive in between, as seldom as he may, loses nothing by that.
func TestLease_EndsThoughTheDaemonRestarts(t *testing.T) {
	for _, alive := range []bool{false, true} {
		w := newWorld(t, day, 7*day)
		w.mustDone(w.register(registration{app: set("a", "lease", "24h"), plan: plan(ns1)}))
		for i := range 10 {
			w.run(20 * time.Hour)
			w.crash()
			if alive {
				w.run(3 * time.Hour)
				w.mustDone(w.keepAlive("a"))
			} else if i > 0 && len(w.core.Apps()) != 0 {
				t.Fatalf("it is there %v after its last sign of life", w.boot)
			}
		}
		if n := len(w.core.Apps()); (n != 0) != alive {
			t.Errorf("kept alive %v: %d applications", alive, n)
		}
	}
}

// Who could not be heard while the daemon was down has some minutes; a clock that was
// far ahead when the lease began prolongs none; and signs of life are not each written.
func TestLease_AtARestart(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.mustDone(w.register(registration{app: set("a", "lease", "10m"), plan: plan(ns1)}))
	w.boot += time.Hour // it is down
	w.crash()
	w.run(4 * time.Minute)
	w.mustDone(w.keepAlive("a"))
	if w.run(9 * time.Minute); len(w.core.Apps()) != 1 {
		t.Error("it left within its lease")
	}
	if w.run(2 * time.Minute); len(w.core.Apps()) != 0 {
		t.Error("it stays though its lease is over")
	}

	w = newWorld(t, day, 7*day)
	real := w.wall
	w.svc.now = func() time.Time { return real.Add(w.boot) }
	w.wall = real.Add(4 * 365 * day)
	w.mustDone(w.register(registration{app: set("a", "lease", "10m"), bring: bring(w.svc.issue("alice"))}))
	w.wall = real
	w.crash()
	if w.run(20 * time.Minute); len(w.core.Apps()) != 0 {
		t.Error("it stays though nobody is heard of")
	}

	w = newWorld(t, day, 7*day)
	w.mustDone(w.register(registration{app: set("a", "lease", "24h"), bring: bring(w.svc.issue("alice"))}))
	commits := 0
	w.hold = func(act core.Action) bool {
		if _, is := act.(core.Commit); is {
			commits++
		}
		return false
	}
	for range 120 {
		w.run(time.Minute)
		w.mustDone(w.keepAlive("a"))
	}
	if commits > 1 {
		t.Errorf("%d commits in two hours of signs of life", commits)
	}
}

// Nobody is told that an application stays whose registration failed meanwhile.
func TestKeepAlive_OfWhatWasNotRecorded(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.run(time.Second)
	w.storeErr = func() error { return errDown }
	w.step(w.event(registration{app: app("a"), plan: plan(ns1)}))
	r := w.ask()
	w.step(core.KeepAlive{Request: r, Caller: alice, App: keyOf("a")})
	w.answer(0)
	w.storeErr = nil
	w.run(time.Minute)
	if err := w.done(r); !errors.Is(err, appregistry.ErrNotFound) {
		t.Errorf("error %v, want %v", err, appregistry.ErrNotFound)
	}
}
