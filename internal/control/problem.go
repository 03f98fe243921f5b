package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// Problem is the answer to a request that was not done, as RFC 9457 writes it.
// Code is stable: programs decide by it. It holds no secret.
type Problem struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Next   string `json:"next,omitempty"` // what to do
}

// Error implements error.
func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

// Codes of this package; others come from the renewer and the providers.
const (
	codeNotFound    = "not-found"
	codeNotAllowed  = "not-allowed"
	codeNotOwner    = "not-owner"
	codeLocalTarget = "local-target"
	codeBadRequest  = "bad-request"
	codeTooLarge    = "too-large"
	codeTimedOut    = "timed-out"
	codeNotReady    = "not-ready"
	codeNotRunning  = "not-running"
	codeHeld        = "token-held"     // of the renewer
	codeUnproven    = "token-unproven" // of the renewer
)

const nextHeld = "unregister who holds it, or as an operator cancel with --force"

// CodeMany is of a selection that hits more tokens than one, and does not say
// that it may.
const CodeMany = "many-tokens"

// notFound is the one answer for what does not exist and what is not the
// caller's.
func notFound(what, name string) *Problem {
	return &Problem{Status: http.StatusNotFound, Code: codeNotFound, Detail: fmt.Sprintf("%s %s: not found", what, name), Next: "list what you have and check the name"}
}

func forbidden(code, next, format string, args ...any) *Problem {
	return &Problem{Status: http.StatusForbidden, Code: code, Detail: fmt.Sprintf(format, args...), Next: next}
}

// problemOf translates an error of the renewer by its kind.
func problemOf(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	p := &Problem{Code: plugins.CodeOf(err), Detail: err.Error()}
	orCode := func(status int, code, next string) *Problem {
		p.Status, p.Next = status, next
		if p.Code == "" {
			p.Code = code
		}
		return p
	}
	switch {
	case errors.Is(err, appregistry.ErrNotFound):
		return orCode(http.StatusNotFound, codeNotFound, "list what you have and check the name")
	case errors.Is(err, renewer.ErrNotRunning):
		return orCode(http.StatusServiceUnavailable, codeNotRunning, "the daemon is starting or ending: try again")
	case errors.Is(err, appregistry.ErrNotReady):
		return orCode(http.StatusGatewayTimeout, codeNotReady, "the application is registered; describe it to see what it waits for")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return orCode(http.StatusGatewayTimeout, codeTimedOut, "see whether the service answers, or wait longer")
	}
	e, ok := errors.AsType[*plugins.Error](err)
	switch {
	case !ok:
		return orCode(http.StatusBadGateway, "failed", "the daemon's log says more")
	case p.Code == codeNotOwner:
		return orCode(http.StatusForbidden, "", "act for your own user, or ask an operator for an acts-for entry")
	case p.Code == codeNotAllowed:
		return orCode(http.StatusForbidden, "", "ask an operator")
	case p.Code == codeHeld:
		return orCode(http.StatusConflict, "", nextHeld)
	case e.Kind == plugins.KindRefused:
		return orCode(http.StatusUnprocessableEntity, "refused", "change the request: nothing was sent to a service")
	case e.Kind == plugins.KindDenied:
		return orCode(http.StatusForbidden, "denied", "ask the service's operator: are we the token's renewer, or a proxy for that user?")
	case e.Kind == plugins.KindReplace:
		return orCode(http.StatusBadGateway, "replace", "the service will not extend this token any more; a successor is obtained where that is allowed")
	}
	return orCode(http.StatusBadGateway, e.Kind.String(), "see whether the service is up; it is tried again")
}
