package core_test

import (
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

func (w *world) acknowledged(r core.Request) bool {
	for _, reply := range w.replies[r] {
		if reply.Moment == core.Acknowledged {
			return true
		}
	}
	return false
}

// Two equal registrations, and the commit of the first fails: nothing was made
// durable, so neither is acknowledged. Shows: B60.
func TestP1_EqualRegistrationSharesTheFailureOfTheFirst(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.run(time.Second)
	fail := true
	w.storeErr = func() error {
		defer func() { fail = false }()
		if fail {
			return errDown
		}
		return nil
	}
	tok := w.svc.issue("alice")
	first := w.event(registration{app: app("a"), bring: bring(tok)})
	second := w.event(registration{app: app("a"), bring: bring(tok)})
	w.step(first)
	w.step(second)
	w.run(time.Minute)
	for _, r := range []core.Request{first.Request, second.Request} {
		if err := w.done(r); !errors.Is(err, errDown) || w.acknowledged(r) {
			t.Errorf("request %d: acknowledged %v, error %v; want the store's error alone", r, w.acknowledged(r), err)
		}
	}
	if n := len(w.core.Apps()); n != 0 {
		t.Errorf("%d applications", n)
	}
}

// While the set of a registration that took over is not staged, an equal one is
// not done either, and not after a restart.
func TestReregister_EqualWaitsForTheSetOfTheOneThatTookOver(t *testing.T) {
	for _, restart := range []bool{false, true} {
		w := newWorld(t, day, 7*day)
		w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
		w.stageErr = func(appregistry.Set) error { return errDown }
		other := registration{app: app("a"), bring: bring(w.svc.issue("alice"))}
		w.register(other)
		if restart {
			w.crash()
			w.run(time.Second)
		}
		r := w.register(other)
		if w.isDone(r) || !w.acknowledged(r) {
			t.Fatalf("restart %v: %+v, want acknowledged and no more", restart, w.replies[r])
		}
		w.stageErr = nil
		w.run(10 * time.Minute)
		w.mustDone(r)
		if got := w.held("a", "ns1"); got != "alice#2" {
			t.Errorf("restart %v: done, and the file has %s", restart, got)
		}
	}
}

func TestReregister_TakeOverIsNoLeaving(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
	w.mustDone(w.register(registration{app: app("a"), bring: bring(w.svc.issue("alice"))}))
	if left := w.noted(core.AppLeft); len(left) != 0 {
		t.Errorf("told %+v of an application that stays", left)
	}
	w.mustDone(w.unregister(alice, "a"))
	if left := w.noted(core.AppLeft); len(left) != 1 {
		t.Errorf("told %d times that it left, want once", len(left))
	}
}

// A registration waits to replace another, whose lease ends meanwhile.
func TestReregister_WaitingOneCanBeUnregisteredAlone(t *testing.T) {
	w := newWorld(t, day, 7*day)
	leased := app("a")
	leased.Overlay = map[string]string{"lease": "1h"}
	w.mustDone(w.register(registration{app: leased, plan: plan(ns1)}))
	w.svc.fault = func(op, _ string) error { return errDown }
	waiting := w.register(registration{app: app("a"), plan: plan(appregistry.Authority{Instance: "hdfs", Name: "ns2"})})
	w.run(2 * time.Hour)
	w.mustDone(w.unregister(alice, "a"))
	if err := w.done(waiting); err == nil {
		t.Error("the registration that was unregistered is called ready")
	}
	w.svc.fault = nil
	w.run(time.Hour)
	if n := len(w.core.Apps()); n != 0 {
		t.Errorf("%d applications are left", n)
	}
}

// The operation and its object are the shell's to say.
func TestRegister_ErrorsDoNotRepeatTheOperation(t *testing.T) {
	w := newWorld(t, day, 7*day)
	bad := app("a")
	bad.Overlay = map[string]string{"policy": "none-such"}
	err := w.done(w.register(registration{app: bad, plan: plan(ns1)}))
	if err == nil || strings.Contains(err.Error(), "register") {
		t.Errorf("%v, want no word of the operation", err)
	}
	if err := w.done(w.unregister(alice, "none")); err != appregistry.ErrNotFound { //nolint:errorlint // itself, without a word around it
		t.Errorf("%v, want %v alone", err, appregistry.ErrNotFound)
	}
}

// foreignUntil is a brought token of another's renewer, with that max date.
func foreignUntil(w *world, max time.Time) registration {
	tok := w.svc.issue("alice")
	id := *w.svc.identity(tok)
	id.Renewer, id.Ours, id.Max = "yarn", false, max
	return registration{app: app("a"), bring: bring(tok), brought: map[string]core.Brought{"ns1": {Authority: ns1, Identity: &id}}}
}

func TestRegister_IsAnsweredWhereAllTokensHaveEnded(t *testing.T) {
	t.Run("before", func(t *testing.T) {
		w := newWorld(t, day, 7*day)
		wantCode(t, w.done(w.register(foreignUntil(w, w.wall.Add(-time.Hour)))), core.CodeTokenEnded)
		if n := len(w.core.Apps()); n != 0 {
			t.Errorf("%d applications", n)
		}
	})
	t.Run("while its target is down", func(t *testing.T) {
		w := newWorld(t, day, 7*day)
		w.stageErr = func(appregistry.Set) error { return errDown }
		r := foreignUntil(w, w.wall.Add(time.Hour))
		first := w.register(r)
		w.run(2 * time.Hour)
		for name, err := range map[string]error{"first": w.done(first), "equal": w.done(w.register(r))} {
			wantCode(t, err, core.CodeTokenEnded)
			if !errors.Is(err, appregistry.ErrNotReady) {
				t.Errorf("%s: %v, want one that says that the application stays", name, err)
			}
		}
	})
}

// A service that failed over may not know for a moment what it has just given
// out. That rejects nobody: the token is asked for again. Shows: B11.
func TestDecision8_UnknownNewTokenRejectsNobody(t *testing.T) {
	for name, forever := range map[string]bool{"for a moment": false, "for ever": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, day, 7*day)
			w.svc.noExpiry = true
			first := ""
			w.svc.fault = func(op, id string) error {
				if op == "renew" && (first == "" || forever && id == first) {
					first = id
					return terminal(plugins.KindReplace, "token can't be found in cache")
				}
				return nil
			}
			r := w.register(registration{app: app("a"), plan: plan(ns1)})
			w.run(5 * time.Minute)
			w.mustDone(r)
			if !w.valid("a", "ns1") || (w.held("a", "ns1") == first) == forever {
				t.Errorf("held %s, the unknown one was %s", w.held("a", "ns1"), first)
			}
			// The one that was given up may be good after all, and nobody holds it.
			if got := len(w.svc.cancels); forever && (got != 1 || w.svc.cancels[0] != first) {
				t.Errorf("cancels %v, want %s", w.svc.cancels, first)
			}
		})
	}
}

// What an application brought, and its service does not know, is told to it with
// the service's reason. Shows: C-Y03.
func TestCY03_BroughtTokenThatIsUnknownIsRefused(t *testing.T) {
	w := newWorld(t, day, 7*day)
	tok := w.svc.issue("alice")
	w.svc.tokens[string(tok.Identifier)].cancelled = true
	w.run(time.Hour) // a younger one might be unknown for a moment only
	err := w.done(w.register(registration{
		app: app("a"), bring: bring(tok),
		brought: map[string]core.Brought{"ns1": {Authority: ns1, Identity: w.svc.identity(tok)}},
	}))
	if plugins.KindOf(err) != plugins.KindReplace || !strings.Contains(err.Error(), "unknown token") {
		t.Errorf("error %v, want the service's reason", err)
	}
	w.run(time.Minute)
	if n := len(w.core.Apps()) + len(w.core.Entries()); n != 0 {
		t.Errorf("%d records are left", n)
	}
}

// Every code that the core refuses with stands in docs/errors.md.
func TestErrorsPageHasEveryRefusal(t *testing.T) {
	page, err := os.ReadFile("../../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "register.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Code") {
			return true
		}
		n++
		code, _ := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if !bytes.Contains(page, []byte("| `"+code+"` |")) {
			t.Errorf("docs/errors.md lacks %q", code)
		}
		return true
	})
	if n < 9 {
		t.Errorf("found %d codes only", n)
	}
}
