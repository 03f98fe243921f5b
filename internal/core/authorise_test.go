package core_test

import (
	"errors"
	"testing"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
)

// The embedding program's applications have no owner. A caller without a name,
// as a mistake in a shell makes one, is not that program. Shows: T-03.
func TestT04_NamelessCallerIsNotTheEmbeddingProgram(t *testing.T) {
	w := newWorld(t, day, 7*day)
	ev := w.event(registration{app: app("a"), plan: plan(ns1)})
	ev.Caller, ev.App.Owner = core.Caller{Trusted: true}, ""
	w.step(ev)
	w.run(0)
	w.mustDone(ev.Request)

	key := appregistry.AppKey{ID: "a"}
	for name, caller := range map[string]core.Caller{"nameless": {}, "acts for its user": {ActsFor: []string{"alice"}}} {
		t.Run(name, func(t *testing.T) {
			r := w.ask()
			w.step(core.Unregister{Request: r, Caller: caller, App: key})
			w.run(0)
			if err := w.done(r); !errors.Is(err, appregistry.ErrNotFound) {
				t.Errorf("unregister: %v, want not found", err)
			}
			again := w.event(registration{app: app("a"), plan: plan(ns1)})
			again.Caller, again.App.Owner = caller, ""
			w.step(again)
			w.run(0)
			wantCode(t, w.done(again.Request), core.CodeNotAllowed)
		})
	}
	if _, err := w.core.Current(key); err != nil {
		t.Errorf("the application is gone: %v", err)
	}
}
