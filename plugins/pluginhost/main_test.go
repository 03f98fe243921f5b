package pluginhost_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/plugins/pluginhost"
)

// program is the test plugin, built once for all tests of this package.
var program string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "pluginhost")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	// What is left behind in it is ours. Others may look into it, as into /tmp.
	temp, err := os.MkdirTemp("", "pluginhost")
	if err == nil {
		err = errors.Join(os.Chmod(temp, 0o755), os.Setenv("TMPDIR", temp))
	}
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(temp) }()
	program = filepath.Join(dir, "testplugin")
	if out, err := exec.Command("go", "build", "-o", program, "../plugintest/testplugin").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build testplugin: %v\n%s", err, out)
		return 1
	}
	if err := os.Chmod(program, 0o700); err != nil { // whatever the umask is
		panic(err)
	}
	if code := m.Run(); code != 0 {
		return code
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// command starts the test plugin in a mode.
func command(t *testing.T, mode string) pluginhost.Command {
	t.Helper()
	sum, err := pluginhost.Sum(program)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	return pluginhost.Command{Path: program, SHA256: sum, Args: []string{mode}, RestartAfter: 20 * time.Millisecond, Logger: log}
}

func launch(t *testing.T, c pluginhost.Command) *pluginhost.Process {
	t.Helper()
	p, err := pluginhost.Launch(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// ask obtains for a user at whose name the test plugin does something odd, and
// returns what it tells.
func ask(ctx context.Context, p *pluginhost.Process, user string) (string, error) {
	grants, err := p.Obtain(ctx, plugins.ObtainRequest{User: user})
	if err != nil {
		return "", err
	}
	return string(grants[0].Token.Identifier), nil
}

func askPID(t *testing.T, p *pluginhost.Process, user string) int {
	t.Helper()
	text, err := ask(t.Context(), p, user)
	if err != nil {
		t.Fatalf("ask for %s: %v", user, err)
	}
	return parsePID(t, text)
}

func parsePID(t *testing.T, text string) int {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// alive reports whether a process runs; one that only waits to be reaped does not.
func alive(t *testing.T, pid int) bool {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, os.ErrNotExist) {
		return false
	}
	if err != nil {
		return false // it went away while it was read
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

func waitGone(t *testing.T, pid int, within time.Duration) {
	t.Helper()
	eventually(t, within, fmt.Sprintf("process %d is gone", pid), func() bool { return !alive(t, pid) })
}

// eventually waits until a condition holds.
func eventually(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(within)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}
