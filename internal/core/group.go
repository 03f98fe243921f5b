package core

import (
	"maps"
	"slices"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
)

// A group is an owner's name for applications that belong together, such as a
// launcher and the jobs that it starts. A token that one of them holds or held is
// cancelled only when the last of them has left: of who leaves earlier a record
// stays behind, which carries what that had. So nothing of what others left is
// touched before the group's end, however much it is.
type group struct {
	members []uint64 // in order of registration
	// carried has the tokens that are carried for the group, each with the number of
	// the application, or of what is left of it, that does.
	carried map[appregistry.TokenID]uint64
}

// groupWait is how long the last application of a group stays after it was
// unregistered: a launcher may end a moment before the jobs that it has started
// register.
const groupWait = time.Minute

type groupKey struct{ owner, name string }

func groupOf(rec *appregistry.AppRecord) groupKey { return groupKey{rec.App.Owner, rec.App.Group} }

func (c *Core) joinGroup(rec *appregistry.AppRecord) {
	if rec.App.Group == "" {
		return
	}
	g := c.groups[groupOf(rec)]
	if g == nil {
		g = &group{carried: map[appregistry.TokenID]uint64{}}
		c.groups[groupOf(rec)] = g
	}
	if at, ok := slices.BinarySearch(g.members, rec.Seq); !ok && !rec.Left {
		g.members = slices.Insert(g.members, at, rec.Seq)
	}
	for _, h := range rec.Holdings {
		if _, ok := g.carried[h.Token]; h.Carried && !ok {
			g.carried[h.Token] = rec.Seq
		}
	}
}

// heir is the other recorded member of an application's group that stands for what
// is carried: the oldest, and one that waits to replace another only where nobody
// else is there; nil: there is none.
func (c *Core) heir(rec *appregistry.AppRecord) (waits *app) {
	g := c.groups[groupOf(rec)]
	if rec.App.Group == "" || g == nil {
		return nil
	}
	for _, seq := range g.members {
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

// leaveGroup takes an application out of its group. While others are there, what is
// returned first takes the place of its record: it carries all that the application
// held, or that may be in a set it was given, unless that is carried already; of
// one that was never admitted, what it carried. After the last, over has the
// records that carry for nobody any more.
func (c *Core) leaveGroup(rec *appregistry.AppRecord, rejected bool) (behind *appregistry.AppRecord, over []uint64) {
	g := c.groups[groupOf(rec)]
	if rec.App.Group == "" || g == nil {
		return nil, nil
	}
	if c.heir(rec) != nil {
		behind = c.leftBehind(g, rec, rejected)
	} else {
		over = slices.Sorted(maps.Values(g.carried))
		over = slices.DeleteFunc(slices.Compact(over), func(seq uint64) bool {
			carries := c.reg.App(seq)
			return carries == nil || !carries.Left
		})
		clear(g.carried)
	}
	if at, ok := slices.BinarySearch(g.members, rec.Seq); ok {
		g.members = slices.Delete(g.members, at, at+1)
	}
	if len(g.members) == 0 {
		delete(c.groups, groupOf(rec))
	}
	return behind, over
}

// leftBehind is what stays of an application that leaves its group to others.
func (c *Core) leftBehind(g *group, rec *appregistry.AppRecord, rejected bool) *appregistry.AppRecord {
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
	left := &appregistry.AppRecord{Seq: rec.Seq, Left: true, App: appregistry.App{Owner: rec.App.Owner, User: rec.App.User, Group: rec.App.Group}}
	for _, id := range union(ids, nil) {
		t := c.token(id)
		if by, ok := g.carried[id]; ok && by != rec.Seq {
			continue
		}
		if t == nil || ended(t.rec.State) || leaving(t.rec.State) || c.entry(t) == nil {
			delete(g.carried, id)
			continue
		}
		g.carried[id] = rec.Seq
		left.Holdings = append(left.Holdings, carriedHolding(t))
	}
	if len(left.Holdings) == 0 {
		return nil
	}
	return left
}

func carriedHolding(t *token) appregistry.Holding {
	return appregistry.Holding{Entry: t.rec.Entry, Token: t.rec.ID, Lent: true, Carried: true}
}

// leftTo are the records of a group's members that left for which an application
// stands; its own may be among them.
func (c *Core) leftTo(rec *appregistry.AppRecord) []uint64 {
	g := c.groups[groupOf(rec)]
	if rec.App.Group == "" || g == nil || c.heir(&appregistry.AppRecord{App: rec.App}) != c.app(rec.Seq) {
		return nil
	}
	return slices.Compact(slices.Sorted(maps.Values(g.carried)))
}

// carryRetired keeps a replaced token for the group of one of its entry's
// holders; false: none of them is in a group.
func (c *Core) carryRetired(t *token) bool {
	for _, seq := range c.reg.Holders(t.rec.Entry) {
		if rec := c.reg.App(seq); rec.App.Group != "" && rec.Replaces == 0 {
			rec.Holdings = append(rec.Holdings, carriedHolding(t))
			c.joinGroup(rec)
			c.reg.PutApp(rec)
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
		if len(rec.Holdings) == n {
			continue
		}
		if g := c.groups[groupOf(rec)]; g != nil {
			delete(g.carried, t.rec.ID)
		}
		if rec.Left && len(rec.Holdings) == 0 {
			c.deleteLeft(seq)
			continue
		}
		c.reg.PutApp(rec)
	}
}

// deleteLeft deletes what carries nothing any more.
func (c *Core) deleteLeft(seq uint64) {
	c.counters.left--
	c.reg.DeleteApp(seq)
}

// holdersOf are some of the applications that hold an entry. For what is left behind
// a member of its group stands that is there.
func (c *Core) holdersOf(e appregistry.EntryID, most int) (keys []appregistry.AppKey) {
	var groups map[groupKey]bool // that somebody stands for
	for _, seq := range c.reg.Holders(e) {
		if len(keys) == most {
			break
		}
		rec := c.reg.App(seq)
		if !rec.Left {
			keys = append(keys, rec.App.Key())
			continue
		}
		heir := c.heir(rec)
		if heir == nil || groups[groupOf(rec)] {
			continue
		}
		if groups == nil {
			groups = map[groupKey]bool{}
		}
		if groups[groupOf(rec)] = true; !slices.Contains(c.reg.Holders(e), heir.rec.Seq) {
			keys = append(keys, heir.rec.App.Key())
		}
	}
	return keys
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
