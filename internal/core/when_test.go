package core_test

import (
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
)

// journal writes down the calls that the service had, in order.
func (w *world) journal() *[]string {
	var calls []string
	w.svc.fault = func(op, _ string) error {
		calls = append(calls, op)
		return nil
	}
	return &calls
}

// A token past its date that the service has not swept is renewed, not refused
// and not replaced: at registration, and by a daemon that was down too long.
// Shows: C-Y34, N16.
func TestCH08_LateTokenIsRenewedFirst(t *testing.T) {
	for _, restart := range []bool{false, true} {
		w := newWorld(t, day, 7*day)
		tok := w.svc.issue("alice")
		if restart {
			w.mustDone(w.register(registration{app: app("a"), bring: bring(tok)}))
		}
		w.boot += 30 * time.Hour // nobody looks
		calls := w.journal()
		if restart {
			w.crash()
			w.run(time.Minute)
		} else {
			w.mustDone(w.register(registration{app: app("a"), bring: bring(tok)}))
		}
		if len(*calls) == 0 || (*calls)[0] != "renew" || !w.valid("a", "ns1") || w.held("a", "ns1") != string(tok.Identifier) {
			t.Errorf("restart %v: calls %v, valid %v", restart, *calls, w.valid("a", "ns1"))
		}
		for _, c := range *calls {
			if c == "obtain" {
				t.Errorf("restart %v: obtained though the old one could be renewed", restart)
			}
		}
	}
}

// Past its max date, or unknown to its service, a token is asked about once and
// then replaced where that is allowed: at registration, in the middle of its life
// and after a restart. Shows: Y44, Y42, C-Y12, C-H06, C-H52.
func TestY43_DeadTokenIsReplaced(t *testing.T) {
	for _, past := range []bool{true, false} {
		for _, when := range []string{"registration", "running", "restart"} {
			w := newWorld(t, day, 7*day)
			tok := w.svc.issue("alice")
			kill := func() {
				if past {
					w.boot += 8 * day
				} else {
					w.boot += time.Hour
					w.svc.tokens[string(tok.Identifier)].cancelled = true
				}
			}
			if when != "registration" {
				w.mustDone(w.register(registration{app: app("a"), bring: bring(tok)}))
			}
			kill()
			calls := w.journal()
			switch when {
			case "registration":
				w.mustDone(w.register(registration{app: app("a"), bring: bring(tok)}))
			case "restart":
				w.crash()
			}
			w.run(20 * time.Hour)
			if !w.valid("a", "ns1") || w.held("a", "ns1") == string(tok.Identifier) {
				t.Errorf("past its max %v, %s: held %q, valid %v", past, when, w.held("a", "ns1"), w.valid("a", "ns1"))
			}
			obtains := 0
			for _, c := range *calls {
				if c == "obtain" {
					obtains++
				}
			}
			if obtains != 1 {
				t.Errorf("past its max %v, %s: %d obtains, want 1 of %v", past, when, obtains, *calls)
			}
		}
	}
}

// Who may not have a new one hears at registration that the token is dead.
func TestY43_DeadTokenWithoutSuccessorIsRefused(t *testing.T) {
	w := newWorld(t, day, 7*day)
	tok := w.svc.issue("alice")
	w.boot += 8 * day
	b := map[string]core.Brought{"ns1": {Authority: ns1, Identity: w.svc.identity(tok)}}
	if err := w.done(w.register(registration{app: app("a"), bring: bring(tok), brought: b})); err == nil {
		t.Error("admitted with a dead token")
	}
	if len(w.core.Apps()) != 0 {
		t.Error("the application is still there")
	}
}

// No date from anybody is a default validity, never infinity: the cycle goes on,
// and somebody is told. Shows: C-S05.
func TestF16_NoDateIsADefaultValidity(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.cfg.Policy = core.Policy{ReplaceOnly: true, DefaultValidity: 10 * time.Hour, Jitter: -1}
	w.crash()
	w.svc.noExpiry = true
	w.svc.dateless = true
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
	if n := w.noted(core.TokenObtained); len(n) != 1 || n[0].Reason == "" {
		t.Errorf("nobody was told: %+v", n)
	}
	for i := range 4 * 24 {
		if w.run(time.Hour); !w.valid("a", "ns1") {
			t.Fatalf("dead in hour %d", i)
		}
	}
	if w.svc.issued < 11 || w.svc.issued > 14 {
		t.Errorf("%d tokens in four days, want one each 7.5 h", w.svc.issued)
	}
}

// A renewal in the last second before the max date does not make a token that
// never ends, whatever the service answers.
func TestCV03_RenewalInTheLastSecond(t *testing.T) {
	for name, answer := range map[string]func(time.Time) time.Time{
		"its max":   func(max time.Time) time.Time { return max },
		"beyond it": func(max time.Time) time.Time { return max.Add(100 * day) },
		"no date":   func(time.Time) time.Time { return time.Time{} },
	} {
		for _, obtains := range []bool{true, false} {
			w := newWorld(t, day, 7*day)
			tok := w.svc.issue("alice")
			max := w.svc.tokens[string(tok.Identifier)].max
			w.mustDone(w.register(registration{
				app: app("a"), bring: bring(tok),
				brought: map[string]core.Brought{"ns1": {Authority: ns1, Identity: w.svc.identity(tok), Obtains: obtains}},
			}))
			last := false
			w.hold = func(act core.Action) bool {
				r, ok := act.(core.Renew)
				if ok && last {
					w.step(core.Renewed{Job: r.Job, Expires: answer(max)})
				}
				return ok && last
			}
			w.svc.fault = func(op, _ string) error {
				if op == "obtain" && w.boot < 7*day {
					return errDown
				}
				return nil
			}
			w.run(7*day - 2*time.Second)
			last = true
			w.step(core.TokenCommand{Request: w.ask(), Caller: operator, Token: w.only().Tokens[0].ID, Verb: core.RenewNow})
			w.run(time.Hour)
			last = false
			for _, s := range w.only().Tokens {
				if s.Fingerprint == tok.Fingerprint() && s.State != appregistry.Expired && s.State != appregistry.Retiring {
					t.Errorf("%s, obtains %v: an hour after its max date it is %v", name, obtains, s.State)
				}
			}
			if obtains && !w.valid("a", "ns1") {
				t.Errorf("%s: no successor", name)
			}
		}
	}
}

// Two that fail and one that works are three calls, and no more; a success begins
// the backoff anew. Shows: C-F11.
func TestCF08_TwoFailuresAndASuccessAreThreeCalls(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.cfg.Policy.Jitter = -1
	w.crash()
	w.mustDone(w.register(registration{app: app("a"), plan: plan(ns1)}))
	calls, left := 0, 2
	var waits []time.Duration
	lastCall := w.boot
	w.svc.fault = func(op, _ string) error {
		calls++
		waits, lastCall = append(waits, w.boot-lastCall), w.boot
		if left > 0 {
			left--
			return errDown
		}
		return nil
	}
	w.run(19 * time.Hour)
	if calls != 3 {
		t.Errorf("%d calls, want 3", calls)
	}
	if waits[1] > 15*time.Second || waits[2] < 10*time.Second || waits[2] > 30*time.Second {
		t.Errorf("waits %v, want 5 to 15 s and then 10 to 30 s", waits)
	}
	left = 1
	w.run(20 * time.Hour)
	if again := waits[4]; again > 15*time.Second {
		t.Errorf("after a success the first wait is %v, want 5 to 15 s", again)
	}
}

// Answers that make no sense are suspect, asked again with backoff, and then
// replaced. Shows: B25.
func TestCY19_SenselessAnswersLeadToAReplacement(t *testing.T) {
	for name, date := range map[string]time.Time{"0": time.UnixMilli(0), "-1": time.UnixMilli(-1), "past": time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)} {
		w := newWorld(t, day, 7*day)
		tok := w.svc.issue("alice")
		w.mustDone(w.register(registration{app: app("a"), bring: bring(tok)}))
		calls, suspect := 0, false
		w.hold = func(act core.Action) bool {
			r, ok := act.(core.Renew)
			if !ok || string(r.Token.Identifier) != string(tok.Identifier) {
				return false
			}
			calls++
			w.step(core.Renewed{Job: r.Job, Expires: date})
			suspect = suspect || w.only().Tokens[0].State == appregistry.Suspect
			return true
		}
		w.run(20 * time.Hour)
		if !suspect || !w.valid("a", "ns1") || w.held("a", "ns1") == string(tok.Identifier) {
			t.Errorf("answer %s: suspect %v, held %q, valid %v", name, suspect, w.held("a", "ns1"), w.valid("a", "ns1"))
		}
		if calls < 3 || calls > 60 {
			t.Errorf("answer %s: %d calls", name, calls)
		}
	}
}
