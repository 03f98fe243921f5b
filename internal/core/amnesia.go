package core

import "github.com/tokenwheel/tokenwheel/appregistry"

// A service that has lost one token may have lost all: its keys, its table, its
// edits. Who holds the others would learn it at their next renewals, up to a day
// from now, and their applications would stand still till then. So each loss has
// two more tokens of the service renewed at once. Where they are lost too, each
// of them does the same, and all are found within seconds or as fast as the
// service may be called; where they are well, it ends there, at the price of
// two early renewals.
const (
	neighbours = 2
	reach      = 64 // numbers to look through on each side; they are given out in order
)

func (c *Core) askNeighbours(t *token) {
	asked := 0
	for d := appregistry.TokenID(1); d <= reach && asked < neighbours; d++ {
		for _, id := range [...]appregistry.TokenID{t.rec.ID + d, t.rec.ID - d} { // below 0 there is none
			if n := c.token(id); n != nil && n.rec.Authority == t.rec.Authority && asked < neighbours && c.checkable(n) {
				n.renewAt = c.now.Boot
				c.schedule(n)
				asked++
			}
		}
	}
}

// checkable reports whether a renewal now would say something new.
func (c *Core) checkable(t *token) bool {
	return t.rec.State == appregistry.Live && t.job == 0 && !c.unsettled(t) &&
		t.renewAt != never && t.renewAt > c.now.Boot && c.renewable(t, c.policyOf(t))
}
