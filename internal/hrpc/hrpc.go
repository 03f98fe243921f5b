// Package hrpc is a client of Hadoop RPC version 9: the calls by which delegation tokens are obtained, renewed and
// cancelled, and a tunnel that logs in for clients that cannot.
//
// [Dial] opens one connection to one address, logs in by Kerberos or by token, and refuses whoever asks for less. A
// [Conn] serves any number of goroutines; every call has a deadline. A connection that broke, or on which anything
// unreadable came, is dead for ever. [Addresses] walks a list of servers, and walks it again while one of them is about
// to serve. Nothing else retries: errors say, by [SafeToRetry], [AnswerLost] and [FailOver], what their caller may do.
package hrpc

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/sasl"
)

// Config says how to reach a service and how to log in. Exactly one of Kerberos and Token must be set; the zero value
// of everything else but Protocol works.
type Config struct {
	Protocol string // Java name of the protocol, such as [ClientProtocol]
	Version  uint64 // of the protocol; 0: 1

	Kerberos *Kerberos
	Token    *Token

	// EffectiveUser is whom the server shall see: the full own principal, or a user for whom ours is a proxy. Empty: the
	// one who logged in. It must be empty with a token, which belongs to whom it belongs.
	EffectiveUser string

	Policy sasl.Policy // the protection demanded; zero: the strongest that is offered

	Dial           func(ctx context.Context, network, addr string) (net.Conn, error) // nil: a net.Dialer
	ConnectTimeout time.Duration                                                     // 0: 5 s
	LoginTimeout   time.Duration                                                     // for the whole login; 0: 10 s
	CallTimeout    time.Duration                                                     // of a call whose context ends later; 0: 20 s

	MaxFrame      int    // the longest answer that is read, in bytes; 0: 1 MiB
	CallerContext string // shown in the server's audit log; empty: none

	clientID []byte // for tests; nil: random
}

// Java names of the protocols that this module speaks.
const (
	ClientProtocol = "org.apache.hadoop.hdfs.protocol.ClientProtocol"
)

// Kerberos is a login by GSSAPI.
type Kerberos struct {
	// Context starts a security context with a service such as "nn/nn1.example.com", whose realm it finds out itself.
	Context func(ctx context.Context, service string) (sasl.GSS, error)

	// Refused, if set, is told of a service that refused a login by such a context.
	Refused func(service string)

	// Principal is the server's configured name. _HOST in it stands for the host of the address, in lower case.
	Principal string

	// Pattern, if set, is a glob that the server's name must match instead: * ? [a-z] {a,b}.
	Pattern string
}

// Token is a login by DIGEST-MD5 with a delegation token. It formats without its password.
type Token struct {
	Identifier []byte
	Password   []byte
}

// Format writes what may be seen: never the password.
func (t Token) Format(f fmt.State, _ rune) { fmt.Fprint(f, t.text()) }

// MarshalText returns the same text as Format.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.text()), nil }

func (t Token) text() string {
	return fmt.Sprintf("token with an identifier of %d bytes", len(t.Identifier))
}

const clientIDBytes = 16

// ready returns the configuration with its defaults, or what is wrong with it.
func (c Config) ready() (Config, error) {
	switch {
	case c.Protocol == "":
		return c, errors.New("no protocol")
	case (c.Kerberos == nil) == (c.Token == nil):
		return c, errors.New("exactly one of Kerberos and Token must be given")
	case c.Kerberos != nil && c.Kerberos.Context == nil:
		return c, errors.New("no way to start a Kerberos context")
	case c.Token != nil && c.EffectiveUser != "":
		return c, errors.New("an effective user cannot go with a token")
	}
	setDefault(&c.Version, 1)
	setDefault(&c.ConnectTimeout, 5*time.Second)
	setDefault(&c.LoginTimeout, 10*time.Second)
	setDefault(&c.CallTimeout, 20*time.Second)
	setDefault(&c.MaxFrame, 1<<20)
	if c.Dial == nil {
		c.Dial = (&net.Dialer{}).DialContext
	}
	if c.clientID == nil {
		c.clientID = make([]byte, clientIDBytes)
		rand.Read(c.clientID) // never fails
	}
	return c, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
