package appregistry

import "time"

// TokenID numbers a token for as long as the registry remembers it. It is never
// given twice within one store.
type TokenID uint64

// EntryID numbers an entry: the place of a token that successors take over.
type EntryID uint64

// Authority is an issuing service as the operator's table knows it: a provider
// instance and the name that the instance gives it. The zero value stands for
// no authority at all; a token of none is foreign.
type Authority struct {
	Instance string `json:"instance,omitempty"`
	Name     string `json:"name,omitempty"`
}

// IsZero reports whether a is no authority.
func (a Authority) IsZero() bool { return a == Authority{} }

// String is instance:name, the form that App.Obtain takes too.
func (a Authority) String() string {
	if a.IsZero() {
		return "foreign"
	}
	return a.Instance + ":" + a.Name
}

// State is where a token stands in its life. Which state may follow which is the
// one table of internal/core.
type State uint8

// The states. None of them means that a token was dropped.
const (
	New           State = iota // recorded, nothing done yet
	Proving                    // waits for the renewal that shows its password right and teaches its expiry
	Live                       // good, and its next renewal or replacement is planned
	Renewing                   // a renewal is on its way
	Replacing                  // a successor is being obtained; this one goes on
	Publishing                 // good, not yet in any holder's staged set
	Suspect                    // the last answer made no sense or awaits its confirmation
	Denied                     // the service says no until an operator changes something
	Expired                    // past its end without a successor
	Foreign                    // kept and delivered, never renewed or cancelled
	Retiring                   // has a successor; stays until no holder needs it
	Kept                       // nobody holds it and it must not be cancelled; remembered to its end
	CancelPending              // to be cancelled; the intent is recorded
	Cancelling                 // a cancel is on its way
	Cancelled                  // ended by us; remembered to its max date
	GivenUp                    // its cancel never got through before its end
)

var stateNames = [...]string{
	New: "new", Proving: "proving", Live: "live", Renewing: "renewing", Replacing: "replacing",
	Publishing: "publishing", Suspect: "suspect", Denied: "denied", Expired: "expired", Foreign: "foreign",
	Retiring: "retiring", Kept: "kept", CancelPending: "cancel-pending", Cancelling: "cancelling",
	Cancelled: "cancelled", GivenUp: "given-up",
}

// String returns the state's word, such as cancel-pending.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "unknown"
}

// MarshalText returns the state's word.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Proof says how we know that a token's password is right. Without proof a token
// is never cancelled: services check the password on renewal, but not on cancel.
type Proof uint8

const (
	// ProofNone: nothing shows that whoever brought it really holds it.
	ProofNone Proof = iota
	// ProofObtained: the service handed these bytes to us.
	ProofObtained
	// ProofRenewed: the service renewed these exact bytes for us.
	ProofRenewed
)

// String returns none, obtained or renewed.
func (p Proof) String() string {
	return [...]string{"none", "obtained", "renewed"}[p%3]
}

// MarshalText returns the proof's word.
func (p Proof) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Entry is one entry of the registry as listings show it: YARN's
// DelegationTokenToRenew, with the difference that successors take over its
// place instead of making a new one. It is a copy and holds no password.
type Entry struct {
	ID        EntryID
	Authority Authority
	// Owner is the short name that the token speaks for; "" where it cannot be read.
	Owner string
	// Holders are the applications that hold it, in order of registration.
	Holders []AppKey
	// Tokens has the current token first, retiring ones behind it.
	Tokens []TokenStatus
}

// TokenStatus is what an operator may know of one token. Dates are the issuing
// service's own.
type TokenStatus struct {
	ID          TokenID
	Fingerprint string
	Kind        string
	Service     string
	State       State
	Reason      string // why it is in this state
	Action      string // what an operator does about it
	Proof       Proof
	Obtained    bool // by us; else an application brought it
	Keep        bool // some holder, now or earlier, did not ask for cancel
	Issued      time.Time
	Expires     time.Time // zero: not known
	Max         time.Time // zero: not known
	// Next is when something is planned for it, by this machine's wall clock;
	// zero: nothing will be done any more.
	Next     time.Time
	Attempts int // failed since the last success
}
