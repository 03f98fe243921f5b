package renewer

import (
	"sync"

	"github.com/tokenwheel/tokenwheel/internal/core"
)

// item is one thing for the loop: an event for the core, or a question to be
// asked on the loop's goroutine.
type item struct {
	event core.Event
	late  bool    // the event answers a job that was answered for before
	reply *waiter // of a request
	ask   func(*core.Core)
}

// inbox is where everybody leaves things for the loop, which takes them in
// batches. It never blocks.
type inbox struct {
	signal chan struct{} // holds one element while items wait

	mu    sync.Mutex // guards what follows
	items []item
	state inboxState
}

type inboxState uint8

const (
	inboxNew inboxState = iota
	inboxOpen
	inboxClosed
)

func newInbox() *inbox { return &inbox{signal: make(chan struct{}, 1)} }

// put leaves an item; false where no loop will take it.
func (b *inbox) put(it item) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state != inboxOpen {
		return false
	}
	b.items = append(b.items, it)
	select {
	case b.signal <- struct{}{}:
	default:
	}
	return true
}

// swap takes all that waits and hands over an empty buffer for what comes.
func (b *inbox) swap(empty []item) []item {
	b.mu.Lock()
	defer b.mu.Unlock()
	full := b.items
	b.items = empty[:0]
	return full
}

func (b *inbox) set(s inboxState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state = s
}
