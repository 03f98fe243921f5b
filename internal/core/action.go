package core

import (
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// Action is something for the shell to do. The types of this file are all there
// are. Actions of one step are in order; the shell may run those that are
// answered by an event concurrently.
type Action interface{ action() }

// Commit asks to make a batch durable, answered by [Committed]. At most one is
// out at a time, and its batch holds everything that changed since the last.
type Commit struct {
	Seq   uint64
	Batch appregistry.Batch
}

// Obtain asks a provider instance for new tokens, answered by [Obtained].
type Obtain struct {
	Job       Job
	Authority appregistry.Authority
	Request   plugins.ObtainRequest
	// Tenant is on whose account the call is: who registered the application, or
	// its user.
	Tenant string
	// First: nothing that works depends on the answer yet, so that no deadline
	// puts it before the calls of other tenants.
	First bool
	// Before is the boot time at which the answer is needed; work with a nearer
	// one goes first.
	Before time.Duration
	// Timeout bounds the call; 0: the shell's own.
	Timeout time.Duration
}

// Renew asks to renew a token, answered by [Renewed].
type Renew struct {
	Job       Job
	Authority appregistry.Authority
	ID        appregistry.TokenID
	Token     plugins.Token
	Tenant    string
	First     bool // the token is not proved, and its dates are what anybody may have written
	Before    time.Duration
	Timeout   time.Duration
}

// Cancel asks to cancel a token, answered by [Cancelled]. Cancels give way to
// obtains and renewals.
type Cancel struct {
	Job       Job
	Authority appregistry.Authority
	ID        appregistry.TokenID
	Token     plugins.Token
	Tenant    string
	Before    time.Duration
	Timeout   time.Duration
}

// Stage asks to write a set to its target, answered by [Staged]. At most one is
// out for each application and target.
type Stage struct {
	Job Job
	Set appregistry.Set
}

// Moment is which of its answers a request gets.
type Moment uint8

// The moments of a registration. All other requests know [Done] only.
const (
	// Acknowledged: the registration is durable.
	Acknowledged Moment = iota
	// Done is the last word: ready, or the error.
	Done
)

// Reply answers a request.
type Reply struct {
	Request Request
	Moment  Moment
	Err     error
	// Generation is the application's, where a registration is done.
	Generation uint32
	// Until answers [KeepAlive]: when the application leaves unless it is kept
	// alive again, by our wall clock; zero: it stays.
	Until time.Time
}

// What a [Notify] is about.
type What uint8

// The notices. TryFailed says that the same thing will be tried again at Next;
// TokenLost that somebody must act.
const (
	AppAdmitted    What = iota // its registration is durable
	AppReady                   // its first set is staged
	AppRejected                // it is not admitted after all
	AppLeft                    // it is unregistered
	TokenObtained              // a new token is recorded
	TokenRenewed               // the service extended it
	TokenReplaced              // a successor took its place
	TokenCancelled             // the service ended it for us
	TokenEnded                 // it came to its end, and nobody could have replaced it
	TokenEnding                // it will come to its end, and nobody here can do anything about it
	TokenLost                  // it ended without successor while applications held it
	SetStaged                  // a generation is at every target
	TryFailed                  // an attempt failed
	TryAlarmed                 // as TryFailed, but it needs an operator: denied, or a conflict
	CancelGivenUp              // a cancel did not get through before the token's end
	CancelsPaused              // too many cancels in a short time; ResumeCancels lets them flow
	GrantOrphaned              // an obtain may have issued a token that nobody received
	StoreFailed                // what is in memory is served on, and the commit repeated
	StoreTaken                 // the store belongs to another writer: nothing is done any more
	StateBroken                // the core left its own state table: a bug
)

var whatNames = [...]string{
	AppAdmitted: "app-admitted", AppReady: "app-ready", AppRejected: "app-rejected", AppLeft: "app-left",
	TokenObtained: "token-obtained", TokenRenewed: "token-renewed", TokenReplaced: "token-replaced",
	TokenCancelled: "token-cancelled", TokenEnded: "token-ended", TokenEnding: "token-ending", TokenLost: "token-lost",
	SetStaged: "set-staged", TryFailed: "try-failed", TryAlarmed: "try-alarmed",
	CancelGivenUp: "cancel-given-up", CancelsPaused: "cancels-paused", GrantOrphaned: "grant-orphaned",
	StoreFailed: "store-failed", StoreTaken: "store-taken", StateBroken: "state-broken",
}

// String returns the notice's word, such as token-renewed.
func (w What) String() string {
	if int(w) < len(whatNames) {
		return whatNames[w]
	}
	return "unknown"
}

// Notify tells hooks, logs and metrics what happened. It holds no secret.
type Notify struct {
	What What
	// Op is the operation it is about: obtain, renew, cancel, stage, store or "".
	Op string
	// Apps are those concerned, at most 16 of them.
	Apps        []appregistry.AppKey
	Authority   appregistry.Authority
	Token       appregistry.TokenID // 0: not about one token
	Fingerprint string
	Kind        string
	Service     string
	Generation  uint32
	Target      appregistry.Target
	Reason      string
	Err         error
	// Next is when it is tried again, by our wall clock; zero: it is not.
	Next time.Time
	// Expires is the token's end by its service's clock; zero: not known.
	Expires time.Time
}

func (Commit) action() {}
func (Obtain) action() {}
func (Renew) action()  {}
func (Cancel) action() {}
func (Stage) action()  {}
func (Reply) action()  {}
func (Notify) action() {}
