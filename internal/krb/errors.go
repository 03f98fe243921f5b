package krb

import (
	"fmt"
	"strings"
	"time"
)

// Kind says what sort of failure an Error is. Kinds are compared with
// errors.Is; their text is stable and suits a log field.
type Kind string

// Error makes a Kind usable as a target of errors.Is.
func (k Kind) Error() string { return string(k) }

// The kinds of failure of this package.
const (
	ErrClockSkew      Kind = "clock-skew"      // KDC or service holds our clock to be wrong, and its own date did not heal it
	ErrWrongKey       Kind = "wrong-key"       // the KDC does not accept the key in the keytab
	ErrUnknownClient  Kind = "unknown-client"  // our principal is not in the KDC's database
	ErrUnknownServer  Kind = "unknown-server"  // the service is not in the KDC's database
	ErrUnknownRealm   Kind = "unknown-realm"   // no KDC is known for the realm
	ErrKDCUnreachable Kind = "kdc-unreachable" // no KDC of the realm answered
	ErrRevoked        Kind = "revoked"         // principal or its key expired, locked or revoked
	ErrEtype          Kind = "etype"           // no encryption type that both sides allow
	ErrRefused        Kind = "refused"         // the KDC refused for another reason, see Code
	ErrKeytab         Kind = "keytab"          // the keytab cannot be read or holds no usable key
	ErrCCache         Kind = "ccache"          // the credential cache cannot be read or holds no usable ticket
	ErrExpired        Kind = "ticket-expired"  // the credential cache's ticket is past its end
	ErrProtocol       Kind = "protocol"        // bytes from the peer are malformed or fail verification
	ErrSequence       Kind = "sequence"        // a wrapped message is repeated, missing or out of order
	ErrName           Kind = "name"            // a principal name that is not acceptable
)

// Error is every failure of this package that has a Kind. It never holds key
// bytes. Empty fields are left out of its text.
type Error struct {
	Kind      Kind
	Op        string        // what was tried: "log in", "get a ticket"
	Principal string        // ours
	Server    string        // the service asked for
	Realm     string        // whose KDC was asked
	KDC       string        // its address
	Keytab    string        // path
	CCache    string        // path
	Skew      time.Duration // KDC's time minus ours, where measured
	Code      int32         // RFC 4120 section 7.5.9 error code, 0: none
	Next      string        // what an operator should do
	Err       error         // cause, may be nil
}

// Error names the operation, its objects, the cause and the next step.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Op != "" {
		b.WriteString(e.Op)
	} else {
		b.WriteString("kerberos")
	}
	for _, part := range []struct{ label, value string }{
		{" for ", e.Server},
		{" as ", e.Principal},
		{" in realm ", e.Realm},
		{" at KDC ", e.KDC},
		{" with keytab ", e.Keytab},
		{" with credential cache ", e.CCache},
	} {
		if part.value != "" {
			b.WriteString(part.label + part.value)
		}
	}
	fmt.Fprintf(&b, ": %s", e.Kind)
	if e.Skew != 0 {
		fmt.Fprintf(&b, " (KDC is %+.0f s from this machine)", e.Skew.Seconds())
	}
	if e.Code != 0 {
		fmt.Fprintf(&b, " (Kerberos error %d)", e.Code)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	if e.Next != "" {
		fmt.Fprintf(&b, "; %s", e.Next)
	}
	return b.String()
}

// Is reports whether target is e's Kind.
func (e *Error) Is(target error) bool { return target == e.Kind }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func protocolError(format string, args ...any) error {
	return &Error{Kind: ErrProtocol, Err: fmt.Errorf(format, args...)}
}
