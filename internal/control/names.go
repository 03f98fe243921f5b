package control

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A user database may be a service far away, that hangs just when somebody wants to
// see what is wrong.
const (
	nameFor    = time.Minute     // a name is believed before it is looked up again
	nameWithin = 5 * time.Second // a look-up takes at most, for who waits for it
)

var errNoName = errors.New("the user database does not answer")

// names looks up the names of users: each by one goroutine at a time, and while that
// looks again, what is known is still good. Safe for concurrent use.
type names struct {
	look   func(uid uint32) (string, error)
	within time.Duration

	mu    sync.Mutex // guards what follows
	known map[uint32]*named
}

// named is what is known of one user.
type named struct {
	name    string // "": nothing yet
	err     error
	at      time.Time     // of the last answer
	looking chan struct{} // closed when there is one; nil: nobody looks
}

func (n *names) of(ctx context.Context, uid uint32) (string, error) {
	n.mu.Lock()
	k := n.known[uid]
	if k == nil {
		k = &named{}
		n.known[uid] = k
	}
	if k.looking == nil && (k.name == "" || time.Since(k.at) > nameFor) {
		k.looking = make(chan struct{})
		go n.lookUp(uid, k)
	}
	name, looking := k.name, k.looking
	n.mu.Unlock()
	if name != "" {
		return name, nil
	}
	limit := time.NewTimer(n.within)
	defer limit.Stop()
	select {
	case <-looking:
		n.mu.Lock()
		defer n.mu.Unlock()
		return k.name, k.err
	case <-limit.C:
		return "", errNoName
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (n *names) lookUp(uid uint32, k *named) {
	name, err := n.look(uid)
	n.mu.Lock()
	defer n.mu.Unlock()
	k.name, k.err, k.at = name, err, time.Now()
	if err != nil {
		delete(n.known, uid) // and the next who asks has it looked up again
	}
	close(k.looking)
	k.looking = nil
}
