package namenode

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// lookupDeadline bounds one question to the resolver.
const lookupDeadline = 2 * time.Second

// resolver dials by name: each dial looks the name up anew, since addresses
// change, and takes those of the last answer where the resolver has none now.
// Names are those of the operator's configuration, so that what is remembered is
// bounded. It is safe for concurrent use.
type resolver struct {
	lookup func(ctx context.Context, host string) ([]string, error)
	dialer func(ctx context.Context, network, addr string) (net.Conn, error)

	mu    sync.Mutex // guards known
	known map[string][]string
}

func newResolver() *resolver {
	return &resolver{lookup: net.DefaultResolver.LookupHost, dialer: new(net.Dialer).DialContext, known: map[string][]string{}}
}

// dial connects to the first address of a name that answers.
func (r *resolver) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	addresses := []string{host}
	if _, err := netip.ParseAddr(host); err != nil {
		if addresses, err = r.resolve(ctx, host); err != nil {
			return nil, err
		}
	}
	var errs []error
	for i, a := range addresses {
		conn, err := r.dialShare(ctx, network, net.JoinHostPort(a, port), len(addresses)-i)
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// dialShare gives an address its share of the time that is left for all.
func (r *resolver) dialShare(ctx context.Context, network, addr string, left int) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok && left > 1 {
		share, cancel := context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
		defer cancel()
		ctx = share
	}
	return r.dialer(ctx, network, addr)
}

func (r *resolver) resolve(ctx context.Context, host string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupDeadline)
	defer cancel()
	addresses, err := r.lookup(ctx, host)
	if err == nil && len(addresses) == 0 {
		err = errors.New("no address")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.known[host] = addresses
		return addresses, nil
	}
	if last := r.known[host]; last != nil {
		return last, nil
	}
	return nil, fmt.Errorf("look up %s: %w", host, err)
}
