package control

import (
	"net"
	"sync"
)

// maxPerUser bounds the connections that one user has open at a time, so that
// nobody can use up the daemon's descriptors or keep others out.
const maxPerUser = 256

// connections counts open connections by user. The zero value is ready; safe for
// concurrent use.
type connections struct {
	mu     sync.Mutex // guards the fields below
	users  map[net.Conn]uint32
	counts map[uint32]int
	full   map[uint32]bool // who was told of, until he has half of his connections
}

// add takes a user's connection in; one that would be too many it leaves out. It
// says whether that is to be told, which a user cannot have done at will.
func (c *connections) add(conn net.Conn, uid uint32) (ok, tell bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users == nil {
		c.users, c.counts, c.full = map[net.Conn]uint32{}, map[uint32]int{}, map[uint32]bool{}
	}
	if c.counts[uid] >= maxPerUser {
		tell = !c.full[uid]
		c.full[uid] = true
		return false, tell
	}
	c.users[conn] = uid
	c.counts[uid]++
	return true, false
}

// remove forgets a connection, if it was taken in.
func (c *connections) remove(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	uid, ok := c.users[conn]
	if !ok {
		return
	}
	delete(c.users, conn)
	if c.counts[uid] <= maxPerUser/2 {
		delete(c.full, uid)
	}
	if c.counts[uid]--; c.counts[uid] == 0 {
		delete(c.counts, uid)
	}
}
