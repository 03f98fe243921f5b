package core_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/clock"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

var ns1 = appregistry.Authority{Instance: "hdfs", Name: "ns1"}

var (
	operator = core.Caller{Name: "root", Trusted: true}
	alice    = core.Caller{Name: "alice"}
	mallory  = core.Caller{Name: "mallory"}
)

type fataler interface {
	Helper()
	Fatalf(string, ...any)
	Errorf(string, ...any)
}

// world is a shell around a core: store, service and targets in one value, all
// of it under the test's control.
type world struct {
	t       fataler
	cfg     core.Config
	core    *core.Core
	boot    time.Duration
	wall    time.Time // at boot 0
	store   map[string][]byte
	svc     *service
	targets map[string]*target

	out      []core.Action // calls that are not answered yet
	replies  map[core.Request][]core.Reply
	notes    []core.Notify
	requests core.Request
	// storeErr is the answer to commits; stageErr that to stagings.
	storeErr func() error
	stageErr func(appregistry.Set) error
	// hold, where set, is asked for each call; true: it answers that itself, or never.
	hold func(core.Action) bool
	// watch, where set, is called after each step.
	watch func()
}

// target is what a reader of one directory finds: the newest set.
type target struct {
	epoch, n uint32
	creds    plugins.Credentials
	all      []appregistry.Set
}

func newWorld(t fataler, interval, max time.Duration) *world {
	w := &world{
		t: t, wall: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), store: map[string][]byte{},
		targets: map[string]*target{}, replies: map[core.Request][]core.Reply{},
		// Whatever can be folded is: nothing may depend on a record staying open.
		// And what was stored is set going one by one, between all that happens.
		cfg: core.Config{Open: -1, AtOnce: 1},
	}
	w.svc = newService(func() time.Time { return w.wall.Add(w.boot) }, interval, max)
	w.start()
	return w
}

func (w *world) start() {
	w.core = core.New(w.cfg)
	for _, key := range slices.Sorted(maps.Keys(w.store)) {
		if err := w.core.Load([]byte(key), w.store[key]); err != nil {
			w.t.Fatalf("load: %v", err)
		}
	}
	w.step(core.Start{})
}

// crash loses everything but the store, and starts again.
func (w *world) crash() {
	w.out = nil
	w.start()
}

func (w *world) now() clock.Instant {
	return clock.Instant{Boot: w.boot, Wall: w.wall.Add(w.boot)}
}

func (w *world) step(ev core.Event) {
	for _, act := range w.core.Step(w.now(), ev) {
		switch act := act.(type) {
		case core.Reply:
			w.replies[act.Request] = append(w.replies[act.Request], act)
		case core.Notify:
			w.notes = append(w.notes, act)
			if act.What == core.StateBroken {
				w.t.Fatalf("the state table was left: %s", act.Reason)
			}
		default:
			if w.hold != nil && w.hold(act) {
				continue
			}
			w.out = append(w.out, act)
		}
	}
	if w.watch != nil {
		w.watch()
	}
}

// answer answers the i-th call that is out.
func (w *world) answer(i int) {
	act := w.out[i]
	w.out = slices.Delete(w.out, i, i+1)
	switch act := act.(type) {
	case core.Commit:
		w.step(core.Committed{Seq: act.Seq, Err: w.save(act.Batch)})
	case core.Obtain:
		grants, err := w.svc.obtain(act.Request)
		w.step(core.Obtained{Job: act.Job, Grants: grants, Err: err})
	case core.Renew:
		expires, err := w.svc.renew(act.Token)
		w.step(core.Renewed{Job: act.Job, Expires: expires, Err: err})
	case core.Cancel:
		w.step(core.Cancelled{Job: act.Job, Err: w.svc.cancel(act.Token)})
	case core.Stage:
		receipt, err := w.write(act.Set)
		w.step(core.Staged{Job: act.Job, Receipt: receipt, Err: err})
	}
}

func (w *world) save(b appregistry.Batch) error {
	if w.storeErr != nil {
		if err := w.storeErr(); err != nil {
			return err
		}
	}
	if have := w.store[string(b.Fence.Key)]; !bytes.Equal(have, b.Fence.Want) {
		return appregistry.ErrFenced
	}
	for _, r := range b.Put {
		w.store[string(r.Key)] = bytes.Clone(r.Value)
	}
	for _, key := range b.Delete {
		delete(w.store, string(key))
	}
	return nil
}

func (w *world) write(s appregistry.Set) (appregistry.Receipt, error) {
	if w.stageErr != nil {
		if err := w.stageErr(s); err != nil {
			return appregistry.Receipt{}, err
		}
	}
	tg := w.targets[s.Target.Dir]
	if tg == nil {
		tg = &target{}
		w.targets[s.Target.Dir] = tg
	}
	if tg.epoch > s.Epoch || (tg.n >= s.Generation) {
		return appregistry.Receipt{}, &appregistry.Behind{Epoch: tg.epoch, N: tg.n}
	}
	tg.epoch, tg.n, tg.creds = s.Epoch, s.Generation, s.Credentials
	tg.all = append(tg.all, s)
	return appregistry.Receipt{Epoch: s.Epoch, N: s.Generation}, nil
}

// run answers all calls in order and lets d pass.
func (w *world) run(d time.Duration) {
	w.t.Helper()
	end := w.boot + d
	for steps := 0; ; steps++ {
		if steps > 200_000 {
			w.t.Fatalf("a hot loop: %d steps by %v", steps, w.boot)
		}
		if len(w.out) > 0 {
			w.answer(0)
			continue
		}
		next, ok := w.core.Next()
		if !ok || next > end {
			break
		}
		w.boot = max(w.boot, next)
		w.step(core.Tick{})
	}
	w.boot = end
	w.step(core.Tick{})
	for len(w.out) > 0 {
		w.answer(0)
	}
}

func (w *world) ask() core.Request {
	w.requests++
	return w.requests
}

// registration is an application to be registered, with defaults for a test.
type registration struct {
	app    appregistry.App
	caller core.Caller
	bring  map[string]plugins.Token
	plan   []appregistry.Authority
	// brought overrides what the router found out, by alias.
	brought map[string]core.Brought
}

func (w *world) event(r registration) core.Register {
	ev := core.Register{Request: w.ask(), App: r.app, Caller: r.caller, Plan: r.plan}
	if r.caller.Name == "" {
		ev.Caller = alice
	}
	ev.App.Owner = ev.Caller.Name
	if ev.App.User == "" {
		ev.App.User = "alice"
	}
	if ev.App.StageTo == nil {
		ev.App.StageTo = []appregistry.Target{{Dir: "/stage/" + string(ev.App.ID)}}
	}
	ev.UUID = fmt.Sprintf("uuid-%d", ev.Request)
	for _, a := range r.plan {
		ev.App.Obtain = append(ev.App.Obtain, a.String())
	}
	for alias, tok := range r.bring {
		b, ok := r.brought[alias]
		if !ok {
			b = core.Brought{Authority: ns1, Identity: w.svc.identity(tok), Obtains: true}
		}
		b.Alias, b.Token = alias, tok
		ev.Brought = append(ev.Brought, b)
	}
	return ev
}

// register registers and lets a second pass.
func (w *world) register(r registration) core.Request {
	w.t.Helper()
	ev := w.event(r)
	w.step(ev)
	w.run(time.Second)
	return ev.Request
}

// mustAck registers and lets the registration become durable.
func (w *world) mustAck(ev core.Register) {
	w.t.Helper()
	w.step(ev)
	w.run(time.Second)
	if len(w.replies[ev.Request]) == 0 || w.replies[ev.Request][0].Err != nil {
		w.t.Fatalf("request %d: %v", ev.Request, w.replies[ev.Request])
	}
}

func (w *world) unregister(caller core.Caller, id appregistry.AppID) core.Request {
	r := w.ask()
	w.step(core.Unregister{Request: r, Caller: caller, App: appregistry.AppKey{Owner: caller.Name, ID: id}})
	w.run(time.Second)
	return r
}

// done is the last word on a request; it fails the test where there is none.
func (w *world) done(r core.Request) error {
	w.t.Helper()
	for _, reply := range w.replies[r] {
		if reply.Moment == core.Done {
			return reply.Err
		}
	}
	w.t.Fatalf("request %d: not answered at its end: %v", r, w.replies[r])
	return nil
}

func (w *world) mustDone(r core.Request) {
	w.t.Helper()
	if err := w.done(r); err != nil {
		w.t.Fatalf("request %d: %v", r, err)
	}
}

func (w *world) isDone(r core.Request) bool {
	return slices.ContainsFunc(w.replies[r], func(x core.Reply) bool { return x.Moment == core.Done })
}

func (w *world) noted(what core.What) []core.Notify {
	var out []core.Notify
	for _, n := range w.notes {
		if n.What == what {
			out = append(out, n)
		}
	}
	return out
}

// only is the one entry there is.
func (w *world) only() appregistry.Entry {
	w.t.Helper()
	entries := w.core.Entries()
	if len(entries) != 1 {
		w.t.Fatalf("%d entries, want 1: %+v", len(entries), entries)
	}
	return entries[0]
}

// held is the identifier of the token that a reader of the app's files has.
func (w *world) held(id appregistry.AppID, alias string) string {
	tg := w.targets["/stage/"+string(id)]
	if tg == nil {
		return ""
	}
	return string(tg.creds.Tokens[alias].Identifier)
}

// valid reports whether a reader of the app's files holds a good token.
func (w *world) valid(id appregistry.AppID, alias string) bool {
	l := w.svc.tokens[w.held(id, alias)]
	return l != nil && l.good(w.svc.now())
}

func bring(tok plugins.Token) map[string]plugins.Token { return map[string]plugins.Token{"ns1": tok} }

func app(id string) appregistry.App { return appregistry.App{ID: appregistry.AppID(id)} }

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	if got := plugins.CodeOf(err); got != code {
		t.Errorf("code %q, want %q (%v)", got, code, err)
	}
}

var errDown = errors.New("connection refused")

func plan(a ...appregistry.Authority) []appregistry.Authority { return a }

func keyOf(id appregistry.AppID) appregistry.AppKey {
	return appregistry.AppKey{Owner: "alice", ID: id}
}

// idOf is the number of a token that some application holds.
func (w *world) idOf(tok plugins.Token) appregistry.TokenID {
	for _, e := range w.core.Entries() {
		for _, s := range e.Tokens {
			if s.Fingerprint == appregistry.DigestsOf(ns1, tok).Fingerprint {
				return s.ID
			}
		}
	}
	w.t.Fatalf("no such token")
	return 0
}

var oozie = core.Caller{Name: "oozie"}

// byRealUser registers the token of a user who is somebody else's proxy: oozie may
// bring it, and not obtain another one.
func (w *world) byRealUser(tok plugins.Token, overlay map[string]string) core.Request {
	id := w.svc.identity(tok)
	id.RealUser, id.RealShort = "oozie", "oozie"
	a := app("o")
	a.Overlay, a.User = overlay, "oozie"
	return w.register(registration{app: a, caller: oozie, bring: bring(tok), brought: map[string]core.Brought{"ns1": {Authority: ns1, Identity: id}}})
}
