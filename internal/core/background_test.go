package core_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// stored is a world in which so many applications with a token each were
// registered before a crash, and of which nothing but the first few is set going:
// no tick has come yet.
func stored(t *testing.T, apps int, down time.Duration) (*world, []plugins.Token) {
	w := newWorld(t, day, 7*day)
	tokens := make([]plugins.Token, apps)
	for i := range tokens {
		tokens[i] = w.svc.issue("alice")
		w.mustDone(w.register(registration{app: ending(fmt.Sprintf("app-%d", i), appregistry.CancelAll), bring: bring(tokens[i])}))
		w.run(time.Minute)
	}
	w.boot += down
	w.crash()
	clear(w.svc.renewals)
	w.settle()
	if left := w.core.Counts().Restoring; left < apps {
		t.Fatalf("%d are left to be set going of %d", left, apps)
	}
	return w, tokens
}

// settle answers all that is out, and has no tick come.
func (w *world) settle() {
	for len(w.out) > 0 {
		w.answer(0)
	}
}

// served gives an event, with all answers that come of it.
func (w *world) served(ev core.Event) {
	w.step(ev)
	w.settle()
}

// While what was stored is set going, registrations are served, and see it: the
// same application, the same token in another one, another password of it.
func TestCV11_RegistrationSeesWhatIsNotSetGoingYet(t *testing.T) {
	w, tokens := stored(t, 8, 0)

	same := w.event(registration{app: ending("app-5", appregistry.CancelAll), bring: bring(tokens[5])})
	w.served(same)
	w.mustDone(same.Request)

	shared := w.event(registration{app: ending("other", appregistry.CancelAll), bring: bring(tokens[6])})
	w.served(shared)
	w.mustDone(shared.Request)

	forged := tokens[7]
	forged.Password = plugins.Secret("guessed")
	other := w.event(registration{app: app("thief"), bring: bring(forged)})
	w.served(other)
	wantCode(t, w.done(other.Request), core.CodePasswordConflict)

	fresh := w.event(registration{app: app("fresh"), bring: bring(w.svc.issue("alice"))})
	w.served(fresh)
	w.mustDone(fresh.Request)

	if left := w.core.Counts().Restoring; left < 8 {
		t.Fatalf("%d are left: the registrations have waited for the rest", left)
	}
	w.run(time.Hour)
	if n, e := len(w.core.Apps()), len(w.core.Entries()); n != 10 || e != 9 {
		t.Errorf("%d applications with %d entries, want 10 with 9: one token is shared", n, e)
	}
	// Both holders leave, and the shared token is cancelled once, then.
	w.mustDone(w.unregister(alice, "app-6"))
	if len(w.svc.cancels) != 0 {
		t.Error("cancelled while another holds it")
	}
	w.mustDone(w.unregister(alice, "other"))
	if len(w.svc.cancels) != 1 {
		t.Errorf("%d cancels, want 1", len(w.svc.cancels))
	}
	w.run(3 * day)
	for i := range tokens {
		if id := appregistry.AppID(fmt.Sprintf("app-%d", i)); i != 6 && !w.valid(id, "ns1") {
			t.Errorf("%s has lost its token", id)
		}
	}
}

// A token that somebody brings before its turn is renewed in time, and the file
// that it goes into says when the next one comes.
func TestCV11_TokenOnDemandIsPlannedAtOnce(t *testing.T) {
	w, tokens := stored(t, 4, 0)
	ev := w.event(registration{app: ending("other", appregistry.CancelAll), bring: bring(tokens[3])})
	w.served(ev)
	set := w.targets["/stage/other"].all[0]
	if before := w.targets["/stage/app-3"].all[0]; set.NextUpdate.Sub(before.NextUpdate).Abs() > time.Hour {
		t.Errorf("the next set comes %v, for the application that was there before %v", set.NextUpdate, before.NextUpdate)
	}
	r := w.ask()
	w.served(core.TokenCommand{Request: r, Caller: operator, Token: w.core.Entries()[2].Tokens[0].ID, Verb: core.RenewNow})
	w.mustDone(r)
	if len(w.svc.renewals) != 1 {
		t.Errorf("%v was renewed, want the one that somebody asked for", w.svc.renewals)
	}
}

// What leaves before its turn is gone, and its token is cancelled.
func TestCV11_UnregisterWhileNotSetGoingYet(t *testing.T) {
	w, tokens := stored(t, 4, 0)
	r := w.ask()
	w.served(core.Unregister{Request: r, Caller: alice, App: appregistry.AppKey{Owner: "alice", ID: "app-3"}})
	w.mustDone(r)
	w.run(time.Hour)
	if want := []string{string(tokens[3].Identifier)}; !slices.Equal(w.svc.cancels, want) {
		t.Errorf("cancelled %v, want %v", w.svc.cancels, want)
	}
	if n := len(w.core.Apps()); n != 3 {
		t.Errorf("%d applications, want 3", n)
	}
}

// What ended while nobody was there is renewed first, what ended first
// in front; what is well is not asked about.
func TestCV11_OverdueTokensComeFirst(t *testing.T) {
	w, tokens := stored(t, 8, 0)
	// Half of them are fresh: they were renewed late in the night before.
	w.run(time.Minute)
	for i := range 4 {
		r := w.ask()
		w.boot += time.Hour
		w.served(core.TokenCommand{Request: r, Caller: operator, Token: w.tokenID(tokens[i]), Verb: core.RenewNow})
		w.mustDone(r)
	}
	w.run(10 * time.Second)
	w.boot += 22 * time.Hour
	w.crash()
	var renewed []string
	w.svc.fault = func(op, id string) error {
		if op == "renew" {
			renewed = append(renewed, id)
		}
		return nil
	}
	w.settle()
	for w.core.Counts().Restoring > 0 && len(renewed) < 4 {
		w.step(core.Tick{})
		w.settle()
	}
	var want []string
	for _, tok := range tokens[4:] {
		want = append(want, string(tok.Identifier))
	}
	if !slices.Equal(renewed, want) {
		t.Errorf("renewed %v, want %v", renewed, want)
	}
	if left := w.core.Counts().Restoring; left < 8 {
		t.Errorf("%d are left to be set going: the most urgent were not in front", left)
	}
}

func (w *world) tokenID(tok plugins.Token) appregistry.TokenID {
	for _, s := range w.statuses() {
		if s.Fingerprint == tok.Fingerprint() {
			return s.ID
		}
	}
	return 0
}

// A crash before all is set going loses nothing of it, nor of what came meanwhile.
func TestCV11_CrashWhileNotAllIsSetGoing(t *testing.T) {
	w, _ := stored(t, 8, 20*time.Hour)
	for i := range 6 {
		for range 3 {
			w.step(core.Tick{})
		}
		ev := w.event(registration{app: app(fmt.Sprintf("new-%d", i)), bring: bring(w.svc.issue("alice"))})
		w.served(ev)
		w.mustDone(ev.Request)
		w.statuses() // to look at it does not count as having it set going
		w.crash()
		w.settle()
		w.statuses()
	}
	w.run(3 * day)
	apps := w.core.Apps()
	if len(apps) != 14 {
		t.Errorf("%d applications, want 14", len(apps))
	}
	for _, a := range apps {
		if !w.valid(a.Key.ID, "ns1") {
			t.Errorf("%s has lost its token", a.Key)
		}
	}
}

// A backup that is cut short while it is taken up still proves all again.
func TestB69_CrashWhileABackupIsSetGoing(t *testing.T) {
	w, _ := stored(t, 6, 0)
	w.cfg.Instance = "another machine"
	w.svc.fault = func(string, string) error { return errDown }
	w.crash()
	w.settle()
	w.crash()
	w.run(time.Minute)
	w.svc.fault = nil
	for i := range 6 {
		w.mustDone(w.unregister(alice, appregistry.AppID(fmt.Sprintf("app-%d", i))))
	}
	if len(w.svc.cancels) != 0 {
		t.Errorf("cancelled %v on the word of a backup", w.svc.cancels)
	}
}

// A successor that was obtained and had not taken its place yet takes it, and no
// other one is obtained.
func TestCV11_SuccessorTakesItsPlaceAfterACrash(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
	w.svc.noExpiry = true
	w.step(core.TokenCommand{Request: w.ask(), Caller: operator, Token: w.core.Entries()[0].Tokens[0].ID, Verb: core.ReplaceNow})
	renewing := func() bool {
		return slices.ContainsFunc(w.out, func(a core.Action) bool { _, ok := a.(core.Renew); return ok })
	}
	for len(w.out) > 0 && !renewing() {
		w.answer(0)
	}
	if !renewing() {
		t.Fatal("the token is not renewed to learn its expiry")
	}
	w.crash()
	w.run(time.Minute)
	if w.held("a", "ns1") != "alice#2" || w.svc.issued != 2 {
		t.Errorf("held %q, %d issued: want the second of two", w.held("a", "ns1"), w.svc.issued)
	}
}

// A command about a stored token goes out no sooner than what is planned: not before
// the store has this session's epoch, without which another writer may have it.
func TestB81_CommandWaitsForTheEpoch(t *testing.T) {
	for _, verb := range []core.Verb{core.RenewNow, core.ReplaceNow, core.CancelNow} {
		w := newWorld(t, day, 7*day)
		tok := w.svc.issue("alice")
		w.mustDone(w.register(registration{app: app("a"), bring: bring(tok)}))
		w.run(time.Hour)
		id := w.idOf(tok)
		w.crash()
		r := w.ask()
		w.step(core.TokenCommand{Request: r, Caller: operator, Token: id, Verb: verb, Force: true})
		if len(w.out) != 1 {
			t.Errorf("verb %d: %d calls are out beside the epoch's commit", verb, len(w.out)-1)
		}
		w.run(time.Minute)
		w.mustDone(r)
	}
}
