package hrpc

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
)

// Addresses are the servers of one service, of which one serves at a time, such as the NameNodes of a nameservice. It
// remembers which one answered last. Its methods may be called concurrently.
type Addresses struct {
	list  []string
	first atomic.Int64
}

// NewAddresses returns the list in the order of preference; each is a host and port.
func NewAddresses(list ...string) *Addresses { return &Addresses{list: append([]string(nil), list...)} }

// Do calls f with one address after the other, beginning with the one that answered last, for as long as [FailOver]
// says that the error calls for another server. It returns nil or the error of the last address tried, joined with
// those before.
func (a *Addresses) Do(ctx context.Context, f func(ctx context.Context, addr string) error) error {
	if len(a.list) == 0 {
		return errors.New("no address")
	}
	first := int(a.first.Load())
	var errs []error
	for i := range a.list {
		n := (first + i) % len(a.list)
		err := f(ctx, a.list[n])
		if err == nil {
			a.first.Store(int64(n))
			return nil
		}
		errs = append(errs, err)
		if !FailOver(err) {
			// A refusal was spoken by the server that serves.
			a.first.Store(int64(n))
			break
		}
		if ctx.Err() != nil {
			break
		}
	}
	return joined(errs)
}

// joined makes the last error the one that errors.As finds first.
func joined(errs []error) error {
	last := errs[len(errs)-1]
	for _, e := range errs[:len(errs)-1] {
		last = fmt.Errorf("%w; before that: %v", last, e) //nolint:errorlint // only the last one is to be found
	}
	return last
}
