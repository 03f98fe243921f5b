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
}

// add takes a user's connection in and returns how many he has now; one that
// would be too many it leaves out.
func (c *connections) add(conn net.Conn, uid uint32) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users == nil {
		c.users, c.counts = map[net.Conn]uint32{}, map[uint32]int{}
	}
	n := c.counts[uid] + 1
	if n <= maxPerUser {
		c.users[conn], c.counts[uid] = uid, n
	}
	return n
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
	if c.counts[uid]--; c.counts[uid] == 0 {
		delete(c.counts, uid)
	}
}
