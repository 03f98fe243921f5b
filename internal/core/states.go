package core

import (
	"slices"

	"github.com/tokenwheel/tokenwheel/appregistry"
)

// A token is in exactly one state, and this is the whole of what may follow on
// what. The engine and the property tests go by it.
//
//	brought:   new → proving → live ⇄ renewing … expired
//	obtained:  new → proving → publishing → live ⇄ renewing, replacing
//	replaced:  … → retiring → cancel-pending → cancelling → cancelled
//	anywhere:  suspect and denied wait, and come back
func follows(from appregistry.State) []appregistry.State {
	const (
		proving, live, renewing, replacing, publishing = appregistry.Proving, appregistry.Live, appregistry.Renewing, appregistry.Replacing, appregistry.Publishing
		suspect, denied, expired, foreign, retiring    = appregistry.Suspect, appregistry.Denied, appregistry.Expired, appregistry.Foreign, appregistry.Retiring
		kept, pending, cancelling                      = appregistry.Kept, appregistry.CancelPending, appregistry.Cancelling
		cancelled, givenUp                             = appregistry.Cancelled, appregistry.GivenUp
	)
	switch from {
	case appregistry.New:
		return []appregistry.State{proving, live, publishing, foreign, retiring, expired, kept, pending}
	case proving:
		return []appregistry.State{live, publishing, renewing, replacing, suspect, denied, expired, retiring, kept, pending}
	case live, publishing:
		return []appregistry.State{live, publishing, renewing, replacing, suspect, denied, expired, retiring, kept, pending}
	case renewing:
		return []appregistry.State{proving, live, publishing, replacing, suspect, denied, expired, retiring, kept, pending}
	case replacing, suspect, denied, expired:
		return []appregistry.State{proving, live, publishing, renewing, replacing, suspect, denied, expired, retiring, kept, pending}
	case foreign:
		return []appregistry.State{expired, kept}
	case retiring:
		return []appregistry.State{renewing, suspect, denied, expired, kept, pending}
	case kept: // brought again
		return []appregistry.State{proving, foreign}
	case pending: // brought again before the cancel went out, or its end came first
		return []appregistry.State{cancelling, proving, kept, givenUp}
	case cancelling:
		return []appregistry.State{pending, cancelled, givenUp}
	}
	return nil // cancelled, given up: remembered, then forgotten
}

// MayFollow reports whether a token may go from one state to another. Staying is
// always allowed.
func MayFollow(from, to appregistry.State) bool {
	return from == to || slices.Contains(follows(from), to)
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

// checkTransition tells when the engine leaves the table. That is a bug; the
// engine goes on, since stopping would lose every token.
func (c *Core) checkTransition(t *token, to appregistry.State) {
	if MayFollow(t.rec.State, to) {
		return
	}
	n := c.aboutToken(StateBroken, t)
	n.Reason = t.rec.State.String() + " to " + to.String()
	c.emit(n)
}
