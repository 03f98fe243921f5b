package core_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
)

// An operator cancels a token by force while no successor can be had, for so long
// that it is forgotten. Who plans the same tokens then is admitted, nothing breaks,
// and the successor is obtained once that works again, after a restart as well.
func TestReplace_CancelledByForceAndForgotten(t *testing.T) {
	for _, brought := range []bool{false, true} {
		for _, restart := range []bool{false, true} {
			for _, down := range []time.Duration{time.Hour, 8 * day} {
				w := newWorld(t, day, 7*day)
				r := registration{app: app("a"), plan: plan(ns1)}
				if brought {
					r.plan, r.bring = nil, bring(w.svc.issue("alice"))
				}
				r.app.Share = appregistry.ShareUser
				w.mustDone(w.register(r))
				w.svc.fault = func(op, _ string) error {
					if op == "obtain" {
						return errors.New("down")
					}
					return nil
				}
				cancel := w.ask()
				w.step(core.TokenCommand{Request: cancel, Caller: operator, Token: w.only().Tokens[0].ID, Verb: core.CancelNow, Force: true})
				w.run(down)
				w.mustDone(cancel)
				if !brought {
					r.app.ID = "b"
					w.register(r)
				}
				if restart {
					w.crash()
				}
				w.svc.fault = nil
				w.run(time.Hour)
				if !w.valid("a", "ns1") || (!brought && !w.valid("b", "ns1")) {
					t.Errorf("brought %v, restart %v, after %v: no successor", brought, restart, down)
				}
			}
		}
	}
}
