package plugins

import (
	"errors"
	"strconv"
	"time"
)

// Kind says what an error means for the token or request it is about. The zero
// value is [KindRetry]: what nobody understood is tried again. No kind means
// that a token may be dropped.
type Kind uint8

const (
	// KindRetry is unreachable, timed out, standby, busy, safe mode: tried again
	// with backoff.
	KindRetry Kind = iota
	// KindReplace says that this token will not be extended any more (unknown, past its
	// max date, signing key gone). Only a new one helps.
	KindReplace
	// KindDenied is a no from the service, until an operator changes something (not
	// the renewer, proxy user not allowed). Retried slowly, and alarmed.
	KindDenied
	// KindRefused is a no from our own limits or policy. No packet was sent.
	KindRefused
	// KindSuspect is an answer that makes no sense (a date in 1970, a token of the
	// wrong kind). Not used, and retried.
	KindSuspect
)

var kindNames = [...]string{"retry", "replace", "denied", "refused", "suspect"}

// String returns the kind's word: retry, replace, denied, refused or suspect.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind " + strconv.Itoa(int(k))
}

// CodeAnswerLost marks the error of an obtain that was asked for and not answered:
// the service may have issued a token that nobody received. The obtain is
// repeated, and the possible token recorded as an orphan.
const CodeAnswerLost = "answer-lost"

// CodeBusy marks the error of a call that a service did not serve since it has too
// much to do. The engine calls that service half as often for a while.
const CodeBusy = "busy"

// Error is an error with its meaning. It keeps its kind, code and delay when it
// crosses a process boundary.
type Error struct {
	Kind Kind
	// Code is a stable word for programs and documents, such as
	// "password-conflict"; "" where the kind says it all.
	Code string
	// Protected: the answer came through an integrity-protected channel. A
	// terminal kind that did not is believed only when it is said twice.
	Protected bool
	// RetryAfter is the least time to wait, as the service asked; 0: not asked.
	RetryAfter time.Duration
	// Err is the cause. It holds no secret.
	Err error
}

// Error returns the cause's text, after the code where there is one.
func (e *Error) Error() string {
	switch {
	case e.Err == nil && e.Code == "":
		return e.Kind.String()
	case e.Err == nil:
		return e.Code
	case e.Code == "":
		return e.Err.Error()
	}
	return e.Code + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf is the kind of the outermost [Error] in err's chain, and [KindRetry]
// where there is none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return KindRetry
}

// CodeOf is the first non-empty code in err's chain, "" where there is none.
func CodeOf(err error) string {
	for {
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Code != "" || e.Err == nil {
			if ok {
				return e.Code
			}
			return ""
		}
		err = e.Err
	}
}

// Replace marks err as [KindReplace]; nil stays nil.
func Replace(err error) error { return mark(KindReplace, "", err) }

// Denied marks err as [KindDenied]; nil stays nil.
func Denied(err error) error { return mark(KindDenied, "", err) }

// Refused marks err as [KindRefused] under a code; nil stays nil.
func Refused(code string, err error) error { return mark(KindRefused, code, err) }

// Suspect marks err as [KindSuspect]; nil stays nil.
func Suspect(err error) error { return mark(KindSuspect, "", err) }

func mark(k Kind, code string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: k, Code: code, Err: err}
}
