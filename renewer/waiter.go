package renewer

import (
	"context"
	"fmt"

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
}

func newWaiter(n core.Request, what string) *waiter {
	return &waiter{request: n, what: what, acknowledged: make(chan struct{}), done: make(chan error, 1)}
}

func (w *waiter) hear(a core.Reply) {
	if a.Moment == core.Acknowledged && a.Err == nil {
		close(w.acknowledged)
		return
	}
	w.end(a.Err)
}

func (w *waiter) end(err error) { w.done <- err }

// wait returns at the moment asked for, or at the last word if that is earlier.
func (w *waiter) wait(ctx context.Context, moment core.Moment) error {
	acknowledged := w.acknowledged
	if moment == core.Done {
		acknowledged = nil
	}
	select {
	case err := <-w.done:
		if err != nil {
			return fmt.Errorf("%s: %w", w.what, err)
		}
		return nil
	case <-acknowledged:
		return nil
	case <-ctx.Done():
		return w.gaveUp(context.Cause(ctx))
	}
}

// gaveUp is the error of a caller whose context ended first.
func (w *waiter) gaveUp(cause error) error {
	select {
	case <-w.acknowledged:
		return fmt.Errorf("%s: %w: %w", w.what, appregistry.ErrNotReady, cause)
	default:
		return fmt.Errorf("%s: %w", w.what, cause)
	}
}
