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

// A service that fails over in the middle of an obtain may have issued a token
// that nobody received. The obtain is repeated; the possible token is told of
// once, with the date at which it ends, and never published.
//
// Shows: B11, B15.
func TestB11_ObtainWhoseAnswerIsLost(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
	lost := ""
	w.svc.fault = func(op, user string) error {
		if op != "obtain" || lost != "" {
			return nil
		}
		lost = string(w.svc.issue(user).Identifier)
		return &plugins.Error{Code: plugins.CodeAnswerLost, Err: errDown}
	}
	w.run(7 * day)
	notes := w.noted(core.GrantOrphaned)
	if len(notes) != 1 || !notes[0].Expires.Equal(w.svc.tokens[lost].max) || len(notes[0].Apps) != 1 {
		t.Fatalf("told %+v, want of one token that ends at %v", notes, w.svc.tokens[lost].max)
	}
	for _, s := range w.targets["/stage/a"].all {
		if string(s.Credentials.Tokens["ns1"].Identifier) == lost {
			t.Errorf("generation %d holds the token whose answer was lost", s.Generation)
		}
	}
	if !w.valid("a", "ns1") || len(w.noted(core.TokenLost)) > 0 {
		t.Errorf("the application holds %s", w.held("a", "ns1"))
	}
}

// Soon after a token was issued or renewed a server that has not heard of it, or
// that serves no more, denies to know it. That is not its death.
func TestN25_YoungUnknownTokenIsAskedForTwice(t *testing.T) {
	brought := func(t *testing.T, w *world) plugins.Token {
		tok := w.svc.issue("alice")
		r := w.register(registration{app: app("a"), bring: bring(tok)})
		w.run(40 * time.Second)
		w.mustDone(r)
		return tok
	}
	for _, tt := range []struct {
		name string
		// unknownAt says at what times since the start the service answers so.
		unknownAt func(since time.Duration) bool
		replaced  bool
	}{
		{"issued a moment ago", func(since time.Duration) bool { return since < time.Second }, false},
		{"for good", func(time.Duration) bool { return true }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, day, 7*day)
			first := ""
			w.svc.fault = func(op, id string) error {
				if op == "renew" && (first == "" || first == id) && tt.unknownAt(w.boot) {
					first = id
					return terminal(plugins.KindReplace, "unknown token")
				}
				return nil
			}
			tok := brought(t, w)
			w.run(time.Minute)
			if replaced := w.held("a", "ns1") != string(tok.Identifier); replaced != tt.replaced || !w.valid("a", "ns1") {
				t.Errorf("a minute later it holds %s; replaced %v, want %v", w.held("a", "ns1"), replaced, tt.replaced)
			}
		})
	}
	t.Run("renewed a moment ago", func(t *testing.T) {
		w := newWorld(t, day, 7*day)
		tok := brought(t, w)
		id := w.only().Tokens[0].ID
		w.run(time.Hour)
		for _, fault := range []error{nil, terminal(plugins.KindReplace, "unknown token")} {
			w.svc.fault = func(string, string) error { err := fault; fault = nil; return err }
			w.step(core.TokenCommand{Request: w.ask(), Caller: operator, Token: id, Verb: core.RenewNow})
			w.run(time.Second)
		}
		w.run(time.Minute)
		if held := w.held("a", "ns1"); held != string(tok.Identifier) || w.svc.issued != 1 {
			t.Errorf("one answer, a second after a renewal, had it replaced by %s", held)
		}
	})
}

// A token that its service lost is replaced at the first answer that says so; the
// old one stays with its readers until its successor is there.
//
// Shows: C-H52.
func TestB19_LostTokenIsReplacedAtFirstSight(t *testing.T) {
	w := newWorld(t, day, 7*day)
	tok := w.svc.issue("alice")
	w.mustDone(w.register(registration{app: app("a"), bring: bring(tok)}))
	w.run(time.Hour)
	w.svc.tokens[string(tok.Identifier)].cancelled = true
	for !slices.ContainsFunc(w.out, isRenew) { // until the service is asked again
		next, ok := w.core.Next()
		if !ok {
			t.Fatal("nothing is planned")
		}
		w.boot = next
		w.step(core.Tick{})
	}
	if w.held("a", "ns1") != string(tok.Identifier) {
		t.Fatal("it was taken away before anybody knew")
	}
	asked := w.boot
	for w.held("a", "ns1") == string(tok.Identifier) && w.boot < asked+time.Hour {
		w.run(time.Second)
	}
	if took := w.boot - asked; took > 30*time.Second || !w.valid("a", "ns1") {
		t.Errorf("a successor was at the readers after %v, want 30 s at most", took)
	}
}

// All that a service knew ran out while the engine was down: on return everybody
// gets a new token within a minute, whatever the number of applications.
//
// Shows: Y44.
func TestB22_TokensPurgedWhileWeWereDown(t *testing.T) {
	const apps = 2000
	w := newWorld(t, day, 7*day)
	name := func(i int) string { return fmt.Sprintf("a%d", i) }
	for i := range apps {
		w.step(w.event(registration{app: app(name(i)), plan: plan(ns1)}))
	}
	w.run(time.Minute)
	w.boot += 3 * day
	for _, l := range w.svc.tokens {
		l.cancelled = true // swept: it expired and was not renewed
	}
	w.crash()
	w.run(time.Minute)
	for i := range apps {
		if !w.valid(appregistry.AppID(name(i)), "ns1") {
			t.Fatalf("%s holds %s a minute after the restart", name(i), w.held(appregistry.AppID(name(i)), "ns1"))
		}
	}
	if w.svc.issued != 2*apps {
		t.Errorf("%d tokens for %d applications, want each to get one successor", w.svc.issued, apps)
	}
}

func isRenew(a core.Action) bool { _, ok := a.(core.Renew); return ok }

// A service that lost one token of many and knows the others is asked for two of
// them, and no more.
func TestAmnesia_OneLostTokenCostsTwoRenewals(t *testing.T) {
	const apps = 100
	w := newWorld(t, day, 7*day)
	for i := range apps {
		w.step(w.event(registration{app: app(fmt.Sprintf("a%d", i)), plan: plan(ns1)}))
	}
	w.run(time.Hour)
	lost := w.held("a50", "ns1")
	w.svc.tokens[lost].cancelled = true
	total := func() (n int) {
		for _, r := range w.svc.renewals {
			n += r
		}
		return n
	}
	early := total()
	for _, e := range w.core.Entries() {
		if tok := e.Tokens[0]; len(e.Holders) == 1 && e.Holders[0].ID == "a50" {
			w.step(core.TokenCommand{Request: w.ask(), Caller: operator, Token: tok.ID, Verb: core.RenewNow})
		}
	}
	w.run(time.Minute)
	if got := total() - early; got != 2 {
		t.Errorf("%d of the others were renewed, want 2", got)
	}
	if !w.valid("a50", "ns1") {
		t.Error("the one that was lost has no successor")
	}
}
