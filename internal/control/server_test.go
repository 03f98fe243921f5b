package control_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/internal/control"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/renewer"
)

func codeOf(err error) string {
	if p, ok := errors.AsType[*control.Problem](err); ok {
		return p.Code
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func fileWith(t *testing.T, tok plugins.Token) []byte {
	t.Helper()
	b, err := hadooptoken.Marshal(plugins.Credentials{Tokens: map[string]plugins.Token{"x": tok}}, hadooptoken.FormatJava)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Shows: T-10.
func TestP9_RequestsAreBoundedAndNamed(t *testing.T) {
	w := newWorld(t, aliceUID)
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		code               string
	}{
		"too long":        {"POST", "/v1/apps", `{"id":"` + strings.Repeat("x", 3<<20) + `"}`, http.StatusRequestEntityTooLarge, "too-large"},
		"no JSON":         {"POST", "/v1/apps", `id: a`, http.StatusBadRequest, "bad-request"},
		"unknown key":     {"POST", "/v1/apps", `{"id":"a","address":"evil:1"}`, http.StatusBadRequest, "bad-request"},
		"two values":      {"POST", "/v1/apps", `{"id":"a"}{"id":"b"}`, http.StatusBadRequest, "bad-request"},
		"more behind it":  {"POST", "/v1/apps", `{"id":"a","user":"alice","obtain":["test"]}]`, http.StatusBadRequest, "bad-request"},
		"no body":         {"POST", "/v1/apps", ``, http.StatusBadRequest, "bad-request"},
		"bad id":          {"POST", "/v1/apps", `{"id":"../etc","user":"alice","obtain":["test"]}`, http.StatusUnprocessableEntity, "bad-app"},
		"no such request": {"GET", "/v2/apps", ``, http.StatusNotFound, "not-found"},
		"no such method":  {"PATCH", "/v1/apps", ``, http.StatusNotFound, "not-found"},
		"bad duration":    {"GET", "/v1/status?within=soon", ``, http.StatusBadRequest, "bad-request"},
	} {
		t.Run(name, func(t *testing.T) {
			status, text := w.ask(t, c.method, c.path, c.body)
			p := decode[control.Problem](t, text)
			if status != c.status || p.Code != c.code || p.Detail == "" || p.Next == "" {
				t.Errorf("got %d %+v, want %d %s with detail and next step", status, p, c.status, c.code)
			}
		})
	}
}

func TestClient_WholeLifeOfAnApplication(t *testing.T) {
	w := newWorld(t, aliceUID)
	c := w.client()
	a, err := c.Register(t.Context(), control.Registration{ID: "a2", User: "alice", Credentials: fileWith(t, tokenOf("alice", 1)), Wait: true, Group: "g", Overlay: map[string]string{"lease": "2h"}})
	if err != nil || !a.Ready || a.Owner != "alice" || a.Group != "g" {
		t.Fatalf("registered %+v, %v", a, err)
	}
	if list, err := c.Apps(t.Context()); err != nil || len(list) != 2 {
		t.Errorf("apps %+v, %v; want two", list, err)
	}
	if a, err = c.App(t.Context(), "", "a2"); err != nil || len(a.Tokens) != 1 {
		t.Fatalf("described as %+v, %v; want one token", a, err)
	}
	tok := a.Tokens[0]
	if len(tok.Holders) != 2 || tok.Service != "bank:1" {
		t.Errorf("token %+v, want it shared by both applications", tok)
	}
	if got, err := c.Token(t.Context(), tok.Fingerprint); err != nil || got.ID != tok.ID {
		t.Errorf("by fingerprint: %+v, %v", got, err)
	}
	if _, err := c.RenewToken(t.Context(), fmt.Sprint(tok.ID)); err != nil {
		t.Error(err)
	}
	st, err := c.Status(t.Context(), 2*time.Hour)
	if err != nil || st.Apps != 2 || st.Ready != 2 || len(st.Troubles) != 2 || st.Troubles[0].App != "alice/a1" {
		t.Errorf("status %+v, %v; want two applications whose token ends in an hour", st, err)
	}
	for _, tr := range st.Troubles {
		if !strings.Contains(tr.Reason, "it ends within") || !strings.Contains(tr.Reason, "renewed or replaced at") {
			t.Errorf("a live token is in trouble since %q", tr.Reason)
		}
	}
	if st, err := c.Status(t.Context(), time.Minute); err != nil || len(st.Troubles) != 0 {
		t.Errorf("status %+v, %v; want no trouble within a minute", st, err)
	}
	if _, err := c.CancelToken(t.Context(), fmt.Sprint(tok.ID), false); codeOf(err) != "token-held" {
		t.Errorf("cancel of a held token: %v", err)
	}
	if _, err := c.ReplaceToken(t.Context(), fmt.Sprint(tok.ID)); err != nil {
		t.Error(err)
	}
	if a, err = c.App(t.Context(), "", "a2"); err != nil || len(a.Tokens) == 0 || a.Tokens[0].ID == tok.ID || !a.Tokens[0].Obtained {
		t.Errorf("after its replacement: %+v, %v; want an obtained token in front", a.Tokens, err)
	}
	if a, err = c.KeepAlive(t.Context(), "", "a2"); err != nil || time.Until(a.LeavesAt).Round(time.Hour) != 2*time.Hour {
		t.Errorf("kept alive until %v, %v; want for two hours", a.LeavesAt, err)
	}
	if _, err := c.KeepAlive(t.Context(), "", "nobody"); codeOf(err) != "not-found" {
		t.Errorf("kept alive what is not there: %v", err)
	}
	if err := c.Unregister(t.Context(), "", "a2"); err != nil {
		t.Error(err)
	}
	if a, err = c.App(t.Context(), "", "a2"); err != nil || time.Until(a.LeavesAt) > time.Minute {
		t.Errorf("the last of its group leaves at %v, %v; want within its minute", a.LeavesAt, err)
	}
	if err := c.Unregister(t.Context(), "", "a3"); codeOf(err) != "not-found" {
		t.Errorf("a second time: %v", err)
	}
}

func TestListen_ReplacesTheDeadAndNamesTheLiving(t *testing.T) {
	dir, err := os.MkdirTemp("", "tw")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()

	l, err := control.Listen(path, 0o660, -1)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v; want 0660", info.Mode(), err)
	}
	if _, err := control.Listen(path, 0o600, -1); !errors.Is(err, control.ErrInUse) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("a second listener: %v, want it refused with our process id", err)
	}
	l.Close()
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// Of daemons that start at once one gets the place, and keeps it; each time a dead
// one's socket is there.
func TestListen_OneOfManyGetsThePlace(t *testing.T) {
	dir, err := os.MkdirTemp("", "tw")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	for range 50 {
		dead, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
		if err != nil {
			t.Fatal(err)
		}
		dead.SetUnlinkOnClose(false)
		dead.Close()
		var starting sync.WaitGroup
		start, got := make(chan struct{}), make(chan net.Listener, 4)
		for range cap(got) {
			starting.Go(func() {
				<-start
				l, err := control.Listen(path, 0o600, -1)
				if err == nil {
					got <- l
				} else if !errors.Is(err, control.ErrInUse) {
					t.Error(err)
				}
			})
		}
		close(start)
		starting.Wait()
		if len(got) != 1 {
			t.Errorf("%d have the place", len(got))
		}
		if c, err := net.Dial("unix", path); err != nil {
			t.Errorf("nobody is reached: %v", err)
		} else {
			c.Close()
		}
		for range len(got) {
			(<-got).Close()
		}
	}
}

// The seam that other tests use stands for this.
func TestPeer_IsWhoTheKernelSays(t *testing.T) {
	dir, err := os.MkdirTemp("", "tw")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := control.Listen(filepath.Join(dir, "s"), 0o600, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	served, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer served.Close()
	peer, err := control.PeerOf(served)
	if want := (control.Peer{UID: uint32(os.Getuid()), PID: int32(os.Getpid())}); err != nil || peer != want {
		t.Errorf("peer %+v, %v; want %+v", peer, err, want)
	}
	pipe, other := net.Pipe()
	defer other.Close()
	defer pipe.Close()
	if _, err := control.PeerOf(pipe); err == nil {
		t.Error("a pipe has a peer")
	}
}

// A user database that hangs keeps nobody out whose name was known, nor root: they
// want to see what is wrong.
func TestPeer_IsServedWhileTheUserDatabaseHangs(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	var uid, looks atomic.Uint32
	hang := make(chan struct{})
	server := control.NewServer(control.Config{
		As:   func(c renewer.Caller) control.Engine { return told{apps: []renewer.AppStatus{{User: c.Name}}} },
		Peer: func(net.Conn) (control.Peer, error) { return control.Peer{UID: uid.Load()}, nil },
		Name: func(uid uint32) (string, error) {
			if looks.Add(1); uid != aliceUID {
				<-hang
			}
			return "alice", nil
		},
	})
	server.NameWithin(50 * time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, l) }()
	defer func() {
		cancel()
		close(hang)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	c := control.NewClient(l.Addr().String())
	ask := func(as uint32) (string, error) {
		uid.Store(as)
		limited, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		apps, err := c.Apps(limited)
		if err != nil {
			return "", err
		}
		return apps[0].User, nil
	}
	for range 3 {
		if name, err := ask(aliceUID); err != nil || name != "alice" {
			t.Errorf("alice is served as %q, %v", name, err)
		}
		if name, err := ask(0); err != nil || name != "0" {
			t.Errorf("root is served as %q, %v", name, err)
		}
		if _, err := ask(malloryUID); codeOf(err) != "not-allowed" {
			t.Errorf("who has no name: %v, want it refused", err)
		}
	}
	if n := looks.Load(); n != 3 {
		t.Errorf("%d look-ups of three users, want one for each", n)
	}
}
