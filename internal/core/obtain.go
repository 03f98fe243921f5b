package core

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// supply obtains the tokens of one place: for one application, for all of a
// user's that share, or the successors of one brought token. It makes one call
// for one authority at a time, and fails and waits apart from all others.
type supply struct {
	key      appregistry.Supply
	num      uint64
	timer    timer
	job      Job
	wanted   bool // until an obtain succeeds
	failures int
	doubt    doubt
	reason   string              // of the last failure; "" after a success
	planners map[uint64]struct{} // applications whose plan names it
	gates    []uint64            // applications whose first set waits for it
	demand   *demand             // nil: nobody ever asked
}

// supplyFor returns the supply, made where it is not there.
func (c *Core) supplyFor(key appregistry.Supply) *supply {
	s := c.supplies[key]
	if s == nil {
		c.lastSupply++
		s = &supply{key: key, num: c.lastSupply, planners: map[uint64]struct{}{}}
		c.supplies[key], c.numbered[s.num] = s, s
	}
	return s
}

// planned is the supply that serves an application's plan at an authority.
func planned(app appregistry.App, a appregistry.Authority) appregistry.Supply {
	s := appregistry.Supply{Authority: a, User: app.User, App: app.Key()}
	if app.Share == appregistry.ShareUser {
		s.App = appregistry.AppKey{}
	}
	return s
}

func (c *Core) wanted(key appregistry.Supply) bool {
	s := c.supplies[key]
	return s != nil && s.wanted
}

// inUse reports whether anybody would take what the supply brings.
func (c *Core) inUse(s *supply) bool {
	if len(s.planners) > 0 {
		return true
	}
	for _, e := range c.reg.SuppliedEntries(s.key) {
		if c.reg.Followed(e) {
			return true
		}
	}
	return false
}

// want asks for an obtain, now, unless one is under way or waits after a failure.
func (c *Core) want(key appregistry.Supply) {
	s := c.supplyFor(key)
	if s.wanted || c.closed(key.Authority) != "" {
		return
	}
	s.wanted = true
	c.obtain(s)
}

func (c *Core) supplyDue(s *supply) {
	if s == nil {
		return
	}
	s.timer = timer{}
	switch {
	case s.job != 0:
	case s.demand != nil && s.demand.at <= c.now.Boot:
		c.supplyAsked(s)
	case s.wanted:
		c.obtain(s)
	}
}

func (c *Core) obtain(s *supply) {
	if !c.inUse(s) {
		c.dropSupply(s)
		return
	}
	app := c.sponsor(s)
	s.job = c.startJob(job{what: obtainJob, supply: s, keep: c.keepsUnwanted(s)})
	s.demand.begun(c.now.Boot)
	req := plugins.ObtainRequest{User: s.key.User, Services: []string{s.key.Authority.Name}}
	a := Obtain{Job: s.job, Authority: s.key.Authority, Tenant: s.key.User, First: !c.succeeds(s), Before: c.neededBy(s)}
	if app != nil {
		req.App, req.Conf = string(app.ID), app.Overlay
		a.Tenant, a.Timeout = tenant(app.Owner, app.User), c.longestWish(c.users(s))
	}
	a.Request = req
	c.emit(a)
}

// users are the applications that the supply works for, oldest first: those that
// get its successors.
func (c *Core) users(s *supply) []uint64 {
	users := slices.Collect(maps.Keys(s.planners))
	for _, e := range c.reg.SuppliedEntries(s.key) {
		for _, seq := range c.reg.Holders(e) {
			if follows, _ := holdOn(c.reg.Holder(seq).Holdings, e); follows {
				users = append(users, seq)
			}
		}
	}
	slices.Sort(users)
	return slices.Compact(users)
}

// sponsor is the application whose settings an obtain uses: the oldest.
func (c *Core) sponsor(s *supply) *appregistry.App {
	for _, seq := range c.users(s) {
		return &c.reg.App(seq).App
	}
	return nil
}

// wishes are the settings of the supply's sponsor.
func (c *Core) wishes(s *supply) appregistry.Overlay {
	if app := c.sponsor(s); app != nil {
		return app.Overlay
	}
	return nil
}

func (c *Core) keepsUnwanted(s *supply) bool {
	return slices.ContainsFunc(c.users(s), func(seq uint64) bool {
		return c.reg.App(seq).App.Ending() == appregistry.KeepAll
	})
}

// currents are the tokens that the supply's next answer takes the place of.
func (c *Core) currents(s *supply) []*token {
	var all []*token
	aliases := c.reg.SuppliedEntries(s.key)
	for _, alias := range sortedKeys(aliases) {
		if t := c.token(c.reg.Entry(aliases[alias]).Current); t != nil {
			all = append(all, t)
		}
	}
	return all
}

// neededBy is when the first of the supply's tokens ends; never where it has none.
func (c *Core) neededBy(s *supply) time.Duration {
	at := never
	for _, t := range c.currents(s) {
		if t.endAt > c.now.Boot {
			at = min(at, t.endAt)
		}
	}
	return at
}

// succeeds reports whether what the supply brings is to follow a token that is
// good, seen by more than dates that anybody may have written.
func (c *Core) succeeds(s *supply) bool {
	return slices.ContainsFunc(c.currents(s), func(t *token) bool {
		return t.endAt > c.now.Boot && t.rec.Proof != appregistry.ProofNone && t.rec.State != appregistry.Expired
	})
}

func (c *Core) obtained(ev Obtained) {
	j, ok := c.takeJob(ev.Job, obtainJob)
	if !ok {
		return
	}
	s, late := j.supply, j.late
	if ev.Unfinished {
		j.late = true
		c.jobs[ev.Job] = j
	}
	if ev.Unfinished || errors.Is(ev.Err, context.DeadlineExceeded) || plugins.CodeOf(ev.Err) == plugins.CodeAnswerLost {
		c.notify(Notify{
			What: GrantOrphaned, Op: "obtain", Apps: c.keysOf(c.users(s)), Authority: s.key.Authority,
			Err: ev.Err, Reason: "it may have issued a token that nobody received", Expires: c.orphanEnds(s),
		})
	}
	switch {
	case c.supplies[s.key] != s || !c.inUse(s):
		c.discard(s, ev.Grants, j.keep)
		c.dropSupply(s)
	case !late, ev.Err == nil && s.wanted && s.job == 0:
		c.supplied(s, ev, max(j.sent, ev.Sent))
		c.discardRest(s, ev.Grants, j.keep)
	default: // another call was sent meanwhile, or has brought what was wanted
		c.discard(s, ev.Grants, j.keep)
	}
}

// orphanEnds is when a token issued now ends at the latest, if it lives as long as
// those before it; zero: there was none to go by.
func (c *Core) orphanEnds(s *supply) (ends time.Time) {
	now := c.clocks.date(s.key.Authority, c.now.Boot)
	for _, t := range c.currents(s) {
		life := t.rec.Max.Sub(t.rec.Issued)
		if end := now.Add(life); !t.rec.Issued.IsZero() && life > 0 && end.After(ends) {
			ends = end
		}
	}
	return ends
}

// supplied takes the answer to an obtain that somebody waits for.
func (c *Core) supplied(s *supply, ev Obtained, sent time.Duration) {
	grants, err := ev.Grants, ev.Err
	if err == nil {
		c.learnClock(s.key.Authority, grants, sent)
		grants, err = c.checkGrants(s, grants)
	}
	if err != nil {
		s.job = 0
		c.supplyFailed(s, err)
		return
	}
	c.set(&s.timer, supplyTimer, s.num, never)
	s.wanted, s.failures, s.doubt, s.reason = false, 0, doubt{}, ""
	for _, g := range grants {
		c.place(s, g)
	}
	s.job = 0 // not before: the set is not ready while a part of it is
	c.answerSupply(s, nil)
	c.supplyReady(s)
}

// learnClock reads the authority's clock off new tokens. One that we know was
// issued some time ago, and given to another client since.
func (c *Core) learnClock(a appregistry.Authority, grants []Grant, sent time.Duration) {
	for _, g := range grants {
		d := appregistry.DigestsOf(a, g.Token)
		if issued := issued(g); !issued.IsZero() && c.reg.TokenByKey(d) == nil {
			c.clocks.issuedBetween(a, issued, sent, c.now.Boot)
		}
	}
}

// checkGrants takes all grants of an answer or none: one for each alias.
func (c *Core) checkGrants(s *supply, grants []Grant) ([]Grant, error) {
	byAlias := map[string]Grant{}
	for _, g := range grants {
		if err := c.checkGrant(s, g); err != nil {
			return nil, fmt.Errorf("obtain from %s: %w", s.key.Authority, err)
		}
		if g.Alias == "" {
			g.Alias = g.Token.Service
		}
		if other, twice := byAlias[g.Alias]; !twice || issued(g).After(issued(other)) {
			byAlias[g.Alias] = g
		}
	}
	if s.key.Entry != 0 {
		return c.successorOf(s, byAlias)
	}
	if len(byAlias) == 0 {
		return nil, fmt.Errorf("obtain from %s: no token in the answer", s.key.Authority)
	}
	out := make([]Grant, 0, len(byAlias))
	for _, alias := range sortedKeys(byAlias) {
		out = append(out, byAlias[alias])
	}
	return out, nil
}

// issued is when a grant's identifier says that it was issued; zero: it does not,
// or not so that its other dates can be true.
func issued(g Grant) time.Time {
	if g.Identity == nil {
		return time.Time{}
	}
	at := g.Identity.Issued
	for _, end := range []time.Time{g.Expires, maxOf(g)} {
		if life := end.Sub(at); !end.IsZero() && (life <= 0 || life > longestLife) {
			return time.Time{}
		}
	}
	return at
}

// longestLife is the longest between the dates of a token that is believed: a date
// that nobody set is in 1970, and one that never comes in 9999.
const longestLife = 10 * 365 * 24 * time.Hour

// maxOf is a grant's max date: its own, or what its identifier says.
func maxOf(g Grant) time.Time {
	if g.Max.IsZero() && g.Identity != nil {
		return g.Identity.Max
	}
	return g.Max
}

func (c *Core) checkGrant(s *supply, g Grant) error {
	if len(g.Token.Identifier) == 0 {
		return plugins.Suspect(errors.New("a token without identifier"))
	}
	if g.Identity != nil && g.Identity.User != s.key.User {
		return plugins.Suspect(fmt.Errorf("%s is for user %q, asked for %q", g.Token, g.Identity.User, s.key.User))
	}
	for _, date := range []time.Time{g.Expires, maxOf(g)} {
		if c.clocks.boot(s.key.Authority, date)-c.now.Boot < leastWait {
			return plugins.Suspect(fmt.Errorf("%s has ended already", g.Token))
		}
	}
	d := appregistry.DigestsOf(s.key.Authority, g.Token)
	if known := c.reg.TokenByKey(d); known != nil && !c.mayJoin(s, known, g) {
		return plugins.Suspect(fmt.Errorf("%s was given before", g.Token))
	}
	return nil
}

// mayJoin reports whether a token that is known already is a good answer: some
// services give the same one to all who ask. As a successor of itself it must at
// least live longer.
func (c *Core) mayJoin(s *supply, known *appregistry.TokenRecord, g Grant) bool {
	e := c.reg.Entry(known.Entry)
	switch {
	case e == nil || e.Current != known.ID || over(known) || !known.Obtained || known.Owner != s.key.User || s.key.Entry != 0:
		return false
	case e.Supply == s.key:
		return g.Expires.After(known.Expires)
	}
	return known.State != appregistry.Expired
}

// successorOf picks the grant that takes a brought token's place: the one of its kind.
func (c *Core) successorOf(s *supply, byAlias map[string]Grant) ([]Grant, error) {
	e := c.reg.Entry(s.key.Entry)
	kind := c.kindOf(e)
	for _, alias := range sortedKeys(byAlias) {
		if g := byAlias[alias]; g.Token.Kind == kind {
			g.Alias = e.Alias
			return []Grant{g}, nil
		}
	}
	return nil, plugins.Suspect(fmt.Errorf("obtain from %s: no token of kind %q in the answer", s.key.Authority, kind))
}

// kindOf is the kind of the token that an entry was made for. Its record may be
// forgotten by now, where it was cancelled by force.
func (c *Core) kindOf(e *appregistry.EntryRecord) string {
	if t := c.reg.Token(e.Current); t != nil {
		return t.Token.Kind
	}
	for _, seq := range c.reg.Holders(e.ID) {
		for _, h := range c.reg.App(seq).Holdings {
			if h.Entry == e.ID && h.Kind != "" {
				return h.Kind
			}
		}
	}
	return ""
}

// supplyFailed plans the next obtain after a failure.
func (c *Core) supplyFailed(s *supply, err error) {
	kind := plugins.KindOf(err)
	remains := time.Duration(0)
	if by := c.neededBy(s); by != never {
		remains = by - c.now.Boot
	}
	final := kind == plugins.KindRefused
	what, wait := TryFailed, time.Duration(0)
	if kind == plugins.KindDenied {
		wait, final = c.believe(&s.doubt, kind, err, remains)
	} else {
		s.doubt = doubt{}
	}
	s.failures++
	s.wanted, s.reason = true, err.Error()
	switch {
	case final:
		what, wait = TryAlarmed, c.policyFor(c.wishes(s), s.key.Authority).DeniedAfter(remains)
	case kind != plugins.KindDenied:
		wait = c.retryAfter(s, remains, err)
	}
	at := c.now.Boot + wait
	c.set(&s.timer, supplyTimer, s.num, at)
	c.answerSupply(s, err)
	c.notify(Notify{
		What: what, Op: "obtain", Apps: c.keysOf(c.users(s)), Authority: s.key.Authority, Err: err,
		Reason: err.Error(), Next: c.wall(at),
	})
	if kind != plugins.KindDenied || final {
		c.openSupplyGates(s, err)
	}
}

func (c *Core) retryAfter(s *supply, remains time.Duration, err error) time.Duration {
	p := c.policyFor(c.wishes(s), s.key.Authority)
	return heed(p.RetryAfter(s.failures, remains, c.random), remains, err)
}

func (c *Core) keysOf(seqs []uint64) []appregistry.AppKey {
	var keys []appregistry.AppKey
	for _, seq := range seqs[:min(len(seqs), 16)] {
		keys = append(keys, c.reg.App(seq).App.Key())
	}
	return keys
}

// dropSupply ends a supply that serves nobody. What it has out is discarded when
// it comes.
func (c *Core) dropSupply(s *supply) {
	c.set(&s.timer, supplyTimer, s.num, never)
	c.answerSupply(s, appregistry.ErrNotFound)
	if c.supplies[s.key] == s {
		delete(c.supplies, s.key)
	}
	delete(c.numbered, s.num)
}
