package renewer

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
)

// waiter is a caller who waits for the replies to one request. The loop writes,
// the caller reads.
type waiter struct {
	request core.Request
	what    string             // "register"
	app     appregistry.AppKey // zero: what tells it all
	moment  core.Moment        // the one that is waited for
	durable atomic.Bool        // it was acknowledged
	done    chan struct{}      // closed at that moment, or at the last word
	// Both are written before done is closed.
	err   error
	until time.Time
}

func (w *waiter) hear(a core.Reply) {
	if a.Moment == core.Acknowledged && a.Err == nil {
		w.durable.Store(true)
		if w.moment == core.Acknowledged {
			close(w.done)
		}
		return
	}
	if !w.heard() {
		w.until = a.Until
	}
	w.end(a.Err)
}

// end is the last word.
func (w *waiter) end(err error) {
	if !w.heard() {
		w.err = err
		close(w.done)
	}
}

// heard reports, to the loop, whether the moment that is waited for has been.
func (w *waiter) heard() bool { return w.moment == core.Acknowledged && w.durable.Load() }

// wait returns at the moment asked for, or at the last word if that is earlier.
func (w *waiter) wait(ctx context.Context) error {
	var err error
	select {
	case <-w.done:
		err = w.err
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err == nil {
		return nil
	}
	if w.durable.Load() && (ctx.Err() != nil || errors.Is(err, ErrNotRunning)) {
		// Only the waiting has ended.
		if w.moment == core.Acknowledged {
			return nil
		}
		err = fmt.Errorf("%w: %w", appregistry.ErrNotReady, err)
	}
	return w.wrap(err)
}

func (w *waiter) wrap(err error) error {
	if w.app != (appregistry.AppKey{}) {
		return fmt.Errorf("%s %s: %w", w.what, w.app, err)
	}
	return fmt.Errorf("%s: %w", w.what, err)
}
