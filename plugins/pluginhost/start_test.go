package pluginhost_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/plugins/pluginhost"
)

// TestU8_EachBadStartHasItsOwnMessage starts programs that no host should speak
// to. Nothing of any of them is left.
// Shows: T-44, B47.
func TestU8_EachBadStartHasItsOwnMessage(t *testing.T) {
	left := socketFolders(t)
	tests := []struct {
		name, mode string
		kind       plugins.Kind
		code, text string
	}{
		{"no handshake", "silent", plugins.KindRetry, "no-handshake", "exit status 7"},
		{"what it said", "silent", plugins.KindRetry, "no-handshake", "no disk space"},
		{"wrong cookie", "no-cookie", plugins.KindRetry, "no-handshake", "this program is a tokenwheel provider"},
		{"no certificate from the host", "no-certificate", plugins.KindRetry, "no-handshake", "not served without TLS"},
		{"another program", "garbage", plugins.KindRefused, "bad-handshake", `"Hello, world"`},
		{"a line without end", "endless", plugins.KindRefused, "bad-handshake", "without an end of line"},
		{"plain TCP", "tcp", plugins.KindRefused, "not-a-unix-socket", `"tcp"`},
		{"no TLS", "no-tls", plugins.KindRefused, "no-tls", "without TLS"},
		{"bad certificate", "bad-certificate", plugins.KindRefused, "bad-handshake", "certificate"},
		{"a socket elsewhere", "elsewhere", plugins.KindRefused, "wrong-socket", "/tmp/elsewhere/socket"},
		{"another version", "version", plugins.KindRefused, "wrong-version", `"99"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := pluginhost.Launch(t.Context(), command(t, tt.mode))
			wantError(t, err, tt.kind, tt.code, tt.text)
		})
	}
	if now := socketFolders(t); len(now) > len(left) {
		t.Errorf("folders left behind: %q, before %q", now, left)
	}
}

// TestU8_BadFileIsNeverExecuted: the file is judged before anything runs.
// Shows: B56, T-47.
func TestU8_BadFileIsNeverExecuted(t *testing.T) {
	ran := filepath.Join(t.TempDir(), "ran")
	script := func(mode os.FileMode) string {
		path := filepath.Join(t.TempDir(), "provider")
		if err := os.WriteFile(path, []byte("#!/bin/sh\ntouch "+ran+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	sum, err := pluginhost.Sum(script(0o700))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, path, sum, code, text string
	}{
		{"relative path", "provider", sum, "relative-path", "absolute"},
		{"absent", filepath.Join(t.TempDir(), "absent"), sum, "program-not-readable", "no such file"},
		{"a folder", t.TempDir(), sum, "not-a-program", "no regular file"},
		{"not executable", script(0o600), sum, "not-executable", "chmod 755"},
		{"writable by all", script(0o702), sum, "writable-by-others", "others may change it"},
		{"writable by its group", script(0o770), sum, "writable-by-others", "others may change it"},
		{"wrong checksum", script(0o700), strings.Repeat("0", 64), "wrong-checksum", sum},
		{"no checksum", script(0o700), "", "wrong-checksum", sum},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := pluginhost.Launch(t.Context(), pluginhost.Command{Path: tt.path, SHA256: tt.sum})
			wantError(t, err, plugins.KindRefused, tt.code, tt.text)
			checked := pluginhost.Check(pluginhost.Command{Path: tt.path, SHA256: tt.sum})
			wantError(t, checked, plugins.KindRefused, tt.code, tt.text)
		})
	}
	if _, err := os.Stat(ran); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("one of the programs was executed: %v", err)
	}
}

// TestB42_HangingStartEndsInTime: a program that says nothing is ended, by the
// start's own limit or by the caller.
func TestB42_HangingStartEndsInTime(t *testing.T) {
	t.Run("start timeout", func(t *testing.T) {
		c := command(t, "hang")
		c.StartTimeout = 200 * time.Millisecond
		_, err := pluginhost.Launch(t.Context(), c)
		wantError(t, err, plugins.KindRetry, "", "timeout while waiting")
	})
	t.Run("caller's context", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		began := time.Now()
		_, err := pluginhost.Launch(ctx, command(t, "hang"))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("want the deadline, got %v", err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("took %s", took)
		}
	})
	t.Run("context already ended", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := pluginhost.Launch(ctx, command(t, "good")); !errors.Is(err, context.Canceled) {
			t.Errorf("want cancelled, got %v", err)
		}
	})
}

// TestDyingAtOnceLeaksNothing: a program that ends between its handshake and
// the first call. What go-plugin had opened by then is closed: goleak looks for it
// after all tests.
func TestDyingAtOnceLeaksNothing(t *testing.T) {
	for range 3 {
		_, err := pluginhost.Launch(t.Context(), command(t, "dies"))
		if err == nil || plugins.KindOf(err) != plugins.KindRetry {
			t.Fatalf("want retry, got %v", err)
		}
	}
}

// TestStreamsThatFailSayUnavailable: the one code at which go-plugin keeps hold of
// its connection, so that it can be closed.
func TestStreamsThatFailSayUnavailable(t *testing.T) {
	fail := func(context.Context, *grpc.StreamDesc, *grpc.ClientConn, string, ...grpc.CallOption) (grpc.ClientStream, error) {
		return nil, context.Canceled
	}
	_, err := pluginhost.AlwaysUnavailable(t.Context(), nil, nil, "/x/y", fail)
	if status.Code(err) != codes.Unavailable {
		t.Errorf("got %v", err)
	}
}

// TestT22_EnvironmentIsAllowListed: the program sees what it is given and nothing
// else of the host's environment.
func TestT22_EnvironmentIsAllowListed(t *testing.T) {
	t.Setenv("HOST_SECRET", "s3cret-canary")
	t.Setenv("PASSED_ON", "yes")
	c := command(t, "good")
	c.PassEnv = []string{"PASSED_ON"}
	env, err := ask(t.Context(), launch(t, c), "env")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(env, "s3cret-canary") || strings.Contains(env, "HOME=") {
		t.Errorf("host variables were passed on:\n%s", env)
	}
	for _, want := range []string{"PASSED_ON=yes", "PLUGIN_CLIENT_CERT=-----BEGIN CERTIFICATE-----", "PATH="} {
		if !strings.Contains(env, want) {
			t.Errorf("no %q in:\n%s", want, env)
		}
	}
	if strings.Contains(env, "PRIVATE KEY") {
		t.Error("the host's private key was handed out")
	}
}

func wantError(t *testing.T, err error, kind plugins.Kind, code, text string) {
	t.Helper()
	if err == nil {
		t.Fatal("want an error, got none")
	}
	if plugins.KindOf(err) != kind || plugins.CodeOf(err) != code {
		t.Errorf("want kind %s, code %q; got %s, %q: %v", kind, code, plugins.KindOf(err), plugins.CodeOf(err), err)
	}
	if !strings.Contains(err.Error(), text) {
		t.Errorf("want %q in: %v", text, err)
	}
}

// socketFolders is what go-plugin makes for sockets and must remove.
func socketFolders(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(os.TempDir(), "plugin-dir*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}
