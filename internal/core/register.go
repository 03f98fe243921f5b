package core

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// Codes of refusals, stable words for programs and documents.
const (
	CodePasswordConflict = "password-conflict" // another password of this identifier is proved
	CodeNotOwner         = "not-owner"         // the token speaks for somebody the caller may not act for
	CodeNotAllowed       = "not-allowed"       // the caller may not do this
	CodeTokenReplaced    = "token-replaced"    // the token has a successor, which goes to its owner only
	CodeTokenCancelled   = "token-cancelled"   // the token was, or is being, cancelled
	CodeTokenHeld        = "token-held"        // applications hold the token
	CodeTokenUnproven    = "token-unproven"    // nothing proves the token's password
	CodeTokenEnded       = "token-ended"       // the token is past its end, and nobody can extend or replace it
	CodeNotObtainable    = "not-obtainable"    // nothing can be obtained there
	CodeNoSuccessor      = "no-successor"      // nobody can obtain a successor of the token
	CodeOverlay          = "overlay"           // a setting an application may not have
)

var (
	errOperatorOnly = errors.New("only an operator may do this")
	errSuperseded   = errors.New("another registration took its place")
	errLeft         = errors.New("unregistered")
	errNothingLeft  = fmt.Errorf("%w: %w", appregistry.ErrNotReady,
		plugins.Refused(CodeTokenEnded, errors.New("all its tokens have ended")))
)

// mayActFor reports whether the caller may act for a user.
func (c Caller) mayActFor(user string) bool {
	return c.Trusted || (user != "" && (user == c.Name || slices.Contains(c.ActsFor, user)))
}

// owns reports whether applications of that owner are the caller's. One without
// a name owns nothing, and the embedding program, whose applications have no
// owner, is trusted.
func (c Caller) owns(owner string) bool {
	return c.Trusted || (c.Name != "" && owner == c.Name)
}

// mayBring reports whether the caller may register a token: its owner, its real
// user, or who may act for the owner.
func (c Caller) mayBring(id *plugins.Identity) bool {
	return id == nil || c.mayActFor(id.User) || (id.RealShort != "" && id.RealShort == c.Name)
}

func (c *Core) register(ev *Register) {
	key := ev.App.Key()
	if err := c.checkCaller(ev); err != nil {
		c.reply(ev.Request, Done, err)
		return
	}
	if ev.content == nil {
		ev.Prepare()
	}
	old := c.reg.AppByKey(key)
	rival := c.candidateFor(key)
	switch {
	case rival != nil && rival.rec.SameContent(ev.App, ev.tokens, ev.content):
		c.stay(rival)
		c.attach(rival, ev)
		return
	case old != nil && old.SameContent(ev.App, ev.tokens, ev.content):
		if rival != nil {
			c.leave(rival, errSuperseded)
		}
		c.stay(c.app(old.Seq))
		c.attach(c.app(old.Seq), ev)
		return
	}
	if err := c.checkBrought(ev); err != nil {
		c.reply(ev.Request, Done, err)
		return
	}
	if rival != nil {
		c.leave(rival, errSuperseded)
	}
	c.admit(ev, old)
}

func (c *Core) checkCaller(ev *Register) error {
	switch {
	case !ev.Caller.owns(ev.App.Owner):
		return plugins.Refused(CodeNotAllowed, fmt.Errorf("owner %q is not the caller", ev.App.Owner))
	case !ev.Caller.mayActFor(ev.App.User):
		return plugins.Refused(CodeNotAllowed, fmt.Errorf("the caller may not act for user %q", ev.App.User))
	}
	if err := appregistry.ValidateOverlay(ev.App.Overlay); err != nil {
		return plugins.Refused(CodeOverlay, err)
	}
	for _, a := range ev.Plan {
		if why := c.closed(a); why != "" {
			return plugins.Refused(CodeNotObtainable, fmt.Errorf("obtain from %s: %s", a, why))
		}
	}
	if name := ev.App.Overlay["policy"]; name != "" {
		if _, ok := c.namedPolicy(name); !ok {
			return plugins.Refused(CodeOverlay, fmt.Errorf("no policy is called %q; there are %s", name, strings.Join(c.policyNames(), ", ")))
		}
	}
	return nil
}

func (c *Core) namedPolicy(name string) (Policy, bool) {
	if p, ok := c.cfg.Policies[name]; ok {
		return p, true
	}
	return Preset(name)
}

// policyNames are the words that namedPolicy knows.
func (c *Core) policyNames() []string {
	names := slices.AppendSeq(slices.Clone(presets), maps.Keys(c.cfg.Policies))
	slices.Sort(names)
	return slices.Compact(names)
}

// policyFor is the policy for an application's tokens of an authority; that of the
// authority's instance where there is no application, and the general one where
// there is no authority either.
func (c *Core) policyFor(overlay appregistry.Overlay, a appregistry.Authority) Policy {
	p, own := c.cfg.Policy, c.instance(a)
	if own.Policy != nil {
		p = *own.Policy
	}
	if len(overlay) > 0 {
		p = c.overlaid(p, overlay)
	}
	p.ReplaceOnly = p.ReplaceOnly || own.Mode == ModeReplace
	return p
}

// overlaid is a policy with an application's own settings.
func (c *Core) overlaid(p Policy, overlay appregistry.Overlay) Policy {
	if name := overlay["policy"]; name != "" {
		if named, ok := c.namedPolicy(name); ok {
			p = named
		}
	}
	if ratio, err := strconv.ParseFloat(overlay["renewal.ratio"], 64); err == nil {
		p.Ratio = ratio
	}
	p.MinLead = cmp.Or(overlay.Duration("renewal.min-lead"), p.MinLead)
	return p
}

// candidateFor is the registration that waits to replace what is under key.
func (c *Core) candidateFor(key appregistry.AppKey) *app {
	if seq, ok := c.rivals[key]; ok {
		return c.app(seq)
	}
	return nil
}

// attach answers a registration that changes nothing like the one before it.
func (c *Core) attach(a *app, ev *Register) {
	r, admit := ev.Request, ev.Admit
	c.commit.waiting = append(c.commit.waiting, waiter{
		run: func() {
			if a.gone != nil {
				c.reply(r, Done, a.gone) // nothing of it is durable
				return
			}
			c.await(a, r, admit)
			switch {
			case a.rec.Ready && a.rec.Replaces == 0:
				c.answer(a, nil)
			case a.open == 0 && c.waitsInVain(a.rec):
				c.answer(a, errNothingLeft)
			}
		},
		fail: func(err error) { c.reply(r, Done, err) },
	})
}

// await answers a registration that is durable. It waits for the first set where
// anybody does: what is kept must not grow with every beat of a caller's heart.
func (c *Core) await(a *app, r Request, admit bool) {
	if admit {
		c.reply(r, Done, nil)
		return
	}
	c.reply(r, Acknowledged, nil)
	a.waiting = append(a.waiting, r)
}

func (c *Core) abandon(ev Abandon) {
	apps := []*app{c.candidateFor(ev.App), nil}
	if rec := c.reg.AppByKey(ev.App); rec != nil {
		apps[1] = c.app(rec.Seq)
	}
	for _, a := range apps {
		if a == nil {
			continue
		}
		if i := slices.Index(a.waiting, ev.Request); i >= 0 {
			a.waiting = slices.Delete(a.waiting, i, i+1)
			c.reply(ev.Request, Done, context.Canceled)
		}
	}
}

// checkBrought looks at all that the application brings before anything changes.
func (c *Core) checkBrought(ev *Register) error {
	for i := range ev.Brought {
		b := &ev.Brought[i]
		if !ev.Caller.mayBring(b.Identity) {
			return plugins.Refused(CodeNotOwner, fmt.Errorf("%s speaks for %q", b.Token, b.Identity.User))
		}
		if err := c.checkKnown(ev, b); err != nil {
			return err
		}
		if b.foreign() && b.Identity != nil && c.clocks.boot(b.Authority, b.Identity.Max) <= c.now.Boot {
			return plugins.Refused(CodeTokenEnded, fmt.Errorf("%s: its max date was %s", b.Token, b.Identity.Max.UTC().Format(time.RFC3339)))
		}
	}
	return nil
}

// checkKnown compares a brought token with what we know of its identifier.
func (c *Core) checkKnown(ev *Register, b *Brought) error {
	if known := c.reg.TokenByKey(b.digests); known != nil {
		switch known.State {
		case appregistry.Cancelled, appregistry.GivenUp, appregistry.Cancelling:
			return plugins.Refused(CodeTokenCancelled, fmt.Errorf("%s: it is %s", b.Token, known.State))
		case appregistry.CancelPending:
			if known.Ordered { // nobody takes that back unseen
				return plugins.Refused(CodeTokenCancelled, fmt.Errorf("%s: an operator ordered its cancel", b.Token))
			}
		}
		e := c.reg.Entry(known.Entry)
		retired := e != nil && e.Current > known.ID && !ended(known.State) && !leaving(known.State)
		if retired && over(c.reg.Token(e.Current)) {
			return plugins.Refused(CodeTokenCancelled, fmt.Errorf("%s: its successor is", b.Token))
		}
		if retired && (b.Identity == nil || !ev.Caller.mayActFor(b.Identity.User) || lent(&ev.App, b)) {
			return plugins.Refused(CodeTokenReplaced, fmt.Errorf("%s has a successor", b.Token))
		}
		return nil
	}
	for _, id := range c.reg.TokensByName(b.digests.Name) {
		if t := c.reg.Token(id); t.Proof != appregistry.ProofNone && !b.Authority.IsZero() {
			err := plugins.Refused(CodePasswordConflict, fmt.Errorf("%s: another password of it is proved", b.Token))
			n := c.aboutToken(TryAlarmed, c.token(id))
			n.Op, n.Err, n.Reason = "register", err, CodePasswordConflict
			n.Apps = append([]appregistry.AppKey{ev.App.Key()}, n.Apps...)
			c.notify(n)
			return err
		}
	}
	return nil
}

func over(t *appregistry.TokenRecord) bool {
	return t == nil || ended(t.State) || leaving(t.State)
}

// lent reports whether the application runs as somebody else than the token's
// owner, or nobody can tell.
func lent(a *appregistry.App, b *Brought) bool {
	return b.Identity == nil || b.Identity.User == "" || b.Identity.User != a.User
}
