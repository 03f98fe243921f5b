package core

import (
	"github.com/tokenwheel/tokenwheel/appregistry"
)

// Attempt is what a token in a state waits for.
type Attempt uint8

// The attempts. All but AttemptForget lead to another state.
const (
	AttemptStore   Attempt = iota // the commit that makes its registration durable
	AttemptRenew                  // a renewal, at its planned time; for the successor of an entry the obtain as well
	AttemptAnswer                 // the answer of a call that is out, or its timeout
	AttemptObtain                 // an obtain, at the time of its supply, and its own renewal meanwhile
	AttemptStage                  // a staging, at the time of its holders, and its own renewal meanwhile
	AttemptEnd                    // its end, by its dates: nothing can be done before
	AttemptRevive                 // an obtain or a renewal, where there may be one; else its holders' leaving
	AttemptRelease                // its last reader, then its grace; it is renewed until then
	AttemptCancel                 // a cancel, at its planned time
	AttemptForget                 // the end of its life, at which its record is dropped
)

// StateRule is all that is fixed about one state of a token.
type StateRule struct {
	State   appregistry.State
	Meaning string
	// Reason stands where nothing more is known of why a token is in the state.
	Reason string
	// Next are the states that may follow; staying is always allowed. One that
	// only remembers has none: the record is dropped at its end.
	Next []appregistry.State
	// Waits is what happens next without anybody's doing.
	Waits Attempt
	// Action is what an operator does about it. It never is: drop the token.
	Action string
}

// states is the whole of a token's life: the engine checks its transitions by
// it, the property tests and the simulator judge by it, and docs/states.md is
// made from it.
//
//	brought:   new → proving → live ⇄ renewing … expired
//	obtained:  new → proving → publishing → live ⇄ renewing, replacing
//	replaced:  … → retiring → cancel-pending → cancelling → cancelled
//	anywhere:  suspect and denied wait, and come back
var states = [...]StateRule{
	appregistry.New: {
		Meaning: "recorded, nothing done yet", Reason: "its registration is being written",
		Next: []appregistry.State{
			appregistry.Proving, appregistry.Live, appregistry.Publishing, appregistry.Foreign, appregistry.Retiring,
			appregistry.Expired, appregistry.Kept, appregistry.CancelPending,
		},
		Waits: AttemptStore, Action: "none; if it stays, see why the store cannot be written",
	},
	appregistry.Proving: {
		Meaning: "waits for the renewal that shows its password right and teaches its expiry", Reason: "its password is not proved yet",
		Next: []appregistry.State{
			appregistry.Live, appregistry.Publishing, appregistry.Renewing, appregistry.Replacing, appregistry.Suspect,
			appregistry.Denied, appregistry.Expired, appregistry.Retiring, appregistry.Kept, appregistry.CancelPending,
		},
		Waits: AttemptRenew, Action: "none; if it stays, see whether its service answers",
	},
	appregistry.Live: {
		Meaning: "good, and its next renewal or replacement is planned", Reason: "all is well",
		Next: []appregistry.State{
			appregistry.Publishing, appregistry.Renewing, appregistry.Replacing, appregistry.Suspect, appregistry.Denied,
			appregistry.Expired, appregistry.Retiring, appregistry.Kept, appregistry.CancelPending,
		},
		Waits: AttemptRenew, Action: "none",
	},
	appregistry.Renewing: {
		Meaning: "a renewal is on its way", Reason: "its service was asked",
		Next: []appregistry.State{
			appregistry.Proving, appregistry.Live, appregistry.Publishing, appregistry.Replacing, appregistry.Suspect,
			appregistry.Denied, appregistry.Expired, appregistry.Retiring, appregistry.Kept, appregistry.CancelPending,
		},
		Waits: AttemptAnswer, Action: "none",
	},
	appregistry.Replacing: {
		Meaning: "a successor is being obtained; this one goes on", Reason: "a successor is wanted",
		Next: []appregistry.State{
			appregistry.Proving, appregistry.Live, appregistry.Publishing, appregistry.Renewing, appregistry.Suspect,
			appregistry.Denied, appregistry.Expired, appregistry.Retiring, appregistry.Kept, appregistry.CancelPending,
		},
		Waits: AttemptObtain, Action: "none; if it stays, see why its service gives no new one (app describe)",
	},
	appregistry.Publishing: {
		Meaning: "good, not yet in any holder's staged set", Reason: "its set is not staged yet",
		Next: []appregistry.State{
			appregistry.Live, appregistry.Renewing, appregistry.Replacing, appregistry.Suspect, appregistry.Denied,
			appregistry.Expired, appregistry.Retiring, appregistry.Kept, appregistry.CancelPending,
		},
		Waits: AttemptStage, Action: "none; if it stays, see why its holders' staging fails (app describe)",
	},
	appregistry.Suspect: {
		Meaning: "the last answer made no sense or awaits its confirmation", Reason: "its service's answer is doubted",
		Next: []appregistry.State{
			appregistry.Proving, appregistry.Live, appregistry.Publishing, appregistry.Renewing, appregistry.Replacing,
			appregistry.Denied, appregistry.Expired, appregistry.Retiring, appregistry.Kept, appregistry.CancelPending,
		},
		Waits: AttemptRenew, Action: "none at first; if it stays, look at its service: wrong dates, a lost state, a man in the middle",
	},
	appregistry.Denied: {
		Meaning: "the service says no until an operator changes something", Reason: "its service refuses",
		Next: []appregistry.State{
			appregistry.Proving, appregistry.Live, appregistry.Publishing, appregistry.Renewing, appregistry.Replacing,
			appregistry.Suspect, appregistry.Expired, appregistry.Retiring, appregistry.Kept, appregistry.CancelPending,
		},
		Waits: AttemptRenew, Action: "change what the reason names at its service or KDC, then token renew",
	},
	appregistry.Expired: {
		Meaning: "past its end without a successor", Reason: "past its end",
		Next: []appregistry.State{
			appregistry.Proving, appregistry.Live, appregistry.Publishing, appregistry.Renewing, appregistry.Replacing,
			appregistry.Suspect, appregistry.Denied, appregistry.Retiring, appregistry.Kept, appregistry.CancelPending,
		},
		Waits: AttemptRevive, Action: "register its application again with a fresh token, or let one be obtained for it",
	},
	appregistry.Foreign: {
		Meaning: "kept and delivered, never renewed or cancelled", Reason: "not ours to renew",
		Next:  []appregistry.State{appregistry.Expired, appregistry.Kept},
		Waits: AttemptEnd, Action: "see that its own renewer renews it; bring a fresh one before it ends",
	},
	appregistry.Retiring: {
		Meaning: "has a successor; stays until no holder needs it", Reason: "replaced",
		Next: []appregistry.State{
			appregistry.Renewing, appregistry.Suspect, appregistry.Denied, appregistry.Expired, appregistry.Kept, appregistry.CancelPending,
		},
		Waits: AttemptRelease, Action: "none",
	},
	appregistry.Kept: {
		Meaning: "nobody holds it and it must not be cancelled; remembered to its end", Reason: "an application that held it did not ask for cancel",
		Next:  []appregistry.State{appregistry.Proving, appregistry.Foreign},
		Waits: AttemptForget, Action: "none; whoever has it may still use it until its end",
	},
	appregistry.CancelPending: {
		Meaning: "to be cancelled; the intent is recorded", Reason: "nobody holds it",
		Next:  []appregistry.State{appregistry.Cancelling, appregistry.Proving, appregistry.Kept, appregistry.GivenUp},
		Waits: AttemptCancel, Action: "none; where cancels are paused, look why so many left, then token resume-cancels",
	},
	appregistry.Cancelling: {
		Meaning: "a cancel is on its way", Reason: "its service was asked",
		Next:  []appregistry.State{appregistry.CancelPending, appregistry.Cancelled, appregistry.GivenUp},
		Waits: AttemptAnswer, Action: "none",
	},
	appregistry.Cancelled: {
		Meaning: "ended by us; remembered to its max date", Reason: "cancelled",
		Waits: AttemptForget, Action: "none",
	},
	appregistry.GivenUp: {
		Meaning: "its cancel never got through before its end", Reason: "its end came first",
		Waits: AttemptForget, Action: "none for the token; see why its service took no cancel",
	},
}

// followers has a bit for each state that may follow on one.
var followers = func() (masks [len(states)]uint32) {
	for from, rule := range states {
		for _, to := range rule.Next {
			masks[from] |= 1 << to
		}
	}
	return masks
}()

// States returns the rules of all states, in the order of their numbers. The
// slice is the caller's, what it points to is not.
func States() []StateRule {
	all := make([]StateRule, len(states))
	for s, rule := range states {
		rule.State = appregistry.State(s)
		all[s] = rule
	}
	return all
}

// MayFollow reports whether a token may go from one state to another. Staying is
// always allowed.
func MayFollow(from, to appregistry.State) bool {
	return from == to || (int(from) < len(states) && followers[from]&(1<<to) != 0)
}

// ended reports whether nothing will be done with the token any more but to
// remember it.
func ended(s appregistry.State) bool {
	return s == appregistry.Kept || s == appregistry.Cancelled || s == appregistry.GivenUp
}

// leaving reports whether the token is to be cancelled.
func leaving(s appregistry.State) bool {
	return s == appregistry.CancelPending || s == appregistry.Cancelling
}

// transition moves a token to a state and says why, durably with the next commit.
func (c *Core) transition(t *token, to appregistry.State, reason string) {
	c.checkTransition(t, to)
	t.rec.State, t.rec.Reason = to, reason
	c.reg.PutToken(t.rec)
}

// checkTransition counts a token among those of the state that it is about to
// have, and tells when the engine leaves the table. That is a bug; the engine goes
// on, since stopping would lose every token.
func (c *Core) checkTransition(t *token, to appregistry.State) {
	c.counters.tokens[t.rec.State]--
	c.counters.tokens[to]++
	if MayFollow(t.rec.State, to) {
		return
	}
	n := c.aboutToken(StateBroken, t)
	n.Reason = t.rec.State.String() + " to " + to.String()
	c.notify(n)
}
