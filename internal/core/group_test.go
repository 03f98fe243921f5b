package core_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// grouped is an application of a group that asks to cancel all.
func grouped(id, group string) appregistry.App {
	a := ending(id, appregistry.CancelAll)
	a.Group = group
	return a
}

// A launcher ends first: its token lives on for the jobs that it has started,
// those too that bring it only later, and is cancelled once, when the last of
// them has left. Shows: Y34.
func TestGroup_LauncherEndsFirst(t *testing.T) {
	for _, restart := range []bool{false, true} {
		w := newWorld(t, day, 7*day)
		tok := w.svc.issue("alice")
		w.mustDone(w.register(registration{app: grouped("launcher", "g"), bring: bring(tok)}))
		w.mustDone(w.register(registration{app: grouped("job1", "g"), bring: bring(w.svc.issue("alice"))}))
		w.mustDone(w.unregister(alice, "launcher"))
		if restart {
			w.crash()
		}
		w.run(2 * day)
		if len(w.svc.cancels) != 0 || w.svc.renewals[string(tok.Identifier)] < 3 {
			t.Fatalf("cancels %v, %d renewals: the launcher's token is not kept alive for its group", w.svc.cancels, w.svc.renewals[string(tok.Identifier)])
		}
		if _, has := w.targets["/stage/job1"].creds.Tokens[""]; has || len(w.targets["/stage/job1"].creds.Tokens) != 1 {
			t.Errorf("job1 was given what it only carries: %v", w.targets["/stage/job1"].creds)
		}
		w.mustDone(w.register(registration{app: grouped("job2", "g"), bring: bring(tok)}))
		w.mustDone(w.unregister(alice, "job1"))
		w.run(10 * time.Minute)
		if len(w.svc.cancels) != 0 || !w.valid("job2", "ns1") {
			t.Fatalf("cancels %v while job2 is there", w.svc.cancels)
		}
		w.mustDone(w.unregister(alice, "job2"))
		w.run(10 * time.Minute)
		if len(w.svc.cancels) != 2 || len(w.core.Entries()) != 0 {
			t.Errorf("restart %v: cancels %v, %d entries; want both tokens cancelled at the end of the group", restart, w.svc.cancels, len(w.core.Entries()))
		}
	}
}

// The launcher is gone before a job has come: the group waits a moment for it.
func TestGroup_WaitsForTheFirstJob(t *testing.T) {
	for _, late := range []bool{false, true} {
		w := newWorld(t, day, 7*day)
		tok := w.svc.issue("alice")
		w.mustDone(w.register(registration{app: grouped("launcher", "g"), bring: bring(tok)}))
		w.mustDone(w.unregister(alice, "launcher"))
		if w.run(30 * time.Second); late {
			w.run(time.Minute)
		}
		if got := len(w.svc.cancels) > 0; got != late {
			t.Fatalf("late %v, cancelled %v", late, got)
		}
		if late {
			continue
		}
		w.mustDone(w.register(registration{app: grouped("job", "g"), bring: bring(tok)}))
		if w.run(day); len(w.svc.cancels) != 0 || !w.valid("job", "ns1") {
			t.Errorf("cancels %v: the job's token died with its launcher", w.svc.cancels)
		}
	}
}

// A job whose registration is not recorded yet may never be: the group waits its
// moment all the same, and the job may come again.
func TestGroup_JobThatIsNotRecordedIsNoHeir(t *testing.T) {
	w := newWorld(t, day, 7*day)
	tok := w.svc.issue("alice")
	w.mustDone(w.register(registration{app: grouped("launcher", "g"), bring: bring(tok)}))
	w.storeErr = func() error { return errors.New("no space left on device") }
	job := w.event(registration{app: grouped("job", "g"), bring: bring(tok)})
	w.step(job) // its commit is out
	w.step(core.Unregister{Request: w.ask(), Caller: alice, App: keyOf("launcher")})
	w.answer(0)
	w.storeErr = nil
	w.run(20 * time.Second)
	if err := w.done(job.Request); err == nil {
		t.Fatal("admitted without a record")
	}
	if len(w.svc.cancels) != 0 {
		t.Fatalf("cancelled within the group's minute: %v", w.svc.cancels)
	}
	w.mustDone(w.register(registration{app: grouped("job", "g"), bring: bring(tok)}))
	if w.run(day); !w.valid("job", "ns1") {
		t.Errorf("the job holds %q; cancels %v", w.held("job", "ns1"), w.svc.cancels)
	}
}

// A group's name means nothing to another owner, nor do applications without one
// stand in a group of their own.
func TestGroup_IsTheOwnersOwn(t *testing.T) {
	bob := core.Caller{Name: "bob"}
	for name, other := range map[string]registration{
		"another owner": {app: grouped("x", "g"), caller: bob},
		"another group": {app: grouped("x", "h")},
		"no group":      {app: ending("x", appregistry.CancelAll)},
	} {
		w := newWorld(t, day, 7*day)
		tok := w.svc.issue("alice")
		w.mustDone(w.register(registration{app: grouped("launcher", "g"), bring: bring(tok)}))
		if other.app.User = "alice"; other.caller.Name == "bob" {
			other.app.User = "bob"
		}
		other.bring = bring(w.svc.issue(other.app.User))
		w.mustDone(w.register(other))
		w.mustDone(w.unregister(alice, "launcher"))
		w.run(2 * time.Minute)
		if diff := cmp.Diff([]string{string(tok.Identifier)}, w.svc.cancels); diff != "" {
			t.Errorf("%s: cancels (-want +got):\n%s", name, diff)
		}
	}
}

// One who keeps is enough, in a group as elsewhere, whoever leaves when; and what
// was replaced is not cancelled before the group's end, nor kept beyond its own.
// Shows: Y36.
func TestGroup_KeepAndReplacedTokens(t *testing.T) {
	w := newWorld(t, day, 7*day)
	tok := w.svc.issue("alice")
	keeper := grouped("launcher", "g")
	keeper.AtEnd = appregistry.KeepAll
	w.mustDone(w.register(registration{app: keeper, bring: bring(tok)}))
	w.mustDone(w.register(registration{app: grouped("job", "g"), bring: bring(tok)}))
	w.mustDone(w.unregister(alice, "launcher"))
	w.mustDone(w.unregister(alice, "job"))
	if w.run(time.Hour); len(w.svc.cancels) != 0 {
		t.Errorf("cancelled against the launcher's wish: %v", w.svc.cancels)
	}

	w = newWorld(t, day, 7*day)
	w.mustDone(w.register(registration{app: grouped("launcher", "g"), plan: plan(ns1)}))
	first := w.held("launcher", "ns1")
	w.run(7*day - 2*time.Hour)
	if w.held("launcher", "ns1") == first || len(w.svc.cancels) != 0 || len(w.only().Tokens) != 2 {
		t.Fatalf("cancels %v, tokens %+v: want the first replaced, and there", w.svc.cancels, w.only().Tokens)
	}
	if w.run(30 * day); len(w.only().Tokens) > 2 || len(w.svc.cancels) != 0 {
		t.Errorf("cancels %v, %d tokens in the entry after five weeks", w.svc.cancels, len(w.only().Tokens))
	}
	if n := len(w.noted(core.TokenLost)); n != 0 {
		t.Errorf("%d alarms", n)
	}
	w.mustDone(w.unregister(alice, "launcher"))
	if w.run(time.Hour); len(w.svc.cancels) == 0 || len(w.core.Entries()) != 0 {
		t.Error("nothing was cancelled at the end of the group")
	}
}

// The one that carries a group's token loses its own first set at the very answer
// that proves that token: it leaves, and the token with it.
func TestGroup_CarrierIsRejectedByTheTokenItCarries(t *testing.T) {
	w := newWorld(t, day, 7*day)
	tok := w.svc.issue("alice")
	forged := tok.Clone()
	forged.Password = plugins.Secret("made up")
	genuine := core.Job(0) // the renewal of the right one, which waits for its answer
	w.hold = func(act core.Action) bool {
		r, ok := act.(core.Renew)
		if ok && string(r.Token.Password) == string(tok.Password) {
			genuine = r.Job
		}
		return ok && genuine != 0
	}
	job := w.event(registration{app: grouped("job", "g"), bring: bring(forged)})
	w.mustAck(w.event(registration{app: grouped("launcher", "g"), bring: bring(tok)}))
	w.mustAck(job)
	w.unregister(alice, "launcher")
	w.step(core.Renewed{Job: genuine, Expires: w.svc.tokens[string(tok.Identifier)].expires.Add(time.Hour)})
	w.run(time.Minute)
	if err := w.done(job.Request); err == nil {
		t.Error("the forged token was admitted")
	}
	if n := len(w.core.Entries()); n != 0 {
		t.Errorf("%d entries are left", n)
	}
}

// Who carries a group's token and is rejected after all hands it on: it is not
// cancelled while anybody is left. Shows: Y34.
func TestGroup_RejectedCarrierHandsOn(t *testing.T) {
	w := newWorld(t, day, 7*day)
	tok, bad := w.svc.issue("alice"), w.svc.issue("alice")
	w.mustDone(w.register(registration{app: grouped("launcher", "g"), bring: bring(tok)}))
	var held core.Job
	w.hold = func(act core.Action) bool {
		r, ok := act.(core.Renew)
		if ok && string(r.Token.Identifier) == string(bad.Identifier) {
			held = r.Job
			return true
		}
		return false
	}
	job := w.event(registration{app: grouped("job1", "g"), bring: bring(bad)})
	w.mustAck(job)
	w.mustDone(w.register(registration{app: grouped("job2", "g"), bring: bring(w.svc.issue("alice"))}))
	w.mustDone(w.unregister(alice, "launcher"))
	w.step(core.Renewed{Job: held, Err: terminal(plugins.KindDenied, "no")})
	w.run(time.Hour)
	if err := w.done(job.Request); err == nil {
		t.Fatal("admitted")
	}
	if len(w.svc.cancels) != 0 {
		t.Errorf("cancelled %v, while job2 is in the group", w.svc.cancels)
	}
}

// With a keep-alive window, leaving waits for it, each request begins it anew, and
// the cancel comes after the last. Without one it is immediate.
// Shows: Y39, C-Y06, C-Y07.
func TestY38_KeepAliveWindowPutsOffTheLeaving(t *testing.T) {
	keepAlive := func(w *world) (core.Reply, error) {
		r := w.ask()
		w.step(core.KeepAlive{Request: r, Caller: alice, App: appregistry.AppKey{Owner: "alice", ID: "a"}})
		w.run(time.Second)
		return w.replies[r][0], w.done(r)
	}
	w := newWorld(t, day, 7*day)
	a := ending("a", appregistry.CancelAll)
	a.Overlay = map[string]string{"linger": "600s"}
	tok := w.svc.issue("alice")
	w.mustDone(w.register(registration{app: a, bring: bring(tok)}))
	w.mustDone(w.register(registration{app: ending("b", appregistry.CancelAll), bring: bring(w.svc.issue("alice"))}))
	w.mustDone(w.unregister(alice, "b"))
	if len(w.svc.cancels) != 1 {
		t.Fatalf("without a window %d cancels at once, want 1", len(w.svc.cancels))
	}
	w.mustDone(w.unregister(alice, "a"))
	for range 5 {
		w.run(9 * time.Minute)
		if reply, err := keepAlive(w); err != nil || !reply.Until.Equal(w.now().Wall.Add(600*time.Second-time.Second)) {
			t.Fatalf("kept alive until %v (%v), now %v", reply.Until, err, w.now().Wall)
		}
		w.mustDone(w.unregister(alice, "a")) // again: the window goes on
	}
	if w.crash(); len(w.svc.cancels) != 1 {
		t.Fatalf("cancels %v within the window", w.svc.cancels)
	}
	w.run(9*time.Minute + 50*time.Second)
	if len(w.svc.cancels) != 1 {
		t.Fatalf("cancels %v before the window has passed", w.svc.cancels)
	}
	w.run(20 * time.Second)
	if diff := cmp.Diff(string(tok.Identifier), w.svc.cancels[len(w.svc.cancels)-1]); diff != "" || len(w.core.Apps()) != 0 {
		t.Errorf("after the window: %s", diff)
	}
}

// An application with a lease that nobody keeps alive leaves; one that is kept
// alive stays. Whose it is not hears that there is none.
func TestKeepAlive_Lease(t *testing.T) {
	w := newWorld(t, day, 7*day)
	a := ending("a", appregistry.CancelAll)
	a.Overlay = map[string]string{"lease": "1h"}
	w.mustDone(w.register(registration{app: a, bring: bring(w.svc.issue("alice"))}))
	ask := func(c core.Caller) error {
		r := w.ask()
		w.step(core.KeepAlive{Request: r, Caller: c, App: appregistry.AppKey{Owner: "alice", ID: "a"}})
		w.run(time.Second)
		return w.done(r)
	}
	for range 10 {
		w.run(50 * time.Minute)
		if err := ask(alice); err != nil {
			t.Fatal(err)
		}
		if err := ask(mallory); !errors.Is(err, appregistry.ErrNotFound) {
			t.Fatalf("mallory hears %v", err)
		}
	}
	if got := w.core.Apps()[0].LeavesAt.Sub(w.now().Wall).Round(time.Minute); got != time.Hour {
		t.Errorf("leaves in %v, want 1h", got)
	}
	if w.run(59 * time.Minute); len(w.core.Apps()) != 1 {
		t.Fatal("left within its lease")
	}
	if w.run(time.Minute); len(w.core.Apps()) != 0 || len(w.svc.cancels) != 1 {
		t.Errorf("%d apps, cancels %v after the lease", len(w.core.Apps()), w.svc.cancels)
	}
	if err := ask(alice); !errors.Is(err, appregistry.ErrNotFound) {
		t.Errorf("after it left: %v", err)
	}
}

// One bad token of three: the registration fails and names it, and nothing of it
// is left; an application that tolerates that keeps the good ones.
func TestY10_OneBadTokenFailsTheRegistration(t *testing.T) {
	for _, tolerate := range []bool{false, true} {
		w := newWorld(t, day, 7*day)
		good, bad := w.svc.issue("alice"), w.svc.issue("alice")
		bad.Password = []byte("made up")
		a := app("a")
		a.Tolerate = tolerate
		r := w.register(registration{app: a, bring: map[string]plugins.Token{"good": good, "bad": bad}})
		err := w.done(r)
		if !tolerate {
			if err == nil || len(w.core.Entries()) != 0 || len(w.core.Apps()) != 0 {
				t.Fatalf("admitted with a bad token: %v", err)
			}
			w.run(3 * day)
			if n := w.svc.renewals[string(good.Identifier)]; n > 1 {
				t.Errorf("a timer is left: %d renewals", n)
			}
			continue
		}
		if err != nil {
			t.Fatalf("not tolerated: %v", err)
		}
		states := map[string]appregistry.State{}
		for _, s := range w.statuses() {
			states[s.Fingerprint] = s.State
		}
		if states[good.Fingerprint()] != appregistry.Live || states[bad.Fingerprint()] != appregistry.Denied {
			t.Errorf("states %v", states)
		}
		if w.held("a", "good") != string(good.Identifier) {
			t.Error("the good token is not delivered")
		}
		if missing := w.core.Apps()[0].Missing; len(missing) == 0 {
			t.Error("nothing says which is bad")
		}
	}
}

// An entry that only a carried token keeps alive has lost its current one: who
// asks for that place again gets a new token in it.
func TestGroup_EntryWithoutACurrentToken(t *testing.T) {
	w := newWorld(t, day, 7*day)
	asks := registration{app: ending("asks", appregistry.CancelAll), plan: plan(ns1)}
	w.mustDone(w.register(asks))
	first := w.svc.tokens[w.held("asks", "ns1")]
	tok := w.targets["/stage/asks"].creds.Tokens["ns1"]
	guest := registration{app: app("guest"), caller: core.Caller{Name: "bob", ActsFor: []string{"alice"}}, bring: bring(tok)}
	guest.app.User = "bob"
	w.mustDone(w.register(guest))
	w.run(7*day - 10*time.Hour) // replaced; the guest has the old one
	w.mustDone(w.unregister(alice, "asks"))
	w.run(time.Minute)
	if len(w.svc.cancels) != 1 || first.cancelled {
		t.Fatalf("cancels %v, want the successor alone", w.svc.cancels)
	}
	w.mustDone(w.register(asks))
	if w.run(time.Minute); !w.valid("asks", "ns1") || w.svc.issued != 3 {
		t.Errorf("held %q, %d issued: the cancelled token was taken for a good one", w.held("asks", "ns1"), w.svc.issued)
	}
}

// What waits to replace the last of a group belongs to the group already.
func TestGroup_CandidateIsAMember(t *testing.T) {
	w := newWorld(t, day, 7*day)
	tok := w.svc.issue("alice")
	w.mustDone(w.register(registration{app: grouped("a", "g"), bring: bring(tok)}))
	w.svc.fault = func(op, _ string) error {
		if op == "obtain" {
			return errDown
		}
		return nil
	}
	w.unregister(alice, "a") // it lingers
	w.mustAck(w.event(registration{app: grouped("a", "g"), plan: plan(ns1)}))
	w.run(10 * time.Minute)
	if len(w.svc.cancels) != 0 {
		t.Fatalf("cancels %v while another of the group waits for its first set", w.svc.cancels)
	}
	w.svc.fault = nil
	w.run(time.Hour)
	w.unregister(alice, "a")
	if w.run(2 * time.Minute); len(w.svc.cancels) != 2 {
		t.Errorf("cancels %v at the end of the group, want both", w.svc.cancels)
	}
}
