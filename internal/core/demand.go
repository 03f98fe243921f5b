package core

import (
	"cmp"
	"fmt"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// demand is what people ask for outside the plan: a renewal of one token, or new
// tokens of one supply. All who ask while none has been served are served by one
// call. Between two calls that served somebody a cooldown passes; who asks within
// it waits for the rest, and is not turned away. A call that the plan brings
// sooner serves the demand as well, and nothing planned is put off by one.
// Flink's rules for on-demand re-obtains.
type demand struct {
	asked []Request
	at    time.Duration // when a call for them is due; never: none is, or it is out
	last  time.Duration // when the last call began that served somebody
	ran   bool          // there was one
	// planned is when a renewal was due anyway, before one came that was asked for.
	planned time.Duration
}

// due is when a demand that comes now may be served.
func (d *demand) due(now, cooldown time.Duration) time.Duration {
	if !d.ran {
		return now
	}
	return max(now, d.last+cooldown)
}

// begun says that a call began, at that time, that serves all who ask.
func (d *demand) begun(at time.Duration) {
	if d != nil && len(d.asked) > 0 {
		d.at, d.last, d.ran = never, at, true
	}
}

func (p Policy) cooldown() time.Duration { return cmp.Or(p.Cooldown, 10*time.Second) }

// demandFor is what is asked for about a token.
func (c *Core) demandFor(t *token) *demand {
	d := c.demands[t.rec.ID]
	if d == nil {
		d = &demand{at: never, planned: never}
		c.demands[t.rec.ID] = d
	}
	return d
}

// nextOf is when something will be done about a token, planned or asked for.
func (c *Core) nextOf(t *token) time.Duration {
	next := t.next()
	if d := c.demands[t.rec.ID]; d != nil && !ended(t.rec.State) && !leaving(t.rec.State) {
		next = min(next, d.at)
	}
	return next
}

func (c *Core) renewNow(ev TokenCommand, t *token) error {
	if !t.rec.Ours || c.handsOff(t.rec) != "" || ended(t.rec.State) || leaving(t.rec.State) {
		return plugins.Refused(CodeNotAllowed, fmt.Errorf("%s: it is %s", t.rec.Token, t.rec.State))
	}
	d := c.demandFor(t)
	d.asked = append(d.asked, ev.Request)
	switch {
	case t.job != 0:
		d.begun(c.jobs[t.job].sent)
	default:
		d.at = min(d.at, d.due(c.now.Boot, c.policyOf(t).cooldown()))
		c.demandDue(t)
	}
	return nil
}

// demandDue sends the renewal that somebody asked for, if it is time.
func (c *Core) demandDue(t *token) {
	d := c.demands[t.rec.ID]
	if d == nil || d.at > c.now.Boot || t.job != 0 {
		return
	}
	d.planned = t.renewAt
	c.renew(t)
}

// sooner is when to renew again after a failure: as planned, where the renewal
// that failed was asked for and the plan had an earlier one.
func (c *Core) sooner(t *token, at time.Duration) time.Duration {
	if d := c.demands[t.rec.ID]; d != nil {
		at = min(at, max(d.planned, c.now.Boot+leastWait))
	}
	return at
}

// answerCommands tells those who asked for one what came of a call.
func (c *Core) answerCommands(t *token, err error) {
	if d := c.demands[t.rec.ID]; d != nil {
		c.answerDemand(d, err)
		d.planned = never
	}
}

func (c *Core) answerDemand(d *demand, err error) {
	for _, r := range d.asked {
		c.reply(r, Done, err)
	}
	d.asked, d.at = nil, never
}

// replaceNow obtains a successor, whatever the plan.
func (c *Core) replaceNow(ev TokenCommand, t *token) error {
	if !c.obtainable(t) {
		return plugins.Refused(CodeNoSuccessor, fmt.Errorf("%s: it is %s, and nobody can obtain its successor", t.rec.Token, t.rec.State))
	}
	s := c.supplyFor(c.entry(t).Supply)
	if s.demand == nil {
		s.demand = &demand{at: never}
	}
	d := s.demand
	d.asked = append(d.asked, ev.Request)
	if s.job != 0 {
		d.begun(c.jobs[s.job].sent)
		return nil
	}
	d.at = min(d.at, d.due(c.now.Boot, c.policyOf(t).cooldown()))
	if d.at > c.now.Boot {
		if !s.timer.isSet() || s.timer.at > d.at {
			c.set(&s.timer, supplyTimer, s.num, d.at)
		}
		return nil
	}
	c.supplyAsked(s)
	return nil
}

// supplyAsked sends the obtain that somebody asked for, before the one that is
// planned or waits after a failure.
func (c *Core) supplyAsked(s *supply) {
	s.wanted = true
	for _, t := range c.currents(s) {
		if t.rec.State == appregistry.Live || t.rec.State == appregistry.Publishing {
			c.toLater(t, appregistry.Replacing, "a successor was asked for")
		}
	}
	c.obtain(s)
}

// answerSupply tells those who asked for new tokens what came of it: once these
// are recorded, or at once of a failure.
func (c *Core) answerSupply(s *supply, err error) {
	d := s.demand
	if d == nil || len(d.asked) == 0 {
		return
	}
	if err != nil {
		c.answerDemand(d, err)
		return
	}
	asked := d.asked
	d.asked, d.at = nil, never
	c.commit.waiting = append(c.commit.waiting, waiter{
		run: func() {
			for _, r := range asked {
				c.reply(r, Done, nil)
			}
		},
		lost: func(err error) {
			for _, r := range asked {
				c.reply(r, Done, err)
			}
		},
	})
}
