package core_test

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

func TestY41_RestartRestoresAllAndRejectsNobody(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.mustDone(w.register(registration{app: app("a"), bring: bring(w.svc.issue("alice"))}))
	w.mustDone(w.register(registration{app: app("b"), plan: plan(ns1)}))
	before := []string{w.held("a", "ns1"), w.held("b", "ns1")}
	w.svc.fault = func(string, string) error { return terminal(plugins.KindDenied, "no") }
	w.crash()
	w.run(2 * time.Hour)
	if n := len(w.core.Apps()); n != 2 {
		t.Fatalf("%d apps after the restart, want 2", n)
	}
	if after := []string{w.held("a", "ns1"), w.held("b", "ns1")}; !slices.Equal(before, after) {
		t.Errorf("held %v, want %v", after, before)
	}
	if n := len(w.targets["/stage/b"].all); n != 1 {
		t.Errorf("%d stagings, want none for a restart that changed nothing", n)
	}
	w.svc.fault = nil
	w.run(7 * day)
	if s := w.targets["/stage/b"].all; s[len(s)-1].Generation != 2 || s[len(s)-1].Epoch != 2 {
		t.Errorf("generation %d of epoch %d, want 2 of 2", s[len(s)-1].Generation, s[len(s)-1].Epoch)
	}
}

func TestY42_DeadTokenIsReplacedAfterALongDowntime(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.mustDone(w.register(registration{app: app("a"), bring: bring(w.svc.issue("alice"))}))
	w.boot += 9 * day
	w.crash()
	w.run(time.Minute)
	if !w.valid("a", "ns1") {
		t.Error("the reader's token is still dead a minute after the restart")
	}
}

func TestCY34_ExpiredButRenewableIsRenewed(t *testing.T) {
	w := newWorld(t, day, 7*day)
	tok := w.svc.issue("alice")
	w.mustDone(w.register(registration{app: app("a"), bring: bring(tok)}))
	w.boot += 2 * day
	w.crash()
	w.run(time.Minute)
	if w.held("a", "ns1") != string(tok.Identifier) || !w.valid("a", "ns1") || w.svc.issued != 1 {
		t.Errorf("held %q, %d issued: want the same token, renewed", w.held("a", "ns1"), w.svc.issued)
	}
}

// Shows: KP16.
func TestKP15_IntentSurvivesAndIsWeighedAgain(t *testing.T) {
	w := newWorld(t, day, 7*day)
	tok := w.svc.issue("alice")
	w.mustDone(w.register(registration{app: ending("a", appregistry.CancelAll), bring: bring(tok)}))
	w.step(core.Unregister{Request: w.ask(), Caller: alice, App: appregistry.AppKey{Owner: "alice", ID: "a"}})
	w.answer(0) // the commit of the intent; the cancel is out and never answered
	if len(w.out) != 1 {
		t.Fatalf("out: %v, want one cancel", w.out)
	}
	w.crash()
	w.run(time.Minute)
	if len(w.svc.cancels) != 1 {
		t.Errorf("%d cancels after the restart, want 1", len(w.svc.cancels))
	}

	// The same, but somebody brings the token again before the cancel goes out.
	w = newWorld(t, day, 7*day)
	tok = w.svc.issue("alice")
	w.svc.fault = func(op, _ string) error {
		if op == "cancel" {
			return errDown
		}
		return nil
	}
	w.mustDone(w.register(registration{app: ending("a", appregistry.CancelAll), bring: bring(tok)}))
	w.mustDone(w.unregister(alice, "a"))
	w.svc.fault = nil
	w.mustDone(w.register(registration{app: ending("b", appregistry.CancelAll), bring: bring(tok)}))
	w.run(time.Hour)
	if len(w.svc.cancels) != 0 || !w.valid("b", "ns1") {
		t.Error("cancelled under the hands of a new holder")
	}
}

func TestKP01_FailedCommitRegistersNothing(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.run(0)
	full := errors.New("no space left on device")
	w.storeErr = func() error { return full }
	r := w.register(registration{app: app("a"), bring: bring(w.svc.issue("alice"))})
	if err := w.done(r); !errors.Is(err, full) {
		t.Errorf("error %v, want %v", err, full)
	}
	w.storeErr = nil
	w.run(time.Minute)
	w.crash()
	w.run(time.Minute)
	if n := len(w.core.Apps()) + len(w.core.Entries()); n != 0 || len(w.svc.renewals) != 0 {
		t.Errorf("%d records are left, %v was renewed", n, w.svc.renewals)
	}
}

func TestB69_RestoredBackupProvesAgainBeforeCancel(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.mustDone(w.register(registration{app: ending("a", appregistry.CancelAll), bring: bring(w.svc.issue("alice"))}))
	w.cfg.Instance = "another machine"
	w.svc.fault = func(string, string) error { return errDown }
	w.crash()
	w.run(time.Minute)
	w.svc.fault = nil
	w.mustDone(w.unregister(alice, "a"))
	if len(w.svc.cancels) != 0 {
		t.Error("cancelled on the word of a backup")
	}
}

func TestB81_DeposedCoreActsNoMore(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
	old := w.core
	w.crash() // another writer takes the store
	w.run(time.Second)
	w.core = old
	r := w.register(registration{app: app("b"), plan: plan(ns1)})
	if err := w.done(r); !errors.Is(err, appregistry.ErrFenced) {
		t.Errorf("error %v, want %v", err, appregistry.ErrFenced)
	}
	calls := len(w.svc.renewals)
	w.run(10 * day)
	if len(w.svc.renewals) != calls || len(w.noted(core.StoreTaken)) != 1 {
		t.Error("a deposed core goes on")
	}
}

func TestBehind_NumberAndEpochGoBeyondTheTarget(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.targets["/stage/a"] = &target{epoch: 7, n: 41}
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
	if tg := w.targets["/stage/a"]; tg.n != 42 || tg.epoch != 8 {
		t.Errorf("generation %d of epoch %d, want 42 of 8", tg.n, tg.epoch)
	}
}

// Shows: KP02.
func TestReregister(t *testing.T) {
	start := func() (*world, registration) {
		w := newWorld(t, day, 7*day)
		r := registration{app: app("a"), plan: plan(ns1)}
		w.mustDone(w.register(r))
		return w, r
	}
	t.Run("equal", func(t *testing.T) {
		w, r := start()
		w.mustDone(w.register(r))
		if len(w.core.Apps()) != 1 || w.svc.issued != 1 || len(w.targets["/stage/a"].all) != 1 {
			t.Error("an equal registration changed something")
		}
	})
	t.Run("other", func(t *testing.T) {
		w, r := start()
		r.bring = bring(w.svc.issue("alice"))
		r.plan = nil
		w.mustDone(w.register(r))
		w.run(time.Hour)
		all := w.targets["/stage/a"].all
		if len(all) != 2 || all[1].Generation != 2 || all[1].UUID != all[0].UUID || w.held("a", "ns1") != "alice#2" {
			t.Errorf("stagings %+v, held %s", all, w.held("a", "ns1"))
		}
		if len(w.svc.cancels) > 0 {
			t.Errorf("cancels %v, before the readers of the first set look again", w.svc.cancels)
		}
		w.run(7 * day)
		if !slices.Equal(w.svc.cancels, []string{"alice#1"}) {
			t.Errorf("cancels %v, want what the earlier record had", w.svc.cancels)
		}
	})
	t.Run("other that fails", func(t *testing.T) {
		w, r := start()
		w.svc.fault = func(op, _ string) error { return terminal(plugins.KindDenied, "no") }
		r.bring = bring(w.svc.issue("alice"))
		if err := w.done(w.register(r)); plugins.KindOf(err) != plugins.KindDenied {
			t.Errorf("error %v, want a denial", err)
		}
		w.svc.fault = nil
		w.run(time.Hour)
		if w.held("a", "ns1") != "alice#1" || !w.valid("a", "ns1") || len(w.core.Apps()) != 1 {
			t.Error("the earlier registration suffered")
		}
	})
}

func TestFirstDenialRejectsAndCancelsWhatWasGot(t *testing.T) {
	w := newWorld(t, day, 7*day)
	other := appregistry.Authority{Instance: "hdfs", Name: "ns2"}
	denied := true
	obtains := 0
	w.svc.fault = func(op, _ string) error {
		if obtains++; op == "obtain" && obtains == 2 && denied {
			return terminal(plugins.KindDenied, "not allowed to impersonate alice")
		}
		return nil
	}
	r := w.register(registration{app: app("a"), plan: plan(ns1, other)})
	if err := w.done(r); err == nil || !strings.Contains(err.Error(), "impersonate") {
		t.Errorf("error %v, want the service's reason", err)
	}
	w.run(time.Minute)
	if len(w.core.Apps()) != 0 || !slices.Equal(w.svc.cancels, []string{"alice#1"}) {
		t.Errorf("%d apps, cancels %v", len(w.core.Apps()), w.svc.cancels)
	}
}

func TestF8_UnreachableServiceLeavesTheOthersDelivered(t *testing.T) {
	w := newWorld(t, day, 7*day)
	other := appregistry.Authority{Instance: "hdfs", Name: "ns2"}
	down, obtains := true, 0
	w.svc.fault = func(op, _ string) error {
		if obtains++; op == "obtain" && obtains > 1 && down {
			return errDown
		}
		return nil
	}
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1, other)}))
	if !w.valid("a", "ns1") || w.core.Apps()[0].Missing["hdfs:ns2"] == "" {
		t.Errorf("missing %v, want hdfs:ns2 flagged and ns1 delivered", w.core.Apps()[0].Missing)
	}
	down = false
	w.run(5 * time.Minute)
	if !w.valid("a", "ns2") || len(w.core.Apps()[0].Missing) != 0 {
		t.Error("the late token was not delivered")
	}
}

// The store was put together from two backups: the intent to cancel is in it,
// and so is a holder.
func TestKP15_IntentOfAHeldTokenIsWithdrawn(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.mustDone(w.register(registration{app: ending("a", appregistry.CancelAll), bring: bring(w.svc.issue("alice"))}))
	w.run(time.Minute)
	backup := maps.Clone(w.store)
	w.step(core.Unregister{Request: w.ask(), Caller: alice, App: appregistry.AppKey{Owner: "alice", ID: "a"}})
	w.answer(0)
	for key, value := range backup {
		if !strings.HasPrefix(key, "token/") {
			w.store[key] = value
		}
	}
	w.crash()
	w.run(time.Hour)
	if len(w.svc.cancels) != 0 || w.only().Tokens[0].State != appregistry.Live {
		t.Errorf("cancels %v, state %v; want none, and live", w.svc.cancels, w.only().Tokens[0].State)
	}
}

// An operator's wish goes by the same rule; force outweighs holders, and nothing
// outweighs a missing proof.
func TestT01_TokenCommands(t *testing.T) {
	for name, c := range map[string]struct {
		caller core.Caller
		force  bool
		down   bool
		code   string
		found  bool
	}{
		"held":               {caller: operator, code: core.CodeTokenHeld, found: true},
		"held, by force":     {caller: operator, force: true, found: true},
		"owner, by force":    {caller: alice, force: true, code: core.CodeNotAllowed, found: true},
		"unproven, by force": {caller: operator, force: true, down: true, code: core.CodeTokenUnproven, found: true},
		"stranger":           {caller: mallory, force: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, day, 7*day)
			w.svc.fault = func(string, string) error {
				if c.down {
					return errDown
				}
				return nil
			}
			r := registration{app: app("a"), bring: bring(w.svc.issue("alice"))}
			r.app.Verify = appregistry.VerifyNone
			w.mustDone(w.register(r))
			w.run(time.Second)
			req := w.ask()
			w.step(core.TokenCommand{Request: req, Caller: c.caller, Token: w.only().Tokens[0].ID, Verb: core.CancelNow, Force: c.force})
			w.run(time.Minute)
			err := w.done(req)
			wantCode(t, err, c.code)
			if errors.Is(err, appregistry.ErrNotFound) == c.found {
				t.Errorf("error %v, found %v", err, c.found)
			}
			if cancelled := len(w.svc.cancels) == 1; cancelled != (err == nil) {
				t.Errorf("cancels %v, error %v", w.svc.cancels, err)
			}
			if err == nil && !w.valid("a", "ns1") {
				t.Error("the holder got no successor")
			}
		})
	}
}

// A registration writes each record once before it is answered, and
// what came of it once more: that a call is out is nothing to be written.
func TestRegister_WritesEachRecordTwiceAtMost(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.run(time.Minute)
	written := map[string]int{}
	w.hold = func(a core.Action) bool {
		if commit, ok := a.(core.Commit); ok {
			for _, r := range commit.Batch.Put {
				written[string(r.Key[:bytes.IndexByte(append(r.Key, '/'), '/')])]++
			}
		}
		return false
	}
	ev := w.event(registration{app: app("a"), bring: bring(w.svc.issue("alice"))})
	ev.App.StageTo = nil
	w.step(ev)
	w.answer(0)
	// Somebody else's commit, while the renewal is out.
	w.step(w.event(registration{app: app("b")}))
	for i := 0; len(w.out) > 0; i = (i + 1) % max(1, len(w.out)) { // the commit before the renewal
		if _, renewal := w.out[i%len(w.out)].(core.Renew); !renewal || len(w.out) == 1 {
			w.answer(i % len(w.out))
		}
	}
	w.run(time.Minute)
	w.mustDone(ev.Request)
	if written["token"] != 2 || written["entry"] != 1 {
		t.Errorf("written %v, want the token twice and its entry once", written)
	}
}

// A registration that waits to replace another one waits for its proof over a
// restart too: what it is to replace is good.
func TestP4_RestartKeepsACandidateWaitingForItsProof(t *testing.T) {
	w := newWorld(t, day, 7*day)
	good := w.svc.issue("alice")
	w.mustDone(w.register(registration{app: ending("a", appregistry.CancelAll), bring: bring(good)}))
	bad := w.svc.issue("alice")
	b := core.Brought{Authority: ns1, Identity: w.svc.identity(bad)} // nothing can be obtained
	bad.Password = plugins.Secret("wrong")
	w.svc.fault = func(op, id string) error {
		if op == "renew" && id == string(bad.Identifier) {
			return errDown
		}
		return nil
	}
	w.register(registration{app: ending("a", appregistry.CancelAll), bring: bring(bad), brought: map[string]core.Brought{"ns1": b}})
	w.run(time.Minute)
	if w.held("a", "ns1") != string(good.Identifier) {
		t.Fatalf("held %q before the restart", w.held("a", "ns1"))
	}
	w.crash()
	w.run(time.Minute)
	w.svc.fault = nil // now the service could say that its password is wrong
	w.run(10 * time.Minute)
	if w.held("a", "ns1") != string(good.Identifier) || w.svc.tokens[string(good.Identifier)].cancelled {
		t.Errorf("held %q, want %q; cancelled %v", w.held("a", "ns1"), good.Identifier, w.svc.cancels)
	}
}

// What a service said of a token stands in no record, so a restart asks again about
// one that was in trouble.
func TestB19_RestartRemembersThatATokenIsDead(t *testing.T) {
	w := newWorld(t, day, 7*day)
	tok := w.svc.issue("alice")
	w.mustDone(w.register(registration{app: app("a"), bring: bring(tok)}))
	w.run(time.Hour)
	delete(w.svc.tokens, string(tok.Identifier))
	w.svc.fault = func(op, _ string) error {
		if op == "obtain" {
			return errDown
		}
		return nil
	}
	w.step(core.TokenCommand{Request: w.ask(), Caller: operator, Token: w.idOf(tok), Verb: core.RenewNow})
	w.run(5 * time.Minute)
	if s := w.only().Tokens[0].State; s != appregistry.Replacing {
		t.Fatalf("state %s", s)
	}
	w.crash()
	w.svc.fault = nil
	w.run(10 * time.Minute)
	if !w.valid("a", "ns1") {
		t.Errorf("not replaced; it is %s, next at %s", w.only().Tokens[0].State, w.only().Tokens[0].Next)
	}
}
