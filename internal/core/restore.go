package core

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
)

// headerKey is the record that says whose store this is. Nothing changes it
// during a session, so it is the fence of every commit.
const headerKey = "header"

type header struct {
	V        int    `json:"v"`
	Epoch    uint32 `json:"epoch"`
	Instance string `json:"instance"`
	// Session is the seed of the session that wrote it: no two headers are equal.
	Session uint64 `json:"session"`
}

// Load takes one record of the store, in the store's order, before Start. The
// core keeps no slice of it.
func (c *Core) Load(key, value []byte) error {
	if string(key) == headerKey {
		c.commit.header = bytes.Clone(value)
		return nil
	}
	_, err := c.reg.Load(key, value)
	return err
}

// start begins a session: a new epoch, and everything planned anew from the
// records. Nothing goes out before the store has the epoch.
func (c *Core) start() {
	c.clocks.wall = c.now.Wall.Add(-c.now.Boot)
	var h header
	if c.commit.header != nil {
		if err := json.Unmarshal(c.commit.header, &h); err != nil || h.V > appregistry.RecordVersion {
			c.stop(fmt.Errorf("header of version %d: %w", h.V, cmp.Or(err, appregistry.ErrNewer)), nil)
			return
		}
	}
	elsewhere := c.commit.header != nil && h.Instance != c.cfg.Instance
	c.epoch = h.Epoch + 1
	next, err := json.Marshal(header{V: appregistry.RecordVersion, Epoch: c.epoch, Instance: c.cfg.Instance, Session: c.cfg.Seed})
	if err != nil {
		panic("core: " + err.Error()) // numbers and a string
	}
	if !c.cfg.Volatile {
		c.commit.next = next
	}
	if c.reg.CancelsPaused() {
		c.emit(Notify{What: CancelsPaused, Op: "cancel"})
	}
	c.restoreTokens(elsewhere)
	for _, seq := range c.reg.AppSeqs() {
		a := c.addApp(c.reg.App(seq))
		a.durable, a.restored, a.updateAt = true, true, c.ownClock(a.rec.Published.NextUpdate)
		for _, authority := range a.rec.Plan {
			c.supplyFor(planned(a.rec.App, authority)).planners[seq] = struct{}{}
		}
	}
	restored := c.reg.AppSeqs()
	c.afterCommit(func() { c.resume(restored) })
}

// restoreTokens brings records into the states that they have after a restart:
// what was under way is under way no more.
func (c *Core) restoreTokens(elsewhere bool) {
	for _, id := range c.reg.TokenIDs() {
		rec := c.reg.Token(id)
		c.clocks.restore(rec.Authority, rec.Skew)
		if elsewhere && rec.Proof != appregistry.ProofNone {
			rec.Proof = appregistry.ProofNone
			c.reg.PutToken(rec)
		}
		switch {
		case leaving(rec.State):
			rec.State = appregistry.CancelPending
		case ended(rec.State):
		case rec.Ours && c.handsOff(rec) != "":
			rec.State, rec.Reason = appregistry.Foreign, c.handsOff(rec)
		case rec.Ours || rec.State != appregistry.Foreign:
			rec.State = appregistry.New
		}
		c.addToken(rec).readUntil = c.ownClock(rec.ReadUntil)
	}
}

// ownClock is when our own clock shows the date, unless it is stepped; 0 for the
// zero date.
func (c *Core) ownClock(date time.Time) time.Duration {
	if date.IsZero() {
		return 0
	}
	return c.now.Boot + min(max(date.Sub(c.now.Wall), -farthest), farthest)
}

// resume sets everything going, what ends first in front.
func (c *Core) resume(apps []uint64) {
	tokens := make([]*token, 0, c.reg.Tokens())
	for _, id := range c.reg.TokenIDs() {
		if t := c.token(id); t.job == 0 && !t.timer.isSet() {
			c.resumeToken(t)
			tokens = append(tokens, t)
		}
	}
	slices.SortStableFunc(tokens, func(a, b *token) int { return cmp.Compare(c.lastEnd(a), c.lastEnd(b)) })
	for _, t := range tokens {
		c.schedule(t)
	}
	for _, seq := range apps {
		if a := c.app(seq); a != nil {
			c.resumeApp(a)
		}
	}
	for _, t := range tokens {
		if c.token(t.rec.ID) == t {
			c.release(t) // it was in its grace, or its holder's leaving was cut short
		}
	}
}

func (c *Core) resumeToken(t *token) {
	switch s := t.rec.State; {
	case ended(s):
		t.endAt = c.rememberedUntil(t)
		return
	case leaving(s):
		t.cancelAt = c.now.Boot
		if t.endAt = c.lastEnd(t); t.endAt == never {
			t.endAt = c.now.Boot + rememberFor
		}
		return
	}
	c.plan(t)
	if t.rec.State == appregistry.Foreign {
		return
	}
	c.toLater(t, c.resting(t), "")
	unknown := t.rec.Expires.IsZero() || t.rec.Proof == appregistry.ProofNone || c.candidate(t)
	if unknown && c.renewable(t, c.policyOf(t)) {
		t.renewAt = c.now.Boot
	} else if c.candidate(t) {
		c.promote(t)
	}
}

func (c *Core) resumeApp(a *app) {
	if left := a.rec.LeaveAt; left.IsZero() {
		c.stay(a)
	} else {
		a.leaveAt = max(c.now.Boot, c.now.Boot+left.Sub(c.now.Wall))
		c.scheduleApp(a)
	}
	a.open = 1
	c.begin(a)
	if a.rec.Ready && a.rec.Replaces == 0 {
		a.open = 1 // it has had its first set
	}
	c.pass(a.rec.Seq, appregistry.Authority{}, nil, false)
}
