package core

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// app is what the engine knows of an application besides its record. Times are
// boot times.
type app struct {
	rec     *appregistry.AppRecord
	timer   timer
	stageAt time.Duration
	leaveAt time.Duration // when its linger or lease is over

	gone     error // why it left; nil: it is there
	durable  bool
	restored bool // from the store, or in the place of one: it is not rejected any more
	open     int  // gates of its first set that are still shut
	missing  map[appregistry.Authority]string
	waiting  []Request // registrations to be answered when it is ready

	round    *round        // the generation on its way
	updateAt time.Duration // when the readers of the published set look for the next one
	changed  bool          // since the round began
	force    bool          // stage again, though nothing changed: a target was ahead
	failures int
	trouble  string // why the last staging failed; "" once one works
}

// round is one generation on its way to all targets of an application.
type round struct {
	set    appregistry.Set
	update time.Duration // its NextUpdate
	made   assembled
	saved  bool        // its number is recorded
	left   []int       // targets that do not have it yet
	out    map[Job]int // stagings that are out, with their targets
	failed []stageFailure
	behind *appregistry.Behind
}

// Format implements [fmt.Formatter]: an unexported field would be printed whole.
func (r *round) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.set.Credentials.String()) }

type stageFailure struct {
	target appregistry.Target
	err    error
}

// assembled says what an application's credentials are now, without their bytes.
type assembled struct {
	parts   []part // by alias
	secrets int
	digest  []byte
	tokens  []appregistry.TokenID
}

type part struct {
	alias         string
	kind, service string // as the application knows them
	id            appregistry.TokenID
}

func (m assembled) empty() bool { return len(m.parts)+m.secrets == 0 }

// assemble gathers what an application should hold: what it brought, and over it
// what was obtained. A token past its end, without a way back, is left out.
func (c *Core) assemble(rec *appregistry.AppRecord) assembled {
	m := assembled{secrets: len(rec.App.Credentials.Secrets), parts: make([]part, 0, len(rec.Holdings))}
	for _, h := range rec.Holdings {
		t := c.reg.Resolve(h)
		if t == nil || h.Carried || leaving(t.State) || ended(t.State) || c.over(t) {
			continue
		}
		p := part{h.Alias, t.Token.Kind, t.Token.Service, t.ID}
		if h.Service != "" {
			p.kind, p.service = h.Kind, h.Service
		}
		if at, covered := slices.BinarySearchFunc(m.parts, p.alias, part.compare); covered {
			m.parts[at] = p
		} else {
			m.parts = slices.Insert(m.parts, at, p)
		}
	}
	m.tokens = make([]appregistry.TokenID, 0, len(m.parts))
	text := make([]byte, 0, 256) // what the digest is of
	for _, p := range m.parts {
		m.tokens = append(m.tokens, p.id)
		text = strconv.AppendQuote(text, p.alias)
		text = strconv.AppendUint(append(text, ' '), uint64(p.id), 10)
		text = strconv.AppendQuote(append(text, ' '), p.kind)
		text = strconv.AppendQuote(append(text, ' '), p.service)
		text = append(text, '\n')
	}
	for _, alias := range sortedKeys(rec.App.Credentials.Secrets) {
		secret := rec.App.Credentials.Secrets[alias]
		text = strconv.AppendQuote(text, alias)
		text = strconv.AppendInt(append(text, ' '), int64(len(secret)), 10)
		text = append(append(text, ' '), secret...)
	}
	digest := sha256.Sum256(text)
	m.digest = bytes.Clone(digest[:digestSize])
	slices.Sort(m.tokens)
	m.tokens = slices.Compact(m.tokens)
	return m
}

func (p part) compare(alias string) int { return strings.Compare(p.alias, alias) }

// credentials are those that were assembled in this step.
func (c *Core) credentials(rec *appregistry.AppRecord, m assembled) plugins.Credentials {
	creds := plugins.Credentials{
		Tokens:  make(map[string]plugins.Token, len(m.parts)),
		Secrets: maps.Clone(rec.App.Credentials.Secrets),
	}
	for _, p := range m.parts {
		t := c.reg.Token(p.id).Token
		t.Kind, t.Service = p.kind, p.service
		creds.Tokens[p.alias] = t
	}
	return creds
}

// digestSize is how much of a set's digest is kept. Earlier releases kept all of it.
const digestSize = 16

// published reports whether the set is what the application was last given.
func (m assembled) published(rec *appregistry.AppRecord) bool {
	return bytes.HasPrefix(rec.Published.Digest, m.digest)
}

func union(a, b []appregistry.TokenID) []appregistry.TokenID {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// over reports whether a token is past its end and cannot come back.
func (c *Core) over(t *appregistry.TokenRecord) bool {
	return t.State == appregistry.Expired && (!t.Ours || c.clocks.last(t.Authority, t.Max) <= c.now.Boot)
}

func (c *Core) scheduleApp(a *app) {
	if c.app(a.rec.Seq) == a {
		c.set(&a.timer, appTimer, a.rec.Seq, min(a.stageAt, a.leaveAt))
	}
}

func (c *Core) appDue(a *app) {
	if a == nil {
		return
	}
	a.timer = timer{}
	if c.now.Boot >= a.leaveAt {
		if c.leaveDue(a); a.gone != nil {
			return
		}
	}
	if c.now.Boot >= a.stageAt {
		a.stageAt = never
		if a.open > 0 {
			c.firstWithout(a)
		} else if a.round == nil || len(a.round.out) == 0 {
			c.stage(a)
		} // else the next try is planned when all targets have answered
	}
	c.scheduleApp(a)
}

// changed plans a staging, with a short wait so that changes that come together
// make one generation.
func (c *Core) changed(a *app) {
	switch {
	case a == nil || a.open > 0 || !a.durable || a.rec.Replaces != 0 || a.rec.Left:
		return
	case a.round != nil:
		a.changed = true
		return
	}
	wait := time.Duration(0)
	if a.rec.Ready {
		p := c.policyFor(a.rec.App.Overlay, appregistry.Authority{})
		wait = p.CoalesceFor(c.setRemains(a.rec.Published.Tokens))
	}
	a.stageAt = min(a.stageAt, c.now.Boot+wait)
	c.scheduleApp(a)
}

// setRemains is the life left of the token that ends first; 0 where one has none.
func (c *Core) setRemains(ids []appregistry.TokenID) time.Duration {
	least := never
	for _, id := range ids {
		if t := c.token(id); t != nil {
			least = min(least, c.remains(t))
		}
	}
	if least == never {
		return 0
	}
	return least
}

// givenRemains is the life left of the live token that ends first, of those that an
// application was given or may have been; 0: there is none.
func (c *Core) givenRemains(rec *appregistry.AppRecord) (least time.Duration) {
	for _, id := range union(rec.Published.Tokens, rec.Offered) {
		if t := c.token(id); t != nil && c.remains(t) > 0 && (least == 0 || c.remains(t) < least) {
			least = c.remains(t)
		}
	}
	return least
}

// stage begins a generation, or goes on with the one that failed where nothing
// is newer.
func (c *Core) stage(a *app) {
	if a.round != nil && len(a.round.out) > 0 {
		a.changed = true
		return
	}
	a.changed = false
	made := c.assemble(a.rec)
	if r := a.round; r != nil {
		if !a.force && string(made.digest) == string(r.made.digest) {
			if r.saved {
				c.sendStages(a, r)
			}
			return
		}
		a.abandon()
	}
	switch {
	case made.empty():
		// No tokens are not an update.
		if len(a.rec.Plan)+len(a.rec.Holdings) == 0 {
			c.ready(a)
		} else if c.waitsInVain(a.rec) {
			c.answer(a, errNothingLeft)
		}
		return
	case !a.force && made.published(a.rec):
		c.ready(a)
		return
	case a.rec.Generation >= appregistry.MaxGeneration:
		c.stageFailed(a, stageFailure{err: plugins.Denied(errors.New("the last generation number is used up"))})
		return
	}
	a.force = false
	a.rec.Generation++
	if len(a.rec.App.StageTo) == 0 {
		// There is nobody to write to, so there is nothing to wait for.
		r := c.roundOf(a.rec, made)
		c.published(a, &r)
		c.scheduleApp(a)
		return
	}
	// From now on some target may have these, whatever becomes of the round.
	a.rec.Offered = union(a.rec.Offered, made.tokens)
	r := new(c.roundOf(a.rec, made))
	r.set.Credentials = c.credentials(a.rec, made)
	a.rec.Published.NextUpdate = c.wall(max(a.updateAt, r.update))
	c.reg.PutApp(a.rec)
	for i, target := range a.rec.App.StageTo {
		if slices.Index(a.rec.App.StageTo, target) == i { // one named twice gets it once
			r.left = append(r.left, i)
		}
	}
	a.round = r
	c.afterCommit(func() {
		if c.app(a.rec.Seq) == a && a.round == r {
			r.saved = true
			c.sendStages(a, r)
		}
	})
}

// waitsInVain reports whether an application has nothing to be staged, and
// nothing can come any more.
func (c *Core) waitsInVain(rec *appregistry.AppRecord) bool {
	if len(rec.Plan) > 0 || !c.assemble(rec).empty() {
		return false
	}
	return !slices.ContainsFunc(rec.Holdings, func(h appregistry.Holding) bool {
		e := c.reg.Entry(h.Entry)
		return !h.Lent && e != nil && e.Supply != (appregistry.Supply{})
	})
}

// roundOf is a round without its credentials.
func (c *Core) roundOf(rec *appregistry.AppRecord, made assembled) round {
	set := appregistry.Set{
		App: rec.App.Key(), UUID: rec.UUID, User: rec.App.User, Generation: rec.Generation,
		Epoch: max(c.epoch, rec.EpochFloor),
	}
	update, end := never, never
	for _, id := range made.tokens {
		t := c.token(id)
		end = min(end, c.lastEnd(t))
		update = min(update, c.successorBy(t))
	}
	if update == never {
		update = c.now.Boot + cmp.Or(c.policyFor(rec.App.Overlay, appregistry.Authority{}).DefaultValidity, 12*time.Hour)
	}
	update = update.Truncate(time.Millisecond)
	set.NextUpdate, set.EarliestEnd = c.wall(update), c.wall(end)
	return round{made: made, set: set, update: update}
}

// successorBy is when readers may count on a token's successor: its planned
// replacement and a fifth of what is left then.
func (c *Core) successorBy(t *token) time.Duration {
	// By the clock that is believed: a later one that is only held possible would have
	// readers sleep for as long as ours was once off.
	last := c.clocks.boot(t.rec.Authority, t.rec.Max)
	if last == never {
		last = c.clocks.boot(t.rec.Authority, t.rec.Expires)
	}
	at := t.replaceAt
	if at == never || !c.obtainable(t) {
		return last
	}
	if last == never {
		return at + (at-c.now.Boot)/15 // a fifth of a quarter of the life that is assumed
	}
	return at + max(0, last-at)/5
}

func (c *Core) sendStages(a *app, r *round) {
	r.out, r.failed, r.behind = map[Job]int{}, nil, nil
	if len(r.left) == 0 {
		c.staging(a, r)
		return
	}
	for _, i := range r.left {
		id := c.startJob(job{what: stageJob, app: a.rec.Seq, target: i})
		r.out[id] = i
		set := r.set
		set.Target = a.rec.App.StageTo[i]
		c.emit(Stage{Job: id, Set: set})
	}
}

func (c *Core) staged(ev Staged) {
	j, ok := c.takeJob(ev.Job, stageJob)
	if !ok {
		return
	}
	a := c.app(j.app)
	if a == nil || a.round == nil {
		return
	}
	r := a.round
	if _, ok := r.out[ev.Job]; !ok {
		return
	}
	delete(r.out, ev.Job)
	behind, isBehind := errors.AsType[*appregistry.Behind](ev.Err)
	switch {
	case ev.Err == nil:
		r.left = slices.DeleteFunc(r.left, func(i int) bool { return i == j.target })
	case isBehind && behind.N < appregistry.MaxGeneration && behind.Epoch < math.MaxUint32:
		r.noteBehind(behind)
	default:
		r.failed = append(r.failed, stageFailure{a.rec.App.StageTo[j.target], ev.Err})
	}
	if len(r.out) == 0 {
		c.staging(a, r)
	}
}

// abandon lets go of a round. Some target may have it, and readers its word.
func (a *app) abandon() {
	a.updateAt, a.round = max(a.updateAt, a.round.update), nil
}

func (r *round) noteBehind(b *appregistry.Behind) {
	if r.behind == nil {
		r.behind = &appregistry.Behind{}
	}
	r.behind.N = max(r.behind.N, b.N)
	r.behind.Epoch = max(r.behind.Epoch, b.Epoch)
}

// staging looks at a round when nothing of it is out.
func (c *Core) staging(a *app, r *round) {
	switch {
	case r.behind != nil:
		// A target is ahead: number and epoch go beyond it, and all is staged again.
		a.rec.Generation = max(a.rec.Generation, r.behind.N)
		if r.behind.Epoch > r.set.Epoch {
			a.rec.EpochFloor = r.behind.Epoch + 1
		}
		c.reg.PutApp(a.rec)
		a.abandon()
		a.force = true
		if a.failures > 0 {
			// Again: whoever else writes there is not to be raced.
			c.stageFailed(a, stageFailure{err: r.behind})
			return
		}
		a.failures++
		c.stage(a)
	case len(r.left) > 0:
		if a.changed {
			a.stageAt = min(a.stageAt, c.now.Boot+leastWait)
		}
		c.stageFailed(a, r.failed...)
	default:
		c.published(a, r)
	}
	c.scheduleApp(a)
}

// stageFailed plans the next try when all targets have answered: one pause for
// all that failed, so that a target that hangs does not hurry another.
func (c *Core) stageFailed(a *app, failed ...stageFailure) {
	a.failures++
	p := c.policyFor(a.rec.App.Overlay, appregistry.Authority{})
	wait := p.DeniedAfter(c.setRemains(a.rec.Published.Tokens))
	if slices.ContainsFunc(failed, func(f stageFailure) bool { return !refusal(f.err) }) {
		wait = p.RetryAfter(a.failures, c.givenRemains(a.rec), c.random)
	}
	a.stageAt = min(a.stageAt, c.now.Boot+wait)
	c.scheduleApp(a)
	a.trouble = failed[len(failed)-1].err.Error()
	for _, f := range failed {
		what := TryFailed
		if refusal(f.err) {
			what = TryAlarmed
		}
		n := c.aboutApp(what, a)
		n.Op, n.Generation, n.Target = "stage", a.rec.Generation, f.target
		n.Err, n.Reason, n.Next = f.err, f.err.Error(), c.wall(a.stageAt)
		c.notify(n)
	}
}

// ready answers those who wait for the application's first set.
func (c *Core) ready(a *app) {
	if !a.rec.Ready {
		a.rec.Ready = true
		c.counters.ready++
		c.reg.PutApp(a.rec)
		n := c.aboutApp(AppReady, a)
		n.Generation = a.rec.Generation
		c.notify(n)
	}
	c.answer(a, nil)
}

// answer gives the last word to all registrations that wait for the application.
func (c *Core) answer(a *app, err error) {
	for _, r := range a.waiting {
		c.emit(Reply{Request: r, Moment: Done, Err: err, Generation: a.rec.Generation})
	}
	a.waiting = nil
}
