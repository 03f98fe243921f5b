package core

import (
	"errors"
	"fmt"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// tokenCommand does what an operator, or the token's owner, asks for one token.
func (c *Core) tokenCommand(ev TokenCommand) {
	t := c.token(ev.Token)
	if t == nil || !ev.Caller.mayActFor(t.rec.Owner) {
		c.reply(ev.Request, Done, appregistry.ErrNotFound)
		return
	}
	do := c.renewNow
	if ev.Verb == CancelNow {
		do = c.cancelNow
	}
	err := do(ev, t)
	if err != nil {
		c.reply(ev.Request, Done, err)
		return
	}
	t.asked = append(t.asked, ev.Request)
	c.schedule(t)
}

func (c *Core) renewNow(_ TokenCommand, t *token) error {
	if !t.rec.Ours || ended(t.rec.State) || leaving(t.rec.State) {
		return plugins.Refused(CodeNotAllowed, fmt.Errorf("%s: it is %s", t.rec.Token, t.rec.State))
	}
	switch {
	case t.job != 0:
	case t.rec.State == appregistry.New: // its registration is not durable yet
		c.afterCommit(func() {
			if c.token(t.rec.ID) == t && t.job == 0 && !ended(t.rec.State) && !leaving(t.rec.State) {
				c.renew(t)
				c.schedule(t)
			}
		})
	default:
		c.renew(t)
	}
	return nil
}

// cancelNow weighs the same rule as a cancel at the end does. Force outweighs
// holders and their wishes, and nothing outweighs a missing proof.
func (c *Core) cancelNow(ev TokenCommand, t *token) error {
	if ended(t.rec.State) {
		return plugins.Refused(CodeTokenCancelled, fmt.Errorf("%s: it is %s", t.rec.Token, t.rec.State))
	}
	err := c.reg.MayCancel(t.rec.ID)
	switch {
	case t.rec.Proof == appregistry.ProofNone || !t.rec.Ours:
		return plugins.Refused(CodeTokenUnproven, fmt.Errorf("%s: %w", t.rec.Token, appregistry.ErrUnproven))
	case err != nil && ev.Force && !ev.Caller.Trusted:
		return plugins.Refused(CodeNotAllowed, fmt.Errorf("%s, by force: %w", t.rec.Token, errOperatorOnly))
	case errors.Is(err, appregistry.ErrHeld) && !ev.Force, errors.Is(err, appregistry.ErrKeep) && !ev.Force:
		return plugins.Refused(CodeTokenHeld, fmt.Errorf("%s: %w", t.rec.Token, err))
	}
	if leaving(t.rec.State) {
		return nil
	}
	t.forced = ev.Force
	if c.obtainable(t) {
		c.want(c.entry(t).Supply)
	}
	c.intend(t)
	c.afterCommit(func() {
		for _, seq := range c.reg.Holders(t.rec.Entry) {
			c.changed(c.app(seq))
		}
	})
	return nil
}

// answerCommands tells those who asked for one what came of a call.
func (c *Core) answerCommands(t *token, err error) {
	for _, r := range t.asked {
		c.reply(r, Done, err)
	}
	t.asked = nil
}
