package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/examples/gatepass/pass"
	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/internal/control"
	"github.com/tokenwheel/tokenwheel/plugins/pluginhost"
	"github.com/tokenwheel/tokenwheel/plugins/plugintest"
)

// TestU9_ProgramIsKilledUnderTheDaemon: a provider program in the daemon's
// configuration serves as the built-in one does, and its death costs nobody his
// token. The example program forgets its passes when it ends, so that the one
// there is can only be replaced.
// Shows: B40.
func TestU9_ProgramIsKilledUnderTheDaemon(t *testing.T) {
	s := newSite(t, hadooptest.Config{})
	program := plugintest.Build(t, "../../examples/gatepass")
	sum, err := pluginhost.Sum(program)
	if err != nil {
		t.Fatal(err)
	}
	config := s.config(t, fmt.Sprintf(`retry: {initial-backoff: 100ms}
renewal: {coalesce: 10ms}
providers:
  gatepass: {command: %q, sha256: %s, config: {life: 4s, max: 1h}}
`, program, sum))
	ok(t, "config", "check", "--connect", "--config", config)

	staged := s.file("staged")
	t.Setenv("TOKENWHEEL_ADDRESS", "unix://"+s.file("control.sock"))
	d := startDaemon(t, config)
	ok(t, "app", "register", "visit", "--obtain", "gatepass", "--stage-to", staged, "--wait")
	first := onlyPass(t)
	if first.Kind != pass.Kind || first.Service != pass.Service || !first.Obtained || first.Owner != me(t) {
		t.Errorf("it holds %+v, want a gate pass that was obtained", first)
	}
	if left := time.Until(first.Expires); left > 4*time.Second {
		t.Errorf("configured for lives of 4s, the pass has %s left", left)
	}

	pid := processOf(t, program)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the pass has a successor", d, func() bool {
		return onlyPass(t).Fingerprint != first.Fingerprint
	})
	if again := processOf(t, program); again == pid {
		t.Errorf("still process %d", pid)
	}
	eventually(t, "the successor is staged", d, func() bool {
		ok(t, "fetch", "--dir", staged, "--out", s.file("fetched"))
		_, got := onlyToken(t, s.file("fetched"))
		return got.Fingerprint() == onlyPass(t).Fingerprint
	})
	ok(t, "status", "--fail-on", "1ms")
}

// TestT47_ChangedProgramIsNotStarted: neither by the check nor by the daemon.
func TestT47_ChangedProgramIsNotStarted(t *testing.T) {
	s := newSite(t, hadooptest.Config{})
	for name, c := range map[string]struct {
		mode      os.FileMode
		sum, word string
	}{
		"another checksum": {0o700, strings.Repeat("0", 64), "providers.acme.sha256"},
		"group-writable":   {0o770, strings.Repeat("0", 64), "providers.acme.command"},
	} {
		t.Run(name, func(t *testing.T) {
			ran := s.file("ran")
			program := write(t, s.file("acme"), "#!/bin/sh\ntouch "+ran+"\n")
			if err := os.Chmod(program, c.mode); err != nil {
				t.Fatal(err)
			}
			config := s.config(t, fmt.Sprintf("providers:\n  acme: {command: %q, sha256: %q}\n", program, c.sum))
			fails(t, exitFound, []string{c.word, program}, "config", "check", "--connect", "--config", config)
			fails(t, exitLocal, []string{c.word, program}, "run", "--config", config)
			if _, err := os.Stat(ran); err == nil {
				t.Error("the program was executed")
			}
		})
	}
}

// onlyPass is the one current token of the daemon.
func onlyPass(t *testing.T) (current control.Token) {
	t.Helper()
	found := 0
	for _, tok := range fromJSON[[]control.Token](t, ok(t, "token", "list", "-o", "json")) {
		if tok.Current {
			current = tok
			found++
		}
	}
	if found != 1 {
		t.Fatalf("%d current tokens, want 1", found)
	}
	return current
}

// processOf is the id of the one process that runs a program.
func processOf(t *testing.T, program string) int {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, path := range lines {
		line, _ := os.ReadFile(path) // it may have ended by now
		if strings.HasPrefix(string(line), program+"\x00") {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	if len(pids) != 1 {
		t.Fatalf("processes %v run %s, want one", pids, program)
	}
	return pids[0]
}

// eventually waits until a condition holds under a daemon.
func eventually(t *testing.T, what string, d *daemon, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not in time: %s\n%s", what, d.log)
		}
	}
}
