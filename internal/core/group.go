package core

import (
	"slices"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
)

// A group is an owner's name for applications that belong together, such as a
// launcher and the jobs that it starts. A token that one of them holds or held is
// cancelled only when the last of them has left: whoever leaves, or gets a
// successor, hands the old token to a member that stays, which carries it.

// groupWait is how long the last application of a group stays after it was
// unregistered: a launcher may end a moment before the jobs that it has started
// register.
const groupWait = time.Minute

type groupKey struct{ owner, name string }

func groupOf(rec *appregistry.AppRecord) groupKey { return groupKey{rec.App.Owner, rec.App.Group} }

func (c *Core) joinGroup(rec *appregistry.AppRecord) {
	if rec.App.Group != "" {
		c.groups[groupOf(rec)] = append(c.groups[groupOf(rec)], rec.Seq)
	}
}

func (c *Core) leaveGroup(rec *appregistry.AppRecord) {
	if rec.App.Group == "" {
		return
	}
	k := groupOf(rec)
	if c.groups[k] = slices.DeleteFunc(c.groups[k], func(seq uint64) bool { return seq == rec.Seq }); len(c.groups[k]) == 0 {
		delete(c.groups, k)
	}
}

// heir is the member of an application's group that carries what it leaves
// behind: the oldest other one, and one that waits to replace another only where
// nobody else is there; nil: there is none, or none that is recorded.
func (c *Core) heir(rec *appregistry.AppRecord) (waits *app) {
	if rec.App.Group == "" {
		return nil
	}
	for _, seq := range c.groups[groupOf(rec)] {
		switch a := c.app(seq); {
		case seq == rec.Seq || a == nil || !a.durable:
		case a.rec.Replaces == 0:
			return a
		case waits == nil:
			waits = a
		}
	}
	return waits
}

// bequeath has the heir carry all that a leaving application holds, or that may
// be in a set it was given; of one that was never admitted, what it carried.
func (c *Core) bequeath(rec *appregistry.AppRecord, rejected bool) {
	heir := c.heir(rec)
	if heir == nil {
		return
	}
	var ids []appregistry.TokenID
	if !rejected {
		ids = union(rec.Published.Tokens, rec.Offered)
	}
	for _, h := range rec.Holdings {
		if rejected && !h.Carried {
			continue
		}
		if t := c.reg.Resolve(h); t != nil {
			ids = append(ids, t.ID)
		}
		ids = append(ids, h.Token)
	}
	c.carry(heir, union(ids, nil))
}

// carry gives an application a hold on tokens that are not delivered to it.
func (c *Core) carry(a *app, ids []appregistry.TokenID) {
	has := map[appregistry.TokenID]bool{}
	for _, h := range a.rec.Holdings {
		has[h.Token] = has[h.Token] || h.Lent
	}
	before := len(a.rec.Holdings)
	for _, id := range ids {
		t := c.token(id)
		if t == nil || has[id] || ended(t.rec.State) || leaving(t.rec.State) || c.entry(t) == nil {
			continue
		}
		a.rec.Holdings = append(a.rec.Holdings, appregistry.Holding{Entry: t.rec.Entry, Token: id, Lent: true, Carried: true})
	}
	if len(a.rec.Holdings) > before {
		c.reg.PutApp(a.rec)
	}
}

// carryRetired keeps a replaced token for the group of one of its entry's
// holders; false: none of them is in a group.
func (c *Core) carryRetired(t *token) bool {
	for _, seq := range c.reg.Holders(t.rec.Entry) {
		if a := c.app(seq); a.rec.App.Group != "" && a.rec.Replaces == 0 {
			c.carry(a, []appregistry.TokenID{t.rec.ID})
			return true
		}
	}
	return false
}

// dropCarried lets go of a token that has come to its very end: to carry it any
// longer serves nobody.
func (c *Core) dropCarried(t *token) {
	for _, seq := range slices.Clone(c.reg.Holders(t.rec.Entry)) {
		rec := c.reg.App(seq)
		n := len(rec.Holdings)
		rec.Holdings = slices.DeleteFunc(rec.Holdings, func(h appregistry.Holding) bool { return h.Carried && h.Token == t.rec.ID })
		if len(rec.Holdings) != n {
			c.reg.PutApp(rec)
		}
	}
}

// lingerOf is how long an application stays after it was unregistered.
func (c *Core) lingerOf(rec *appregistry.AppRecord) time.Duration {
	linger := rec.App.Duration("linger")
	if rec.App.Group != "" && c.heir(rec) == nil {
		linger = max(linger, groupWait)
	}
	return linger
}

// linger lets an application stay for its linger time from now on.
func (c *Core) linger(a *app, d time.Duration) {
	a.rec.LeaveAt = c.now.Wall.Add(d)
	c.reg.PutApp(a.rec)
	a.leaveAt = c.now.Boot + d
	c.scheduleApp(a)
}

// leaseSlack is how much later than a lease its record says that it is over, so that
// few signs of life are written, and what it has at least after a restart: time to be
// heard of again.
func leaseSlack(lease time.Duration) time.Duration { return max(lease/8, 5*time.Minute) }

// noteLease notes when a lease that begins now is over, unless what is noted will do.
func (c *Core) noteLease(rec *appregistry.AppRecord, lease time.Duration) (changed bool) {
	end := c.now.Wall.Add(lease)
	latest := end.Add(leaseSlack(lease))
	if lease <= 0 || !rec.LeaseEnd.Before(end) && !rec.LeaseEnd.After(latest) {
		return false
	}
	rec.LeaseEnd = latest.Truncate(time.Millisecond)
	return true
}

// leaseLeft is what is left of a lease that an earlier session noted. Whatever a
// stepped clock says, it is no more than that was.
func (c *Core) leaseLeft(rec *appregistry.AppRecord) time.Duration {
	lease := rec.App.Duration("lease")
	slack := leaseSlack(lease)
	return min(max(slack, rec.LeaseEnd.Sub(c.now.Wall)), lease+slack)
}

// leaveDue lets an application go whose linger time or lease is over. What it has
// serves until the one that is to take its place can.
func (c *Core) leaveDue(a *app) {
	if rival := c.candidateFor(a.rec.App.Key()); rival != nil && rival != a && rival.durable {
		a.leaveAt = c.now.Boot + max(a.rec.App.Duration("lease"), groupWait)
		return
	}
	c.leave(a, errLeft)
}

// keepAlive puts off the leaving of an application: that after its linger time
// begins anew, or its lease does, and that of what waits to take its place.
func (c *Core) keepAlive(ev KeepAlive) {
	rec := c.reg.AppByKey(ev.App)
	if rec == nil || !ev.Caller.owns(ev.App.Owner) {
		c.reply(ev.Request, Done, appregistry.ErrNotFound)
		return
	}
	a := c.app(rec.Seq)
	if rec.LeaveAt.IsZero() {
		c.stay(a)
	} else {
		// What is left may be more, where the group's last is not alone any more.
		c.linger(a, max(c.lingerOf(rec), a.leaveAt-c.now.Boot))
	}
	at := a.leaveAt
	if rival := c.candidateFor(ev.App); rival != nil {
		c.stay(rival)
		at = min(at, rival.leaveAt)
	}
	until := c.wall(at)
	c.commit.waiting = append(c.commit.waiting, waiter{
		run: func() {
			if c.reg.AppByKey(ev.App) == nil { // its registration was not recorded
				c.reply(ev.Request, Done, appregistry.ErrNotFound)
				return
			}
			c.emit(Reply{Request: ev.Request, Moment: Done, Until: until})
		},
		lost: func(err error) { c.reply(ev.Request, Done, err) },
	})
}
