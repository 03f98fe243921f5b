package core

import (
	"strconv"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
)

// bring finds or makes the token that an application brought, and its hold on it.
func (c *Core) bring(rec *appregistry.AppRecord, b *Brought) (*token, appregistry.Holding) {
	h := appregistry.Holding{Alias: b.Alias, Kind: b.Token.Kind, Service: b.Token.Service, Lent: lent(&rec.App, b)}
	keep, until, readUntil := false, time.Time{}, time.Duration(0)
	if known := c.reg.TokenByKey(b.digests); known != nil {
		e := c.reg.Entry(known.Entry)
		if e != nil && e.Current != 0 && !ended(known.State) && !leaving(known.State) {
			h.Entry, h.Token = e.ID, known.ID
			t := c.token(known.ID)
			t.releaseAt = never
			if e.Current != known.ID { // it has this one in its hands until it is given a set
				rec.Offered = union(rec.Offered, []appregistry.TokenID{known.ID})
			}
			if s := b.supply(e.ID); e.Supply == (appregistry.Supply{}) && s != e.Supply { // who brought it first could get none
				e.Supply = s
				c.reg.PutEntry(e)
				c.afterCommit(func() {
					if cur := c.token(e.Current); cur != nil && cur.job == 0 && cur.rec.State == appregistry.Live {
						c.plan(cur)
						c.schedule(cur)
					}
				})
			}
			c.schedule(t)
			return t, h
		}
		// It was to be cancelled or only remembered: it begins anew, proof and
		// all, but who once asked to keep it is not forgotten, nor are readers
		// who have it.
		was := c.token(known.ID)
		keep, until, readUntil = known.Keep, known.ReadUntil, was.readUntil
		c.forget(was)
	}
	t := c.addToken(c.broughtToken(b))
	t.rec.Keep, t.rec.ReadUntil, t.readUntil = keep, until, readUntil
	e := &appregistry.EntryRecord{ID: appregistry.EntryID(c.reg.NewID()), Authority: b.Authority, Alias: b.Alias, Current: t.rec.ID}
	e.Supply = b.supply(e.ID)
	t.rec.Entry = e.ID
	h.Entry, h.Token = e.ID, t.rec.ID
	c.reg.PutEntry(e)
	c.reg.PutToken(t.rec)
	return t, h
}

func (c *Core) broughtToken(b *Brought) *appregistry.TokenRecord {
	rec := &appregistry.TokenRecord{
		ID: appregistry.TokenID(c.reg.NewID()), Authority: b.Authority, Token: b.Token, Known: b.digests,
		State: appregistry.New, Ours: !b.foreign(),
		Issued: c.clocks.date(b.Authority, c.now.Boot).Truncate(time.Millisecond),
	}
	if id := b.Identity; id != nil {
		rec.Owner, rec.Max = id.User, id.Max
		if !id.Issued.IsZero() {
			rec.Issued = id.Issued
		}
	}
	if !rec.Ours {
		rec.State, rec.Reason = appregistry.Foreign, b.foreignReason()
	} else if why := c.handsOff(rec); why != "" {
		rec.State, rec.Reason = appregistry.Foreign, why
	}
	return rec
}

// foreign reports whether nobody here can renew, replace or cancel the token.
func (b *Brought) foreign() bool {
	return b.Authority.IsZero() || (b.Identity != nil && !b.Identity.Ours)
}

func (b *Brought) foreignReason() string {
	switch {
	case b.Reason != "":
		return b.Reason
	case b.Authority.IsZero():
		return "no provider serves it"
	case b.Identity.Renewer == "":
		return "not-renewable: no renewer"
	}
	return "not-renewable: its renewer is " + strconv.Quote(b.Identity.Renewer)
}

// supply is where a successor of the token comes from, as an entry's current one;
// zero: none can be obtained.
func (b *Brought) supply(e appregistry.EntryID) (s appregistry.Supply) {
	if b.Obtains && b.Identity != nil && b.Identity.User != "" {
		s = appregistry.Supply{Authority: b.Authority, User: b.Identity.User, Entry: e}
	}
	return s
}
