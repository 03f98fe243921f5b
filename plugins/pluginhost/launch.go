// Package pluginhost runs a provider program as a process of its own and is the
// provider in the host's stead: [Launch] starts it, [Process] passes calls on.
//
// The program is trusted with little. Its file is checked at each start, see
// [Check]; it gets an allow-listed environment, no input and its own process group;
// it is spoken to over a unix socket with mutual TLS under certificates made for
// that one start; it dies with the host, and a crash costs the calls in flight. One
// that lets a call run out of time and does not even describe itself then is ended,
// and started again as after a crash.
//
// It works on unix systems. On Linux what is executed is the very file that was
// checked, and the kernel itself ends an orphan. Elsewhere the file is found by its
// name once more: that nobody else may rename it rests on its folders alone.
package pluginhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/tokenwheel/tokenwheel/plugins"
)

// Command says which program to run and how. Path and SHA256 are required.
type Command struct {
	Path         string        // absolute; file and folders as [Check] demands
	SHA256       string        // checksum of the file, 64 hexadecimal digits, see [Sum]
	Args         []string      // without the program's name
	PassEnv      []string      // host variables the program gets beside PATH, TZ, LANG, LC_ALL, TMPDIR and SSL_CERT_FILE, SSL_CERT_DIR
	StartTimeout time.Duration // to the handshake, to the first answer, and to the one that shows that it still lives; 0: 10 s
	RestartAfter time.Duration // first wait after a crash, doubling to 5 min; 0: 1 s
	Logger       *slog.Logger  // gets what the program logs; nil: nobody does
}

// Process is a provider program that is kept running. It has the methods of every
// ability and announces which the program has. While the program is down every
// call fails at once as [plugins.KindRetry] with code "provider-down". Safe for
// concurrent use.
type Process struct {
	command Command
	stop    context.CancelFunc
	ended   chan struct{} // closed when nothing of the process is left

	kinds     []string
	abilities plugins.Abilities
	version   string

	mu     sync.Mutex // guards the fields below; never held over a call
	child  *child     // nil: down
	why    error      // why it is down
	next   time.Time  // when it is started again
	config json.RawMessage
}

var (
	_ plugins.Provider   = (*Process)(nil)
	_ plugins.Configurer = (*Process)(nil)
	_ plugins.Authorizer = (*Process)(nil)
	_ plugins.Identifier = (*Process)(nil)
	_ plugins.Announcer  = (*Process)(nil)
)

// Launch starts the program and waits until it has described itself. ctx bounds
// the start, not the process's life, which ends with [Process.Close]. A program
// that cannot be trusted or understood is an error of [plugins.KindRefused] with
// a code for each reason; nothing is left running on any error.
func Launch(ctx context.Context, c Command) (*Process, error) {
	if c.StartTimeout == 0 {
		c.StartTimeout = 10 * time.Second
	}
	if c.RestartAfter == 0 {
		c.RestartAfter = time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	life, stop := context.WithCancel(context.Background())
	p := &Process{command: c, stop: stop, ended: make(chan struct{})}
	started := make(chan error, 1)
	go p.supervise(ctx, life, started)
	if err := <-started; err != nil {
		stop()
		<-p.ended
		return nil, fmt.Errorf("start provider program %s: %w", c.Path, err)
	}
	return p, nil
}

// supervise owns the process: it starts the program, starts it again when it
// ended, and stops it at the end of life.
//
// Linux ties the death signal of a child to the thread that started it. So every
// start happens on this goroutine's thread, which lives until Close.
func (p *Process) supervise(start, life context.Context, started chan<- error) {
	runtime.LockOSThread()
	defer close(p.ended)
	c, err := startChild(start, p.command)
	if err != nil {
		started <- err
		return
	}
	p.kinds, p.abilities, p.version = c.provider.Kinds(), c.provider.Abilities(), c.provider.Version()
	p.up(c)
	started <- nil

	crashes := 0
	for c != nil {
		began := time.Now()
		select {
		case <-life.Done():
			p.closed()
			c.stop()
			return
		case <-c.process.exited:
		}
		if time.Since(began) > maxRestartDelay {
			crashes = 0
		}
		err := c.process.exitError()
		p.command.Logger.Error("provider program ended", "program", p.command.Path, "err", err)
		c = p.restart(life, c, err, &crashes)
	}
}

// restart is called when c has ended, for the reason why. It waits and starts the
// program until it runs again; nil when life ended.
func (p *Process) restart(life context.Context, c *child, why error, crashes *int) *child {
	for {
		delay := restartDelay(p.command.RestartAfter, *crashes)
		*crashes++
		p.down(why, delay)
		if c != nil {
			c.stop()
		}
		select {
		case <-life.Done():
			p.closed()
			return nil
		case <-time.After(delay):
		}
		if c, why = startChild(life, p.command); why == nil {
			why = p.resume(life, c)
		}
		if why == nil {
			p.up(c)
			return c
		}
		p.command.Logger.Error("start provider program again", "program", p.command.Path, "err", why)
	}
}

// resume brings a new process to where the last one was.
func (p *Process) resume(life context.Context, c *child) error {
	if !slices.Equal(c.provider.Kinds(), p.kinds) || c.provider.Abilities() != p.abilities {
		return plugins.Suspect(errors.New("the program describes itself otherwise than at its first start"))
	}
	p.mu.Lock()
	config := p.config
	p.mu.Unlock()
	if config == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(life, p.command.StartTimeout)
	defer cancel()
	return c.provider.Configure(ctx, config)
}

const maxRestartDelay = 5 * time.Minute

// restartDelay is the wait before a start that follows n crashes in a row.
func restartDelay(first time.Duration, n int) time.Duration {
	delay := first
	for i := 0; i < n && delay < maxRestartDelay; i++ {
		delay *= 2
	}
	return min(delay, maxRestartDelay)
}

func (p *Process) up(c *child) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.child, p.why = c, nil
}

func (p *Process) down(why error, delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.child, p.why, p.next = nil, why, time.Now().Add(delay)
}

// closed has all later calls refused.
func (p *Process) closed() {
	p.down(plugins.Refused("provider-closed", errors.New("provider program: closed")), 0)
}

// running is the program as it runs, or why it does not.
func (p *Process) running() (*child, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.child != nil:
		return p.child, nil
	case plugins.CodeOf(p.why) == "provider-closed":
		return nil, p.why
	}
	return nil, &plugins.Error{Code: "provider-down", RetryAfter: max(0, time.Until(p.next)), Err: p.why}
}

// Close ends the program, by force after 2 s, and returns when nothing of it is
// left. Later calls are refused. Close may be called again.
func (p *Process) Close() error {
	p.stop()
	<-p.ended
	return nil
}
