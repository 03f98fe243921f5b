// Package plugintest says what it means to be a [plugins.Provider], as tests. A
// provider's own test is one call:
//
//	func TestProvider(t *testing.T) {
//		plugintest.Run(t, plugintest.Config{New: func(testing.TB) plugins.Provider { return &provider{} }})
//	}
//
// [Run] holds the provider to the same checks called directly, over the wire
// inside the test's process and, where the program is given, as a process.
// [Examine] is the checks without a testing.T.
package plugintest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/tokenwheel/tokenwheel/internal/pluginwire"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/plugins/pluginhost"
)

// Config says how to get a provider and what to expect of it. One of New and
// Program is required.
type Config struct {
	// New returns a fresh provider, not yet configured. It is called once for each
	// way of calling it.
	New func(t testing.TB) plugins.Provider
	// Program is the path of the provider's program; "": it is not run as a
	// process. [Build] makes one.
	Program string
	// Section is given to Configure; nil: Configure is not called.
	Section json.RawMessage
	Expect  Expect
}

// Expect is what the checks take for granted. The zero value works.
type Expect struct {
	User        string        // on whose behalf tokens are obtained; "": alice
	Renewer     string        // who renews them; "": the provider's own name
	ReplaceOnly bool          // tokens cannot be renewed: Renew always asks for a replacement
	Prompt      time.Duration // in which a call returns once its context has ended; 0: 2 s
}

func (e Expect) withDefaults() Expect {
	if e.User == "" {
		e.User = "alice"
	}
	if e.Prompt == 0 {
		e.Prompt = 2 * time.Second
	}
	return e
}

// Finding is one expectation that a provider does not meet. Its text holds no
// secret of the provider's.
type Finding struct {
	Check string // the name of the expectation
	Err   error
}

func (f Finding) Error() string { return f.Check + ": " + f.Err.Error() }
func (f Finding) Unwrap() error { return f.Err }

// Run checks a provider in every way it can be called.
func Run(t *testing.T, c Config) {
	t.Helper()
	if c.New == nil && c.Program == "" {
		t.Fatal("plugintest: Config names neither New nor Program")
	}
	if c.New != nil {
		t.Run("in process", func(t *testing.T) { check(t, c, c.New(t)) })
		t.Run("over the wire", func(t *testing.T) { check(t, c, OverWire(t, c.New(t))) })
	}
	if c.Program != "" {
		t.Run("as a process", func(t *testing.T) { check(t, c, Launch(t, c.Program)) })
	}
}

func check(t *testing.T, c Config, p plugins.Provider) {
	t.Helper()
	if c.Section != nil {
		configurer, ok := p.(plugins.Configurer)
		if !ok || !plugins.AbilitiesOf(p).Configure {
			t.Fatal("configure: the provider takes no configuration")
		}
		if err := configurer.Configure(t.Context(), c.Section); err != nil {
			t.Fatalf("configure: %v", err)
		}
	}
	for _, f := range Examine(t.Context(), p, c.Expect) {
		t.Errorf("%s", f.Error())
	}
}

// Examine holds a configured provider to every expectation and returns what it
// does not meet. A panic or a call that never returns is a finding too; the
// latter leaves a goroutine behind.
func Examine(ctx context.Context, p plugins.Provider, e Expect) []Finding {
	e = e.withDefaults()
	var findings []Finding
	for _, c := range checks() {
		s := &subject{provider: p, expect: e}
		if err := guarded(ctx, s, c.run); err != nil {
			findings = append(findings, Finding{Check: c.name, Err: err})
		}
	}
	return findings
}

// checkTimeout bounds one check.
const checkTimeout = 30 * time.Second

// guarded runs one check on a goroutine of its own, so that neither a panic nor a
// call that ignores its context ends the others.
func guarded(ctx context.Context, s *subject, run func(context.Context, *subject) error) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	result := make(chan error, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				result <- panicked(v)
			}
		}()
		result <- run(ctx, s)
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
	}
	select { // what the check itself says of the timeout is more exact
	case err := <-result:
		return err
	case <-time.After(s.expect.Prompt):
		return errors.New("a call did not return after its context had ended")
	}
}

// panicked says of a panic that is being recovered where it was. Its text could hold
// a secret, a line of code does not.
func panicked(v any) error {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for inPanic, more := false, true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		if inPanic && !strings.HasPrefix(f.Function, "runtime.") {
			return fmt.Errorf("the provider panicked (%T) at %s:%d", v, filepath.Base(f.File), f.Line)
		}
		inPanic = inPanic || f.Function == "runtime.gopanic"
	}
	return fmt.Errorf("the provider panicked (%T)", v)
}

// OverWire is p behind the two adapters of the wire, joined in memory. Both ends
// are closed when the test is done.
func OverWire(t testing.TB, p plugins.Provider) plugins.Provider {
	t.Helper()
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer(pluginwire.ServerOptions()...)
	pluginwire.RegisterProviderServer(server, pluginwire.NewServer(p, pluginwire.Options{}))
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:provider", pluginwire.DialOption(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatalf("join the wire's ends: %v", err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		<-served
	})
	client, err := pluginwire.NewClient(t.Context(), conn)
	if err != nil {
		t.Fatalf("join the wire's ends: %v", err)
	}
	return client
}

// Launch starts a provider program and ends it when the test is done. What it
// logs becomes part of the test's output.
func Launch(t testing.TB, program string, args ...string) *pluginhost.Process {
	t.Helper()
	sum, err := pluginhost.Sum(program)
	if err != nil {
		t.Fatalf("launch: %v", err)
	}
	p, err := pluginhost.Launch(t.Context(), pluginhost.Command{Path: program, SHA256: sum, Args: args, Logger: logger(t)})
	if err != nil {
		t.Fatalf("launch: %v", err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}
