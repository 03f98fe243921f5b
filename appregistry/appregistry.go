// Package appregistry says who needs which tokens.
//
// An [App] is a streaming job: the user it runs as, the tokens it brought, what
// to obtain for it and where its credentials files go. Apps point at entries,
// and an entry is shared by every app that holds the same token, so that it is
// renewed once and replaced once. Package renewer keeps the registry alive;
// this package holds its words, its rules as plain values without locks or
// goroutines, and the [Store] seam behind it.
package appregistry

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tokenwheel/tokenwheel/plugins"
)

// AppID is the name a caller gives to its application. It is unique for an owner
// and is the key that makes a repeated registration harmless.
type AppID string

// isWord reports whether s is a name as application ids are.
func isWord(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return false
		}
	}
	return 0 < len(s) && len(s) <= 128
}

// Validate reports whether the id can be used.
func (id AppID) Validate() error {
	if !isWord(string(id)) {
		return fmt.Errorf("app id %q: want 1 to 128 of a-z, 0-9, '.', '_', '-', the first a letter or digit", string(id))
	}
	return nil
}

// AppKey names one application: an id means nothing without its owner.
type AppKey struct {
	Owner string `json:"owner,omitempty"` // who registered it; "" for the embedding program itself
	ID    AppID  `json:"id,omitempty"`
}

// String is owner/id, or the id alone without an owner; quoted where it holds
// what a terminal would obey, as a key that was refused may.
func (k AppKey) String() string {
	s := string(k.ID)
	if k.Owner != "" {
		s = k.Owner + "/" + s
	}
	if strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// App is what is registered. A registered value belongs to the registry: the
// caller does not change its maps, slices or bytes afterwards.
type App struct {
	ID    AppID
	Owner string // who registers it; "" for the embedding program itself
	User  string // short name of the user the application runs as

	// Obtain names what to obtain: provider instances ("hdfs", "hdfs@prod2") or
	// one authority of an instance ("hdfs:ns1").
	Obtain []string
	// Credentials is what the application brought along.
	Credentials plugins.Credentials
	// StageTo is where its credentials files go; empty: nowhere.
	StageTo []Target

	// Group is a name of the owner's for applications that belong together, such
	// as a launcher and the jobs it starts: what one of them holds or held is
	// cancelled only when the last of them has left. "": it stands alone.
	Group string

	AtEnd  AtEnd
	Verify Verify
	Share  Share
	// Tolerate admits the application although some of the tokens it brought are
	// refused, or cannot be obtained: the good ones are kept, the bad ones shown.
	Tolerate bool
	// Overlay holds settings of this application only, from the allow-list of
	// [OverlayKeys]. Never an address, a principal or a path.
	Overlay map[string]string
}

// Key is the application's key.
func (a App) Key() AppKey { return AppKey{Owner: a.Owner, ID: a.ID} }

// AtEnd says what happens to a token when its last holder leaves.
type AtEnd uint8

const (
	// CancelObtained cancels what was obtained for the application and keeps
	// what it brought.
	CancelObtained AtEnd = iota
	// CancelAll asks to cancel brought tokens too.
	CancelAll
	// KeepAll cancels nothing, whoever else asks for it.
	KeepAll
)

// Verify says how a brought token is checked at registration.
type Verify uint8

const (
	// VerifyRenew renews it once. That proves the password and teaches the
	// expiry.
	VerifyRenew Verify = iota
	// VerifyDescribe only reads its identifier.
	VerifyDescribe
	// VerifyNone takes it as it is.
	VerifyNone
)

// Share says with whom obtained tokens are shared.
type Share uint8

const (
	// ShareNone gives the application tokens of its own.
	ShareNone Share = iota
	// ShareUser shares them among the applications of one user that ask for it.
	ShareUser
)

var (
	// ErrNotFound is the answer for an unknown application and for somebody
	// else's alike.
	ErrNotFound = errors.New("no such application")
	// ErrNotReady wraps into the error of a registration that is durable but
	// whose first credentials are not staged yet. The application stays
	// registered.
	ErrNotReady = errors.New("registered, but not ready yet")
)
