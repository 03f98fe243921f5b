package core

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
)

// admit takes the registration in. It counts when its commit does.
func (c *Core) admit(ev *Register, old *appregistry.AppRecord) {
	rec := &appregistry.AppRecord{Seq: c.reg.NewID(), App: ev.App, Content: ev.content, UUID: ev.UUID, Plan: ev.Plan}
	if old != nil {
		rec.Replaces = old.Seq
	}
	a := c.addApp(rec)
	var gated []*token
	for i := range ev.Brought {
		b := &ev.Brought[i]
		t, h := c.bring(rec, b)
		rec.Holdings = append(rec.Holdings, h)
		if ev.App.Verify == appregistry.VerifyRenew {
			gated = append(gated, t)
		}
		if b.Identity == nil && !ev.Caller.Trusted && !t.rec.Keep {
			// Whose it is cannot be read, so nobody's wish ends it.
			t.rec.Keep = true
			c.reg.PutToken(t.rec)
		}
	}
	for _, authority := range rec.Plan {
		s := c.supplyFor(planned(rec.App, authority))
		s.planners[rec.Seq] = struct{}{}
		for alias, id := range c.reg.SuppliedEntries(s.key) {
			if c.inPlace(id) {
				rec.Holdings = append(rec.Holdings, appregistry.Holding{Alias: alias, Entry: id})
			}
		}
	}
	slices.SortStableFunc(rec.Holdings, obtainedLast)
	c.noteLease(rec, rec.App.Duration("lease"))
	c.reg.PutApp(rec)
	for _, h := range rec.Holdings {
		c.markKeepFor(c.token(c.reg.Resolve(h).ID), rec)
		// A retired token that it brought is one that it ever referred to.
		if t := c.reg.Token(h.Token); t != nil && !rec.App.Ending().AsksCancel(h, t.ID) && !t.Keep {
			t.Keep = true
			c.reg.PutToken(t)
		}
	}
	r, admit := ev.Request, ev.Admit
	c.commit.waiting = append(c.commit.waiting, waiter{
		run:  func() { c.acknowledge(a, r, admit, gated) },
		fail: func(err error) { c.unsaved(a, r, err) },
	})
}

// obtainedLast orders holdings for assembly: what was obtained lies over what
// was brought.
func obtainedLast(a, b appregistry.Holding) int {
	switch {
	case (a.Token == 0) == (b.Token == 0):
		return bytes.Compare([]byte(a.Alias), []byte(b.Alias))
	case a.Token == 0:
		return 1
	}
	return -1
}

func newApp(rec *appregistry.AppRecord) *app {
	return &app{rec: rec, stageAt: never, leaveAt: never}
}

func (c *Core) addApp(rec *appregistry.AppRecord) *app {
	a := newApp(rec)
	rec.Attach(a)
	c.noteApp(rec)
	return a
}

// noteApp takes note of an application that was not there before.
func (c *Core) noteApp(rec *appregistry.AppRecord) {
	c.joinGroup(rec)
	if rec.Replaces != 0 {
		c.rivals[rec.App.Key()] = rec.Seq
	}
	if rec.Ready {
		c.counters.ready++
	}
	if rec.Left {
		c.counters.left++
	}
}

// acknowledge: the registration is durable. Now its tokens are verified and
// obtained.
func (c *Core) acknowledge(a *app, r Request, admit bool, verify []*token) {
	if c.app(a.rec.Seq) != a {
		c.reply(r, Acknowledged, nil)
		c.reply(r, Done, errLeft)
		return
	}
	c.notify(c.aboutApp(AppAdmitted, a))
	a.durable = true
	c.await(a, r, admit)
	c.stay(a)
	// One gate more than there are: the first set is not complete, whatever
	// answers, before all gates are hung.
	a.open = 1
	for _, t := range verify {
		c.hangGate(a, t)
	}
	c.begin(a)
	c.pass(a.rec.Seq, appregistry.Authority{}, nil, false)
	if a.open > 0 && a.rec.Replaces == 0 {
		a.stageAt = c.now.Boot + firstWait
		c.scheduleApp(a)
	}
}

// hangGate keeps an application's first set until the token has its first answer,
// where it can have one.
func (c *Core) hangGate(a *app, t *token) {
	if t.rec.State != appregistry.Foreign && t.rec.Proof == appregistry.ProofNone && c.renewable(t, c.policyOf(t)) {
		a.open++
		t.gates = append(t.gates, a.rec.Seq)
	}
}

// firstWait is how long what an application has already waits for what hangs.
const firstWait = 5 * time.Second

// firstWithout begins the first set without the services that have not answered,
// if there is anything else to deliver. What it brought waits for its verdict all
// the same.
func (c *Core) firstWithout(a *app) {
	judged := !slices.ContainsFunc(a.rec.Holdings, func(h appregistry.Holding) bool {
		t := c.token(h.Token)
		return t != nil && slices.Contains(t.gates, a.rec.Seq)
	})
	if !judged || a.rec.Replaces != 0 || c.assemble(a.rec).empty() {
		a.stageAt = c.now.Boot + firstWait
		return
	}
	for _, authority := range a.rec.Plan {
		if s := c.supplyFor(planned(a.rec.App, authority)); !c.filled(s) && a.missing[authority] == "" {
			a.miss(authority, "no answer yet")
		}
	}
	a.open = 0
	c.firstSet(a)
}

// begin starts what an application's tokens wait for.
func (c *Core) begin(a *app) {
	for _, h := range a.rec.Holdings {
		if t := c.token(h.Token); t != nil && t.rec.State == appregistry.New {
			c.beginToken(t)
		} else if t != nil && t.rec.State == appregistry.Foreign && !t.timer.isSet() {
			c.plan(t) // for its end, and the warning of it
			c.schedule(t)
		}
		if rec := c.reg.Resolve(h); rec != nil && !h.Carried {
			c.renewFor(a, c.token(rec.ID))
		}
		if e := c.reg.Entry(h.Entry); e != nil && !h.Lent && e.Supply.Entry != 0 && over(c.reg.Token(e.Current)) {
			c.want(e.Supply) // it was cancelled by force, and no successor has come yet
		}
	}
	for _, authority := range a.rec.Plan {
		s := c.supplyFor(planned(a.rec.App, authority))
		s.planners[a.rec.Seq] = struct{}{}
		if why := c.closed(authority); why != "" {
			a.miss(authority, why)
			continue
		}
		if !c.filled(s) {
			a.open++
			s.gates = append(s.gates, a.rec.Seq)
			c.want(s.key)
		}
	}
}

// filled reports whether the supply has brought something that is in place, and
// not cancelled since.
func (c *Core) filled(s *supply) bool {
	for _, e := range c.reg.SuppliedEntries(s.key) {
		if c.inPlace(e) {
			return true
		}
	}
	return false
}

// inPlace reports whether an entry has a current token that serves. One that only
// lent or carried holds keep alive may have lost it.
func (c *Core) inPlace(e appregistry.EntryID) bool { return !over(c.reg.Token(c.reg.Entry(e).Current)) }

// beginToken begins a brought token's life: with one renewal, where that can be
// had, which proves the password and tells the expiry.
func (c *Core) beginToken(t *token) {
	c.plan(t)
	if c.renewable(t, c.policyOf(t)) {
		c.toLater(t, appregistry.Proving, "")
		c.renew(t)
	} else {
		c.toLater(t, appregistry.Live, "its service is not asked about it")
	}
	c.schedule(t)
}

// unsaved: the registration could not be made durable, so it never was.
func (c *Core) unsaved(a *app, r Request, err error) {
	err = fmt.Errorf("not registered: %w", err)
	c.reply(r, Done, err)
	if a.gone == nil {
		c.leave(a, err)
	}
}

// firstSet is called when all gates of an application's first set are open.
func (c *Core) firstSet(a *app) {
	if a.rec.Replaces != 0 {
		if len(a.rec.Holdings) > 0 && c.waitsInVain(a.rec) {
			c.reject(a, errNothingLeft)
			return
		}
		c.takeOver(a)
	}
	c.stage(a)
	c.scheduleApp(a)
}

// takeOver puts a registration in the place of the one it replaces, in one
// commit. Generation and file names go on.
func (c *Core) takeOver(a *app) {
	old := c.app(a.rec.Replaces)
	a.rec.Replaces = 0
	delete(c.rivals, a.rec.App.Key())
	if old == nil {
		c.reg.PutApp(a.rec)
		return
	}
	a.rec.UUID, a.rec.Generation, a.rec.EpochFloor = old.rec.UUID, old.rec.Generation, old.rec.EpochFloor
	a.rec.Published, a.rec.Offered, a.updateAt = old.rec.Published, union(a.rec.Offered, old.rec.Offered), old.updateAt
	// What readers were told by our clock is as uncertain as it was.
	a.restored = a.restored || old.restored
	if r := old.round; r != nil { // some target may have it
		a.updateAt = max(a.updateAt, r.update)
	}
	if slices.Equal(a.rec.App.StageTo, old.rec.App.StageTo) {
		c.inheritRound(a, old)
	} else {
		a.force = true
	}
	c.reg.PutApp(a.rec)
	c.leave(old, errSuperseded)
}

// standAlone makes a registration a first one: what it was to replace has left.
func (c *Core) standAlone(a *app) {
	a.rec.Replaces = 0
	delete(c.rivals, a.rec.App.Key())
	c.reg.PutApp(a.rec)
	if a.open > 0 {
		a.stageAt = c.now.Boot + firstWait
		c.scheduleApp(a)
	}
}

// inheritRound lets what is on its way to the targets end before anything newer
// goes there.
func (c *Core) inheritRound(a, old *app) {
	if old.round == nil || len(old.round.out) == 0 {
		return
	}
	a.round, old.round = old.round, nil
	for id := range a.round.out {
		j := c.jobs[id]
		j.app = a.rec.Seq
		c.jobs[id] = j
	}
}

// reject ends a registration after all. Whoever asked hears it when that is
// durable; what was obtained for it is cancelled.
func (c *Core) reject(a *app, err error) {
	n := c.aboutApp(AppRejected, a)
	n.Err, n.Reason = err, err.Error()
	c.notify(n)
	c.leave(a, err)
}

func (c *Core) unregister(ev Unregister) {
	rec, rival := c.reg.AppByKey(ev.App), c.candidateFor(ev.App)
	if (rec == nil && rival == nil) || !ev.Caller.owns(ev.App.Owner) {
		c.reply(ev.Request, Done, appregistry.ErrNotFound)
		return
	}
	if rival != nil {
		c.leave(rival, errLeft)
	}
	if rec != nil {
		c.depart(c.app(rec.Seq))
	}
	c.replyDurable(ev.Request)
}

// depart lets an application go, after its linger time.
func (c *Core) depart(a *app) {
	switch linger := c.lingerOf(a.rec); {
	case !a.rec.LeaveAt.IsZero(): // it is leaving already
	case linger <= 0:
		c.leave(a, errLeft)
	default:
		c.linger(a, linger)
	}
}

// stay takes back an unregistration that lingers, and begins the lease anew.
func (c *Core) stay(a *app) {
	if !a.rec.LeaveAt.IsZero() {
		a.rec.LeaveAt = time.Time{}
		c.reg.PutApp(a.rec)
	}
	a.leaveAt = never
	if lease := a.rec.App.Duration("lease"); lease > 0 {
		a.leaveAt = c.now.Boot + lease
		if c.noteLease(a.rec, lease) {
			c.reg.PutApp(a.rec)
		}
	}
	c.scheduleApp(a)
}

// leave removes an application: its record, its holds and the intent to cancel
// what nobody holds any more are one commit.
func (c *Core) leave(a *app, why error) {
	rec := a.rec
	a.gone = why
	behind, over := c.leaveGroup(rec, !a.durable || (!errors.Is(why, errLeft) && !errors.Is(why, errSuperseded)))
	c.set(&a.timer, appTimer, rec.Seq, never)
	if c.rivals[rec.App.Key()] == rec.Seq {
		delete(c.rivals, rec.App.Key())
	}
	leaver := rec.Seq
	if errors.Is(why, errSuperseded) {
		leaver = 0 // its readers stay
	}
	entries := map[appregistry.EntryID]struct{}{}
	for _, h := range rec.Holdings {
		entries[h.Entry] = struct{}{}
	}
	published := union(rec.Published.Tokens, rec.Offered)
	c.departing = tenant(rec.App.Owner, rec.App.User)
	defer func() { c.departing = "" }()
	if behind != nil {
		c.counters.left++
		c.reg.PutApp(behind)
	} else {
		c.reg.DeleteApp(rec.Seq)
	}
	for _, seq := range over {
		for _, h := range c.reg.App(seq).Holdings {
			entries[h.Entry] = struct{}{}
		}
		c.deleteLeft(seq)
	}
	if rival := c.candidateFor(rec.App.Key()); rival != nil && rival.rec.Replaces == rec.Seq {
		c.standAlone(rival)
	}
	if rec.Ready {
		c.counters.ready--
	}
	for _, authority := range rec.Plan {
		s := c.supplyFor(planned(rec.App, authority))
		delete(s.planners, rec.Seq)
		if !c.inUse(s) {
			for _, e := range c.reg.SuppliedEntries(s.key) {
				entries[e] = struct{}{}
			}
			c.dropSupply(s)
		}
	}
	for _, e := range slices.Sorted(maps.Keys(entries)) {
		c.leaveEntry(e, leaver)
	}
	for _, id := range published {
		if t := c.token(id); t != nil {
			c.release(t, leaver)
		}
	}
	if !errors.Is(why, errSuperseded) && c.reg.AppByKey(rec.App.Key()) == nil {
		n := c.aboutApp(AppLeft, a)
		n.Reason = why.Error()
		c.notify(n)
	}
	c.commit.waiting = append(c.commit.waiting, waiter{
		run:  func() { c.answer(a, why) },
		lost: func(err error) { c.answer(a, err) },
	})
}

func (c *Core) leaveEntry(id appregistry.EntryID, leaver uint64) {
	for _, id := range slices.Clone(c.reg.TokensOf(id)) {
		if t := c.token(id); t != nil {
			c.release(t, leaver)
		}
	}
	c.sweepEntry(id)
}

// sweepEntry removes an entry without holders, and what would have supplied it.
func (c *Core) sweepEntry(id appregistry.EntryID) {
	e := c.reg.Entry(id)
	if e == nil || len(c.reg.Holders(id)) > 0 {
		return
	}
	c.reg.DeleteEntry(id)
	if s := c.supplies[e.Supply]; s != nil && !c.inUse(s) {
		c.dropSupply(s)
	}
}
