package control_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/control"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/renewer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lender is a provider whose identifiers are the owner's name and a number.
type lender struct{ issued *atomic.Int64 }

const kind = "TEST_TOKEN"

func (lender) Kinds() []string { return []string{kind} }

func (l lender) Obtain(_ context.Context, r plugins.ObtainRequest) ([]plugins.Grant, error) {
	return []plugins.Grant{{Token: tokenOf(r.User, l.issued.Add(1)), Expires: time.Now().Add(time.Hour)}}, nil
}

func (lender) Renew(context.Context, plugins.Token) (time.Time, error) {
	return time.Now().Add(time.Hour), nil
}
func (lender) Cancel(context.Context, plugins.Token) error { return nil }
func (lender) Authorities(context.Context) ([]plugins.Authority, error) {
	return []plugins.Authority{{Name: "bank", Kinds: []string{kind}, Services: []string{"bank:1"}, Obtains: true}}, nil
}

func (lender) Identify(_ context.Context, t plugins.Token) (plugins.Identity, error) {
	owner, _, _ := strings.Cut(string(t.Identifier), " ")
	return plugins.Identity{Owner: owner, User: owner, Renewer: "us", Ours: true}, nil
}

const canary = "canary-password-77"

func tokenOf(user string, n int64) plugins.Token {
	return plugins.Token{Kind: kind, Service: "bank:1", Identifier: fmt.Appendf(nil, "%s %d", user, n), Password: []byte(canary)}
}

// The users of these tests.
const (
	daemonUID   = 4242
	aliceUID    = 1001
	malloryUID  = 1002
	airflowUID  = 1003
	olgaUID     = 1004
	namelessUID = 1999
)

var names = map[uint32]string{0: "root", daemonUID: "tokenwheel", aliceUID: "alice", malloryUID: "mallory", airflowUID: "airflow", olgaUID: "olga"}

// noStaging delivers nothing, so that targets may be named.
type noStaging struct{}

func (noStaging) Stage(_ context.Context, s appregistry.Set) (appregistry.Receipt, error) {
	return appregistry.Receipt{Epoch: s.Epoch, N: s.Generation}, nil
}

// world is a renewer with alice's application a1, behind a control socket on
// which everybody is who the test says.
type world struct {
	r    *renewer.Renewer
	path string
	uid  atomic.Uint32
}

func newWorld(t *testing.T, uid uint32) *world {
	t.Helper()
	return newWorldWith(t, uid, map[string]plugins.Provider{"test": lender{new(atomic.Int64)}})
}

func newWorldWith(t *testing.T, uid uint32, providers map[string]plugins.Provider) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "tw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w := &world{path: filepath.Join(dir, "control.sock")}
	w.uid.Store(uid)
	if w.r, err = renewer.New(renewer.Config{Providers: providers, Stager: noStaging{}}); err != nil {
		t.Fatal(err)
	}
	l, err := control.Listen(w.path, 0o600, -1)
	if err != nil {
		t.Fatal(err)
	}
	s := control.NewServer(control.Config{
		As:   func(c renewer.Caller) control.Engine { return w.r.As(c) },
		Self: daemonUID, Operators: []string{"olga"}, ActsFor: map[string][]string{"airflow": {"alice"}},
		LocalFS: func(name string) bool { return name == "scratch" },
		Peer:    func(net.Conn) (control.Peer, error) { return control.Peer{UID: w.uid.Load()}, nil },
		Name: func(uid uint32) (string, error) {
			if name, ok := names[uid]; ok {
				return name, nil
			}
			return "", errors.New("no such user")
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan error, 1), make(chan error, 1)
	go func() {
		done <- w.r.Run(ctx, func(ctx context.Context) error {
			ready <- w.r.As(renewer.Caller{Name: "alice"}).Register(ctx, appregistry.App{ID: "a1", User: "alice", Obtain: []string{"test"}})
			return s.Serve(ctx, l)
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) client() *control.Client { return control.NewClient(w.path) }

// ask sends a raw request and returns the answer's status and text.
func (w *world) ask(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", w.path)
	}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://x"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// state is everything there is, less what changes by itself.
func (w *world) state(t *testing.T) string {
	t.Helper()
	all := w.r.As(renewer.Caller{Trusted: true})
	apps, err := all.Apps(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	entries, err := all.Entries(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, a := range apps {
		fmt.Fprintln(&b, a.Key, a.User, a.UUID, a.Generation, a.Ready)
	}
	for _, e := range entries {
		for _, tok := range e.Tokens {
			fmt.Fprintln(&b, e.ID, e.Holders, tok.ID, tok.State, tok.Expires.UnixNano())
		}
	}
	return b.String()
}

// tokenID is the number of alice's token.
func (w *world) tokenID(t *testing.T) string {
	t.Helper()
	entries, err := w.r.As(renewer.Caller{Trusted: true}).Entries(t.Context())
	if err != nil || len(entries) != 1 {
		t.Fatalf("entries %v, %v; want alice's one", entries, err)
	}
	return fmt.Sprint(entries[0].Tokens[0].ID)
}

func decode[T any](t *testing.T, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return v
}
