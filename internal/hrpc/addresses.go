package hrpc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"
)

// Addresses are the servers of one service, of which one serves at a time, such as the NameNodes of a nameservice. It
// remembers which one answered last, and does not begin with one that left a call without an answer. Its methods may be
// called concurrently.
type Addresses struct {
	list  []string
	first atomic.Int64
}

// NewAddresses returns the list in the order of preference; each is a host and port.
func NewAddresses(list ...string) *Addresses { return &Addresses{list: append([]string(nil), list...)} }

// While a service moves from one server to another nobody serves. The list is then walked again after a pause that
// doubles, up to a third of it more or less; what lasts longer is for the caller's own plan of retries.
const (
	firstPause = 500 * time.Millisecond // dfs.client.failover.sleep.base.millis
	rounds     = 5                      // 7.5 s of pauses
)

// Once makes a call that must not take effect twice: f is given one address after the other, beginning with the one that
// answered last, for as long as [FailOver] says that the error calls for another server. It returns nil or the error of
// the last address tried, joined with those before.
func (a *Addresses) Once(ctx context.Context, f func(ctx context.Context, addr string) error) error {
	return a.call(ctx, f, false)
}

// Again is [Addresses.Once] for a call that may take effect twice, as renewals and cancels may: where an answer was lost
// the next server is asked. It also takes a second opinion on [InvalidToken]: a server that serves no more and has not
// noticed, or that has not heard yet, does not know tokens that the others know. If none knows better, that error counts.
func (a *Addresses) Again(ctx context.Context, f func(ctx context.Context, addr string) error) error {
	return a.call(ctx, f, true)
}

func (a *Addresses) call(ctx context.Context, f func(ctx context.Context, addr string) error, again bool) error {
	if len(a.list) == 0 {
		return errors.New("no address")
	}
	for pause, round := firstPause, 1; ; pause, round = 2*pause, round+1 {
		w := a.walk(ctx, f, again)
		if w.settled || !w.moving() || len(a.list) == 1 || round == rounds {
			return w.verdict
		}
		select {
		case <-time.After(pause - pause/3 + rand.N(pause*2/3)): // #nosec G404 -- spreads calls, keeps no secret
		case <-ctx.Done():
			return w.verdict
		}
	}
}

// walk is how one round over the list went.
type walk struct {
	settled bool  // the service answered, or the context ended
	verdict error // joined, so that errors.As finds the one that counts
	unknown error // what a server said that did not know the token
	others  []error
}

func (a *Addresses) walk(ctx context.Context, f func(ctx context.Context, addr string) error, again bool) (w walk) {
	first, count := int(a.first.Load()), len(a.list)
	for i := 0; i < count && !w.settled; i++ {
		n := (first + i) % count
		err := f(ctx, a.list[n])
		switch {
		case err == nil:
			a.first.Store(int64(n))
			return walk{settled: true}
		case again && isClass(err, InvalidToken) && count > 1:
			a.first.Store(int64(n))
			w.unknown = err
		case FailOver(err) || again && AnswerLost(err):
			w.others = append(w.others, err)
			w.verdict = joined(busyLast(w.others))
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				a.first.Store(int64((n + 1) % count)) // it took all the time there was: the next call begins elsewhere
			}
		default:
			if AnswerLost(err) {
				n = (n + 1) % count // it may hang, and would have every call that may not be made twice
			}
			a.first.Store(int64(n)) // a refusal, too, was spoken by the server that serves
			return walk{settled: true, verdict: joined(append(w.others, err))}
		}
		w.settled = ctx.Err() != nil
	}
	if w.unknown != nil {
		w.verdict = joined(append(w.others, w.unknown))
	}
	return w
}

// moving reports whether the service is about to be served again. A server that does not know the token thinks that it
// serves: only one that says that it is about to may know better.
func (w *walk) moving() bool {
	return slices.ContainsFunc(w.others, func(err error) bool {
		return isClass(err, Retriable) || w.unknown == nil && isClass(err, Standby)
	})
}

// busyLast puts the word of a server that is overloaded, or about to serve, behind that of one that does not serve at all:
// who paces calls must hear it.
func busyLast(errs []error) []error {
	i := slices.IndexFunc(errs, func(err error) bool { return isClass(err, Retriable) })
	if i < 0 {
		return errs
	}
	return append(slices.Delete(slices.Clone(errs), i, i+1), errs[i])
}

// joined makes the last error the one that errors.As finds first.
func joined(errs []error) error {
	last := errs[len(errs)-1]
	for _, e := range errs[:len(errs)-1] {
		last = fmt.Errorf("%w; before that: %v", last, e) //nolint:errorlint // only the last one is to be found
	}
	return last
}

func isClass(err error, c Class) bool {
	re, ok := errors.AsType[*RemoteError](err)
	return ok && re.Class == c
}
