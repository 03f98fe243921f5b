package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/pluginwire"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// process is go-plugin's runner for one start: it decides what is executed, what
// the program inherits, and how it ends. It also keeps the program's output from
// go-plugin's own readers, which stop at a long line and panic at an odd one.
type process struct {
	command   Command
	env       []string
	socketDir string // 0700, made and removed by go-plugin

	handshake *handshakeReader
	logs      *logReader
	exited    chan struct{} // closed when the process has been reaped
	exit      error         // how it ended; read after exited

	mu       sync.Mutex // guards the fields below
	cmd      *exec.Cmd  // nil: not started
	finished bool       // killed before its start, or reaped: its id may be another's
}

func newProcess(command Command, identity *identity) *process {
	return &process{
		command: command,
		env:     append(allowedEnv(os.LookupEnv, command.PassEnv), "PLUGIN_CLIENT_CERT="+identity.certPEM),
		exited:  make(chan struct{}),
	}
}

// allowedEnv is what of the host's environment a program gets to see.
func allowedEnv(lookup func(string) (string, bool), more []string) []string {
	var env []string
	for _, name := range append([]string{"PATH", "TZ", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"}, more...) {
		if value, ok := lookup(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// Start implements go-plugin's runner.
func (p *process) Start(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.finished {
		return context.Canceled
	}
	file, err := openProgram(p.command.Path, p.command.SHA256)
	if err != nil {
		return err
	}
	var pipes pipeSet
	out, outEnd := pipes.make()
	errs, errsEnd := pipes.make()
	hostEnd, host := pipes.make() // the program reads its end; it ends when ours is gone
	if pipes.err != nil {
		pipes.closeAll()
		_ = file.Close()
		return pipes.err
	}
	cmd := exec.Command(p.command.Path, p.command.Args...)
	cmd.Env = append(p.env, pluginwire.HostPipe+"=3")
	cmd.Stdout, cmd.Stderr = outEnd, errsEnd
	cmd.ExtraFiles = []*os.File{hostEnd, file} // 3 and 4
	prepare(cmd, 4)
	err = cmd.Start()
	for _, f := range []*os.File{outEnd, errsEnd, hostEnd, file} {
		_ = f.Close()
	}
	if err != nil {
		pipes.closeAll()
		return plugins.Refused("program-not-started", err)
	}
	p.cmd = cmd
	p.handshake = &handshakeReader{out: out, socketDir: p.socketDir}
	p.logs = readLogs(errs, p.command.Logger)
	go p.wait(out, errs, host)
	return nil
}

// wait reaps the process, and first ends what it started while the group's id is
// surely still its own. Somebody who left the group may hold the output open: its
// readers are not kept waiting for that.
func (p *process) wait(out, errs, host *os.File) {
	defer close(p.exited)
	unreaped := awaitExit(p.cmd.Process.Pid)
	if !unreaped {
		p.exit = p.cmd.Wait()
	}
	p.mu.Lock()
	if unreaped {
		_ = killGroup(p.cmd.Process.Pid)
		p.exit = p.cmd.Wait()
	}
	p.finished = true
	p.mu.Unlock()
	_ = host.Close()
	soon := time.Now().Add(time.Second)
	_, _ = out.SetReadDeadline(soon), errs.SetReadDeadline(soon)
}

// Wait implements go-plugin's runner.
func (p *process) Wait(context.Context) error {
	<-p.exited
	<-p.logs.done
	return p.exit
}

// Kill implements go-plugin's runner: it ends the whole process group. Before the
// start it prevents that.
func (p *process) Kill(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.cmd == nil:
		p.finished = true
	case !p.finished:
		p.handshake.killed.Store(true)
		return killGroup(p.cmd.Process.Pid)
	}
	return nil
}

// close gives back the read ends; the process has ended, or never was.
func (p *process) close() {
	if p.handshake != nil {
		_ = p.handshake.out.Close()
		_ = p.logs.in.Close()
	}
}

// exitError says how a process that had been serving ended.
func (p *process) exitError() error {
	if p.exit == nil {
		return errors.New("the program ended by itself")
	}
	return fmt.Errorf("the program ended: %w", p.exit)
}

// explain turns a failed start into what an operator or author can act on. It is
// called after stop.
func (p *process) explain(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case p.handshake == nil || p.handshake.err == nil:
		return err
	case !errors.Is(p.handshake.err, io.EOF):
		return p.handshake.err
	}
	said := ""
	if p.logs.first != "" {
		said = "; it said: " + strconv.Quote(p.logs.first)
	}
	how := "exit status 0"
	if p.exit != nil {
		how = p.exit.Error()
	}
	return &plugins.Error{Code: "no-handshake", Err: fmt.Errorf("the program ended before its handshake (%s)%s", how, said)}
}

// Stdout implements go-plugin's runner: the handshake line and nothing else.
func (p *process) Stdout() io.ReadCloser { return p.handshake }

// Stderr implements go-plugin's runner. There is nothing in it for go-plugin.
func (p *process) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// Name implements go-plugin's runner.
func (p *process) Name() string { return p.command.Path }

// ID implements go-plugin's runner. It is never empty, or go-plugin would leave
// its folder behind.
func (p *process) ID() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return "not started"
	}
	return strconv.Itoa(p.cmd.Process.Pid)
}

// Diagnose implements go-plugin's runner; explain knows more.
func (p *process) Diagnose(context.Context) string { return "" }

// PluginToHost implements go-plugin's runner: both see the same files.
func (p *process) PluginToHost(network, addr string) (string, string, error) {
	return network, addr, nil
}

// HostToPlugin implements go-plugin's runner.
func (p *process) HostToPlugin(network, addr string) (string, string, error) {
	return network, addr, nil
}

// pipeSet makes pipes and remembers the first error.
type pipeSet struct {
	ends []*os.File
	err  error
}

func (s *pipeSet) make() (read, write *os.File) {
	if s.err != nil {
		return nil, nil
	}
	if read, write, s.err = os.Pipe(); s.err == nil {
		s.ends = append(s.ends, read, write)
	}
	return read, write
}

func (s *pipeSet) closeAll() {
	for _, f := range s.ends {
		_ = f.Close()
	}
}
