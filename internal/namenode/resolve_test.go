package namenode

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// names is a resolver of a test's making and the addresses that answer.
type names struct {
	*resolver
	answer func(ctx context.Context) ([]string, error)
	up     []string
	dialed []string
}

func newNames() *names {
	n := &names{resolver: newResolver()}
	n.lookup = func(ctx context.Context, _ string) ([]string, error) { return n.answer(ctx) }
	n.dialer = func(ctx context.Context, _, addr string) (net.Conn, error) {
		n.dialed = append(n.dialed, addr)
		if !slices.Contains(n.up, addr) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}
		c, _ := net.Pipe()
		return c, nil
	}
	return n
}

func (n *names) connect(t *testing.T) error {
	t.Helper()
	n.dialed = nil
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	c, err := n.dial(ctx, "tcp", "nn1.example.com:8020")
	if err == nil {
		_ = c.Close()
	}
	return err
}

func says(addresses ...string) func(context.Context) ([]string, error) {
	return func(context.Context) ([]string, error) { return addresses, nil }
}

// A resolver that fails or hangs leaves the addresses of its last answer.
//
// Shows: B08.
func TestB08_LastKnownAddressesWhileNamesFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNames()
		n.up = []string{"10.0.0.1:8020"}
		n.answer = func(context.Context) ([]string, error) { return nil, errors.New("server misbehaving") }
		if err := n.connect(t); err == nil || !strings.Contains(err.Error(), "look up nn1.example.com") {
			t.Errorf("without any answer yet: %v", err)
		}
		n.answer = says("10.0.0.1")
		if err := n.connect(t); err != nil {
			t.Fatal(err)
		}
		for name, answer := range map[string]func(context.Context) ([]string, error){
			"fails": func(context.Context) ([]string, error) { return nil, errors.New("server misbehaving") },
			"empty": says(),
			"hangs": func(ctx context.Context) ([]string, error) { <-ctx.Done(); return nil, ctx.Err() },
		} {
			n.answer = answer
			start := time.Now()
			if err := n.connect(t); err != nil {
				t.Errorf("resolver %s: %v", name, err)
			}
			if d := time.Since(start); d > lookupDeadline {
				t.Errorf("resolver %s: connected after %v", name, d)
			}
		}
	})
}

// The address of a name is looked up at each dial, and each gets its share of the
// time.
//
// Shows: B31.
func TestB31_NewAddressIsUsedAtTheNextDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNames()
		n.up, n.answer = []string{"10.0.0.1:8020"}, says("10.0.0.1")
		if err := n.connect(t); err != nil {
			t.Fatal(err)
		}
		n.up, n.answer = []string{"10.0.0.2:8020"}, says("10.0.0.2")
		if err := n.connect(t); err != nil || !slices.Equal(n.dialed, n.up) {
			t.Errorf("dialled %q, error %v; want the new address alone", n.dialed, err)
		}
		n.answer = says("10.0.0.1", "10.0.0.2") // the first is silent
		if err := n.connect(t); err != nil {
			t.Errorf("with a silent first address: %v", err)
		}
		n.up = nil
		if err := n.connect(t); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with no address that answers: %v", err)
		}
	})
}
