package core_test

import (
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// A registration waits to take the place of another until its token ends unproved:
// whoever asked hears so, and the one before stays. One that tolerates bad tokens
// takes over with the good ones, if there are any.
func TestTakeOver_TokenThatEndedIsNotWaitedFor(t *testing.T) {
	for _, c := range []struct {
		name     string
		tolerate bool
		two      bool
		takes    bool
	}{
		{name: "alone"},
		{name: "one of two", two: true},
		{name: "alone, tolerated", tolerate: true},
		{name: "one of two, tolerated", tolerate: true, two: true, takes: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, day, 7*day)
			nothing := func(tok plugins.Token) core.Brought { // no successor can be had
				return core.Brought{Authority: ns1, Identity: w.svc.identity(tok)}
			}
			w.mustDone(w.register(registration{app: app("a"), bring: bring(w.svc.issue("alice"))}))
			good := w.svc.issue("alice")
			w.svc.max = time.Hour
			late := w.svc.issue("alice")
			w.svc.max = 7 * day
			w.downFor(late)
			a := app("a")
			a.Tolerate = c.tolerate
			r := registration{app: a, bring: map[string]plugins.Token{"late": late}, brought: map[string]core.Brought{"late": nothing(late)}}
			if c.two {
				r.bring["ns1"] = good
			}
			ev := w.event(r)
			w.mustAck(ev)
			if w.run(50 * time.Minute); w.isDone(ev.Request) {
				t.Fatalf("answered while its token may be proved yet: %v", w.done(ev.Request))
			}
			w.run(20 * time.Minute)
			if c.takes {
				w.mustDone(ev.Request)
				if w.held("a", "ns1") != string(good.Identifier) {
					t.Errorf("held %q", w.held("a", "ns1"))
				}
				return
			}
			wantCode(t, w.done(ev.Request), core.CodeTokenEnded)
			if w.run(day); !w.valid("a", "ns1") || w.held("a", "late") != "" {
				t.Errorf("held %q and %q", w.held("a", "ns1"), w.held("a", "late"))
			}
			if n := len(w.core.Entries()); n != 1 {
				t.Errorf("%d entries are left", n)
			}
		})
	}
}

// A token that ended has a successor to come: that is waited for.
func TestTakeOver_WaitsForTheSuccessorOfATokenThatEnded(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.mustDone(w.register(registration{app: app("a"), bring: bring(w.svc.issue("alice"))}))
	w.svc.max = time.Hour
	late := w.svc.issue("alice")
	w.svc.max = 7 * day
	w.svc.fault = func(op, id string) error {
		if op == "obtain" || id == string(late.Identifier) {
			return errDown
		}
		return nil
	}
	ev := w.event(registration{app: app("a"), bring: bring(late)})
	w.mustAck(ev)
	if w.run(2 * time.Hour); w.isDone(ev.Request) || !w.valid("a", "ns1") {
		t.Fatalf("held %q", w.held("a", "ns1"))
	}
	w.svc.fault = nil
	w.run(time.Hour)
	if w.mustDone(ev.Request); !w.valid("a", "ns1") {
		t.Errorf("held %q", w.held("a", "ns1"))
	}
}

// Its token is refused after a restart: the registration is rejected, as it would
// have been without one, and the one before stays.
func TestTakeOver_RefusedAfterARestart(t *testing.T) {
	w := newWorld(t, day, 7*day)
	tok := w.svc.issue("alice")
	w.mustDone(w.register(registration{app: app("a"), bring: bring(tok)}))
	bad := w.svc.issue("alice")
	w.downFor(bad)
	w.mustAck(w.event(registration{app: app("a"), bring: bring(bad)}))
	w.svc.fault = func(op, id string) error {
		if op == "renew" && id == string(bad.Identifier) {
			return terminal(plugins.KindDenied, "no")
		}
		return nil
	}
	w.crash()
	w.run(time.Hour)
	if len(w.noted(core.AppRejected)) != 1 || len(w.core.Entries()) != 1 || w.held("a", "ns1") != string(tok.Identifier) {
		t.Errorf("rejected %v, %d entries, held %q", w.noted(core.AppRejected), len(w.core.Entries()), w.held("a", "ns1"))
	}
}

// Registering nothing at all takes the place of what was there.
func TestTakeOver_ByNothing(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.mustDone(w.register(registration{app: ending("a", appregistry.CancelAll), bring: bring(w.svc.issue("alice"))}))
	w.mustDone(w.register(registration{app: ending("a", appregistry.CancelAll)}))
	if w.run(2 * day); len(w.core.Entries()) != 0 {
		t.Errorf("%d entries", len(w.core.Entries()))
	}
}
