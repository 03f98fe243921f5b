package core

import "github.com/tokenwheel/tokenwheel/appregistry"

// Counts is how much there is. Registrations that wait to replace an application
// are not counted.
type Counts struct {
	Apps, Ready int
	Entries     int
	Tokens      map[appregistry.State]int // none of a state: it is not in it
	// Restoring is how much of what was stored waits to be planned yet, in a
	// session that has just begun.
	Restoring int
}

// counters are kept as things change: counting a million tokens takes a second.
type counters struct {
	ready  int
	left   int // records of applications that left, for their groups
	tokens [len(states)]int
}

// Counts is how much there is now.
func (c *Core) Counts() Counts {
	n := Counts{Apps: c.reg.Apps() - len(c.rivals) - c.counters.left, Ready: c.counters.ready, Entries: c.reg.Entries(), Tokens: map[appregistry.State]int{}, Restoring: c.stored.left() + c.pending.left()}
	for s, count := range c.counters.tokens {
		if count != 0 {
			n.Tokens[appregistry.State(s)] = count
		}
	}
	return n
}
