package core

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// rememberFor is how long a token is remembered whose end nobody knows, and a
// cancel that was given up beyond its end.
const rememberFor = 24 * time.Hour

// release lets a token go when nobody needs it: at once where its entry has no
// holder left, else a grace after the time at which the readers of the last set
// with it look for the next one. Those are waited for without a holder too, but for
// those of an application that leaves.
func (c *Core) release(t *token, leaver uint64) {
	if c.token(t.rec.ID) != t || ended(t.rec.State) || leaving(t.rec.State) || c.reg.Referenced(t.rec.ID) {
		return
	}
	if c.candidate(t) && c.inUse(c.supplyFor(c.entry(t).Supply)) {
		return // it is about to take its place
	}
	wait := t.readUntil > c.now.Boot && (t.readBy == 0 || t.readBy != leaver)
	if len(c.reg.Holders(t.rec.Entry)) > 0 || wait {
		if c.carryRetired(t) {
			return
		}
		from := max(c.now.Boot, t.readUntil)
		t.releaseAt = from + c.policyOf(t).GraceAfter(t.endAt-from)
		c.schedule(t)
		return
	}
	c.letGo(t)
	c.schedule(t)
}

// letGo decides what becomes of a token that nobody needs: cancelled under the
// rule of [appregistry.Registry.MayCancel], else remembered or forgotten.
func (c *Core) letGo(t *token) {
	if c.reg.Referenced(t.rec.ID) {
		return
	}
	err := c.reg.MayCancel(t.rec.ID)
	switch {
	case c.lastEnd(t) <= c.now.Boot:
		c.forget(t) // dead, so a cancel could only be a mistake
	case err == nil && c.handsOff(t.rec) == "":
		c.intend(t)
	case t.rec.Keep:
		c.remember(t, appregistry.Kept, cmp.Or(err, appregistry.ErrForeign).Error())
	default:
		// Unproven or foreign: there is nothing that we may do, or must not forget.
		c.forget(t)
	}
}

// intend records that the token is to be cancelled. The cancel goes out when
// that is durable.
func (c *Core) intend(t *token) {
	t.cancelAt, t.releaseAt = never, never
	t.failures = 0
	if t.endAt == never {
		t.endAt = c.now.Boot + rememberFor
	}
	t.rec.Tenant = cmp.Or(c.departing, c.tenantOf(t))
	reason := "nobody holds it"
	if t.rec.Ordered {
		reason = "an operator ordered it"
	}
	c.transition(t, appregistry.CancelPending, reason)
	// Who asked for its renewal must not take the cancel's answer for his.
	c.answerCommands(t, plugins.Refused(CodeTokenCancelled, fmt.Errorf("%s: it is to be cancelled", t.rec.Token)))
	c.cancelRecorded(t)
}

// cancelRecorded sends a cancel once all that was decided so far is durable.
func (c *Core) cancelRecorded(t *token) {
	id := t.rec.ID
	c.afterCommit(func() { c.sendRecorded(id) })
}

// cancelAgain sends a cancel whose intent was recorded some time ago. Another writer
// may have the store since, and have taken the intent back: it is asked first.
func (c *Core) cancelAgain(t *token) {
	if c.cfg.Volatile {
		c.cancelRecorded(t)
		return
	}
	c.commit.fenced = append(c.commit.fenced, t.rec.ID)
}

func (c *Core) sendRecorded(id appregistry.TokenID) {
	if t := c.token(id); t != nil && t.rec.State == appregistry.CancelPending && t.job == 0 {
		c.sendCancel(t)
		c.schedule(t)
	}
}

// cancelDue is called when a cancel is to be tried again. One that is paused needs
// nobody's word for it.
func (c *Core) cancelDue(t *token) {
	t.cancelAt = never
	if !t.rec.Ordered && c.cancelsPaused(c.tenantOf(t)) {
		t.cancelAt = c.now.Boot + pausedCheck
	} else if t.job == 0 {
		c.cancelAgain(t)
	}
}

// remember keeps a token's record to the end of its life, without its bytes.
func (c *Core) remember(t *token, state appregistry.State, reason string) {
	c.transition(t, state, reason)
	t.rec.Forget()
	t.endAt = c.rememberedUntil(t)
	c.reg.PutToken(t.rec)
	if state != appregistry.Cancelled { // whoever asked for anything waits in vain
		c.answerCommands(t, plugins.Refused(CodeTokenEnded, fmt.Errorf("%s: it is %s: %s", t.rec.Token, state, reason)))
	}
}

func (c *Core) rememberedUntil(t *token) time.Duration {
	end := c.lastEnd(t)
	if end == never {
		end = c.now.Boot + rememberFor
	}
	if t.rec.State == appregistry.GivenUp {
		end += rememberFor
	}
	return min(end, c.now.Boot+suspectMost)
}

// lastEnd is the latest moment at which the token could still be good.
func (c *Core) lastEnd(t *token) time.Duration {
	if end := c.clocks.last(t.rec.Authority, t.rec.Max); end != never {
		return end
	}
	return c.clocks.last(t.rec.Authority, t.rec.Expires)
}

// sendCancel checks once more that nobody refers to the token, since time has
// passed since the intent, and sends the cancel.
func (c *Core) sendCancel(t *token) {
	t.cancelAt = never
	if t.job != 0 {
		return
	}
	if why := c.handsOff(t.rec); why != "" {
		c.remember(t, appregistry.Kept, why)
		return
	}
	if !t.rec.Ordered || t.rec.Proof == appregistry.ProofNone {
		switch err := c.reg.MayCancel(t.rec.ID); {
		case errors.Is(err, appregistry.ErrHeld):
			t.rec.Ordered = false
			c.transition(t, appregistry.Proving, "held again")
			c.plan(t)
			c.renew(t)
			for _, seq := range c.reg.Holders(t.rec.Entry) {
				c.changed(c.app(seq)) // it is in none of their sets
			}
			return
		case err != nil:
			c.remember(t, appregistry.Kept, err.Error())
			return
		}
	}
	if !t.rec.Ordered { // what an operator asked for is no accident
		if at, ok := c.mayCancelNow(t); !ok {
			t.cancelAt = at
			return
		}
	}
	t.job = c.startJob(job{what: cancelJob, token: t.rec.ID})
	c.checkTransition(t, appregistry.Cancelling)
	t.rec.State = appregistry.Cancelling // in memory only: a restart sends it again
	c.emit(Cancel{Job: t.job, Authority: t.rec.Authority, ID: t.rec.ID, Token: t.rec.Token, Tenant: c.tenantOf(t), Before: t.endAt})
}

func (c *Core) cancelled(ev Cancelled) {
	t := c.takeTokenJob(ev.Job, cancelJob)
	if t == nil {
		return
	}
	if ev.Err == nil || plugins.KindOf(ev.Err) == plugins.KindReplace {
		// Unknown to the service, or past its date: the aim is reached.
		c.remember(t, appregistry.Cancelled, "")
		n := c.aboutToken(TokenCancelled, t)
		n.Op = "cancel"
		c.notify(n)
		c.answerCommands(t, nil)
	} else {
		c.cancelFailed(t, ev.Err)
	}
	c.schedule(t)
}

// cancelFailed tries on until the token's end.
func (c *Core) cancelFailed(t *token, err error) {
	t.failures++
	p := c.cfg.Policy
	what, wait := TryFailed, p.RetryAfter(t.failures, 0, c.random)
	if refusal(err) {
		what, wait = TryAlarmed, p.DeniedAfter(0)
	}
	t.cancelAt = c.now.Boot + wait
	c.checkTransition(t, appregistry.CancelPending)
	t.rec.State, t.rec.Reason = appregistry.CancelPending, err.Error()
	c.later(t)
	n := c.aboutToken(what, t)
	n.Op, n.Err, n.Next = "cancel", err, c.wall(t.cancelAt)
	c.notify(n)
	c.answerCommands(t, err)
}

// giveUp ends a cancel that did not get through before the token's own end.
func (c *Core) giveUp(t *token) {
	if end := c.lastEnd(t); end != never && end > c.now.Boot {
		t.endAt = end // it was planned by its expiry, but could be renewed by others
		return
	}
	c.remember(t, appregistry.GivenUp, t.rec.Reason)
	n := c.aboutToken(CancelGivenUp, t)
	n.Op = "cancel"
	c.notify(n)
}
