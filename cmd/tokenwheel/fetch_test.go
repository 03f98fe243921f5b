package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/fsstaging"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// stage writes one generation to a local directory as the daemon does.
func stage(t *testing.T, dir string, n uint32, password string) {
	t.Helper()
	creds := plugins.Credentials{Tokens: map[string]plugins.Token{"nn": {Kind: "K", Service: "s", Identifier: []byte("id"), Password: []byte(password)}}}
	_, err := fsstaging.NewStager(fsstaging.Local{}).Stage(t.Context(), appregistry.Set{
		App: appregistry.AppKey{ID: "a"}, UUID: "0a0b0c0d-0000-4000-8000-000000000001", User: me(t),
		Generation: n, Epoch: 1, Credentials: creds, NextUpdate: time.Now().Add(5 * time.Second), Target: appregistry.Target{Dir: dir},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Shows: P7.
func TestFetch_WritesTheNewestSetPrivately(t *testing.T) {
	t.Setenv("HADOOP_TOKEN_FILE_LOCATION", "")
	dir, out := t.TempDir()+"/staged", t.TempDir()+"/tokens"
	stage(t, dir, 1, "first-password")
	stage(t, dir, 2, "second-password")
	text := ok(t, "fetch", "--dir", dir, "--out", out)
	if !strings.Contains(text, "generation 2") || leaked(text, []byte("second-password")) != "" {
		t.Errorf("fetch printed %q, want the generation and no password", text)
	}
	if _, tok := onlyToken(t, out); string(tok.Password) != "second-password" || modeOf(t, out) != 0o600 {
		t.Errorf("the file holds another token, or has mode %v", modeOf(t, out))
	}

	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	fails(t, exitLocal, []string{dir}, "fetch", "--dir", dir, "--out", out)
	fails(t, exitTimedOut, []string{"nothing-here", "does not exist"}, "fetch", "--dir", t.TempDir()+"/nothing-here", "--out", out, "--timeout", "50ms")
	fails(t, exitTimedOut, []string{"no usable credentials file", "other"}, "fetch", "--dir", shortDir(t), "--prefix", "other", "--out", out, "--timeout", "50ms")
	fails(t, exitLocal, []string{"--out"}, "fetch", "--dir", dir)
	fails(t, exitLocal, []string{"--dir"}, "fetch", "--out", out)
	fails(t, exitLocal, []string{"ftp://x/y"}, "fetch", "--dir", "ftp://x/y", "--out", out)
}

// lines hears each line that a command prints.
type lines struct {
	io.Writer
	seen chan string
}

func (l lines) Write(b []byte) (int, error) {
	for line := range bytes.Lines(b) {
		l.seen <- string(line)
	}
	return len(b), nil
}

func TestFetch_WatchFollowsEachGeneration(t *testing.T) {
	dir, out := t.TempDir()+"/staged", t.TempDir()+"/tokens"
	stage(t, dir, 1, "one")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	printed, done := lines{seen: make(chan string, 10)}, make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"fetch", "--watch", "--dir", dir, "--out", out}, strings.NewReader(""), printed, io.Discard)
	}()
	<-printed.seen
	stage(t, dir, 2, "two")
	select {
	case <-printed.seen:
	case <-ctx.Done():
		t.Fatal("the second generation was not picked up")
	}
	if _, tok := onlyToken(t, out); string(tok.Password) != "two" {
		t.Error("the file does not hold the second generation")
	}
	cancel()
	if code := <-done; code != exitOK {
		t.Errorf("asked to end, it ended with %d", code)
	}
}
