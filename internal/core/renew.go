package core

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// patience is how many answers without sense a token may give before its
// successor is obtained.
const patience = 3

// renew sends a renewal, unless a call about the token is out already.
func (c *Core) renew(t *token) {
	t.renewAt = never
	if t.job != 0 {
		return
	}
	t.job = c.startJob(job{what: renewJob, token: t.rec.ID})
	c.demands[t.rec.ID].begun(c.now.Boot)
	c.toLater(t, appregistry.Renewing, t.rec.Reason)
	tenant, timeout := c.accountOf(t)
	a := Renew{
		Job: t.job, Authority: t.rec.Authority, ID: t.rec.ID, Token: t.rec.Token, Tenant: tenant,
		First: t.rec.Proof == appregistry.ProofNone, Before: t.endAt, Timeout: timeout,
	}
	if c.candidate(t) { // it is as urgent as what it is to replace
		s := c.supplyFor(c.entry(t).Supply)
		a.First, a.Before = !c.succeeds(s), min(a.Before, c.neededBy(s))
	}
	c.emit(a)
}

// accountOf is on whose account a call about a token is, its oldest holder's or,
// once nobody holds it, who held it last or its owner's, and how long it may take.
func (c *Core) accountOf(t *token) (name string, timeout time.Duration) {
	if leaving(t.rec.State) && t.rec.Tenant != "" {
		return t.rec.Tenant, 0
	}
	holders := c.reg.Holders(t.rec.Entry)
	if len(holders) == 0 {
		return t.rec.Owner, 0
	}
	oldest := c.reg.Holder(holders[0])
	name = tenant(oldest.Owner, oldest.User)
	if wish := oldest.Overlay.Duration(callTimeout); wish != 0 {
		timeout = c.longestWish(holders)
	}
	return name, timeout
}

func (c *Core) tenantOf(t *token) string {
	name, _ := c.accountOf(t)
	return name
}

// tenant is who registered an application. The embedding program has no name, and
// registers for many: there it is the user.
func tenant(owner, user string) string { return cmp.Or(owner, user) }

const callTimeout = "call-timeout"

// longestWish is the longest that one of them gives a call; 0, the shell's own,
// where one has no wish. No holder may shorten what others depend on.
func (c *Core) longestWish(apps []uint64) (longest time.Duration) {
	for _, seq := range apps {
		wish := c.reg.Holder(seq).Overlay.Duration(callTimeout)
		if wish == 0 {
			return 0
		}
		longest = max(longest, wish)
	}
	return longest
}

func (c *Core) renewed(ev Renewed) {
	t := c.takeTokenJob(ev.Job, renewJob)
	if t == nil {
		return
	}
	err := ev.Err
	if err == nil {
		err = c.extend(t, ev.Expires)
	}
	switch {
	case err == nil:
		c.renewalWorked(t)
	case leaving(t.rec.State) || ended(t.rec.State):
		// Nobody needs it any more: how the renewal went does not matter.
	default:
		c.renewalFailed(t, err)
	}
	if !leaving(t.rec.State) {
		c.answerCommands(t, err)
	} else if t.cancelAt == never { // it waited for this answer, and may for its intent's commit
		c.cancelRecorded(t)
	}
	c.schedule(t)
}

// extend takes the service's new date for a token, or says why it makes no sense.
func (c *Core) extend(t *token, expires time.Time) error {
	r := t.rec
	atMax := !r.Max.IsZero() && !expires.Before(r.Max)
	// The service said yes to these very bytes, so nobody made up their date.
	c.clocks.issuedBefore(r.Authority, r.Issued, c.now.Boot)
	// How long a renewal lasts was measured by the same clock.
	measured := t.renewedAt == 0 || !c.clocks.doubtful[r.Authority]
	if measured && !atMax && !r.Expires.IsZero() && r.Proof == appregistry.ProofRenewed {
		c.clocks.renewedFor(r.Authority, r.Expires, expires, r.Expires.Sub(r.ProvedAt), c.now.Boot)
	}
	c.clocks.renewedUntil(r.Authority, expires, c.now.Boot)
	remains := c.clocks.boot(r.Authority, expires) - c.now.Boot
	if expires.IsZero() || (remains < leastWait && !atMax) {
		return plugins.Suspect(fmt.Errorf("renew %s: the answer %s is not in the future", r.Token, expires.UTC().Format(time.RFC3339)))
	}
	if remains > suspectMost {
		expires = c.clocks.date(r.Authority, c.now.Boot+suspectMost)
	}
	if atMax {
		expires = r.Max
	}
	// An expiry that stands still while time went on has reached what the
	// service allows, told or not.
	// One that goes back is of an operator who shortened the interval.
	moved := expires.Sub(r.Expires)
	stood := !r.Expires.IsZero() && moved <= 0 && moved > -time.Second && c.now.Boot-t.renewedAt > remains/20
	t.fixed = atMax || (stood && c.obtainable(t))
	r.Expires = expires
	r.Skew = c.clocks.skew(r.Authority, c.now).Truncate(time.Millisecond)
	return nil
}

func (c *Core) renewalWorked(t *token) {
	t.failures, t.doubt, t.renewedAt = 0, doubt{}, c.now.Boot.Truncate(time.Millisecond)
	before := t.rec.Proof
	t.rec.Proof, t.rec.ProvedAt = max(t.rec.Proof, appregistry.ProofRenewed), c.clocks.date(t.rec.Authority, c.now.Boot).Truncate(time.Millisecond)
	c.later(t)
	if leaving(t.rec.State) || ended(t.rec.State) {
		return
	}
	if before != appregistry.ProofRenewed { // since then nobody could bring another password
		c.settleContest(t)
		if c.token(t.rec.ID) != t || leaving(t.rec.State) || ended(t.rec.State) {
			return // who lost the contest carried this one for its group
		}
	}
	if c.candidate(t) {
		c.promote(t)
	} else {
		c.toLater(t, c.resting(t), "")
		c.plan(t)
	}
	n := c.aboutToken(TokenRenewed, t)
	n.Op, n.Next = "renew", c.wall(c.nextOf(t))
	c.notify(n)
	c.openTokenGates(t, nil)
}

// settleContest ends the contest of several passwords for one identifier: the
// one that renewed is the right one.
func (c *Core) settleContest(winner *token) {
	// A copy: a rejected application takes its token along.
	for _, id := range slices.Clone(c.reg.TokensByName(winner.rec.Digests().Name)) {
		t := c.token(id)
		if t == nil || t == winner || t.rec.Proof != appregistry.ProofNone || ended(t.rec.State) || leaving(t.rec.State) {
			continue
		}
		c.denied(t, plugins.Refused(CodePasswordConflict, fmt.Errorf("renew %s: another password of it is proved", t.rec.Token)))
		c.schedule(t)
	}
}

// renewalFailed goes by the kind of the error. No kind drops the token.
func (c *Core) renewalFailed(t *token, err error) {
	kind := plugins.KindOf(err)
	if kind == plugins.KindReplace && c.candidate(t) {
		c.unknownYet(t, err)
		return
	}
	switch kind {
	case plugins.KindReplace, plugins.KindDenied:
		answer := err
		if kind == plugins.KindReplace && c.unsettled(t) {
			answer = plugins.Replace(err) // however protected: it is to be said twice
		}
		if wait, believed := c.believe(&t.doubt, kind, answer, c.remains(t)); !believed {
			c.retryRenew(t, appregistry.Suspect, "not confirmed yet: "+err.Error(), err, wait)
			return
		}
	default:
		t.doubt = doubt{}
	}
	switch kind {
	case plugins.KindReplace:
		c.dead(t, err)
	case plugins.KindDenied:
		c.denied(t, err)
	case plugins.KindRefused:
		c.notRenewable(t, err)
	case plugins.KindSuspect:
		c.tryAgain(t, appregistry.Suspect, err)
		if t.failures >= patience && c.obtainable(t) {
			c.replace(t, "its service's answers make no sense")
		}
	default:
		c.tryAgain(t, c.resting(t), err)
	}
}

// settles is how long after it issued or renewed a token a service may deny that
// it knows it: a server that has not tailed the edit yet (HDFS-17964), or that
// has not noticed that another one serves.
const settles = time.Minute

func (c *Core) unsettled(t *token) bool {
	since := c.clocks.boot(t.rec.Authority, t.rec.Issued)
	if t.renewedAt > 0 {
		since = t.renewedAt
	}
	passed := c.now.Boot - since
	return passed >= 0 && passed < settles
}

// believe applies the rule of belief: a terminal answer counts where it came
// protected, or was given twice, far enough apart. Else it says how long to wait
// before asking again.
func (c *Core) believe(d *doubt, kind plugins.Kind, err error, remains time.Duration) (wait time.Duration, believed bool) {
	if e, ok := errors.AsType[*plugins.Error](err); ok && e.Protected {
		*d = doubt{}
		return 0, true
	}
	if !d.is || d.kind != kind {
		*d = doubt{is: true, kind: kind, since: c.now.Boot, wait: c.cfg.Policy.ConfirmAfter(remains)}
		return d.wait, false
	}
	if passed := c.now.Boot - d.since; passed < d.wait {
		return d.wait - passed, false
	}
	// The doubt stays: a third answer of the same kind needs no fourth.
	return 0, true
}

// tryAgain plans the next renewal after a failure that may pass.
func (c *Core) tryAgain(t *token, state appregistry.State, err error) {
	t.failures++
	c.retryRenew(t, state, err.Error(), err, c.retryWait(t, err))
	c.afterFirstTry(t, err)
}

func (c *Core) retryWait(t *token, err error) time.Duration {
	remains := c.remains(t)
	return heed(c.policyOf(t).RetryAfter(t.failures, remains, c.random), remains, err)
}

// afterFirstTry lets go on what waited for a first answer that is not a denial.
func (c *Core) afterFirstTry(t *token, err error) {
	if c.candidate(t) {
		// It was handed out a moment ago, so it is good; only its expiry is not known.
		c.promote(t)
	}
	c.openTokenGates(t, err)
}

func (c *Core) retryRenew(t *token, state appregistry.State, reason string, err error, wait time.Duration) {
	t.renewAt = c.sooner(t, c.now.Boot+wait)
	c.judgeEnd(t)
	if t.rec.State == appregistry.Expired {
		state = appregistry.Expired
	}
	c.toLater(t, state, reason)
	n := c.aboutToken(TryFailed, t)
	n.Op, n.Err, n.Next = "renew", err, c.wall(t.renewAt)
	c.notify(n)
}

// unknownYet: the service does not know a token that it has just given out, as
// one may that failed over in between. It is asked on for a while; then the
// token is let go and another one obtained.
func (c *Core) unknownYet(t *token, err error) {
	t.failures++
	s := c.supplyFor(c.entry(t).Supply)
	if t.failures < patience {
		c.retryRenew(t, appregistry.Suspect, err.Error(), err, c.retryWait(t, err))
		c.openSupplyGates(s, err)
		return
	}
	c.letGo(t)
	c.supplyFailed(s, err)
}

// dead: the service will never extend this token again.
func (c *Core) dead(t *token, err error) {
	if !t.dead {
		t.dead = true
		c.askNeighbours(t)
	}
	if c.obtainable(t) {
		t.fixed, t.renewAt = true, never
		c.judgeEnd(t)
		c.replace(t, err.Error())
		c.moveGates(t)
		return
	}
	t.failures++
	c.retryRenew(t, appregistry.Suspect, err.Error(), err, c.policyOf(t).DeniedAfter(c.remains(t)))
	c.openTokenGates(t, err)
}

// denied: an operator must change something. It is tried on, slowly.
func (c *Core) denied(t *token, err error) {
	t.failures++
	t.renewAt = c.now.Boot + c.policyOf(t).DeniedAfter(c.remains(t))
	c.judgeEnd(t)
	c.toLater(t, appregistry.Denied, err.Error())
	n := c.aboutToken(TryAlarmed, t)
	n.Op, n.Err, n.Next = "renew", err, c.wall(t.renewAt)
	c.notify(n)
	if c.obtainable(t) && t.rec.Proof != appregistry.ProofNone {
		c.want(c.entry(t).Supply)
	}
	if c.candidate(t) {
		c.promote(t)
	}
	c.openTokenGates(t, err)
}

// notRenewable: our own side says that there is nothing to renew.
func (c *Core) notRenewable(t *token, err error) {
	t.fixed = true
	if c.candidate(t) {
		c.promote(t)
	} else {
		c.toLater(t, c.resting(t), err.Error())
		c.plan(t)
	}
	c.openTokenGates(t, err)
}

// toLater is a transition whose record may be written behind.
func (c *Core) toLater(t *token, to appregistry.State, reason string) {
	if ended(to) || leaving(to) {
		c.transition(t, to, reason)
		return
	}
	c.checkTransition(t, to)
	t.rec.State, t.rec.Reason = to, reason
	c.later(t)
}
