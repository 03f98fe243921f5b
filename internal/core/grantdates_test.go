package core_test

import (
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/core"
)

// An answer with dates that make no sense costs neither the application that gets it
// nor another one of the service a token, and is no reason to ask without end.
//
// Shows: B54.
func TestB25_GrantsWithoutSenseLoseNothingAndDoNotSpin(t *testing.T) {
	never := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, spoil := range map[string]func(w *world, g *core.Grant){
		"identity max past": func(w *world, g *core.Grant) {
			g.Max = time.Time{}
			g.Identity.Max = w.svc.now().Add(-time.Hour)
		},
		"identity max 1970":    func(w *world, g *core.Grant) { g.Max = time.Time{}; g.Identity.Max = time.UnixMilli(0) },
		"identity issued 1970": func(w *world, g *core.Grant) { g.Identity.Issued = time.UnixMilli(0) },
		"identity issued 9999": func(w *world, g *core.Grant) { g.Identity.Issued = never },
		"expires 9999":         func(w *world, g *core.Grant) { g.Expires = never },
		"all 9999": func(w *world, g *core.Grant) {
			g.Expires = never
			g.Max, g.Identity.Max = g.Expires, g.Expires
		},
		"max 9999": func(w *world, g *core.Grant) {
			g.Max = never
			g.Identity.Max = g.Max
		},
		"max before expiry": func(w *world, g *core.Grant) { g.Max = g.Expires.Add(-20 * time.Hour); g.Identity.Max = g.Max },
		"max before issue":  func(w *world, g *core.Grant) { g.Identity.Issued = g.Max.Add(time.Hour) },
		"no identity":       func(w *world, g *core.Grant) { g.Identity = nil },
		"no dates": func(w *world, g *core.Grant) {
			g.Identity.Issued, g.Identity.Max, g.Max, g.Expires = time.Time{}, time.Time{}, time.Time{}, time.Time{}
		},
	} {
		for _, second := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, day, 7*day)
				w.mustDone(w.register(registration{app: app("b"), plan: plan(ns1)}))
				if second {
					w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
				}
				w.run(time.Hour)
				bad := true
				w.svc.gives = func(g core.Grant) []core.Grant {
					if bad {
						spoil(w, &g)
					}
					return []core.Grant{g}
				}
				issued := w.svc.issued
				if second {
					w.step(core.TokenCommand{Request: w.ask(), Caller: operator, Token: w.core.Entries()[1].Tokens[0].ID, Verb: core.ReplaceNow})
				} else {
					w.step(w.event(registration{app: app("a"), plan: plan(ns1)}))
				}
				w.run(time.Minute)
				if n := w.svc.issued - issued; n > 20 {
					t.Errorf("%d issued in a minute", n)
				}
				bad = false
				for h := range 24 * 8 {
					w.run(time.Hour)
					if !w.valid("b", "ns1") {
						t.Fatalf("b dead after %d h", h)
					}
					if !w.valid("a", "ns1") {
						t.Fatalf("a dead after %d h", h)
					}
				}
				if n := w.svc.issued - issued; n > 30 {
					t.Errorf("%d issued in all", n)
				}
			})
		}
	}
}
