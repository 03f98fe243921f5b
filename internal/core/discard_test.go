package core_test

import (
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// answers has the first obtain answered with tokens of our choice.
func (w *world) answers(before func(), grants ...core.Grant) {
	w.t.Helper()
	var job core.Job
	w.hold = func(a core.Action) bool {
		o, is := a.(core.Obtain)
		if is = is && job == 0; is {
			job = o.Job
		}
		return is
	}
	before()
	w.run(time.Second)
	w.step(core.Obtained{Job: job, Grants: grants})
	w.run(time.Minute)
}

func (w *world) grant(user, service string) core.Grant {
	grants, err := w.svc.obtain(plugins.ObtainRequest{User: user, Services: []string{service}})
	if err != nil {
		w.t.Fatalf("obtain: %v", err)
	}
	return grants[0]
}

func TestObtained_WhatAnAnswerBringsBesidesIsCancelledAndToldOf(t *testing.T) {
	w := newWorld(t, day, 7*day)
	w.mustDone(w.register(registration{app: ending("a", appregistry.CancelAll), bring: bring(w.svc.issue("alice"))}))
	one, two := w.grant("alice", "ns1"), w.grant("alice", "kms")
	two.Token.Kind = "kms-dt"
	w.answers(func() {
		w.step(core.TokenCommand{Request: w.ask(), Caller: operator, Token: w.only().Tokens[0].ID, Verb: core.ReplaceNow})
	}, one, two)
	if !w.svc.tokens[string(two.Token.Identifier)].cancelled || len(w.noted(core.GrantOrphaned)) != 1 {
		t.Errorf("the other token is cancelled %v and told of %d times", w.svc.tokens[string(two.Token.Identifier)].cancelled, len(w.noted(core.GrantOrphaned)))
	}
	if w.svc.tokens[string(one.Token.Identifier)].cancelled {
		t.Error("the successor is cancelled")
	}
}

func TestObtained_RefusedAnswersTokensAreCancelledButForOthersUsers(t *testing.T) {
	w := newWorld(t, day, 7*day)
	one, bobs := w.grant("alice", "ns1"), w.grant("bob", "other")
	w.answers(func() { w.register(registration{app: ending("a", appregistry.CancelAll), plan: plan(ns1)}) }, one, bobs)
	if !w.svc.tokens[string(one.Token.Identifier)].cancelled {
		t.Error("a token of a refused answer is neither kept nor cancelled")
	}
	if w.svc.tokens[string(bobs.Token.Identifier)].cancelled {
		t.Error("bob's token is cancelled")
	}
}
