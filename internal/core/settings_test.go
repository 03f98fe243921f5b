package core_test

import (
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
)

// A token's real user registers it first and never wants a renewal: the owner's own
// application gets them all the same. Alone he has his way. Shows: P8.
func TestSettings_NobodyStopsTheRenewalsOfOthers(t *testing.T) {
	for _, alone := range []bool{false, true} {
		w := newWorld(t, day, 7*day)
		tok := w.svc.issue("alice")
		id := w.svc.identity(tok)
		b := core.Brought{Authority: ns1, Identity: w.svc.identity(tok)}
		id.RealUser, id.RealShort = "oozie", "oozie"
		lent := app("o")
		lent.User, lent.Overlay = "oozie", map[string]string{"policy": "spark2"}
		w.mustDone(w.register(registration{app: lent, caller: oozie, bring: bring(tok), brought: map[string]core.Brought{"ns1": {Authority: ns1, Identity: id}}}))
		if !alone {
			w.mustDone(w.register(registration{app: app("a"), bring: bring(tok), brought: map[string]core.Brought{"ns1": b}}))
		}
		w.run(2 * day)
		if good := w.svc.tokens[string(tok.Identifier)].good(w.svc.now()); good == alone {
			t.Errorf("alone %v: good after two days: %v, %d renewals", alone, good, w.svc.renewals[string(tok.Identifier)])
		}
	}
}

// The owner wants his tokens replaced only; who was lent one keeps it to its end,
// so it is renewed for him. Shows: P8.
func TestSettings_LentTokenIsRenewedThoughItsOwnerReplaces(t *testing.T) {
	w := newWorld(t, day, 7*day)
	tok := w.svc.issue("alice")
	id := w.svc.identity(tok)
	id.RealUser, id.RealShort = "oozie", "oozie"
	a, lent := app("a"), app("o")
	a.Overlay = map[string]string{"policy": "flink"}
	lent.User = "oozie"
	w.mustDone(w.register(registration{app: a, bring: bring(tok)}))
	w.mustDone(w.register(registration{app: lent, caller: oozie, bring: bring(tok), brought: map[string]core.Brought{"ns1": {Authority: ns1, Identity: id}}}))
	w.run(5 * day)
	if !w.svc.tokens[string(tok.Identifier)].good(w.svc.now()) {
		t.Errorf("what oozie was lent ended after a day: %d renewals", w.svc.renewals[string(tok.Identifier)])
	}
	if !w.valid("a", "ns1") {
		t.Errorf("a holds %q, which ended", w.held("a", "ns1"))
	}
}

// The older of two applications that share tokens gives calls a second; the other
// has no such wish. Shows: P8.
func TestSettings_NobodyShortensTheObtainsOfOthers(t *testing.T) {
	w := newWorld(t, day, 7*day)
	a, b := app("a"), app("b")
	a.Share, b.Share = appregistry.ShareUser, appregistry.ShareUser
	a.Overlay = map[string]string{"call-timeout": "1s"}
	w.svc.fault = func(string, string) error { return errDown }
	w.register(registration{app: a, plan: plan(ns1)})
	w.register(registration{app: b, plan: plan(ns1)})
	obtains := 0
	w.hold = func(act core.Action) bool {
		if o, is := act.(core.Obtain); is {
			if obtains++; o.Timeout != 0 {
				t.Errorf("an obtain that both need may take %v, as the older wants", o.Timeout)
			}
		}
		return false
	}
	w.run(time.Minute)
	if obtains == 0 {
		t.Error("nothing was asked for")
	}
}
