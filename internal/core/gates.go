package core

import (
	"fmt"
	"slices"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// An application's first set waits for the first answer about each token that
// it brought to be verified, and about each authority it wants tokens from. Each
// is a gate: a list, at the token or the supply, of those who wait.

// pass counts one gate of an application as open. A final error rejects the
// application where it is new, or waits to replace another; an error that may pass
// only flags it.
func (c *Core) pass(seq uint64, what appregistry.Authority, err error, final bool) (waitOn bool) {
	a := c.app(seq)
	if a == nil || a.open == 0 {
		return false
	}
	if err != nil {
		a.miss(what, err.Error())
		switch {
		case final && (!a.restored || a.rec.Replaces != 0) && !a.rec.App.Tolerate:
			c.reject(a, err)
			return false
		case a.rec.Replaces != 0 && plugins.CodeOf(err) != CodeTokenEnded:
			return true // what it is to replace is better than a part of it
		}
	}
	a.open--
	if a.open == 0 {
		c.firstSet(a)
	}
	return false
}

// miss notes why a planned token is not there.
func (a *app) miss(what appregistry.Authority, why string) {
	if a.missing == nil {
		a.missing = map[appregistry.Authority]string{}
	}
	a.missing[what] = why
}

// openTokenGates opens what waits for a brought token. That the service does not
// know it is final here: whoever brought it must hear so.
func (c *Core) openTokenGates(t *token, err error) {
	final := refusal(err) || plugins.KindOf(err) == plugins.KindReplace
	gates := t.gates
	t.gates = nil
	for _, seq := range gates {
		if c.pass(seq, t.rec.Authority, err, final) {
			t.gates = append(t.gates, seq)
		}
	}
}

// refusal reports whether an error stands until somebody changes something.
func refusal(err error) bool {
	kind := plugins.KindOf(err)
	return kind == plugins.KindDenied || kind == plugins.KindRefused
}

func (c *Core) openSupplyGates(s *supply, err error) {
	gates := s.gates
	s.gates = nil
	for seq := range s.planners {
		if a := c.app(seq); err != nil {
			a.miss(s.key.Authority, err.Error())
		} else {
			delete(a.missing, s.key.Authority)
		}
	}
	for _, seq := range gates {
		if c.pass(seq, s.key.Authority, err, refusal(err)) {
			s.gates = append(s.gates, seq)
		}
	}
}

// supplyReady opens the supply's gates once every token of its last answer has
// taken its place.
func (c *Core) supplyReady(s *supply) {
	if s.wanted || s.job != 0 {
		return
	}
	for _, e := range c.reg.SuppliedEntries(s.key) {
		if slices.ContainsFunc(c.reg.TokensOf(e), func(id appregistry.TokenID) bool { return c.candidate(c.token(id)) }) {
			return
		}
	}
	c.openSupplyGates(s, nil)
}

// moveGates lets those who wait for a token wait for its successor's supply.
func (c *Core) moveGates(t *token) {
	s := c.supplyFor(c.entry(t).Supply)
	s.gates = append(s.gates, t.gates...)
	t.gates = nil
}

// endGates lets nobody wait for a token that has ended for good.
func (c *Core) endGates(t *token) {
	if c.obtainable(t) {
		c.moveGates(t)
	} else {
		c.openTokenGates(t, plugins.Refused(CodeTokenEnded, fmt.Errorf("%s: it ended before it could be proved", t.rec.Token)))
	}
}

// moveGatesTo opens what waits for a token that has a good successor.
func (c *Core) moveGatesTo(old, successor *token) {
	if successor.rec.Proof != appregistry.ProofNone {
		c.openTokenGates(old, nil)
	}
}
