package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// Selection asks to cancel all tokens that have everything it names. It reaches
// no further than its caller does with each of them.
type Selection struct {
	App     string `json:"app,omitempty"`     // NAME of the caller's, or OWNER/NAME: who holds the token
	Service string `json:"service,omitempty"` // the token's own, or its authority
	Kind    string `json:"kind,omitempty"`
	Owner   string `json:"owner,omitempty"` // of the token

	Force  bool `json:"force,omitempty"`  // although applications hold them
	Many   bool `json:"many,omitempty"`   // more than one may be hit; else nothing is done then
	DryRun bool `json:"dryRun,omitempty"` // only tell what would be hit
	Wait   bool `json:"wait,omitempty"`   // answer when the services have, not as soon as the intents are durable
}

// CancelledToken is what became of a token that a selection hit.
type CancelledToken struct {
	Token
	Problem *Problem `json:"problem,omitempty"` // why it is not cancelled, or would not be
}

// over are the states in which there is nothing left to cancel.
var over = []string{appregistry.Cancelled.String(), appregistry.Kept.String(), appregistry.GivenUp.String()}

// holder is the application that the selection names.
func (s Selection) holder(caller renewer.Caller) appregistry.AppKey {
	owner, id, named := strings.Cut(s.App, "/")
	if !named {
		owner, id = caller.Name, s.App
	}
	return appregistry.AppKey{Owner: owner, ID: appregistry.AppID(id)}
}

// foretold is what the engine is sure to say of a token, as far as its listing tells.
func (s Selection) foretold(caller renewer.Caller, t Token) *Problem {
	held := t.Current && len(t.Holders) > 0
	switch {
	case t.Proof == appregistry.ProofNone.String():
		return &Problem{Status: http.StatusUnprocessableEntity, Code: codeUnproven, Detail: appregistry.ErrUnproven.Error()}
	case held && !s.Force:
		return &Problem{Status: http.StatusConflict, Code: codeHeld, Detail: appregistry.ErrHeld.Error(), Next: nextHeld}
	case held && !caller.Trusted:
		return forbidden(codeNotAllowed, "ask an operator", "%v, and only operators cancel by force", appregistry.ErrHeld)
	}
	return nil
}

func (s Selection) hits(caller renewer.Caller, t Token) bool {
	return !slices.Contains(over, t.State) &&
		(s.App == "" || slices.Contains(t.Holders, s.holder(caller).String())) &&
		(s.Service == "" || s.Service == t.Service || s.Service == t.Authority) &&
		(s.Kind == "" || s.Kind == t.Kind) &&
		(s.Owner == "" || s.Owner == t.Owner)
}

func (s *Server) cancelTokens(q request) (any, error) {
	var sel Selection
	if err := q.decode(&sel); err != nil {
		return nil, err
	}
	if sel.App+sel.Service+sel.Kind+sel.Owner == "" {
		return nil, &Problem{Status: http.StatusBadRequest, Code: codeBadRequest, Detail: "nothing says which tokens", Next: "name an application, a service, a kind or an owner"}
	}
	within, err := q.duration("within", longestWait)
	if err != nil {
		return nil, err
	}
	all, err := q.tokens()
	if err != nil {
		return nil, err
	}
	hit, ids := []CancelledToken{}, []appregistry.TokenID{}
	for _, t := range all {
		if sel.hits(q.caller, t) {
			hit, ids = append(hit, CancelledToken{Token: t}), append(ids, appregistry.TokenID(t.ID))
		}
	}
	switch {
	case len(hit) == 0 && sel.App != "":
		_, err := q.app(sel.holder(q.caller)) // a name that was mistyped hits nothing, too
		return hit, err
	case len(hit) == 0:
		return hit, nil
	case sel.DryRun:
		for i := range hit {
			hit[i].Problem = sel.foretold(q.caller, hit[i].Token)
		}
		return hit, nil
	case len(hit) > 1 && !sel.Many:
		return nil, &Problem{
			Status: http.StatusConflict, Code: CodeMany, Detail: fmt.Sprintf("%d tokens are hit, and nothing was done", len(hit)), Next: "see which they are, and say that all are meant",
		}
	}
	ctx, cancel := context.WithTimeout(q.Context(), within)
	defer cancel()
	errs := q.engine.CancelTokens(ctx, ids, renewer.CancelOptions{Force: sel.Force, Wait: sel.Wait})
	for i, err := range errs {
		h := &hit[i]
		switch t, gone := q.numbered(ids[i]); {
		case gone == nil:
			h.State, h.Reason, h.Action, h.Next, h.Attempts = t.State, t.Reason, t.Action, t.Next, t.Attempts
		case !errors.Is(gone, appregistry.ErrNotFound):
			return nil, gone
		case err == nil: // it left the caller's listing by that
			h.State = appregistry.CancelPending.String()
			if sel.Wait {
				h.State = appregistry.Cancelled.String()
			}
		}
		if err != nil {
			h.Problem = problemOf(err)
		}
	}
	return hit, nil
}
