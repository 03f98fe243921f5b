package core

import (
	"slices"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
)

// replace asks for a successor. The token goes on being renewed meanwhile.
func (c *Core) replace(t *token, reason string) {
	if !c.obtainable(t) {
		return
	}
	if t.rec.State != appregistry.Expired {
		c.toLater(t, appregistry.Replacing, reason)
	}
	c.want(c.entry(t).Supply)
}

// place records a token that was obtained. It takes its place at once where its
// expiry is known; else one renewal, sent when the record is durable, teaches it.
func (c *Core) place(s *supply, g Grant) {
	d := appregistry.DigestsOf(s.key.Authority, g.Token)
	if known := c.reg.TokenByKey(d); known != nil {
		c.join(s, known, g)
		return
	}
	t := c.addToken(c.tokenOf(s, g, d))
	t.rec.Entry = c.slot(s, g.Alias)
	c.reg.PutToken(t.rec)
	c.plan(t)
	n := c.aboutToken(TokenObtained, t)
	n.Op = "obtain"
	if t.renewAt == never && t.endAt == never { // nor will a renewal tell
		n.Reason = noDate
	}
	c.notify(n)
	if !t.rec.Expires.IsZero() || !c.renewable(t, c.policyAt(c.wishes(s), t.rec)) {
		c.promote(t)
		return
	}
	c.toLater(t, appregistry.Proving, "its expiry is to be learnt")
	t.renewAt = never
	c.afterCommit(func() {
		if c.token(t.rec.ID) == t && c.candidate(t) {
			c.renew(t)
		}
		c.schedule(t)
	})
}

// noDate is why a token is replaced by a default: nobody says how long it lives.
const noDate = "no date is known: it is taken to live as long as the policy's default validity"

func (c *Core) tokenOf(s *supply, g Grant, d *appregistry.Digests) *appregistry.TokenRecord {
	rec := &appregistry.TokenRecord{
		ID: appregistry.TokenID(c.reg.NewID()), Authority: s.key.Authority, Token: g.Token,
		Known: d, State: appregistry.New,
		Proof: appregistry.ProofObtained, ProvedAt: c.clocks.date(s.key.Authority, c.now.Boot),
		Obtained: true, Owner: s.key.User, Ours: true, Issued: issued(g), Expires: g.Expires, Max: maxOf(g),
		Skew: c.clocks.skew(s.key.Authority, c.now),
	}
	if g.Identity != nil {
		rec.Ours = g.Identity.Ours
	}
	if rec.Expires.After(c.clocks.date(s.key.Authority, c.now.Boot+suspectMost)) {
		rec.Expires = time.Time{} // not believed, so not known
	}
	if rec.Issued.IsZero() {
		rec.Issued = c.clocks.date(s.key.Authority, c.now.Boot)
	}
	return rec
}

// slot is the entry that an alias of the supply fills.
func (c *Core) slot(s *supply, alias string) appregistry.EntryID {
	if id, ok := c.reg.SuppliedEntries(s.key)[alias]; ok {
		return id
	}
	e := &appregistry.EntryRecord{ID: appregistry.EntryID(c.reg.NewID()), Authority: s.key.Authority, Supply: s.key, Alias: alias}
	c.reg.PutEntry(e)
	return e.ID
}

// join takes an answer that names a token we have: from an entry of another
// supply it is shared, from our own it was only extended.
func (c *Core) join(s *supply, known *appregistry.TokenRecord, g Grant) {
	t, e := c.token(known.ID), c.reg.Entry(known.Entry)
	if !g.Expires.IsZero() {
		known.Expires = g.Expires
	}
	known.ProvedAt = c.clocks.date(known.Authority, c.now.Boot)
	c.plan(t)
	c.toLater(t, c.resting(t), "")
	c.schedule(t)
	c.hold(s, e, g.Alias)
	c.afterCommit(func() {
		for seq := range s.planners {
			c.changed(c.app(seq))
		}
	})
}

// promote makes an obtained token its entry's current one, in one commit with
// the retirement of the one before. Only when that is durable is it handed on.
func (c *Core) promote(t *token) {
	e := c.entry(t)
	old := c.token(e.Current)
	s := c.supplyFor(e.Supply)
	overtaken := slices.DeleteFunc(slices.Clone(c.reg.TokensOf(e.ID)), func(id appregistry.TokenID) bool {
		return id >= t.rec.ID || !c.candidate(c.token(id))
	})
	e.Current = t.rec.ID
	c.reg.PutEntry(e)
	c.hold(s, e, e.Alias)
	c.markKeep(t)
	c.transition(t, c.resting(t), "")
	again := t.renewAt
	c.plan(t)
	if t.renewAt != never {
		t.renewAt = min(t.renewAt, again) // where its expiry is to be learnt yet, the next try stands
	}
	c.schedule(t)
	if old != nil {
		c.keepForBringers(old)
		c.retire(old, t)
	}
	for _, id := range overtaken { // whose own first renewal took longer
		c.retire(c.token(id), t)
	}
	c.afterCommit(func() {
		for _, seq := range c.reg.Holders(e.ID) {
			c.changed(c.app(seq))
		}
		if old != nil && c.token(old.rec.ID) == old {
			c.release(old, 0)
		}
		for _, id := range overtaken {
			if u := c.token(id); u != nil {
				c.release(u, 0)
			}
		}
		if !c.reg.Referenced(t.rec.ID) && c.token(t.rec.ID) == t {
			c.release(t, 0)
		}
	})
	c.supplyReady(s)
}

// retire ends a token's time as the current one. It is renewed on while anybody
// still has it.
func (c *Core) retire(old, successor *token) {
	old.replaceAt = never
	if s := old.rec.State; !leaving(s) && !ended(s) && s != appregistry.Renewing && s != appregistry.Expired {
		c.transition(old, appregistry.Retiring, "replaced")
	}
	c.moveGatesTo(old, successor)
	c.schedule(old)
	n := c.aboutToken(TokenReplaced, old)
	n.Reason = "by token " + successor.rec.Digests().Fingerprint
	c.notify(n)
}

// keepForBringers keeps a replaced token for applications that brought it and were
// given no set yet: it is what they have in their hands.
func (c *Core) keepForBringers(old *token) {
	for _, seq := range c.reg.Holders(old.rec.Entry) {
		rec := c.reg.App(seq)
		if rec.Published.Generation == 0 && slices.ContainsFunc(rec.Holdings, func(h appregistry.Holding) bool { return h.Token == old.rec.ID && !h.Carried }) {
			rec.Offered = union(rec.Offered, []appregistry.TokenID{old.rec.ID})
			c.reg.PutApp(rec)
		}
	}
}

// hold gives all applications that plan the supply their hold on an entry of it.
func (c *Core) hold(s *supply, e *appregistry.EntryRecord, alias string) {
	for seq := range s.planners {
		rec := c.reg.App(seq)
		has := false
		for _, h := range rec.Holdings {
			has = has || (h.Entry == e.ID && h.Token == 0 && h.Alias == alias)
		}
		if !has {
			rec.Holdings = append(rec.Holdings, appregistry.Holding{Alias: alias, Entry: e.ID})
			c.reg.PutApp(rec)
		}
	}
	if t := c.token(e.Current); t != nil {
		c.markKeep(t)
	}
}

// markKeep sets the token's keep bit where a holder did not ask for cancel. It
// is never cleared: who left first must not be forgotten.
func (c *Core) markKeep(t *token) {
	for _, seq := range c.reg.Holders(t.rec.Entry) {
		if t.rec.Keep {
			return
		}
		c.markKeepFor(t, c.reg.App(seq))
	}
}

// markKeepFor looks at one holder only: a token may have very many.
func (c *Core) markKeepFor(t *token, rec *appregistry.AppRecord) {
	for _, h := range rec.Holdings {
		if !t.rec.Keep && h.Entry == t.rec.Entry && !h.Carried && c.reg.Resolve(h) == t.rec && !rec.App.Ending().AsksCancel(h, t.rec.ID) {
			t.rec.Keep = true
			c.reg.PutToken(t.rec)
		}
	}
}

// discardRest deals with what an answer brought besides what was taken, which is
// all of it where it was refused. What speaks for somebody else is left alone.
func (c *Core) discardRest(s *supply, grants []Grant, keep bool) {
	c.discard(s, slices.DeleteFunc(slices.Clone(grants), func(g Grant) bool {
		return g.Identity != nil && g.Identity.User != s.key.User
	}), keep)
}

// discard deals with tokens that nobody wants or takes, such as those that arrive
// after everybody who wanted them left: they are cancelled, or, where that is not wished, told of and left alone.
func (c *Core) discard(s *supply, grants []Grant, keep bool) {
	for _, g := range grants {
		d := appregistry.DigestsOf(s.key.Authority, g.Token)
		if c.reg.TokenByKey(d) != nil || len(g.Token.Identifier) == 0 {
			continue
		}
		t := c.addToken(c.tokenOf(s, g, d))
		t.rec.Keep = keep
		c.reg.PutToken(t.rec)
		c.plan(t)
		n := c.aboutToken(GrantOrphaned, t)
		n.Op = "obtain"
		c.notify(n)
		c.letGo(t)
		c.schedule(t)
	}
}
