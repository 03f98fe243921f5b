package core

import (
	"slices"
	"strings"
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
// registration failed. With Admit it is answered once.
type Register struct {
	Request Request
	Caller  Caller
	// Admit: nobody waits for its first set, so [Done] comes once it is durable.
	Admit bool
	// App is validated, is without its tokens, and belongs to the core from now on.
	App appregistry.App
	// UUID is random and fresh, in lower case: it names the credentials files of
	// an application not known yet.
	UUID string
	// Brought are its tokens, and what the router and the provider found out about
	// them.
	Brought []Brought
	// Plan has one element for each authority to obtain from: App.Obtain with
	// bare instance names expanded.
	Plan []appregistry.Authority

	content []byte // what Prepare found
}

// Prepare does what needs no core, in the caller's goroutine: digests take
// longer than the rest of a registration. Without it the core does the same.
func (ev *Register) Prepare() {
	slices.SortFunc(ev.Brought, func(a, b Brought) int { return strings.Compare(a.Alias, b.Alias) })
	ev.content = appregistry.ContentDigest(ev.App, ev.tokens)
	for i := range ev.Brought {
		b := &ev.Brought[i]
		b.digests = appregistry.DigestsOf(b.Authority, b.Token)
	}
}

// tokens are those that the application brought, by alias.
func (ev *Register) tokens(yield func(string, plugins.Token) bool) {
	for i := range ev.Brought {
		if b := &ev.Brought[i]; !yield(b.Alias, b.Token) {
			return
		}
	}
}

// Brought is a token that an application brought along, and what is known about it.
type Brought struct {
	Alias string
	Token plugins.Token
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

	digests *appregistry.Digests // what Prepare found
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

// Abandon tells that whoever asked to register waits no longer. It answers that
// request, if it has its [Acknowledged], and changes nothing else.
type Abandon struct {
	Request Request
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
	// Intend has CancelNow answered as soon as the intent is durable.
	Intend bool
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
func (Abandon) event()       {}
func (Committed) event()     {}
func (Obtained) event()      {}
func (Renewed) event()       {}
func (Cancelled) event()     {}
func (Staged) event()        {}
func (Tick) event()          {}
func (TokenCommand) event()  {}
func (ResumeCancels) event() {}
