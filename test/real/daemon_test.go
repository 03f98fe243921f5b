package real_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/control"
	"github.com/tokenwheel/tokenwheel/test/real/cluster"
)

// program builds the command, once for all tests, into the shared cluster's folder.
var program = sync.OnceValues(func() (string, error) {
	path := filepath.Join(shared.Dir, "tokenwheel")
	build := exec.Command("go", "build", "-o", path, "./cmd/tokenwheel")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build tokenwheel: %w\n%s", err, out)
	}
	return path, nil
})

// daemon is the configuration of a "tokenwheel run" and, while it runs, its process.
type daemon struct {
	t    *testing.T
	path string // of the program
	dir  string // short, since it holds a socket
	log  string
	kill func() // as kill -9 does
}

// newDaemon writes a configuration for c; more is further YAML. The daemon is killed at the test's end.
func newDaemon(t *testing.T, c *cluster.Cluster, more string) *daemon {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "tw-")
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, path: path, dir: dir, log: filepath.Join(dir, "log"), kill: func() {}}
	t.Cleanup(func() {
		d.kill()
		if t.Failed() {
			t.Logf("the daemon's log ends with\n%s", d.lastOfLog())
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	config := fmt.Sprintf(`hadoop_conf: %s
kerberos: {principal: %q, keytab: %s, krb5_conf: %s}
control: unix://%s/control.sock
store: bolt://%[5]s/apps.db
%s`, c.ConfDir, cluster.TokenwheelPrincipal, c.Keytab(cluster.TokenwheelPrincipal), c.Krb5Conf, dir, more)
	if err := os.WriteFile(filepath.Join(dir, "tokenwheel.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

// start starts the daemon and returns when it answers.
func (d *daemon) start() {
	d.t.Helper()
	kill, err := cluster.StartDaemon(d.log, exec.Command(d.path, "run", "--config", filepath.Join(d.dir, "tokenwheel.yaml")))
	if err != nil {
		d.t.Fatal(err)
	}
	d.kill = kill
	answers := func() bool {
		_, err := d.command(d.t.Context(), "app", "list")
		return err == nil
	}
	if err := eventually(within(d.t, 20*time.Second), answers); err != nil {
		d.t.Fatalf("the daemon does not answer: %v", err)
	}
}

// command runs one of the program's commands against the daemon and returns its standard output.
func (d *daemon) command(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, d.path, args...)
	cmd.Env = append(os.Environ(), "TOKENWHEEL_ADDRESS=unix://"+d.dir+"/control.sock")
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("tokenwheel %s: %w\n%s", strings.Join(args, " "), err, exitText(err))
	}
	return string(out), nil
}

// do is command for what must work.
func (d *daemon) do(args ...string) string {
	d.t.Helper()
	out, err := d.command(within(d.t, time.Minute), args...)
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

// app describes an application.
func (d *daemon) app(name string) control.App {
	d.t.Helper()
	var a control.App
	if err := json.Unmarshal([]byte(d.do("app", "describe", name, "-o", "json")), &a); err != nil {
		d.t.Fatal(err)
	}
	return a
}

// apps lists all applications.
func (d *daemon) apps() (list []control.App) {
	d.t.Helper()
	if err := json.Unmarshal([]byte(d.do("app", "list", "-o", "json")), &list); err != nil {
		d.t.Fatal(err)
	}
	return list
}

// logged counts the lines of the daemon's log that tell of an event.
func (d *daemon) logged(event string) (n int) {
	text, err := os.ReadFile(d.log)
	if err != nil {
		d.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "msg="+event+" ") {
			n++
		}
	}
	return n
}

func (d *daemon) lastOfLog() string {
	text, err := os.ReadFile(d.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(string(text), "\n")
	return strings.Join(lines[max(0, len(lines)-60):], "\n")
}
