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
	_, err := c.loader.Load(key, value)
	return err
}

// start begins a session: a new epoch, and everything planned anew from the
// records. Nothing goes out before the store has the epoch.
func (c *Core) start() {
	c.loader.Done()
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
	restored := c.reg.AppSeqs()
	each(c, restored, c.restoreApp)
	c.afterCommit(func() { c.resume(restored) })
}

func (c *Core) restoreApp(seq uint64) {
	a := c.addApp(c.reg.App(seq))
	a.durable, a.restored, a.updateAt = true, true, c.ownClock(a.rec.Published.NextUpdate)
	for _, authority := range a.rec.Plan {
		c.supplyFor(planned(a.rec.App, authority)).planners[seq] = struct{}{}
	}
}

// restoreTokens brings records into the states that they have after a restart:
// what was under way is under way no more.
func (c *Core) restoreTokens(elsewhere bool) {
	each(c, c.reg.TokenIDs(), func(id appregistry.TokenID) { c.restoreToken(c.reg.Token(id), elsewhere) })
}

func (c *Core) restoreToken(rec *appregistry.TokenRecord, elsewhere bool) {
	c.clocks.restore(rec.Authority, rec.Skew)
	if rec.Proof != appregistry.ProofNone {
		c.clocks.passed(rec.Authority, rec.ProvedAt, c.now.Boot)
	}
	if elsewhere && rec.Proof != appregistry.ProofNone {
		rec.Proof = appregistry.ProofNone
		c.reg.PutToken(rec)
	}
	switch s := rec.State; {
	case leaving(s):
		rec.State = appregistry.CancelPending
	case ended(s):
	case rec.Ours && c.handsOff(rec) != "":
		rec.State, rec.Reason = appregistry.Foreign, c.handsOff(rec)
	case rec.Ours && rec.Proof != appregistry.ProofNone && rec.Reason == "" && (s == appregistry.Live || s == appregistry.Publishing):
		// It rests as most do, and most will be found as they were: those need
		// not be written again.
	case rec.Ours || s != appregistry.Foreign:
		rec.State = appregistry.New
	}
	c.addToken(rec).readUntil = c.ownClock(rec.ReadUntil)
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
	type due struct {
		at time.Duration
		id appregistry.TokenID
	}
	var tokens []due
	each(c, c.reg.TokenIDs(), func(id appregistry.TokenID) {
		if t := c.token(id); t != nil && t.job == 0 && !t.timer.isSet() {
			c.resumeToken(t)
			tokens = append(tokens, due{c.lastEnd(t), id})
		}
	})
	slices.SortStableFunc(tokens, func(a, b due) int { return cmp.Compare(a.at, b.at) })
	var loose []appregistry.TokenID // in their grace, or their holder's leaving was cut short
	each(c, tokens, func(d due) {
		t := c.token(d.id)
		if t == nil {
			return
		}
		c.schedule(t)
		if !c.reg.Referenced(d.id) {
			loose = append(loose, d.id)
		}
	})
	each(c, apps, func(seq uint64) {
		if a := c.app(seq); a != nil {
			c.resumeApp(a)
		}
	})
	each(c, loose, func(id appregistry.TokenID) {
		if t := c.token(id); t != nil {
			c.release(t)
		}
	})
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
	if to := c.resting(t); to != t.rec.State || t.rec.Reason != "" {
		c.toLater(t, to, "")
	}
	unknown := t.rec.Expires.IsZero() || t.rec.Proof == appregistry.ProofNone || c.candidate(t) || c.clocks.isDoubtful(t.rec.Authority)
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
		// Whatever a stepped clock says, it was to stay no longer than this.
		most := max(a.rec.App.Duration("linger"), groupWait)
		a.leaveAt = c.now.Boot + min(max(0, left.Sub(c.now.Wall)), most)
		c.scheduleApp(a)
	}
	a.open = 1
	c.begin(a)
	if a.rec.Ready && a.rec.Replaces == 0 {
		a.open = 1 // it has had its first set
	}
	c.pass(a.rec.Seq, appregistry.Authority{}, nil, false)
}
