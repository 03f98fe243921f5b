package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// stopGrace is how long a daemon may take to end after SIGTERM before it is killed.
const stopGrace = 10 * time.Second

// process is one running daemon: its own process group, its output in one log file.
type process struct {
	name   string
	log    string
	pid    int
	exited chan struct{} // closed once err is set
	err    error         // how it ended; read only after exited is closed
}

// startProcess starts cmd in a process group of its own, appending its output to the file log.
// The child is killed by the kernel if this process dies first.
func startProcess(name, log string, cmd *exec.Cmd) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	p := &process{name: name, log: log, exited: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		err := runTied(cmd, func(pid int) { p.pid = pid; started <- nil })
		if p.pid == 0 {
			started <- err
			return
		}
		p.err = err
		close(p.exited)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// StartDaemon starts a daemon of the test's own with its output appended to the file log, and returns what kills it, as
// kill -9 does, and waits for its end; that may be called more than once. Like a Cluster's daemons it does not outlive
// the test process.
func StartDaemon(log string, cmd *exec.Cmd) (kill func(), err error) {
	p, err := startProcess(filepath.Base(cmd.Path), log, cmd)
	if err != nil {
		return nil, err
	}
	return func() {
		select {
		case <-p.exited:
		default:
			_ = syscall.Kill(-p.pid, syscall.SIGKILL) // ESRCH: it is about to be seen as ended
			<-p.exited
		}
	}, nil
}

// runTied runs cmd to its end. Pdeathsig fires when the thread that forked ends, not the process,
// so that thread is held until the child is gone.
func runTied(cmd *exec.Cmd, started func(pid int)) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	started(cmd.Process.Pid)
	return cmd.Wait()
}

// stop ends the process group and waits for it. A nil or ended process is no error.
func (p *process) stop() {
	if p == nil {
		return
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		select {
		case <-p.exited:
			return
		default:
		}
		// ESRCH: it ended between the look and the signal, and exited is about to be closed.
		_ = syscall.Kill(-p.pid, sig)
		select {
		case <-p.exited:
			return
		case <-time.After(stopGrace):
		}
	}
}

// await asks ready again and again until it answers nil, the process ends or ctx does.
func (p *process) await(ctx context.Context, ready func(context.Context) error) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("%s ended while starting: %s\n%s", p.name, fmt.Sprint(p.err), tail(p.log))
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w (%w)\n%s", p.name, err, ctx.Err(), tail(p.log))
		case <-tick.C:
		}
	}
}

// run runs a short-lived command to its end and returns its standard output; the error carries what it
// wrote to standard error. The command's process group is killed when ctx ends.
func run(ctx context.Context, cmd *exec.Cmd) (string, error) {
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	pids := make(chan int, 1)
	done := make(chan error, 1)
	go func() { done <- runTied(cmd, func(pid int) { pids <- pid }) }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		select {
		case pid := <-pids:
			_ = syscall.Kill(-pid, syscall.SIGKILL)
			err = <-done
		case err = <-done: // never started
		}
		err = errors.Join(ctx.Err(), err)
	}
	if err != nil {
		return stdout.String(), &CommandError{Args: cmd.Args, Stdout: stdout.String(), Stderr: stderr.String(), Err: err}
	}
	return stdout.String(), nil
}

// CommandError is how a short-lived command ended when it did not end well.
type CommandError struct {
	Args           []string
	Stdout, Stderr string
	Err            error
}

func (e *CommandError) Error() string {
	name := e.Args[0]
	if len(e.Args) > 1 {
		name += " … " + e.Args[len(e.Args)-1]
	}
	return fmt.Sprintf("run %s: %v\n%s", name, e.Err, lastLines(e.Stdout+e.Stderr))
}

func (e *CommandError) Unwrap() error { return e.Err }

// tail returns the last lines of the file at path, or why they cannot be read.
func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("--- end of %s\n%s", path, lastLines(string(b)))
}

// lastLines returns the last lines of s, long ones cut: a daemon's class path is one line of 10,000 characters.
func lastLines(s string) string {
	const count, width = 40, 500
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	lines = lines[max(0, len(lines)-count):]
	for i, line := range lines {
		lines[i] = line[:min(len(line), width)]
	}
	return strings.Join(lines, "\n")
}
