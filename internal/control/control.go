// Package control is the daemon's interface for people and programs on the same
// machine: HTTP and JSON over a unix socket, with both ends here.
//
// Who asks is told by the kernel (SO_PEERCRED), never by the request. Operators
// see and do everything; everybody else has his own applications, may name his
// own user and those he acts for, and no directory of the daemon's machine.
// What is not the caller's is answered as if it did not exist. No answer holds a
// password or key. Servers and Clients are safe for concurrent use.
package control

import (
	"context"
	"fmt"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// Engine is what the server stands on: the renewer as one caller may use it.
// [renewer.Client] is one.
type Engine interface {
	Register(ctx context.Context, app appregistry.App) error
	Admit(ctx context.Context, app appregistry.App) error
	Unregister(ctx context.Context, key appregistry.AppKey) error
	KeepAlive(ctx context.Context, key appregistry.AppKey) (until time.Time, err error)
	RenewToken(ctx context.Context, id appregistry.TokenID) error
	ReplaceToken(ctx context.Context, id appregistry.TokenID) error
	CancelToken(ctx context.Context, id appregistry.TokenID, force bool) error
	CancelTokens(ctx context.Context, ids []appregistry.TokenID, o renewer.CancelOptions) []error
	ResumeCancels(ctx context.Context) error
	Counts(ctx context.Context) (renewer.Counts, error)
	Entries(ctx context.Context) ([]appregistry.Entry, error)
	EntriesOf(ctx context.Context, key appregistry.AppKey) ([]appregistry.Entry, error)
	EntryOf(ctx context.Context, id appregistry.TokenID) (appregistry.Entry, error)
	Apps(ctx context.Context) ([]renewer.AppStatus, error)
	App(ctx context.Context, key appregistry.AppKey) (renewer.AppStatus, error)
	Remembered(ctx context.Context) ([]appregistry.TokenStatus, error)
}

var _ Engine = renewer.Client{}

// Registration asks to register an application.
type Registration struct {
	ID    string `json:"id"`
	Owner string `json:"owner,omitempty"` // "": the caller; others are for operators
	User  string `json:"user"`

	Obtain []string `json:"obtain,omitempty"`
	// Credentials is a Hadoop token file (HDTS). It is secret.
	Credentials []byte   `json:"credentials,omitempty"`
	StageTo     []Target `json:"stageTo,omitempty"`

	AtEnd  string `json:"atEnd,omitempty"`  // cancel-obtained (also ""), cancel or keep
	Verify string `json:"verify,omitempty"` // renew (also ""), describe or none
	Share  string `json:"share,omitempty"`  // none (also "") or user
	Group  string `json:"group,omitempty"`  // of applications that belong together
	// Tolerate admits it although tokens it brought are bad; they are shown.
	Tolerate bool              `json:"tolerate,omitempty"`
	Overlay  map[string]string `json:"overlay,omitempty"`

	// Wait asks to be answered when the first credentials are staged, not as soon
	// as the registration is durable.
	Wait bool `json:"wait,omitempty"`
}

// Format implements fmt.Formatter: the name alone, for every verb.
func (r Registration) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "registration of %q", r.ID)
}

// Target is one place that credentials files go to.
type Target struct {
	FS     string `json:"fs,omitempty"`
	Dir    string `json:"dir"`
	Prefix string `json:"prefix,omitempty"`
}

// The words of a registration, by the values they stand for.
var (
	atEndWords  = []string{appregistry.CancelObtained: "cancel-obtained", appregistry.CancelAll: "cancel", appregistry.KeepAll: "keep"}
	verifyWords = []string{appregistry.VerifyRenew: "renew", appregistry.VerifyDescribe: "describe", appregistry.VerifyNone: "none"}
	shareWords  = []string{appregistry.ShareNone: "none", appregistry.ShareUser: "user"}
)

func parseWord[T ~uint8](what, text string, words []string) (T, error) {
	if text == "" {
		return 0, nil
	}
	for i, w := range words {
		if w == text {
			return T(i), nil
		}
	}
	return 0, plugins.Refused("bad-request", fmt.Errorf("%s %q: want one of %q", what, text, words))
}

// app translates the request. Whether it makes sense is the renewer's to say.
func (r Registration) app() (a appregistry.App, err error) {
	a = appregistry.App{ID: appregistry.AppID(r.ID), Owner: r.Owner, User: r.User, Obtain: r.Obtain, Overlay: r.Overlay, Group: r.Group, Tolerate: r.Tolerate}
	for _, t := range r.StageTo {
		a.StageTo = append(a.StageTo, appregistry.Target(t))
	}
	if a.AtEnd, err = parseWord[appregistry.AtEnd]("atEnd", r.AtEnd, atEndWords); err != nil {
		return a, err
	}
	if a.Verify, err = parseWord[appregistry.Verify]("verify", r.Verify, verifyWords); err != nil {
		return a, err
	}
	if a.Share, err = parseWord[appregistry.Share]("share", r.Share, shareWords); err != nil {
		return a, err
	}
	if len(r.Credentials) > 0 {
		if a.Credentials, err = hadooptoken.Unmarshal(r.Credentials, hadooptoken.Limits{}); err != nil {
			return a, plugins.Refused("bad-credentials", fmt.Errorf("credentials: %w", err))
		}
	}
	return a, nil
}

// App is what is told of an application.
type App struct {
	Owner      string            `json:"owner"`
	ID         string            `json:"id"`
	User       string            `json:"user"`
	Group      string            `json:"group,omitempty"`
	LeavesAt   time.Time         `json:"leavesAt,omitzero"` // after its linger time or at the end of its lease
	UUID       string            `json:"uuid"`              // names its credentials files
	Generation uint32            `json:"generation"`
	Ready      bool              `json:"ready"`
	NextStage  time.Time         `json:"nextStage,omitzero"`
	Missing    map[string]string `json:"missing,omitempty"` // why a token is not there, by what was asked for
	Trouble    string            `json:"trouble,omitempty"` // why the last staging failed
	Aliases    map[string]uint64 `json:"aliases"`           // entries by alias
	Tokens     []Token           `json:"tokens,omitempty"`  // told by describe only
}

// Token is what is told of a token. Issued, Expires and Max are by the issuing
// service's clock. Without an entry nobody holds it any more: it waits for its
// cancel, or only its name is kept.
type Token struct {
	ID          uint64    `json:"id"`
	Entry       uint64    `json:"entry,omitempty"`
	Fingerprint string    `json:"fingerprint"`
	Kind        string    `json:"kind"`
	Service     string    `json:"service"`
	Authority   string    `json:"authority,omitempty"`
	Owner       string    `json:"owner,omitempty"`
	Holders     []string  `json:"holders"`
	Current     bool      `json:"current"` // else a retiring one
	State       string    `json:"state"`
	Reason      string    `json:"reason,omitempty"`
	Action      string    `json:"action,omitempty"` // what an operator does about it
	Proof       string    `json:"proof"`
	Obtained    bool      `json:"obtained"`
	Keep        bool      `json:"keep"`
	Issued      time.Time `json:"issued,omitzero"`
	Expires     time.Time `json:"expires,omitzero"`
	Max         time.Time `json:"max,omitzero"`
	Next        time.Time `json:"next,omitzero"`
	Attempts    int       `json:"attempts,omitempty"`
}

// Ends is when the token dies unless something is done; zero: not known.
func (t Token) Ends() time.Time {
	if t.Expires.IsZero() {
		return t.Max
	}
	return t.Expires
}

// Status is the daemon at a glance, as far as the caller may see.
type Status struct {
	PID     int            `json:"pid"`
	Started time.Time      `json:"started"`
	Apps    int            `json:"apps"`
	Ready   int            `json:"ready"`
	Entries int            `json:"entries"`
	Tokens  map[string]int `json:"tokens"` // by state
	// Restoring is how many stored applications and tokens wait to be planned yet,
	// after a start; told to operators.
	Restoring int `json:"restoring,omitempty"`
	// Providers says in words what is done with each provider's tokens.
	Providers map[string]string `json:"providers,omitempty"`
	Troubles  []Trouble         `json:"troubles"`
}

// Trouble is a token that an application has not, or will not have for long; or,
// without a service, what ails the application itself.
type Trouble struct {
	App     string    `json:"app"`
	Service string    `json:"service,omitempty"`
	Token   uint64    `json:"token,omitempty"` // 0: it has none
	State   string    `json:"state,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Ends    time.Time `json:"ends,omitzero"`
}
