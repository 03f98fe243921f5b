package renewer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
)

// waiter is a caller who waits for the replies to one request. The loop writes,
// the caller reads.
type waiter struct {
	request      core.Request
	what         string        // "register owner/id"
	acknowledged chan struct{} // closed at that moment
	done         chan error    // the last word; room for it, so that the loop never waits
	until        time.Time     // written before done
}

func newWaiter(n core.Request, what string) *waiter {
	return &waiter{request: n, what: what, acknowledged: make(chan struct{}), done: make(chan error, 1)}
}

func (w *waiter) hear(a core.Reply) {
	if a.Moment == core.Acknowledged && a.Err == nil {
		close(w.acknowledged)
		return
	}
	w.until = a.Until
	w.end(a.Err)
}

func (w *waiter) end(err error) { w.done <- err }

// wait returns at the moment asked for, or at the last word if that is earlier.
func (w *waiter) wait(ctx context.Context, moment core.Moment) error {
	acknowledged := w.acknowledged
	if moment == core.Done {
		acknowledged = nil
	}
	var err error
	select {
	case err = <-w.done:
	case <-acknowledged:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err == nil {
		return nil
	}
	if w.durable() && (ctx.Err() != nil || errors.Is(err, ErrNotRunning)) {
		// Only the waiting has ended.
		if moment == core.Acknowledged {
			return nil
		}
		err = fmt.Errorf("%w: %w", appregistry.ErrNotReady, err)
	}
	return fmt.Errorf("%s: %w", w.what, err)
}

func (w *waiter) durable() bool {
	select {
	case <-w.acknowledged:
		return true
	default:
		return false
	}
}
