package krb_test

import "github.com/tokenwheel/tokenwheel/internal/krb"

// gss is what internal/sasl asks of a mechanism.
type gss interface {
	Step(in []byte) (out []byte, done bool, err error)
	Wrap(plain []byte, seal bool) ([]byte, error)
	Unwrap(token []byte) (plain []byte, sealed bool, err error)
	Peer() string
}

var (
	_ gss = (*krb.Initiator)(nil)
	_ gss = (*krb.Acceptor)(nil)
)
