package core

import (
	"errors"
	"fmt"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// tokenCommand does what an operator, or the token's owner, asks for one token.
func (c *Core) tokenCommand(ev TokenCommand) {
	if t := c.token(ev.Token); t != nil && (t.rec.State == appregistry.New || t.stored) {
		// Nothing is done about it before its registration is durable, nor before the
		// store has this session's epoch.
		c.commit.waiting = append(c.commit.waiting, waiter{
			run:  func() { c.commandNow(ev) },
			fail: func(err error) { c.reply(ev.Request, Done, err) },
		})
		return
	}
	c.commandNow(ev)
}

func (c *Core) commandNow(ev TokenCommand) {
	t := c.token(ev.Token)
	if t == nil || !ev.Caller.mayActFor(t.rec.Owner) {
		c.reply(ev.Request, Done, appregistry.ErrNotFound)
		return
	}
	if t.rec.State == appregistry.New {
		c.reply(ev.Request, Done, plugins.Refused(CodeNotAllowed, fmt.Errorf("%s: it is not recorded yet", t.rec.Token)))
		return
	}
	do := c.renewNow
	switch ev.Verb {
	case CancelNow:
		do = c.cancelNow
	case ReplaceNow:
		do = c.replaceNow
	}
	if err := do(ev, t); err != nil {
		c.reply(ev.Request, Done, err)
		return
	}
	c.schedule(t)
}

// cancelNow weighs the same rule as a cancel at the end does. Force outweighs
// holders and their wishes, and nothing outweighs a missing proof.
func (c *Core) cancelNow(ev TokenCommand, t *token) error {
	if ended(t.rec.State) {
		return plugins.Refused(CodeTokenCancelled, fmt.Errorf("%s: it is %s", t.rec.Token, t.rec.State))
	}
	err := c.reg.MayCancel(t.rec.ID)
	switch {
	case c.handsOff(t.rec) != "":
		return plugins.Refused(CodeNotAllowed, fmt.Errorf("%s: %s", t.rec.Token, c.handsOff(t.rec)))
	case t.rec.Proof == appregistry.ProofNone || !t.rec.Ours:
		return plugins.Refused(CodeTokenUnproven, fmt.Errorf("%s: %w", t.rec.Token, appregistry.ErrUnproven))
	case err != nil && ev.Force && !ev.Caller.Trusted:
		return plugins.Refused(CodeNotAllowed, fmt.Errorf("%s, by force: %w", t.rec.Token, errOperatorOnly))
	case errors.Is(err, appregistry.ErrHeld) && !ev.Force, errors.Is(err, appregistry.ErrKeep) && !ev.Force:
		return plugins.Refused(CodeTokenHeld, fmt.Errorf("%s: %w", t.rec.Token, err))
	}
	t.rec.Ordered = t.rec.Ordered || ev.Caller.Trusted
	c.reg.PutToken(t.rec)
	if leaving(t.rec.State) {
		if t.cancelAt != never && t.rec.Ordered {
			t.cancelAt = c.now.Boot
		}
		c.awaitCancel(ev, t)
		return nil
	}
	if c.obtainable(t) || c.candidate(t) { // what waits for a candidate is to get another
		c.want(c.entry(t).Supply)
	}
	c.intend(t)
	c.awaitCancel(ev, t)
	c.afterCommit(func() {
		for _, seq := range c.reg.Holders(t.rec.Entry) {
			c.changed(c.app(seq))
		}
	})
	return nil
}

// awaitCancel has a request answered when the service has, or, where that is what
// it asks for, when the intent is durable.
func (c *Core) awaitCancel(ev TokenCommand, t *token) {
	if !ev.Intend {
		d := c.demandFor(t)
		d.asked = append(d.asked, ev.Request)
		return
	}
	c.replyDurable(ev.Request)
}
