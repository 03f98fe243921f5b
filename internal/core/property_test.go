package core_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// judge watches a world with the service's journal and its own book of what was
// asked for, never the engine's word.
type judge struct {
	w    *world
	live map[appregistry.AppID]registration
	// keepers are the tokens that somebody, now or earlier, brought without
	// asking for cancel.
	keepers map[string]bool
	acked   map[appregistry.AppID]bool
	seen    int // of the journal of cancels
	n       map[string]uint32
	gone    map[string]bool // uuids of registrations that left: their files are nobody's
	// groups has what applications of each group held since it last was empty.
	groups map[string]map[string]bool
	// fresh applications took nobody's place: all in their files is their own.
	fresh map[appregistry.AppID]bool
}

func newJudge(w *world) *judge {
	return &judge{
		w: w, live: map[appregistry.AppID]registration{}, keepers: map[string]bool{}, acked: map[appregistry.AppID]bool{},
		n: map[string]uint32{}, gone: map[string]bool{}, groups: map[string]map[string]bool{}, fresh: map[appregistry.AppID]bool{},
	}
}

// noteGroups writes down what the applications of groups hold now, and forgets
// groups that are empty.
func (j *judge) noteGroups() {
	there := map[string]bool{}
	for _, a := range j.w.core.Apps() {
		r, live := j.live[a.Key.ID]
		if there[a.Group] = true; a.Group == "" || !live || r.app.Group != a.Group || !j.acked[a.Key.ID] {
			continue
		}
		if j.groups[a.Group] == nil {
			j.groups[a.Group] = map[string]bool{}
		}
		for _, tok := range r.bring {
			if j.genuine(tok) {
				j.groups[a.Group][string(tok.Identifier)] = true
			}
		}
		if id := j.w.held(a.Key.ID, "ns1"); id != "" && j.uuid(a.Key.ID) == a.UUID && j.fresh[a.Key.ID] && j.genuine(j.w.targets["/stage/"+string(a.Key.ID)].creds.Tokens["ns1"]) {
			j.groups[a.Group][id] = true
		}
	}
	for g := range j.groups {
		if !there[g] {
			delete(j.groups, g)
		}
	}
}

// uuid is that of the registration that wrote the app's newest file.
func (j *judge) uuid(app appregistry.AppID) string {
	all := j.w.targets["/stage/"+string(app)].all
	return all[len(all)-1].UUID
}

func (j *judge) check(t *rapid.T) {
	defer j.noteGroups()
	for _, id := range j.w.svc.cancels[j.seen:] {
		for g, held := range j.groups {
			if held[id] && slices.ContainsFunc(j.w.core.Apps(), func(a core.AppStatus) bool { return a.Group == g }) {
				t.Fatalf("P3: %s was cancelled while group %s is there", id, g)
			}
		}
		if j.keepers[id] {
			t.Fatalf("P3: %s was cancelled, though a holder did not ask for it", id)
		}
		for app, r := range j.live {
			for _, tok := range r.bring {
				if j.genuine(tok) && string(tok.Identifier) == id && j.acked[app] && !j.replaced(app, tok) {
					t.Fatalf("P3: %s was cancelled while %s holds it", id, app)
				}
			}
			if j.w.held(app, "ns1") == id && j.acked[app] && !j.gone[j.uuid(app)] && j.genuine(j.w.targets["/stage/"+string(app)].creds.Tokens["ns1"]) {
				t.Fatalf("P4: %s was cancelled while the file of %s has it", id, app)
			}
		}
	}
	j.seen = len(j.w.svc.cancels)
	for dir, tg := range j.w.targets {
		if tg.n < j.n[dir] {
			t.Fatalf("P5: generation of %s went back from %d to %d", dir, j.n[dir], tg.n)
		}
		j.n[dir] = tg.n
	}
	j.checkStates(t)
}

// genuine reports whether a token has the password that its service gave it. Who
// brings another one refers to no token of that service.
func (j *judge) genuine(tok plugins.Token) bool {
	return j.w.svc.tokens[string(tok.Identifier)].password == string(tok.Password)
}

// replaced reports whether the app's file has a good other token in that place.
func (j *judge) replaced(app appregistry.AppID, tok plugins.Token) bool {
	return j.w.held(app, "ns1") != string(tok.Identifier)
}

// checkStates: no token without a state that means something, and each waits for
// what the table of states says.
func (j *judge) checkStates(t *rapid.T) {
	if err := j.w.checkStates(); err != nil {
		t.Fatalf("P10: %v", err)
	}
}

func (j *judge) register(t *rapid.T, tokens []plugins.Token) {
	id := fmt.Sprintf("app%d", rapid.IntRange(0, 3).Draw(t, "app"))
	r := registration{app: app(id), caller: core.Caller{Name: "alice"}}
	fresh := !slices.ContainsFunc(j.w.core.Apps(), func(a core.AppStatus) bool { return a.Key.ID == r.app.ID })
	r.app.AtEnd = rapid.SampledFrom([]appregistry.AtEnd{appregistry.CancelObtained, appregistry.CancelAll, appregistry.KeepAll}).Draw(t, "at end")
	r.app.Group = rapid.SampledFrom([]string{"", "", "g", "h"}).Draw(t, "group")
	if linger := rapid.SampledFrom([]string{"", "", "10m"}).Draw(t, "linger"); linger != "" {
		r.app.Overlay = map[string]string{"linger": linger}
	}
	if rapid.Bool().Draw(t, "obtain") {
		r.plan = plan(ns1)
		r.app.Share = rapid.SampledFrom([]appregistry.Share{appregistry.ShareNone, appregistry.ShareUser}).Draw(t, "share")
	} else {
		r.bring = bring(rapid.SampledFrom(tokens).Draw(t, "token"))
	}
	ev := j.w.event(r)
	j.w.step(ev)
	j.settle(func() bool { return j.w.isDone(ev.Request) || len(j.w.replies[ev.Request]) > 0 })
	replies := j.w.replies[ev.Request]
	if len(replies) == 0 || replies[0].Err != nil {
		return
	}
	// Acknowledged. Whether it then stands or is rejected is seen at the core.
	j.live[r.app.ID], j.acked[r.app.ID], j.fresh[r.app.ID] = r, true, fresh
	if r.bring != nil && j.genuine(r.bring["ns1"]) && r.app.AtEnd != appregistry.CancelAll {
		j.keepers[string(r.bring["ns1"].Identifier)] = true
	}
}

// settle answers commits until cond holds or none is out.
func (j *judge) settle(cond func() bool) {
	for range 50 {
		if cond() {
			return
		}
		at := slices.IndexFunc(j.w.out, func(a core.Action) bool { _, ok := a.(core.Commit); return ok })
		if at < 0 {
			return
		}
		j.w.answer(at)
	}
}

// sync drops from the book what the engine rejected: an application that was
// told so is not there.
func (j *judge) sync() {
	for id := range j.live {
		if _, err := j.w.core.Current(appregistry.AppKey{Owner: "alice", ID: id}); errors.Is(err, appregistry.ErrNotFound) {
			delete(j.live, id)
			delete(j.acked, id)
		}
	}
}

// Random events, answers in any order, faults, and crashes between any two
// actions. Shows: P1, P3, P4, P10, KP14, KP15, KP16, KP19.
func TestP3_HoldsUnderAnyOrderFaultAndCrash(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, day, 7*day)
		w.cfg.Seed = rapid.Uint64().Draw(t, "seed")
		j := newJudge(w)
		tokens := []plugins.Token{w.svc.issue("alice"), w.svc.issue("alice")}
		forged := tokens[0].Clone()
		forged.Password = plugins.Secret("made up")
		tokens = append(tokens, forged)
		start, stepped, faulty := w.wall, false, 0
		w.svc.now = func() time.Time { return start.Add(w.boot) }
		var late []core.Obtained
		w.svc.fault = func(string, string) error {
			if faulty > 0 {
				faulty--
				return errDown
			}
			return nil
		}
		w.stageErr = func(appregistry.Set) error { return w.svc.fault("stage", "") }
		w.storeErr = func() error { return w.svc.fault("commit", "") }
		t.Repeat(map[string]func(*rapid.T){
			"":         func(t *rapid.T) { j.check(t) },
			"register": func(t *rapid.T) { j.register(t, tokens) },
			"unregister": func(t *rapid.T) {
				id := appregistry.AppID(fmt.Sprintf("app%d", rapid.IntRange(0, 3).Draw(t, "app")))
				r := w.ask()
				delete(j.live, id)
				delete(j.acked, id)
				for _, a := range w.core.Apps() {
					j.gone[a.UUID] = j.gone[a.UUID] || a.Key.ID == id
				}
				w.step(core.Unregister{Request: r, Caller: alice, App: appregistry.AppKey{Owner: "alice", ID: id}})
			},
			"answer": func(t *rapid.T) {
				if len(w.out) == 0 {
					t.Skip("nothing is out")
				}
				w.answer(rapid.IntRange(0, len(w.out)-1).Draw(t, "which"))
				j.sync()
			},
			"keep alive": func(t *rapid.T) {
				id := appregistry.AppID(fmt.Sprintf("app%d", rapid.IntRange(0, 3).Draw(t, "app")))
				w.step(core.KeepAlive{Request: w.ask(), Caller: alice, App: appregistry.AppKey{Owner: "alice", ID: id}})
			},
			"command": func(t *rapid.T) {
				all := w.statuses()
				if len(all) == 0 {
					t.Skip("no token")
				}
				id := rapid.SampledFrom(all).Draw(t, "token").ID
				w.step(core.TokenCommand{Request: w.ask(), Caller: operator, Token: id, Verb: rapid.SampledFrom([]core.Verb{core.RenewNow, core.ReplaceNow}).Draw(t, "verb")})
			},
			"step the wall clock": func(t *rapid.T) {
				stepped = true
				w.wall = start.Add(time.Duration(rapid.SampledFrom([]int{0, 1, -1, 48, -48, 87600, -87600}).Draw(t, "by hours")) * time.Hour)
			},
			"obtain late": func(t *rapid.T) {
				at := slices.IndexFunc(w.out, func(a core.Action) bool { _, ok := a.(core.Obtain); return ok })
				if at < 0 {
					t.Skip("no obtain is out")
				}
				act := w.out[at].(core.Obtain)
				w.out = slices.Delete(w.out, at, at+1)
				grants, err := w.svc.obtain(act.Request)
				late = append(late, core.Obtained{Job: act.Job, Grants: grants, Err: err})
				w.step(core.Obtained{Job: act.Job, Err: errDown, Unfinished: true})
			},
			"late answer": func(t *rapid.T) {
				if len(late) == 0 {
					t.Skip("nothing is late")
				}
				w.step(late[0])
				late = late[1:]
				j.sync()
			},
			"crash": func(t *rapid.T) {
				if stepped { // a session that begins with a wrong date, or skew, may take the living for dead
					t.Skip("the wall clock was stepped")
				}
				w.crash()
				late = nil
				for id := range j.acked {
					if _, err := w.core.Current(appregistry.AppKey{Owner: "alice", ID: id}); err != nil && j.live[id].app.ID != "" {
						t.Fatalf("P1: acknowledged %s is gone after a crash", id)
					}
				}
			},
			"wait": func(t *rapid.T) {
				faulty = rapid.IntRange(0, 4).Draw(t, "faults")
				w.run(time.Duration(rapid.IntRange(1, 48).Draw(t, "hours")) * time.Hour)
				j.sync()
			},
		})
		faulty = 0
		w.run(time.Hour)
		j.sync()
		j.check(t)
	})
}

// No obtainable token is lost under a mix of faults, with crashes. Shows: P2, KP05, KP06.
func TestP2_NothingObtainableIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, day, 7*day)
		w.svc.noExpiry = rapid.Bool().Draw(t, "expiry unknown")
		share := rapid.SampledFrom([]appregistry.Share{appregistry.ShareNone, appregistry.ShareUser}).Draw(t, "share")
		for i := range 3 {
			r := registration{app: app(fmt.Sprintf("app%d", i)), plan: plan(ns1)}
			if r.app.Share = share; i == 0 {
				r.plan, r.bring = nil, bring(w.svc.issue("alice"))
			}
			w.mustDone(w.register(r))
		}
		roll := rapid.IntRange(0, 9)
		w.svc.fault = func(op, _ string) error {
			if roll.Draw(t, op) < 3 {
				return rapid.SampledFrom([]error{errDown, plugins.Suspect(errDown), plugins.Denied(errDown), plugins.Replace(errDown)}).Draw(t, "error")
			}
			return nil
		}
		w.stageErr = func(appregistry.Set) error { return w.svc.fault("stage", "") }
		for range rapid.IntRange(20, 120).Draw(t, "steps") {
			w.run(time.Duration(rapid.IntRange(1, 240).Draw(t, "minutes")) * time.Minute)
			if rapid.IntRange(0, 19).Draw(t, "crash") == 0 {
				w.crash()
				w.run(time.Minute)
			}
			for i := range 3 {
				if id := appregistry.AppID(fmt.Sprintf("app%d", i)); !w.valid(id, "ns1") {
					t.Fatalf("lost: the token %s of %s is dead at %v", w.held(id, "ns1"), id, w.boot)
				}
			}
		}
	})
}
