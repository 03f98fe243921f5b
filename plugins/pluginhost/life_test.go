package pluginhost_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/plugins/pluginhost"
)

// TestU9_CrashCostsTheCallsInFlight: they fail as retry, the program comes back
// and has its configuration again.
// Shows: B40.
func TestU9_CrashCostsTheCallsInFlight(t *testing.T) {
	p := launch(t, command(t, "good"))
	if err := p.Configure(t.Context(), []byte(`{"life": "7h", "max": "9h"}`)); err != nil {
		t.Fatal(err)
	}
	before := askPID(t, p, "pid")

	hanging := make(chan error, 1)
	go func() { _, err := ask(t.Context(), p, "hang"); hanging <- err }()
	// Either may have obtained a token that nobody received.
	_, crashing := ask(t.Context(), p, "crash")
	wantError(t, crashing, plugins.KindRetry, plugins.CodeAnswerLost, "")
	wantError(t, <-hanging, plugins.KindRetry, plugins.CodeAnswerLost, "")

	eventually(t, 5*time.Second, "the program is back", func() bool {
		_, err := ask(t.Context(), p, "pid")
		if err != nil && plugins.KindOf(err) != plugins.KindRetry {
			t.Fatalf("while down: want retry, got %v", err)
		}
		return err == nil
	})
	if after := askPID(t, p, "pid"); after == before {
		t.Errorf("still process %d", before)
	}
	grants, err := p.Obtain(t.Context(), plugins.ObtainRequest{User: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(grants[0].Expires); left < 6*time.Hour {
		t.Errorf("configured for lives of 7h, the new process gives %s", left)
	}
}

// TestB42_ProgramThatHangsIsStartedAgain: the call ends with its time, and a program
// that says nothing at all afterwards is replaced. One whose service hangs is not.
// Shows: U9.
func TestB42_ProgramThatHangsIsStartedAgain(t *testing.T) {
	c := command(t, "good")
	c.StartTimeout = 3 * time.Second
	p := launch(t, c)
	before := askPID(t, p, "pid")
	late := func(user string) bool {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, err := ask(ctx, p, user)
		return errors.Is(err, context.DeadlineExceeded)
	}
	if !late("hang") {
		t.Error("a call that hangs did not run out of time")
	}
	if after := askPID(t, p, "pid"); after != before {
		t.Fatal("it was replaced for a call that hangs")
	}
	if err := syscall.Kill(before, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "it has stopped", func() bool { return late("pid") })
	waitGone(t, before, 10*time.Second)
	eventually(t, 10*time.Second, "another process answers", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		pid, err := ask(ctx, p, "pid")
		return err == nil && parsePID(t, pid) != before
	})
}

// TestDownIsSaidAtOnce: between crash and restart calls fail with the time to
// wait.
func TestDownIsSaidAtOnce(t *testing.T) {
	c := command(t, "good")
	c.RestartAfter = time.Hour // held down to 5 min
	p := launch(t, c)
	_, _ = ask(t.Context(), p, "crash")
	var err error
	eventually(t, 5*time.Second, "the crash was noticed", func() bool {
		_, err = ask(t.Context(), p, "pid")
		return plugins.CodeOf(err) == "provider-down"
	})
	var e *plugins.Error
	if !errors.As(err, &e) || e.Kind != plugins.KindRetry || e.RetryAfter <= 0 || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("want retry with a delay and the reason, got %#v: %v", e, err)
	}
}

func TestRestartDelayGrowsToFiveMinutes(t *testing.T) {
	for n, want := range map[int]time.Duration{0: time.Second, 1: 2 * time.Second, 5: 32 * time.Second, 9: 5 * time.Minute, 1 << 20: 5 * time.Minute} {
		if got := pluginhost.RestartDelay(time.Second, n); got != want {
			t.Errorf("after %d crashes: want %s, got %s", n, want, got)
		}
	}
	if got := pluginhost.RestartDelay(time.Hour, 0); got != 5*time.Minute {
		t.Errorf("a first delay beyond the limit: got %s", got)
	}
}

// TestB43_CloseEndsTheWholeGroup: neither the program nor what it started is left,
// be it healthy or hanging.
// Shows: B42.
func TestB43_CloseEndsTheWholeGroup(t *testing.T) {
	for _, hang := range []bool{false, true} {
		p := launch(t, command(t, "good"))
		pid, grandchild := askPID(t, p, "pid"), askPID(t, p, "child")
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		if hang {
			_, _ = ask(ctx, p, "hang")
		}
		cancel()
		began := time.Now()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("close took %s", took)
		}
		waitGone(t, pid, time.Second)
		waitGone(t, grandchild, time.Second)
		if _, err := ask(t.Context(), p, "pid"); plugins.KindOf(err) != plugins.KindRefused {
			t.Errorf("a call after Close: want refused, got %v", err)
		}
	}
}

// TestB43_CrashEndsTheGroupToo: what a crashed program had started goes with it.
func TestB43_CrashEndsTheGroupToo(t *testing.T) {
	p := launch(t, command(t, "good"))
	grandchild := askPID(t, p, "child")
	_, _ = ask(t.Context(), p, "crash")
	waitGone(t, grandchild, 5*time.Second)
}

// TestB44_ProgramDiesWithItsHost kills a host outright. The kernel's signal and
// the pipe are each enough.
func TestB44_ProgramDiesWithItsHost(t *testing.T) {
	for _, mode := range []string{"good", "no-host-pipe", "no-death-signal"} {
		t.Run(mode, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "host") // what a killed host leaves; short, for a socket's path
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			host := exec.Command(program, "host", program, mode)
			host.Env = append(os.Environ(), "TMPDIR="+dir)
			out, err := host.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := host.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(out).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			pid := parsePID(t, line)
			if !alive(t, pid) {
				t.Fatalf("process %d does not run yet", pid)
			}
			_ = host.Process.Kill()
			_ = host.Wait()
			waitGone(t, pid, 5*time.Second)
		})
	}
}

// TestB44_ThreadsOfTheHostComeAndGo: the death signal follows a thread, and the
// program must not die with one of the host's others.
func TestB44_ThreadsOfTheHostComeAndGo(t *testing.T) {
	var pids []int
	var started []*pluginhost.Process
	for range 6 {
		p := launch(t, command(t, "good"))
		started, pids = append(started, p), append(pids, askPID(t, p, "pid"))
	}
	var locked, ended sync.WaitGroup
	for range 64 { // more than are idle, so that each free thread is taken
		locked.Add(1)
		ended.Go(func() {
			runtime.LockOSThread() // a goroutine that ends locked takes its thread along
			locked.Done()
			locked.Wait()
		})
	}
	ended.Wait()
	for range 10 {
		for i, p := range started {
			if after, err := ask(t.Context(), p, "pid"); err != nil || parsePID(t, after) != pids[i] {
				t.Fatalf("process %d is gone: %q, %v", pids[i], after, err)
			}
		}
	}
}

// TestOddOutputIsHarmless: lines that go-plugin's own readers panic at, wait
// for or stop at.
// Shows: B50.
func TestOddOutputIsHarmless(t *testing.T) {
	p := launch(t, command(t, "good"))
	for range 3 {
		if _, err := ask(t.Context(), p, "odd-output"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ask(t.Context(), p, "huge"); err == nil {
		t.Error("an answer of 5 MiB was accepted")
	}
	if _, err := ask(t.Context(), p, "pid"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestFloodOfLogLinesIsHeldBack: the host's log gets a part of it and the count of
// the rest, and calls go on meanwhile.
func TestFloodOfLogLinesIsHeldBack(t *testing.T) {
	var log syncBuffer
	c := command(t, "good")
	c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	p := launch(t, c)
	said, err := ask(t.Context(), p, "flood")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ask(t.Context(), p, "pid"); err != nil {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	passed, dropped := strings.Count(log.String(), "program: flood"), 0
	for _, m := range regexp.MustCompile(`lines_dropped=([0-9]+)`).FindAllStringSubmatch(log.String(), -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		dropped += n
	}
	if strconv.Itoa(passed+dropped) != said || passed < 100 || passed > 10_000 {
		t.Errorf("%d lines passed, %d are said to be dropped, of %s", passed, dropped, said)
	}
}

// TestPanicIsThatCallsError: the process lives on, and neither the error nor the
// log shows the panic's value.
// Shows: T-20.
func TestPanicIsThatCallsError(t *testing.T) {
	var log syncBuffer
	c := command(t, "good")
	c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	p := launch(t, c)
	before := askPID(t, p, "pid")
	_, err := ask(t.Context(), p, "panic")
	wantError(t, err, plugins.KindRetry, "provider-panic", "panic in obtain")
	if after := askPID(t, p, "pid"); after != before {
		t.Error("the process was replaced")
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if text := log.String(); !strings.Contains(text, "level=ERROR") || !strings.Contains(text, "provider panicked") {
		t.Errorf("the panic was not logged as an error:\n%s", text)
	}
	if strings.Contains(log.String()+err.Error(), "s3cret-canary") {
		t.Error("the panic's value was shown")
	}
}

func TestLogLinesKeepTheirLevel(t *testing.T) {
	tests := []struct{ name, line, want string }{
		{"hclog", `{"@level":"warn","@message":"slow","@timestamp":"x","n":3}`, `level=WARN msg="provider program: slow" n=3`},
		{"odd types", `{"@level":[],"@message":5}`, `level=INFO msg="provider program: "`},
		{"not JSON", `panic: oops`, `level=INFO msg="provider program: panic: oops"`},
		{"broken JSON", `{"@level":`, `level=INFO msg="provider program: {\"@level\":"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			pluginhost.LogLine(slog.New(slog.NewTextHandler(&out, nil)), tt.line)
			if !strings.Contains(out.String(), tt.want) {
				t.Errorf("want %s, got %s", tt.want, out.String())
			}
		})
	}
}

// syncBuffer is a buffer that a logger and a test may use at once.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
