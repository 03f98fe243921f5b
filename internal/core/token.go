package core

import (
	"cmp"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// token is what the engine knows of a token besides its record. All times are
// boot times.
type token struct {
	rec   *appregistry.TokenRecord
	timer timer
	job   Job // a renewal or a cancel that is out; 0: none

	renewAt   time.Duration
	replaceAt time.Duration
	endAt     time.Duration // of its life; of being remembered, where it is only that
	releaseAt time.Duration // when its grace is over
	cancelAt  time.Duration

	failures  int
	doubt     doubt
	fixed     bool          // renewing does not extend it any more
	dead      bool          // its service said so
	renewedAt time.Duration // the last success
	readUntil time.Duration // when the last readers of a set with it look for the next one
	readBy    uint64        // whose readers they are; 0: those of several, or nobody knows
	gates     []uint64      // applications whose first set waits for its first answer
	stored    bool          // by an earlier session, and nothing is planned for it in this one
	warned    bool          // of an end that nobody here can put off
}

// doubt is a terminal answer that awaits its confirmation.
type doubt struct {
	is    bool
	kind  plugins.Kind
	since time.Duration
	wait  time.Duration
}

// next is when something will be done about the token; never where nothing is.
func (t *token) next() time.Duration {
	switch {
	case ended(t.rec.State):
		return t.endAt
	case leaving(t.rec.State) && t.job != 0:
		return never // whatever is due waits for the answer
	case leaving(t.rec.State):
		return min(t.cancelAt, t.endAt)
	}
	return min(t.renewAt, t.replaceAt, t.endAt, t.releaseAt)
}

func (c *Core) schedule(t *token) {
	if c.token(t.rec.ID) == t {
		c.set(&t.timer, tokenTimer, uint64(t.rec.ID), c.nextOf(t))
	}
}

// addToken begins to watch a token.
func (c *Core) addToken(rec *appregistry.TokenRecord) *token {
	c.counters.tokens[rec.State]++
	t := newToken(rec)
	rec.Attach(t)
	return t
}

func newToken(rec *appregistry.TokenRecord) *token {
	return &token{rec: rec, renewAt: never, replaceAt: never, endAt: never, releaseAt: never, cancelAt: never}
}

// forget drops a token's record: nothing depends on it any more.
func (c *Core) forget(t *token) {
	c.set(&t.timer, tokenTimer, uint64(t.rec.ID), never)
	c.counters.tokens[t.rec.State]--
	c.reg.DeleteToken(t.rec.ID)
	c.answerCommands(t, appregistry.ErrNotFound)
	delete(c.demands, t.rec.ID)
}

// tokenDue is called when a token's timer fires.
func (c *Core) tokenDue(t *token) {
	if t == nil {
		return
	}
	t.timer = timer{}
	now := c.now.Boot
	switch {
	case ended(t.rec.State):
		if now >= t.endAt {
			c.forget(t)
		}
	case leaving(t.rec.State):
		if now >= t.endAt {
			c.giveUp(t)
		} else if now >= t.cancelAt {
			c.cancelDue(t)
		}
	default:
		c.liveDue(t, now)
	}
	c.schedule(t)
}

func (c *Core) liveDue(t *token, now time.Duration) {
	if now >= t.endAt {
		c.reachEnd(t)
	}
	if now >= t.releaseAt && c.token(t.rec.ID) == t {
		t.releaseAt = never
		c.letGo(t)
	}
	if ended(t.rec.State) || leaving(t.rec.State) || c.token(t.rec.ID) != t {
		return
	}
	if now >= t.replaceAt {
		t.replaceAt = never
		if c.obtainable(t) {
			c.replace(t, "its max date comes near")
		} else {
			c.warn(t)
		}
	}
	if now >= t.renewAt {
		c.renew(t)
	}
	c.demandDue(t)
}

// entry is the token's entry, nil where that is gone.
func (c *Core) entry(t *token) *appregistry.EntryRecord { return c.reg.Entry(t.rec.Entry) }

// current reports whether the token is its entry's current one.
func (c *Core) current(t *token) bool {
	e := c.entry(t)
	return e != nil && e.Current == t.rec.ID
}

// candidate reports whether the token was obtained for its entry and has not
// taken its place there yet. Numbers grow, so a retiring token's is lower.
func (c *Core) candidate(t *token) bool {
	e := c.entry(t)
	return e != nil && t.rec.Obtained && e.Current < t.rec.ID && !leaving(t.rec.State) && !ended(t.rec.State)
}

// obtainable reports whether a successor can be got, and somebody wants it.
func (c *Core) obtainable(t *token) bool {
	e := c.entry(t)
	return e != nil && e.Supply != (appregistry.Supply{}) && c.handsOff(t.rec) == "" && e.Current == t.rec.ID && c.reg.Followed(e.ID)
}

// remains is how much life the token has left; 0 where it has none or nobody knows.
func (c *Core) remains(t *token) time.Duration {
	if t.endAt == never {
		return 0
	}
	return max(0, t.endAt-c.now.Boot)
}

// plan sets a token's times from its dates.
func (c *Core) plan(t *token) {
	defer t.round(c.now.Boot)
	t.renewAt, t.replaceAt = never, never
	p := c.policyOf(t)
	now, r := c.now.Boot, t.rec
	since := c.since(t)
	t.endAt = min(c.clocks.last(r.Authority, r.Expires), c.clocks.last(r.Authority, r.Max))
	if r.State == appregistry.Foreign {
		c.planWarning(t, p)
		return
	}
	life := min(c.clocks.boot(r.Authority, r.Expires), c.clocks.boot(r.Authority, r.Max))
	if r.Expires.IsZero() {
		// Nobody told the expiry: some default, never infinity, drives the plan.
		life = min(life, max(since+cmp.Or(p.DefaultValidity, 12*time.Hour), now+leastWait))
	}
	if c.clocks.doubtful[r.Authority] {
		life = min(life, now+cmp.Or(p.DefaultValidity, 12*time.Hour))
	}
	if life <= now {
		if c.renewable(t, p) {
			// Past its end and not past its max: a service that has not swept it
			// yet renews it. Its end is judged after the answer.
			t.renewAt = now
			if t.endAt <= now {
				t.endAt = never
			}
		} else if t.endAt > now && c.obtainable(t) {
			t.replaceAt = now
		}
		return
	}
	again := max(now, since+p.RenewAfter(life-since, c.random))
	if c.renewable(t, p) {
		t.renewAt = again
	}
	if !c.obtainable(t) {
		if c.current(t) && c.reg.Followed(r.Entry) {
			c.planWarning(t, p)
		}
		return
	}
	if t.renewAt == never {
		t.replaceAt = again
	}
	if !r.Max.IsZero() {
		lead := p.LeadBeforeMax(r.Max.Sub(r.Issued))
		t.replaceAt = min(t.replaceAt, max(now, c.clocks.boot(r.Authority, r.Max)-lead))
	}
}

// planWarning plans to tell of the end of a token that will have no successor.
func (c *Core) planWarning(t *token, p Policy) {
	if end := c.lastEnd(t); end != never && !t.warned && end > c.now.Boot {
		lead := p.LeadBeforeMax(end - c.clocks.boot(t.rec.Authority, t.rec.Issued))
		t.replaceAt = max(c.now.Boot, end-lead)
	}
}

// since is when the token's present life began: its last renewal or its issue, as
// far as we know. A restart in between must not put the next one off.
func (c *Core) since(t *token) time.Duration {
	if t.rec.Proof == appregistry.ProofNone || t.rec.ProvedAt.IsZero() {
		return c.now.Boot
	}
	return min(c.now.Boot, c.clocks.boot(t.rec.Authority, t.rec.ProvedAt))
}

// round drops what is below a millisecond, the unit of the wheel and of the
// services' dates: rounded down, nothing comes late, and it takes less memory.
func (t *token) round(now time.Duration) {
	for _, at := range []*time.Duration{&t.renewAt, &t.replaceAt, &t.endAt} {
		if *at != never {
			*at = max(min(*at, now), at.Truncate(time.Millisecond))
		}
	}
}

// judgeEnd takes a token's end for what its dates say, when the renewal that
// might have moved it did not.
func (c *Core) judgeEnd(t *token) {
	if t.endAt == never && t.rec.State != appregistry.Expired {
		t.endAt = min(c.clocks.last(t.rec.Authority, t.rec.Expires), c.clocks.last(t.rec.Authority, t.rec.Max))
	}
}

// renewable reports whether a renewal can extend the token.
func (c *Core) renewable(t *token, p Policy) bool {
	r := t.rec
	atMax := !r.Max.IsZero() && !r.Expires.IsZero() && !r.Expires.Before(r.Max)
	return r.Ours && !t.fixed && !atMax && !p.ReplaceOnly && c.handsOff(r) == ""
}

// policyOf is the policy for a token: that of its oldest holder, of those who get
// its successors where there are any. Who only carries it has no say, and nobody
// may stop the renewals that others depend on.
func (c *Core) policyOf(t *token) Policy {
	p, found, unwanted := c.policyAt(nil, t.rec), false, true
	followed := c.reg.Followed(t.rec.Entry)
	for _, seq := range c.reg.Holders(t.rec.Entry) {
		h := c.reg.Holder(seq)
		follows, given := holdOn(h.Holdings, t.rec.Entry)
		if !given {
			continue
		}
		own := c.policyAt(h.Overlay, t.rec)
		unwanted = unwanted && own.ReplaceOnly
		if !found && (follows || !followed) {
			p, found = own, true
		}
		if found && !unwanted {
			p.ReplaceOnly = false
			break
		}
	}
	return p
}

// renewFor plans the renewals of a token that no holder before this one wanted.
func (c *Core) renewFor(a *app, t *token) {
	s := t.rec.State
	if t.renewAt != never || t.job != 0 || s == appregistry.New || ended(s) || leaving(s) ||
		c.policyAt(a.rec.App.Overlay, t.rec).ReplaceOnly || !c.renewable(t, c.policyOf(t)) {
		return
	}
	if c.plan(t); t.rec.Proof == appregistry.ProofNone {
		t.renewAt = c.now.Boot
	}
	c.schedule(t)
}

// holdOn reports whether an application gets an entry's successors, and whether it
// is given anything of it.
func holdOn(holdings []appregistry.Holding, e appregistry.EntryID) (follows, given bool) {
	for i := range holdings {
		if h := &holdings[i]; h.Entry == e && !h.Carried {
			follows, given = follows || !h.Lent, true
		}
	}
	return follows, given
}

// resting is the state of a token about which nothing is known to be wrong.
func (c *Core) resting(t *token) appregistry.State {
	switch {
	case c.candidate(t):
		return appregistry.Proving
	case !c.current(t):
		return appregistry.Retiring
	case t.rec.Proof == appregistry.ProofNone:
		return appregistry.Proving
	case c.wanted(c.entry(t).Supply):
		return appregistry.Replacing
	case !c.reg.IsPublished(t.rec.ID):
		return appregistry.Publishing
	}
	return appregistry.Live
}

// reachEnd is called when a token's life is over.
func (c *Core) reachEnd(t *token) {
	first := t.rec.State != appregistry.Expired
	max := c.clocks.last(t.rec.Authority, t.rec.Max)
	mayReturn := t.rec.Ours && max > c.now.Boot
	if !mayReturn {
		c.dropCarried(t)
	}
	if !c.reg.Referenced(t.rec.ID) && !c.candidate(t) {
		c.forget(t)
		c.sweepEntry(t.rec.Entry)
		c.openTokenGates(t, nil) // who waits for it has its successor
		return
	}
	if first {
		what := TokenEnded
		if c.obtainable(t) || (mayReturn && t.rec.Proof != appregistry.ProofNone) {
			what = TokenLost
		}
		if !c.ignored(t) {
			c.notify(c.aboutToken(what, t))
		}
	}
	t.endAt = never
	if mayReturn && max != never {
		t.endAt = max
	}
	if !mayReturn {
		t.renewAt = never
	}
	c.toLater(t, appregistry.Expired, "past its end")
	if c.obtainable(t) {
		t.replaceAt = never
		c.want(c.entry(t).Supply)
	}
	if !mayReturn && len(t.gates) > 0 {
		c.endGates(t)
	}
}

// aboutToken begins a notice about a token. Where nobody hears it, it says no
// more than what it is.
func (c *Core) aboutToken(what What, t *token) Notify {
	if !c.hears(what) {
		return Notify{What: what}
	}
	n := Notify{
		What: what, Authority: t.rec.Authority, Token: t.rec.ID, Fingerprint: t.rec.Digests().Fingerprint,
		Kind: t.rec.Token.Kind, Service: t.rec.Token.Service, Reason: t.rec.Reason, Expires: t.rec.Expires,
	}
	n.Apps = c.holdersOf(t.rec.Entry, 16)
	return n
}

// aboutApp is a notice about an application, or begins one, in the same way.
func (c *Core) aboutApp(what What, a *app) Notify {
	n := Notify{What: what}
	if c.hears(what) {
		n.Apps = []appregistry.AppKey{a.rec.App.Key()}
	}
	return n
}
