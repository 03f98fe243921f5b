// Package sasl holds both halves of the two SASL mechanisms that Hadoop RPC uses: DIGEST-MD5 (RFC 2831), by which a
// delegation token logs in, and GSSAPI (RFC 4752), by which Kerberos does. It is pure challenge and response: bytes in,
// bytes out, no I/O, no clock. A finished mechanism yields a [Layer] when integrity or privacy was agreed.
//
// A Mechanism belongs to one connection and one goroutine. A Layer may be used by two: one that wraps and one that
// unwraps. No error, and no formatted value of this package, shows a password or a key.
package sasl

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// QOP is a quality of protection; a greater one is stronger. The zero value is Auth.
type QOP uint8

// The three qualities, in ascending strength.
const (
	Auth     QOP = iota // the login only; what follows travels in clear
	AuthInt             // every message carries a keyed checksum
	AuthConf            // and is encrypted
)

var qopNames = [...]string{Auth: "auth", AuthInt: "auth-int", AuthConf: "auth-conf"}

// String returns the SASL name, such as "auth-conf".
func (q QOP) String() string {
	if int(q) < len(qopNames) {
		return qopNames[q]
	}
	return fmt.Sprintf("qop(%d)", uint8(q))
}

// ParseQOP is the inverse of [QOP.String]. It does not know the words of hadoop.rpc.protection.
func ParseQOP(name string) (QOP, error) {
	if i := slices.Index(qopNames[:], name); i >= 0 {
		return QOP(i), nil
	}
	return 0, fmt.Errorf("quality of protection %q: %w", name, ErrMalformed)
}

// Kinds of failure, to be told apart by errors.Is.
var (
	ErrMalformed   = errors.New("malformed SASL message")
	ErrTooLong     = errors.New("SASL message too long")
	ErrQOP         = errors.New("no acceptable quality of protection")
	ErrCipher      = errors.New("no acceptable cipher")
	ErrServerProof = errors.New("the server did not prove that it knows the password")
	ErrMismatch    = errors.New("mismatched response") // to an acceptor: the name is known, the password is wrong
	ErrIntegrity   = errors.New("integrity check failed")
	ErrOutOfTurn   = errors.New("SASL message out of turn")
)

// Mechanism is one side of one exchange.
//
// Step takes what the other side sent, nil at the very start, and returns what to send. A nil response means that
// nothing is to be sent, an empty one that an empty message is. Once done is true this side is satisfied: it has verified
// all that the mechanism lets it verify. An error ends the exchange. Step neither keeps nor changes its argument.
type Mechanism interface {
	Step(challenge []byte) (response []byte, done bool, err error)

	// Layer protects what follows; nil when only the login was agreed, and before done.
	Layer() Layer

	// QOP is what was agreed. It has a meaning after done.
	QOP() QOP
}

// Layer protects messages in both directions after the exchange. Messages must be unwrapped in the order in which they
// were wrapped. The first failure of a direction is its last: every later call returns an error too.
type Layer interface {
	// Wrap returns a new slice. It does not hold its caller to MaxPlain: a Java server never cuts an answer.
	Wrap(plain []byte) ([]byte, error)

	// Unwrap returns a new slice. It accepts more than the size we announced, since Java servers do not keep to it.
	Unwrap(token []byte) ([]byte, error)

	// MaxPlain is the longest message that, once wrapped, fits the buffer the other side announced. A client keeps to it.
	MaxPlain() int
}

// GSS is a Kerberos security context (RFC 4121), the initiator's or the acceptor's side. Wrap and Unwrap may be called
// at the same time by two goroutines, each by one only.
type GSS interface {
	// Step starts with nil on the initiator. Done means that the context stands: for the initiator, that the acceptor's
	// AP-REP was verified. Out may be nil with done true.
	Step(in []byte) (out []byte, done bool, err error)

	// Wrap protects a message, encrypting it if seal is set.
	Wrap(plain []byte, seal bool) ([]byte, error)

	// Unwrap verifies a message, its place in the sequence included.
	Unwrap(token []byte) (plain []byte, sealed bool, err error)

	// Peer is the principal of the authenticated other side, realm included. It is known after done.
	Peer() string
}

// Policy is what a client demands of the server's offer, which nobody has authenticated when it arrives (an attacker in
// the middle may strip it). The zero value takes the strongest that is offered, and anything rather than nothing.
type Policy struct {
	Prefer  []QOP // in this order; nil: the strongest first
	Minimum QOP   // nothing weaker is accepted, whatever Prefer says
}

var strongestFirst = [...]QOP{AuthConf, AuthInt, Auth}

// choose returns the first quality of the client's own list that is offered and strong enough.
func (p Policy) choose(offered []QOP) (QOP, error) {
	prefer := p.Prefer
	if prefer == nil {
		prefer = strongestFirst[:]
	}
	for _, q := range prefer {
		if q >= p.Minimum && slices.Contains(offered, q) {
			return q, nil
		}
	}
	return 0, fmt.Errorf("server offers [%s], at least %s of [%s] is required: %w",
		joinQOPs(offered), p.Minimum, joinQOPs(prefer), ErrQOP)
}

func joinQOPs(qs []QOP) string {
	names := make([]string, len(qs))
	for i, q := range qs {
		names[i] = q.String()
	}
	return strings.Join(names, ",")
}
