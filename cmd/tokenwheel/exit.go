package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strings"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/control"
	"github.com/tokenwheel/tokenwheel/internal/krb"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// The exit codes. Scripts depend on them: a number never changes its meaning.
const (
	exitOK         = 0
	exitLocal      = 1
	exitRemote     = 2
	exitNotFound   = 3
	exitFound      = 4
	exitTimedOut   = 5
	exitNotAllowed = 6
)

const exitCodesText = `Exit codes: 0 fine, also when there was nothing to do; 1 a local error (flag,
file, configuration); 2 an error of the other side; 3 not found; 4 the check
ran and found something; 5 timed out; 6 not allowed.`

// errFound wraps into the error of a check that ran and found something.
var errFound = errors.New("the check found something")

// errNoSuch wraps into the error of a local thing, such as an alias in a file,
// that is not there.
var errNoSuch = errors.New("not found")

// adviceError is an error with the next step for whoever reads it.
type adviceError struct {
	err  error
	next string
}

func (e *adviceError) Error() string { return e.err.Error() }
func (e *adviceError) Unwrap() error { return e.err }

// advise adds the next step to an error; nil stays nil.
func advise(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &adviceError{err, fmt.Sprintf(format, args...)}
}

// remoteError marks a failure of the other side that says no more of itself.
type remoteError struct{ error }

func (e remoteError) Unwrap() error { return e.error }

func remote(err error) error {
	if err == nil {
		return nil
	}
	return remoteError{err}
}

// exitCode is the code for an error. Errors are judged by kind, never by text.
func exitCode(err error) int {
	code, _ := judge(err)
	return code
}

// judge gives an error its exit code and, where the error itself names none, the
// next step that goes with its class.
func judge(err error) (code int, next string) {
	if err == nil {
		return exitOK, ""
	}
	if errors.Is(err, errFound) {
		return exitFound, ""
	}
	if errors.Is(err, appregistry.ErrNotFound) || errors.Is(err, errNoSuch) {
		return exitNotFound, "list what there is and check the name"
	}
	if k, ok := errors.AsType[*krb.Error](err); ok {
		return kerberosCode(k), cmp.Or(k.Next, "check principal, keytab or cache, and the Kerberos configuration")
	}
	if p, ok := errors.AsType[*control.Problem](err); ok {
		return controlCode(p), cmp.Or(p.Next, "the daemon's log says more")
	}
	if errors.Is(err, context.Canceled) {
		return exitLocal, "it was interrupted: see whether what you asked for was done"
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return exitTimedOut, "see whether the other side answers, or give it longer with --timeout"
	}
	if p, ok := errors.AsType[*plugins.Error](err); ok {
		return pluginCode(p)
	}
	if errors.Is(err, control.ErrUnreachable) {
		if errors.Is(err, fs.ErrPermission) {
			return exitNotAllowed, "ask the daemon's operator: the mode and group of its control socket say who may connect"
		}
		return exitRemote, "see that the daemon runs, and name its socket with --address or $TOKENWHEEL_ADDRESS"
	}
	if _, ok := errors.AsType[remoteError](err); ok {
		return exitRemote, "see whether the other side is up, then try again"
	}
	return exitLocal, ""
}

// kerberosCode: what is wrong on this machine is local; what the KDC holds
// against us is a refusal.
func kerberosCode(k *krb.Error) int {
	switch k.Kind {
	case krb.ErrKDCUnreachable, krb.ErrProtocol, krb.ErrSequence, krb.ErrUnknownServer:
		return exitRemote
	case krb.ErrWrongKey, krb.ErrUnknownClient, krb.ErrRevoked, krb.ErrRefused:
		return exitNotAllowed
	}
	return exitLocal
}

// controlCode goes by the status of the daemon's answer.
func controlCode(p *control.Problem) int {
	switch p.Status {
	case http.StatusNotFound:
		return exitNotFound
	case http.StatusForbidden:
		return exitNotAllowed
	case http.StatusGatewayTimeout:
		return exitTimedOut
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge, http.StatusConflict:
		return exitLocal
	}
	return exitRemote
}

func pluginCode(p *plugins.Error) (code int, next string) {
	switch p.Kind {
	case plugins.KindDenied:
		return exitNotAllowed, "ask the service's operator: who asks, and is he the token's renewer, owner or a proxy user there?"
	case plugins.KindRefused:
		return exitLocal, "change the request or the configuration: nothing was sent"
	case plugins.KindReplace:
		return exitRemote, "the service will not extend this token any more: get a new one"
	}
	return exitRemote, "see whether the service is up, then try again"
}

// eachOnce drops the parts of a text that were said before: operation and code
// of what the daemon answers are said by it and by us.
func eachOnce(text string) string {
	var parts []string
	for part := range strings.SplitSeq(text, ": ") {
		if !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}

// report tells the user what went wrong and what to do next: where the error does
// not know, the help of the command. Texts may come from outside, so what a
// terminal would obey is escaped.
func report(w io.Writer, err error, command string) {
	code, next := judge(err)
	if next == "" && code == exitLocal {
		next = "see " + command + " --help"
	}
	if a, ok := errors.AsType[*adviceError](err); ok {
		next = a.next
	}
	text := err.Error()
	if _, ok := errors.AsType[*control.Problem](err); ok {
		text = eachOnce(text)
	}
	text = strings.TrimRight(printableLines(text), "\n")
	_, _ = fmt.Fprintf(w, "tokenwheel: %s\n", text)
	if next != "" {
		_, _ = fmt.Fprintf(w, "next: %s\n", printableLines(next))
	}
}
