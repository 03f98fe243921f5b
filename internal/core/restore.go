package core

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math"
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

// stored is what is found out about records while they are loaded, so that none
// has to be opened before somebody asks for it.
type stored struct {
	clocks map[appregistry.Authority]*storedClock
	tokens []storedToken
	apps   []uint64
}

// storedClock is what an authority's tokens say about its clock.
type storedClock struct {
	skews []time.Duration // those that differ from the one before
	shown time.Time       // the latest date that it has shown
	skew  time.Duration   // then
}

type storedToken struct {
	id  appregistry.TokenID
	end int64 // in milliseconds, by its service's clock
}

func (s *stored) left() int { return len(s.tokens) + len(s.apps) }

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

// storedApp takes note of an application that was loaded.
func (c *Core) storedApp(rec *appregistry.AppRecord) {
	c.noteApp(rec)
	c.stored.apps = append(c.stored.apps, rec.Seq)
	for _, authority := range rec.Plan {
		c.supplyFor(planned(rec.App, authority)).planners[rec.Seq] = struct{}{}
	}
}

// storedToken takes note of a token that was loaded, and brings it into the state
// that it has after a restart.
func (c *Core) storedToken(rec *appregistry.TokenRecord) {
	s := c.stored.clocks[rec.Authority]
	if s == nil {
		s = &storedClock{}
		c.stored.clocks[rec.Authority] = s
	}
	if last := len(s.skews) - 1; last < 0 || s.skews[last] != rec.Skew {
		s.skews = append(s.skews, rec.Skew)
	}
	if rec.Proof != appregistry.ProofNone && rec.ProvedAt.After(s.shown) {
		s.shown, s.skew = rec.ProvedAt, rec.Skew
	}
	end := int64(math.MaxInt64)
	for _, date := range [...]time.Time{rec.Expires, rec.Max} {
		if !date.IsZero() {
			end = min(end, date.UnixMilli())
		}
	}
	c.stored.tokens = append(c.stored.tokens, storedToken{rec.ID, end})
	c.afterRestart(rec)
	c.counters.tokens[rec.State]++
}

// afterRestart brings a record into the state that it has after a restart: what
// was under way is under way no more.
func (c *Core) afterRestart(rec *appregistry.TokenRecord) {
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
	c.startPauses()
	c.restoreClocks()
	if elsewhere {
		c.dropProofs()
	}
	c.afterCommit(c.resume)
}

func (c *Core) restoreClocks() {
	for authority, s := range c.stored.clocks {
		for _, skew := range s.skews {
			if skew < 0 || skew == s.skew { // of how far it was ahead the last counts
				c.clocks.restore(authority, skew)
			}
		}
		if !s.shown.IsZero() {
			c.clocks.passed(authority, s.shown, c.now.Boot)
			c.clocks.shown[authority] = s.shown.Add(-c.now.Boot)
		}
	}
	c.stored.clocks = nil
}

// dropProofs has all proved again, in the commit that makes the store ours: half of
// it would be taken for all by the session after a crash.
func (c *Core) dropProofs() {
	each(c, c.stored.tokens, func(s storedToken) {
		rec := c.token(s.id).rec
		if rec.Proof == appregistry.ProofNone {
			return
		}
		rec.Proof = appregistry.ProofNone
		c.counters.tokens[rec.State]--
		c.afterRestart(rec)
		c.counters.tokens[rec.State]++
		c.reg.PutToken(rec)
	})
}

// restoredToken is a token of an earlier session that nobody has asked for in this one.
func (c *Core) restoredToken(rec *appregistry.TokenRecord) *token {
	t := newToken(rec)
	if t.stored = true; !rec.ReadUntil.IsZero() {
		t.readUntil = max(c.ownClock(rec.ReadUntil), c.toldAtMost(t))
	}
	return t
}

func (c *Core) restoredApp(rec *appregistry.AppRecord) *app {
	a := newApp(rec)
	a.durable, a.restored, a.updateAt = true, true, c.ownClock(rec.Published.NextUpdate)
	if left := rec.LeaveAt; !left.IsZero() {
		// Whatever a stepped clock says, it was to stay no longer than this.
		most := max(rec.App.Duration("linger"), groupWait)
		a.leaveAt = c.now.Boot + min(max(0, left.Sub(c.now.Wall)), most)
	} else if !rec.LeaseEnd.IsZero() {
		a.leaveAt = c.now.Boot + c.leaseLeft(rec)
	}
	return a
}

// ownClock is when our own clock shows the date, unless it is stepped; 0 for the
// zero date.
func (c *Core) ownClock(date time.Time) time.Duration {
	if date.IsZero() {
		return 0
	}
	return c.now.Boot + min(max(date.Sub(c.now.Wall), -farthest), farthest)
}

// pending is what was stored and is to be set going.
type pending struct {
	going  bool                  // the store has this session's epoch
	urgent []storedToken         // what ends soon or has ended, first in front
	apps   []uint64              // with what they hold: records that were made together lie together
	tokens []storedToken         // all, by number; what is done has [done] as its end
	at     int                   // of tokens: those before it are done
	loose  []appregistry.TokenID // in their grace, or their holder's leaving was cut short
}

// done is the end of a token that needs no look any more.
const done = math.MinInt64

func (p *pending) left() int { return len(p.apps) + len(p.tokens) - p.at }

// mark takes note that a token is done.
func (p *pending) mark(id appregistry.TokenID) {
	if at, ok := slices.BinarySearchFunc(p.tokens, id, storedToken.compare); ok {
		p.tokens[at].end = done
	}
}

// rest takes some of the tokens that are not done.
func (p *pending) rest(some int) (ids []appregistry.TokenID) {
	for ; p.at < len(p.tokens) && len(ids) < some; p.at++ {
		if t := p.tokens[p.at]; t.end != done {
			ids = append(ids, t.id)
		}
	}
	return ids
}

func (t storedToken) compare(id appregistry.TokenID) int { return cmp.Compare(t.id, id) }

const (
	// fewAtOnce is how much a tick sets going, and how many due timers a step takes on:
	// other events wait so long.
	fewAtOnce = 500
	// soon is what ends so near that it is set going before the rest: no service
	// gives less than it takes to look at all.
	soon = time.Hour
)

// resume begins to set everything going.
func (c *Core) resume() {
	p := &c.pending
	*p = pending{going: true, tokens: c.stored.tokens, apps: c.stored.apps}
	c.stored = stored{}
	if byID := func(a, b storedToken) int { return cmp.Compare(a.id, b.id) }; !slices.IsSortedFunc(p.tokens, byID) {
		slices.SortFunc(p.tokens, byID) // no store's order, but nothing says that it must be
	}
	urgent := c.now.Wall.Add(soon).UnixMilli()
	for _, t := range p.tokens {
		if t.end < urgent {
			p.urgent = append(p.urgent, t)
		}
	}
	slices.SortFunc(p.urgent, func(a, b storedToken) int { return cmp.Or(cmp.Compare(a.end, b.end), cmp.Compare(a.id, b.id)) })
	c.resumeSome()
}

// resumeSome sets some more going. What somebody asks for meanwhile does not wait;
// see [Core.token].
func (c *Core) resumeSome() {
	p := &c.pending
	some := cmp.Or(c.cfg.AtOnce, fewAtOnce)
	switch {
	case len(p.urgent) > 0:
		each(c, next(&p.urgent, some), func(s storedToken) { c.resumeStored(s.id) })
	case len(p.apps) > 0:
		each(c, next(&p.apps, some), c.resumeApp)
	case p.at < len(p.tokens):
		each(c, p.rest(some), c.resumeStored)
	case len(p.loose) > 0:
		each(c, next(&p.loose, some), func(id appregistry.TokenID) {
			if t := c.token(id); t != nil {
				c.release(t, 0)
			}
		})
	}
	if p.left()+len(p.loose) == 0 {
		*p = pending{}
	}
}

// next takes some off the front.
func next[T any](all *[]T, some int) []T {
	some = min(some, len(*all))
	part := (*all)[:some]
	*all = (*all)[some:]
	return part
}

func (c *Core) resumeStored(id appregistry.TokenID) {
	c.pending.mark(id)
	t := c.token(id)
	if t == nil {
		return
	}
	if t.stored {
		c.resumeToken(t)
	}
	if !c.reg.Referenced(id) {
		c.pending.loose = append(c.pending.loose, id)
	}
}

func (c *Core) resumeToken(t *token) {
	t.stored = false
	defer c.schedule(t)
	switch s := t.rec.State; {
	case ended(s):
		t.endAt = c.rememberedUntil(t)
		return
	case leaving(s):
		c.cancelAgain(t)
		if t.endAt = c.lastEnd(t); t.endAt == never {
			t.endAt = c.now.Boot + rememberFor
		}
		return
	}
	// What a service said stands in no record: about a token that was in trouble it is
	// asked again.
	troubled := t.rec.State == appregistry.New && t.rec.Reason != ""
	c.plan(t)
	if t.rec.State == appregistry.Foreign {
		return
	}
	if to := c.resting(t); to != t.rec.State || t.rec.Reason != "" {
		c.toLater(t, to, "")
	}
	unknown := troubled || t.rec.Expires.IsZero() || t.rec.Proof == appregistry.ProofNone || c.candidate(t) || c.clocks.doubtful[t.rec.Authority]
	if unknown && c.renewable(t, c.policyOf(t)) {
		t.renewAt = c.now.Boot
	} else if c.candidate(t) {
		c.promote(t)
	} else if c.clocks.doubtful[t.rec.Authority] && c.obtainable(t) {
		t.replaceAt = c.now.Boot // no renewal tells what time it is there
	}
}

func (c *Core) resumeApp(seq uint64) {
	a := c.app(seq)
	if a == nil {
		return
	}
	for _, h := range a.rec.Holdings {
		rec := c.reg.Resolve(h)
		if rec == nil {
			continue
		}
		if t := c.token(rec.ID); !t.stored {
			c.pending.mark(rec.ID) // it is held, so that it is not let go
		}
	}
	if a.rec.Left {
		return
	}
	if a.rec.Replaces != 0 && c.reg.App(a.rec.Replaces) == nil {
		c.standAlone(a) // an earlier release let one leave while the other waited
	}
	if a.rec.LeaveAt.IsZero() && a.rec.LeaseEnd.IsZero() {
		c.stay(a)
	} else {
		c.scheduleApp(a)
	}
	a.open = 1
	c.begin(a)
	if a.rec.Ready && a.rec.Replaces == 0 {
		a.open = 1 // it has had its first set
	}
	if a.rec.Replaces != 0 && a.rec.App.Verify == appregistry.VerifyRenew { // what it is to replace is good
		for _, h := range a.rec.Holdings {
			if t := c.token(h.Token); t != nil {
				c.hangGate(a, t)
			}
		}
	}
	c.pass(a.rec.Seq, appregistry.Authority{}, nil, false)
}
