package core

// Sizes are the lengths of all that a core keeps, by name.
func (c *Core) Sizes() map[string]int {
	carried := 0
	for _, g := range c.groups {
		carried += len(g.carried)
	}
	return map[string]int{
		"carried": carried, "asked": len(c.asked), "cancels counted": len(c.cancels.sent), "fenced": len(c.commit.fenced),
		"timers": c.wheel.Len(), "jobs": len(c.jobs), "lazy": len(c.lazy), "supplies": len(c.supplies), "numbered": len(c.numbered),
		"demands": len(c.demands), "groups": len(c.groups), "rivals": len(c.rivals), "waiting": len(c.commit.waiting), "aboard": len(c.commit.aboard),
		"tokens": c.reg.Tokens(), "applications": len(c.reg.AppSeqs()), "entries": c.reg.Entries(), "open": c.reg.Open(),
	}
}
