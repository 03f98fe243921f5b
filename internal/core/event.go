package core

import (
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// Request numbers a question of the shell's callers. The shell chooses it, never
// the same one twice in a session; every request gets exactly one [Reply] whose
// moment is [Done].
type Request uint64

// Job numbers a call to the world outside. The core chooses it; the shell
// answers each exactly once, but for what [Obtained] says. An answer to a job that the core does not know is
// ignored.
type Job uint64

// Event is something that happened. The types of this file are all there are.
type Event interface{ event() }

// Caller is who asks, as the shell authenticated him.
type Caller struct {
	// Name is the caller's short user name.
	Name string
	// Trusted callers, the embedding program and operators, may act for everyone.
	Trusted bool
	// ActsFor lists the short names of users the caller may act for besides himself.
	ActsFor []string
}

// Start is the first event, after all records were loaded.
type Start struct{}

// Register asks to admit App. It is answered twice: at [Acknowledged], when the
// registration is durable, and at [Done], when its first set is staged or the
// registration failed.
type Register struct {
	Request Request
	Caller  Caller
	// App is validated and belongs to the core from now on.
	App appregistry.App
	// UUID is random and fresh, in lower case: it names the credentials files of
	// an application not known yet.
	UUID string
	// Brought says for each alias in App.Credentials.Tokens what the router and
	// the provider found out about that token.
	Brought map[string]Brought
	// Plan has one element for each authority to obtain from: App.Obtain with
	// bare instance names expanded.
	Plan []appregistry.Authority

	content []byte // what Prepare found
}

// Prepare does what needs no core, in the caller's goroutine: digests take
// longer than the rest of a registration. Without it the core does the same.
func (ev *Register) Prepare() {
	ev.content = appregistry.ContentDigest(ev.App)
	for alias, b := range ev.Brought {
		b.digests = digestsOf(b.Authority, ev.App.Credentials.Tokens[alias])
		ev.Brought[alias] = b
	}
}

// digests are what a token is known by.
type digests struct {
	key, name   [32]byte
	fingerprint string
}

func digestsOf(a appregistry.Authority, t plugins.Token) *digests {
	d := &digests{fingerprint: t.Fingerprint()}
	d.key, d.name = appregistry.TokenKeys(a, t)
	return d
}

func (b Brought) digestsOf(t plugins.Token) *digests {
	if b.digests == nil {
		return digestsOf(b.Authority, t)
	}
	return b.digests
}

// Brought is what is known about a token that an application brought along.
type Brought struct {
	// Authority that issued it. Zero: the token is foreign, for Reason.
	Authority appregistry.Authority
	// Identity is what its identifier says; nil: it cannot be read. A token
	// whose identity names another renewer is foreign.
	Identity *plugins.Identity
	// Obtains: the authority gives out new tokens, and policy lets us ask for
	// the owner in the identity.
	Obtains bool
	// Reason is why the token is foreign, such as "no provider serves it".
	Reason string

	digests *digests // what Prepare found
}

// Unregister asks to let an application go. [Done] means that its leaving, and
// the intent to cancel what must be cancelled, are durable.
type Unregister struct {
	Request Request
	Caller  Caller
	App     appregistry.AppKey
}

// KeepAlive asks to put off an application's leaving: its lease begins anew, and,
// where it was unregistered, its linger time. The reply says until when.
type KeepAlive struct {
	Request Request
	Caller  Caller
	App     appregistry.AppKey
}

// Committed answers [Commit].
type Committed struct {
	Seq uint64
	Err error // wraps appregistry.ErrFenced: this core acts no more
}

// Obtained answers [Obtain].
type Obtained struct {
	Job    Job
	Grants []Grant
	Err    error
	// Sent is the boot time at which the call went out, after it had waited for its
	// turn; 0: at once.
	Sent time.Duration
	// Unfinished: the call did not return in time, for Err. It is the one answer
	// that may be followed by another, with what the call brings if it ever does.
	Unfinished bool
}

// Grant is a token obtained, with what its identifier says.
type Grant struct {
	plugins.Grant
	Identity *plugins.Identity // nil: it cannot be read
}

// Renewed answers [Renew].
type Renewed struct {
	Job     Job
	Expires time.Time // by the service's clock
	Err     error
}

// Cancelled answers [Cancel].
type Cancelled struct {
	Job Job
	Err error
}

// Staged answers [Stage]. Err may wrap *appregistry.Behind.
type Staged struct {
	Job     Job
	Receipt appregistry.Receipt
	Err     error
}

// Tick says that time has passed; the shell sends it at [Core.Next] at the latest.
type Tick struct{}

// Verb is what a [TokenCommand] asks for.
type Verb uint8

// The verbs.
const (
	RenewNow Verb = iota
	CancelNow
	ReplaceNow
)

// TokenCommand is an operator's wish about one token. [Done] carries the answer
// of the service's first reply.
type TokenCommand struct {
	Request Request
	Caller  Caller
	Token   appregistry.TokenID
	Verb    Verb
	// Force lets CancelNow end a token that is still held or marked as kept. A
	// token without proof is never cancelled.
	Force bool
}

// ResumeCancels lets cancels flow again after a burst paused them.
type ResumeCancels struct {
	Request Request
	Caller  Caller
}

func (Start) event()         {}
func (Register) event()      {}
func (Unregister) event()    {}
func (KeepAlive) event()     {}
func (Committed) event()     {}
func (Obtained) event()      {}
func (Renewed) event()       {}
func (Cancelled) event()     {}
func (Staged) event()        {}
func (Tick) event()          {}
func (TokenCommand) event()  {}
func (ResumeCancels) event() {}
