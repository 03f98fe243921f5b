package core_test

import (
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

var prod2 = appregistry.Authority{Instance: "hdfs@prod2", Name: "ns2"}

// at brings a token of another cluster.
func at(a appregistry.Authority, w *world, tok plugins.Token) map[string]core.Brought {
	return map[string]core.Brought{"ns1": {Authority: a, Identity: w.svc.identity(tok), Obtains: true}}
}

// Each cluster goes by its own policy, in one process: renewed and replaced,
// replaced only, watched or ignored.
func TestPolicy_EachClusterHasItsOwn(t *testing.T) {
	for mode, want := range map[core.Mode]struct {
		renewals, obtains, cancels bool
		state                      appregistry.State
		warned                     int
	}{
		core.ModeRenew:   {renewals: true, obtains: true, cancels: true, state: appregistry.Live},
		core.ModeReplace: {obtains: true, cancels: true, state: appregistry.Live},
		core.ModeWatch:   {state: appregistry.Foreign, warned: 1},
		core.ModeIgnore:  {state: appregistry.Foreign},
	} {
		t.Run(mode.String(), func(t *testing.T) {
			w := newWorld(t, day, 7*day)
			w.cfg.Instances = map[string]core.Instance{prod2.Instance: {Mode: mode}}
			w.crash()
			w.mustDone(w.register(registration{app: ending("here", appregistry.CancelAll), bring: bring(w.svc.issue("alice"))}))
			before := len(w.svc.renewals)
			tok := w.svc.issue("alice")
			w.mustDone(w.register(registration{app: ending("there", appregistry.CancelAll), bring: bring(tok), brought: at(prod2, w, tok)}))
			w.run(time.Minute)
			if got := len(w.svc.renewals) > before; got != want.renewals {
				t.Errorf("renewed %v at registration, want %v", got, want.renewals)
			}
			if s := w.core.Entries()[1].Tokens[0]; s.State != want.state && (mode != core.ModeReplace || s.State != appregistry.Proving) {
				t.Errorf("state %v (%s), want %v", s.State, s.Reason, want.state)
			}
			if w.held("there", "ns1") != string(tok.Identifier) {
				t.Error("the token is not delivered")
			}
			// While the first cluster goes on as ever.
			for range 7 * 24 {
				if w.run(time.Hour); !w.valid("here", "ns1") {
					t.Fatal("the first cluster's token died")
				}
			}
			if got := w.held("there", "ns1") != string(tok.Identifier) && w.held("there", "ns1") != ""; got != want.obtains {
				t.Errorf("replaced %v, want %v", got, want.obtains)
			}
			warned := 0
			for _, n := range w.noted(core.TokenEnding) {
				if n.Authority == prod2 {
					warned++
					if left := w.svc.tokens[string(tok.Identifier)].max.Sub(w.wall.Add(6 * day)); left <= 0 || n.Next.IsZero() {
						t.Errorf("warned too late: %+v", n)
					}
				}
			}
			if warned != want.warned {
				t.Errorf("%d warnings before its end, want %d", warned, want.warned)
			}
			if mode == core.ModeIgnore && len(w.noted(core.TokenEnded)) != 0 {
				t.Error("an ignored token's end was told")
			}
			cancels := len(w.svc.cancels)
			w.mustDone(w.unregister(alice, "there"))
			w.run(time.Minute)
			if got := len(w.svc.cancels) > cancels; got != want.cancels {
				t.Errorf("cancelled %v, want %v", got, want.cancels)
			}
			err := w.done(w.register(registration{app: app("asks"), plan: plan(prod2)}))
			if want.obtains != (err == nil) || (err != nil && plugins.CodeOf(err) != core.CodeNotObtainable) {
				t.Errorf("asking there for a token: %v", err)
			}
		})
	}
}

// The operator changes a cluster's policy over a restart: what was renewed is
// left alone, cancels that wait included, and comes back with the policy.
func TestPolicy_ChangesWithARestart(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.mustDone(w.register(registration{app: ending("a", appregistry.CancelAll), bring: bring(w.svc.issue("alice"))}))
	w.mustDone(w.register(registration{app: app("asks"), plan: plan(ns1)}))
	w.svc.fault = func(op, _ string) error {
		if op == "cancel" {
			return errDown
		}
		return nil
	}
	w.mustDone(w.register(registration{app: ending("b", appregistry.CancelAll), bring: bring(w.svc.issue("alice"))}))
	w.mustDone(w.unregister(alice, "b"))
	w.svc.fault = nil
	calls := func() int {
		n := w.svc.issued + len(w.svc.cancels)
		for _, r := range w.svc.renewals {
			n += r
		}
		return n
	}
	before := calls()
	w.cfg.Instances = map[string]core.Instance{ns1.Instance: {Mode: core.ModeWatch}}
	w.crash()
	w.run(time.Hour)
	for _, e := range w.core.Entries() {
		if s := e.Tokens[0]; s.State != appregistry.Foreign || s.Reason != "the policy of hdfs is watch" {
			t.Errorf("state %v (%s)", s.State, s.Reason)
		}
	}
	w.run(2 * day)
	for _, e := range w.core.Entries() {
		for _, verb := range []core.Verb{core.RenewNow, core.ReplaceNow, core.CancelNow} {
			r := w.ask()
			w.step(core.TokenCommand{Request: r, Caller: operator, Token: e.Tokens[0].ID, Verb: verb, Force: true})
			w.run(time.Second)
			if err := w.done(r); plugins.KindOf(err) != plugins.KindRefused {
				t.Errorf("verb %d on a watched cluster: %v", verb, err)
			}
		}
	}
	if got := calls() - before; got != 0 {
		t.Errorf("%d calls to a cluster that is only watched", got)
	}
	w.cfg.Instances = nil
	w.crash()
	w.run(time.Hour)
	if !w.valid("a", "ns1") || !w.valid("asks", "ns1") {
		t.Error("with the policy back the tokens did not come back")
	}
}

// An excluded service's tokens are kept and delivered, not renewed, and told of
// before they end; those obtained there are replaced in time instead.
// Shows: Y6, Y7.
func TestY48_ExcludedHostsAreNotRenewed(t *testing.T) {
	for _, name := range []string{"ns1", "nn.example.com", "NN.EXAMPLE.COM:8020", "elsewhere"} {
		w := newWorld(t, day, 7*day)
		w.cfg.Instances = map[string]core.Instance{ns1.Instance: {Exclude: []string{name}}}
		w.crash()
		excluded := name != "elsewhere"
		tok := w.svc.issue("alice")
		tok.Service = "nn.example.com:8020"
		w.mustDone(w.register(registration{app: ending("a", appregistry.CancelAll), bring: bring(tok)}))
		w.run(20 * time.Hour)
		if got := w.svc.renewals[string(tok.Identifier)] == 0; got != excluded {
			t.Errorf("exclude %q: %d renewals", name, w.svc.renewals[string(tok.Identifier)])
		}
		if w.held("a", "ns1") != string(tok.Identifier) {
			t.Errorf("exclude %q: not delivered", name)
		}
		if !excluded {
			continue
		}
		if s := w.only().Tokens[0]; s.State != appregistry.Foreign || s.Reason != "excluded from renewal: nn.example.com:8020" {
			t.Errorf("state %v (%s)", s.State, s.Reason)
		}
		if w.run(7 * day); len(w.noted(core.TokenEnding)) != 1 {
			t.Errorf("%d warnings", len(w.noted(core.TokenEnding)))
		}
		w.mustDone(w.unregister(alice, "a"))
		if w.run(time.Minute); len(w.svc.cancels) != 0 {
			t.Error("cancelled")
		}
		if name != "ns1" {
			continue
		}
		w.mustDone(w.register(registration{app: app("asks"), plan: plan(ns1)}))
		first := w.held("asks", "ns1")
		for range 8 * 24 {
			if w.run(time.Hour); !w.valid("asks", "ns1") {
				t.Fatal("an obtained token died")
			}
		}
		if w.svc.renewals[first] != 0 || w.held("asks", "ns1") == first {
			t.Errorf("obtained at an excluded service: %d renewals, held %s", w.svc.renewals[first], w.held("asks", "ns1"))
		}
	}
}

// The numbers are those of the instance, and an application's own lie over them.
func TestPolicy_NumbersOfAnInstance(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.cfg.Policy.Jitter = -1
	w.cfg.Instances = map[string]core.Instance{prod2.Instance: {Policy: &core.Policy{Ratio: 0.5, Jitter: -1}}}
	w.crash()
	for i, c := range []struct {
		at      appregistry.Authority
		overlay map[string]string
		want    time.Duration
	}{
		{at: ns1, want: 18 * time.Hour},
		{at: prod2, want: 12 * time.Hour},
		{at: prod2, overlay: map[string]string{"renewal.ratio": "0.25"}, want: 6 * time.Hour},
	} {
		tok := w.svc.issue("alice")
		a := app(string(rune('a' + i)))
		a.Overlay = c.overlay
		w.mustDone(w.register(registration{app: a, bring: bring(tok), brought: at(c.at, w, tok)}))
		if got := w.core.Entries()[i].Tokens[0].Next.Sub(w.now().Wall).Round(time.Minute); got != c.want {
			t.Errorf("%v with %v: renewed after %v, want %v", c.at, c.overlay, got, c.want)
		}
	}
}

// Without the right to obtain, the old token goes on to its end, and somebody
// hears of that in time.
func TestY30_WithoutPrivilegesSomebodyIsTold(t *testing.T) {
	w := newWorld(t, day, 7*day)
	tok := w.svc.issue("alice")
	b := map[string]core.Brought{"ns1": {Authority: ns1, Identity: w.svc.identity(tok)}}
	w.mustDone(w.register(registration{app: app("a"), bring: bring(tok), brought: b}))
	w.run(6 * day)
	if n := len(w.noted(core.TokenEnding)); n != 0 {
		t.Fatalf("%d warnings a day before its max date", n)
	}
	for range 23 {
		if w.run(time.Hour); !w.valid("a", "ns1") {
			t.Fatal("dead before its max date")
		}
	}
	told := w.noted(core.TokenEnding)
	if len(told) != 1 || told[0].Reason == "" || len(told[0].Apps) != 1 {
		t.Errorf("warnings %+v, want one that says why and for whom", told)
	}
	if w.run(2 * time.Hour); w.svc.issued != 1 || len(w.noted(core.TokenEnded)) != 1 {
		t.Errorf("%d tokens issued, %d ends told", w.svc.issued, len(w.noted(core.TokenEnded)))
	}
}

// Of several services asked for in one registration, one that refuses the
// connection, or hangs, holds up none of the others: the set comes without it,
// says so, and is completed once it answers.
func TestObtain_UnreachableServiceBlocksNoOther(t *testing.T) {
	ns2 := appregistry.Authority{Instance: "hdfs", Name: "ns2"}
	for _, hangs := range []bool{false, true} {
		w := newWorld(t, day, 7*day)
		down := true
		var hanging []core.Obtain
		w.hold = func(act core.Action) bool {
			o, ok := act.(core.Obtain)
			if !ok || !down || o.Authority != ns2 {
				return false
			}
			if hanging = append(hanging, o); !hangs {
				w.step(core.Obtained{Job: o.Job, Err: errDown})
			}
			return true
		}
		r := w.register(registration{app: app("a"), plan: plan(ns1, ns2)})
		w.run(6 * time.Second)
		w.mustDone(r)
		if !w.valid("a", "ns1") || w.core.Apps()[0].Missing["hdfs:ns2"] == "" {
			t.Fatalf("hangs %v: held %q, missing %v", hangs, w.held("a", "ns1"), w.core.Apps()[0].Missing)
		}
		down = false
		if hangs {
			w.step(core.Obtained{Job: hanging[0].Job, Err: errDown})
		}
		w.run(time.Minute)
		if !w.valid("a", "ns1") || !w.valid("a", "ns2") || len(w.core.Apps()[0].Missing) != 0 {
			t.Errorf("hangs %v: held %q and %q, missing %v", hangs, w.held("a", "ns1"), w.held("a", "ns2"), w.core.Apps()[0].Missing)
		}
	}
}
