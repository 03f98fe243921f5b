package core_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
)

// burst is a world in which that many cancels within the window are too many.
func burst(t *testing.T, n int) *world {
	w := newWorld(t, day, 7*day)
	w.cfg.Policy.CancelBurst = n
	w.crash()
	w.run(time.Second)
	return w
}

// come registers applications of a tenant, each with a token of its user's own.
func (w *world) come(who core.Caller, users ...string) {
	w.t.Helper()
	for i, user := range users {
		a := ending(fmt.Sprintf("%s-%d", who.Name, i), appregistry.CancelAll)
		a.User = user
		w.mustDone(w.register(registration{app: a, caller: who, bring: bring(w.svc.issue(user))}))
	}
}

// leaveAll unregisters n of them.
func (w *world) leaveAll(who core.Caller, n int) {
	w.t.Helper()
	for i := range n {
		w.mustDone(w.unregister(who, appregistry.AppID(fmt.Sprintf("%s-%d", who.Name, i))))
	}
}

// cancelsOf counts the cancels of one user's tokens.
func (w *world) cancelsOf(user string) (n int) {
	for _, id := range w.svc.cancels {
		if strings.HasPrefix(id, user+"#") {
			n++
		}
	}
	return n
}

func many(n int, user string) (users []string) {
	for range n {
		users = append(users, user)
	}
	return users
}

var bob = core.Caller{Name: "bob"}

// One tenant's departures without number pause his own cancels. Those of others
// flow, over a restart as well, and his do when an operator says so.
func TestT56_OneTenantsStormPausesNobodyElse(t *testing.T) {
	w := burst(t, 8)
	w.come(alice, many(12, "alice")...)
	w.come(bob, many(6, "bob")...)
	w.leaveAll(bob, 2)
	w.leaveAll(alice, 12)
	w.run(time.Minute)
	stopped := w.cancelsOf("alice")
	if stopped < 6 || stopped > 8 || len(w.noted(core.CancelsPaused)) != 1 {
		t.Fatalf("%d cancels of alice's, %d alarms; want some 8 and one", stopped, len(w.noted(core.CancelsPaused)))
	}
	for i, restart := range []bool{false, true} {
		if restart {
			w.crash()
			w.run(time.Minute)
		}
		w.mustDone(w.unregister(bob, appregistry.AppID(fmt.Sprintf("bob-%d", 2+i))))
		w.run(time.Minute)
		if got := w.cancelsOf("bob"); got != 3+i {
			t.Errorf("restart %v: %d cancels of bob's, want %d", restart, got, 3+i)
		}
		if got := w.cancelsOf("alice"); got != stopped {
			t.Errorf("restart %v: %d cancels of alice's, who is paused", restart, got-stopped)
		}
	}
	w.step(core.ResumeCancels{Request: w.ask(), Caller: operator})
	w.run(time.Minute)
	if got := w.cancelsOf("alice"); got != 12 {
		t.Errorf("%d cancels of alice's after they were resumed, want 12", got)
	}
}

// Whose storm it is follows from who registered what leaves, whosever the tokens
// are: a service that starts jobs for all users is one tenant.
func TestT56_StormIsOfWhoRegistered(t *testing.T) {
	w := burst(t, 8)
	starter := core.Caller{Name: "oozie"}
	var users []string
	for i := range 12 {
		users = append(users, fmt.Sprintf("user%d", i))
	}
	starter.ActsFor = users
	w.come(starter, users...)
	w.come(alice, "alice")
	w.leaveAll(starter, 12)
	w.leaveAll(alice, 1)
	w.run(time.Minute)
	if got := w.cancelsOf("alice"); got != 1 {
		t.Error("alice's cancel waits for what oozie did")
	}
	w.crash()
	w.run(time.Minute)
	if got := len(w.svc.cancels); got != 9 {
		t.Errorf("%d cancels after a restart, want oozie's 8 and alice's", got)
	}
}

// Many who leave with a little each are a storm as well, which is nobody's own.
func TestT56_StormOfManyPausesAll(t *testing.T) {
	w := burst(t, 8)
	callers := make([]core.Caller, 12)
	for i := range callers {
		callers[i].Name = fmt.Sprintf("user%d", i)
		w.come(callers[i], callers[i].Name)
	}
	for _, c := range callers {
		w.leaveAll(c, 1)
	}
	w.run(time.Hour)
	if len(w.svc.cancels) != 8 || len(w.noted(core.CancelsPaused)) != 1 {
		t.Fatalf("%d cancels, %d alarms; want 8 and 1", len(w.svc.cancels), len(w.noted(core.CancelsPaused)))
	}
	w.crash()
	w.run(time.Hour)
	if len(w.svc.cancels) != 8 {
		t.Errorf("%d cancels after a restart, want 8", len(w.svc.cancels))
	}
}

// A bug that takes one tenant after the other is stopped too.
func TestT56_StormsOfManyTenantsPauseAll(t *testing.T) {
	w := burst(t, 8)
	callers := make([]core.Caller, 8)
	for i := range callers {
		callers[i].Name = fmt.Sprintf("user%d", i)
		w.come(callers[i], many(12, callers[i].Name)...)
	}
	for _, c := range callers {
		for i := range 12 { // within one window
			w.step(core.Unregister{Request: w.ask(), Caller: c, App: appregistry.AppKey{Owner: c.Name, ID: appregistry.AppID(fmt.Sprintf("%s-%d", c.Name, i))}})
		}
		w.run(time.Second)
	}
	w.run(time.Hour)
	if got := len(w.svc.cancels); got > 4*8 {
		t.Errorf("%d cancels of 96, want no more than 32", got)
	}
	if got := len(w.noted(core.CancelsPaused)); got != 4 {
		t.Errorf("%d alarms, want three of a tenant and one of all", got)
	}
}

// Cancels that are repeated, since their service takes none, are no more cancels
// than there were: they pause nobody's, at no service.
func TestT56_ServiceThatTakesNoCancelsMakesNoStorm(t *testing.T) {
	w := burst(t, 8)
	w.come(alice, many(6, "alice")...)
	w.come(bob, "bob")
	w.svc.fault = func(op, id string) error {
		if op == "cancel" && strings.HasPrefix(id, "alice") {
			return errDown
		}
		return nil
	}
	w.leaveAll(alice, 6)
	w.run(time.Hour)
	w.leaveAll(bob, 1)
	w.svc.fault = nil
	w.run(10 * time.Minute)
	if n := len(w.noted(core.CancelsPaused)); n != 0 || len(w.svc.cancels) != 7 {
		t.Errorf("%d alarms, %d cancels; want none and 7", n, len(w.svc.cancels))
	}
}

// A pause is there as long as anything waits for it, and no longer: neither memory
// nor the store has it, and who was paused begins anew.
func TestT56_PauseForWhichNothingWaitsIsForgotten(t *testing.T) {
	for _, all := range []bool{false, true} {
		w := burst(t, 4)
		if all { // too many tenants for each to be paused for himself
			w = burst(t, 8)
			for i := range 12 {
				c := core.Caller{Name: fmt.Sprintf("user%d", i)}
				w.come(c, c.Name)
				w.leaveAll(c, 1)
			}
		} else {
			w.come(alice, many(6, "alice")...)
			w.leaveAll(alice, 6)
		}
		before := len(w.svc.cancels)
		w.run(2 * day)
		w.boot += 20 * time.Hour // suspended, so that all that is due comes at once
		w.run(time.Minute)
		w.crash()
		w.run(3 * day)
		if paused(w) == 0 || len(w.svc.cancels) != before {
			t.Fatalf("all %v: %d cancels went out while they were paused", all, len(w.svc.cancels)-before)
		}
		w.run(2 * day)
		if paused(w) != 0 {
			t.Errorf("all %v: the pause is still recorded though nothing waits for it", all)
		}
		w.come(bob, "bob")
		w.leaveAll(bob, 1)
		w.come(alice, "alice")
		w.leaveAll(alice, 1)
		if w.run(time.Minute); len(w.svc.cancels) != before+2 {
			t.Errorf("all %v: %d cancels more, want 2", all, len(w.svc.cancels)-before)
		}
	}
}

// paused is the length of what the store knows of paused cancels.
func paused(w *world) int { return len(w.store["pause/\x00\x00\x00\x00\x00\x00\x00\x00"]) }
