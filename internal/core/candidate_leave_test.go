package core_test

import (
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// A registration that waits to take the place of another, in the cases below,
// because its token cannot be proved yet.

// set is an application that cancels all, with one setting.
func set(id, key, value string) appregistry.App {
	a := ending(id, appregistry.CancelAll)
	a.Overlay = map[string]string{key: value}
	return a
}

// downFor lets the renewals of one token fail.
func (w *world) downFor(tok plugins.Token) {
	w.svc.fault = func(op, id string) error {
		if op == "renew" && id == string(tok.Identifier) {
			return errDown
		}
		return nil
	}
}

func (w *world) keepAlive(id appregistry.AppID) core.Request {
	r := w.ask()
	w.step(core.KeepAlive{Request: r, Caller: alice, App: keyOf(id)})
	w.run(time.Second)
	return r
}

// Keeping alive keeps both, also where they have leases of their own: neither leaves
// while it goes on, and what takes the place in the end stays as long as was said.
func TestKeepAlive_KeepsWhatWaitsToTakeOver(t *testing.T) {
	for _, leases := range [][2]string{{"10m", "10m"}, {"10m", "1h"}, {"1h", "10m"}} {
		w := newWorld(t, day, 7*day)
		w.mustDone(w.register(registration{app: set("a", "lease", leases[0]), bring: bring(w.svc.issue("alice"))}))
		fresh := w.svc.issue("alice")
		w.downFor(fresh)
		ev := w.event(registration{app: set("a", "lease", leases[1]), bring: bring(fresh)})
		w.mustAck(ev)
		for range 40 {
			w.run(time.Minute)
			w.mustDone(w.keepAlive("a"))
		}
		if w.isDone(ev.Request) || !w.valid("a", "ns1") {
			t.Fatalf("leases %v: the acknowledged registration ended: %v", leases, w.done(ev.Request))
		}
		r := w.keepAlive("a")
		w.svc.fault = nil
		w.step(core.TokenCommand{Request: w.ask(), Caller: operator, Token: w.idOf(fresh), Verb: core.RenewNow})
		w.run(5 * time.Second)
		if w.mustDone(ev.Request); w.held("a", "ns1") != string(fresh.Identifier) {
			t.Fatalf("leases %v: held %q", leases, w.held("a", "ns1"))
		}
		if w.run(9 * time.Minute); len(w.core.Apps()) != 1 || !w.valid("a", "ns1") {
			t.Errorf("leases %v: it left before %s, as was promised", leases, w.replies[r][0].Until)
		}
		if w.run(time.Hour); len(w.core.Apps()) != 0 {
			t.Errorf("leases %v: it stays though nobody is heard of", leases)
		}
	}
}

// A shorter lease than that of what takes its place ends nothing under the readers,
// and is over soon once it stands alone again.
func TestLease_LastsAsLongAsWhatTakesOverWaits(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.mustDone(w.register(registration{app: set("a", "lease", "10m"), bring: bring(w.svc.issue("alice"))}))
	fresh := w.svc.issue("alice")
	w.downFor(fresh)
	ev := w.event(registration{app: set("a", "lease", "1h"), bring: bring(fresh)})
	w.mustAck(ev)
	if w.run(50 * time.Minute); w.isDone(ev.Request) || !w.valid("a", "ns1") {
		t.Fatalf("its readers hold %q; cancels %v", w.held("a", "ns1"), w.svc.cancels)
	}
	if w.run(30 * time.Minute); len(w.core.Apps()) != 0 {
		t.Error("it stays though nobody is heard of")
	}
}

// Whoever registers again during the linger time, with something else, keeps what
// lingers until that can serve.
func TestLinger_RegisteringOtherContentKeepsTheReaders(t *testing.T) {
	for _, restart := range []bool{false, true} {
		w := newWorld(t, day, 7*day)
		old, fresh := w.svc.issue("alice"), w.svc.issue("alice")
		w.mustDone(w.register(registration{app: set("a", "linger", "1m"), bring: bring(old)}))
		w.unregister(alice, "a")
		w.downFor(fresh)
		w.mustAck(w.event(registration{app: set("a", "linger", "1m"), bring: bring(fresh)}))
		if restart {
			w.crash()
		}
		if w.run(10 * time.Minute); !w.valid("a", "ns1") {
			t.Errorf("restart %v: its readers hold %q; cancels %v", restart, w.held("a", "ns1"), w.svc.cancels)
		}
		w.mustDone(w.keepAlive("a"))
		w.svc.fault = nil
		if w.run(10 * time.Minute); w.held("a", "ns1") != string(fresh.Identifier) {
			t.Errorf("restart %v: held %q", restart, w.held("a", "ns1"))
		}
		if w.run(day); !w.valid("a", "ns1") {
			t.Errorf("restart %v: it left after all", restart)
		}
	}
}

// Where what is in place is refused while another registration waits to take over,
// that one is the first, and is given what it has.
func TestReject_WhatWaitsToTakeOverStandsAlone(t *testing.T) {
	w := newWorld(t, day, 7*day)
	bad, good, late := w.svc.issue("alice"), w.svc.issue("alice"), w.svc.issue("alice")
	var first core.Job
	w.hold = func(act core.Action) bool {
		r, is := act.(core.Renew)
		if is && string(r.Token.Identifier) == string(bad.Identifier) {
			first = r.Job
			return true
		}
		return false
	}
	w.downFor(late)
	refused := w.event(registration{app: app("a"), bring: bring(bad)})
	w.mustAck(refused)
	ev := w.event(registration{app: app("a"), bring: map[string]plugins.Token{"ns1": good, "late": late}})
	w.mustAck(ev)
	w.step(core.Renewed{Job: first, Err: terminal(plugins.KindDenied, "no")})
	w.run(5 * time.Minute)
	if err := w.done(refused.Request); err == nil {
		t.Error("the bad token was admitted")
	}
	if w.mustDone(ev.Request); w.held("a", "ns1") != string(good.Identifier) {
		t.Errorf("held %q", w.held("a", "ns1"))
	}
	w.mustDone(w.keepAlive("a"))
}
