// Package plugins is the contract between tokenwheel and whoever lends tokens.
//
// A [Provider] obtains, renews and cancels tokens of some kinds. The built-in
// ones live in folders beside this file, others run as their own process: a
// program whose main calls pluginmain.Serve. To renewer this package is what
// database/sql/driver is to database/sql. It imports the standard library only,
// so that a plugin's author inherits no dependency from it.
//
// What a provider could do is not what it must: [Configurer], [Authorizer] and
// [Identifier] are optional. A provider behind a process boundary has all their
// methods and announces which of them are real; ask with [AbilitiesOf], never
// with a type assertion.
package plugins

import (
	"context"
	"encoding/json"
	"time"
)

// Provider lends tokens of some kinds. Its methods may be called concurrently,
// return soon after ctx ends, and neither keep nor change the bytes they are
// given. What an error means for the token is its [Kind]; an error of no known
// kind is retried.
type Provider interface {
	// Kinds lists the token kinds that this provider answers for. The answer
	// never changes during the provider's life.
	Kinds() []string

	// Obtain gets new tokens on behalf of req.User: all that the request names,
	// or an error, never a part. An empty answer without an error is an error of
	// this provider and is never delivered.
	Obtain(ctx context.Context, req ObtainRequest) ([]Grant, error)

	// Renew asks the issuing service to extend t and returns the service's own
	// new expiry. Renewing early must not shorten a token's life.
	Renew(ctx context.Context, t Token) (expires time.Time, err error)

	// Cancel ends t at the issuing service. A token that the service no longer
	// knows is no error: the aim is reached.
	Cancel(ctx context.Context, t Token) error
}

// Configurer is the ability to take a configuration section. Configure is
// called once, before anything else but Kinds; raw is a JSON object, not read by
// the host, and holds this provider's section only: {} where it has none.
type Configurer interface {
	Configure(ctx context.Context, raw json.RawMessage) error
}

// Authorizer is the ability to say which services a provider answers for, so
// that a token an application brought along finds its provider. A provider
// without it never touches brought tokens: they stay foreign. The host asks at
// start, and again, at most every 30 s, when a brought token matches nothing.
type Authorizer interface {
	Authorities(ctx context.Context) ([]Authority, error)
}

// Identifier is the ability to read what stands in a token's identifier. It
// makes no network call. An identifier that cannot be read is an error of kind
// [KindRefused].
type Identifier interface {
	Identify(ctx context.Context, t Token) (Identity, error)
}

// ObtainRequest says for whom tokens are wanted.
type ObtainRequest struct {
	App      string            // for audit and naming, never for access
	User     string            // short name of the user on whose behalf
	Renewer  string            // who will renew; "": the provider's own name
	Services []string          // names of the provider's authorities; empty: all it obtains from
	Conf     map[string]string // the application's overlay: allow-listed keys only
}

// Grant is one token obtained.
type Grant struct {
	Alias   string    // key in the credentials file; "": Token.Service
	Token   Token     //
	Expires time.Time // zero: not known, it is learnt by renewing once
	Max     time.Time // renewal cannot pass this; zero: not known
}

// Authority is one issuing service, under the name the operator knows it by. The
// texts in Services differ only in how clients spell it (logical name,
// host:port, ip:port): tokens under any of them are the same to the service.
type Authority struct {
	Name     string   // unique within the provider
	Kinds    []string // token kinds it issues and renews
	Services []string // every service text clients use for it, canonical one first
	Obtains  bool     // new tokens can be obtained from it
}

// Identity is what an identifier says. Owner, RealUser and Renewer are as in the
// bytes; User and RealShort are the short names that the authority's own
// auth_to_local rules give, "" where no rule matches.
type Identity struct {
	Owner     string
	RealUser  string // "": no proxy user was involved
	Renewer   string // "": nobody may renew it
	User      string
	RealShort string
	Ours      bool      // Renewer is this provider's own name
	Issued    time.Time // zero: not told
	Max       time.Time // zero: not told
	Sequence  int64     // grows with each token the authority issues; 0: not told
}

// Abilities says which optional interfaces a provider really has.
type Abilities struct {
	Configure bool
	Authorize bool
	Identify  bool
}

// Announcer is implemented by a provider whose method set says more than it can
// do, as a stand-in for a remote process does.
type Announcer interface {
	Abilities() Abilities
}

// AbilitiesOf tells what p can do: its announcement where it makes one, else its
// method set.
func AbilitiesOf(p Provider) Abilities {
	if a, ok := p.(Announcer); ok {
		return a.Abilities()
	}
	_, configure := p.(Configurer)
	_, authorize := p.(Authorizer)
	_, identify := p.(Identifier)
	return Abilities{Configure: configure, Authorize: authorize, Identify: identify}
}
