package core

import (
	"slices"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
)

// readAgain is how long a stock reader sleeps that looked and found nothing new
// (Spark 2's CredentialUpdater).
const readAgain = time.Hour

// published: the generation is at every target. Only now may what it took the
// place of go.
func (c *Core) published(a *app, r *round) {
	old := union(a.rec.Published.Tokens, a.rec.Offered)
	// Each sleeps until a time that some set told, or has just looked in vain: of
	// several sets the first may have told a time that is past by now.
	readUntil := max(a.updateAt, c.now.Boot+readAgain)
	a.rec.Offered, a.updateAt = nil, max(a.updateAt, r.update)
	a.round, a.failures, a.stageAt, a.trouble = nil, 0, never, ""
	a.rec.Published = appregistry.Published{Generation: r.set.Generation, Digest: r.made.digest, Tokens: r.made.tokens, NextUpdate: c.wall(a.updateAt)}
	c.reg.PutApp(a.rec)
	for _, id := range r.made.tokens {
		if t := c.token(id); t != nil && t.rec.State == appregistry.Publishing {
			c.toLater(t, c.resting(t), t.rec.Reason)
		}
	}
	n := c.aboutApp(SetStaged, a)
	n.Op, n.Generation, n.Next, n.Expires = "stage", r.set.Generation, r.set.NextUpdate, r.set.EarliestEnd
	c.notify(n)
	if !a.changed {
		c.ready(a)
	}
	for _, id := range old {
		t := c.token(id)
		if t == nil || slices.Contains(r.made.tokens, id) {
			continue
		}
		until := readUntil
		if a.restored {
			until = max(until, c.toldAtMost(t))
		}
		if t.readUntil == 0 {
			t.readBy = a.rec.Seq
		} else if t.readBy != a.rec.Seq {
			t.readBy = 0
		}
		if until > t.readUntil {
			t.readUntil, t.rec.ReadUntil = until, c.wall(until)
			c.reg.PutToken(t.rec)
		}
		if !c.reg.Referenced(id) {
			c.release(t, 0)
		}
	}
	if a.changed {
		c.changed(a)
	}
}

// toldAtMost is the latest time that a set with the token told its readers, by its
// service's clock: what an earlier session noted of that was by our own, which may
// have been stepped since.
func (c *Core) toldAtMost(t *token) time.Duration {
	end := t.rec.Max
	if end.IsZero() {
		end = t.rec.Expires
	}
	if end.IsZero() || t.rec.Issued.IsZero() {
		return 0
	}
	lead := c.policyOf(t).LeadBeforeMax(end.Sub(t.rec.Issued))
	return c.clocks.latest(t.rec.Authority, end.Add(lead/5-lead))
}
