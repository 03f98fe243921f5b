package core

import (
	"fmt"
	"slices"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// Too many cancels in a short time are paused, so that a bug or a flood of
// departures cannot take all tokens at once. Where one tenant has most of them his
// wait and nobody else's; where they come from everywhere all wait. A pause lasts
// until an operator ends it, or nothing waits for that any more.

const (
	// cancelsIn is the time within which cancels are counted.
	cancelsIn = 5 * time.Minute
	// pausedCheck is for the case that nobody resumes them, who has all sent at once.
	pausedCheck = time.Hour
	// pausesLook is how long a pause stays for which no cancel has asked: each does
	// within pausedCheck.
	pausesLook = pausedCheck + cancelsIn
	// aloneMost is how many tenants are paused each for himself within one window, and
	// aloneKept at a time: more of them are a storm of all.
	aloneMost = 3
	aloneKept = 64
)

// cancelWindow counts cancels. The zero value counts from the first one on.
type cancelWindow struct {
	over  timer          // when it counts from none again
	sent  map[string]int // by tenants whose cancels flow: no more than there are cancels
	total int            // of sent
	alone int            // tenants that were paused within it
}

// mayCancelNow counts a cancel, or says when to ask again. One that is repeated was
// counted when it first went out: a service that takes none makes no storm.
func (c *Core) mayCancelNow(t *token) (again time.Duration, ok bool) {
	who := c.tenantOf(t)
	if c.cancelsPaused(who) {
		return c.now.Boot + pausedCheck, false
	}
	if t.failures > 0 {
		return 0, true
	}
	w := &c.cancels
	if limit := c.cfg.Policy.CancelsAllowed(c.reg.Tokens()); w.total >= limit {
		c.pauseCancels(limit)
		if c.cancelsPaused(who) {
			return c.now.Boot + pausedCheck, false
		}
	}
	if w.sent == nil {
		w.sent = map[string]int{}
		c.set(&w.over, coreTimer, cancelsCounted, c.now.Boot+cancelsIn)
	}
	w.sent[who]++
	w.total++
	return 0, true
}

// cancelsPaused reports whether a tenant's cancels wait, and takes note that one does.
func (c *Core) cancelsPaused(who string) bool {
	p := c.reg.Pause()
	if !p.Has(who) {
		return false
	}
	if p.All {
		who = ""
	}
	if c.asked == nil {
		c.asked = map[string]bool{}
	}
	c.asked[who] = true
	return true
}

// pauseCancels pauses whoever has most of the cancels that were counted, and all
// where that is less than a quarter, or he is not the first.
func (c *Core) pauseCancels(limit int) {
	w, p := &c.cancels, c.reg.Pause()
	who, most := "", 0
	for name, n := range w.sent {
		if n > most || n == most && name < who {
			who, most = name, n
		}
	}
	if w.alone < aloneMost && len(p.Tenants) < aloneKept && 4*most >= limit {
		p.Add(who)
		delete(w.sent, who)
		w.total -= most
		w.alone++
		c.tellPaused(fmt.Sprintf("of %q", who))
	} else {
		p.All, p.Tenants, c.asked = true, nil, nil
		c.forgetWindow()
		c.tellPaused("of all")
	}
	c.reg.PutPause()
	c.set(&c.pauses, coreTimer, pausesDue, c.now.Boot+pausesLook)
}

func (c *Core) tellPaused(whose string) {
	c.notify(Notify{What: CancelsPaused, Op: "cancel", Reason: "too many within " + cancelsIn.String() + ": those " + whose + " wait"})
}

func (c *Core) forgetWindow() {
	c.set(&c.cancels.over, coreTimer, cancelsCounted, never)
	c.cancels = cancelWindow{}
}

// startPauses tells what an earlier session has paused.
func (c *Core) startPauses() {
	p := c.reg.Pause()
	if p.All {
		c.tellPaused("of all")
	}
	for _, who := range p.Tenants {
		c.tellPaused(fmt.Sprintf("of %q", who))
	}
	if !p.IsZero() {
		c.set(&c.pauses, coreTimer, pausesDue, c.now.Boot+pausesLook)
	}
}

// lookAtPauses ends those for which nothing waits. What was stored asks once it is
// set going.
func (c *Core) lookAtPauses() {
	p := c.reg.Pause()
	if c.stored.left()+c.pending.left() == 0 {
		before := len(p.Tenants)
		p.Tenants = slices.DeleteFunc(p.Tenants, func(who string) bool { return !c.asked[who] })
		idle := p.All && !c.asked[""]
		if idle {
			p.All = false
		}
		if idle || len(p.Tenants) != before {
			c.reg.PutPause()
		}
		c.asked = nil
	}
	if !p.IsZero() {
		c.set(&c.pauses, coreTimer, pausesDue, c.now.Boot+pausesLook)
	}
}

func (c *Core) resumeCancels(ev ResumeCancels) {
	if !ev.Caller.Trusted {
		c.reply(ev.Request, Done, plugins.Refused(CodeNotAllowed, errOperatorOnly))
		return
	}
	c.forgetWindow()
	c.set(&c.pauses, coreTimer, pausesDue, never)
	p := c.reg.Pause()
	p.All, p.Tenants, c.asked = false, nil, nil
	c.reg.PutPause()
	c.afterCommit(func() { // what was just intended is not recorded before
		each(c, c.reg.TokenIDs(), func(id appregistry.TokenID) {
			if t := c.token(id); t.rec.State == appregistry.CancelPending && t.job == 0 && t.cancelAt != never {
				t.cancelAt = c.now.Boot
				c.schedule(t)
			}
		})
	})
	c.replyDurable(ev.Request)
}
