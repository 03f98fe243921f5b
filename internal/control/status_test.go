package control_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/control"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// told is an engine that says what the test says.
type told struct {
	control.Engine
	apps       []renewer.AppStatus
	remembered []appregistry.TokenStatus
	restoring  int
}

func (e told) Apps(context.Context) ([]renewer.AppStatus, error) { return e.apps, nil }

func (e told) App(_ context.Context, key appregistry.AppKey) (renewer.AppStatus, error) {
	for _, a := range e.apps {
		if a.Key == key {
			return a, nil
		}
	}
	return renewer.AppStatus{}, appregistry.ErrNotFound
}

func (told) EntriesOf(context.Context, appregistry.AppKey) ([]appregistry.Entry, error) {
	return nil, nil
}

func (told) Entries(context.Context) ([]appregistry.Entry, error) { return nil, nil }

func (e told) Counts(context.Context) (renewer.Counts, error) {
	return renewer.Counts{Restoring: e.restoring}, nil
}

func (e told) Remembered(context.Context) ([]appregistry.TokenStatus, error) {
	return e.remembered, nil
}

// Admit takes what is gone when it is looked for.
func (told) Admit(context.Context, appregistry.App) error { return nil }

// Register waits as long as it may, for an application that never gets ready.
func (told) Register(ctx context.Context, app appregistry.App) error {
	<-ctx.Done()
	return fmt.Errorf("register %s: %w: %w", app.Key(), appregistry.ErrNotReady, ctx.Err())
}

// serve answers for an engine until the test's end; the caller is an operator.
func serve(t *testing.T, engine control.Engine) *control.Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "tw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l, err := control.Listen(path, 0o600, -1)
	if err != nil {
		t.Fatal(err)
	}
	s := control.NewServer(control.Config{As: func(renewer.Caller) control.Engine { return engine }, Self: uint32(os.Getuid())})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return control.NewClient(path)
}

// Shows: B102.
func TestP10_ApplicationThatIsNotWellIsATrouble(t *testing.T) {
	app := func(id string) renewer.AppStatus {
		return renewer.AppStatus{Key: appregistry.AppKey{Owner: "o", ID: appregistry.AppID(id)}, Ready: true}
	}
	well, unstaged, waiting, lacking := app("well"), app("unstaged"), app("waiting"), app("lacking")
	unstaged.Trouble = "no such user there"
	waiting.Ready = false
	lacking.Ready, lacking.Missing = false, map[string]string{"bank": "denied"}
	c := serve(t, told{apps: []renewer.AppStatus{well, unstaged, waiting, lacking}, restoring: 12})
	st, err := c.Status(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if st.Restoring != 12 {
		t.Errorf("%d are told to be restoring, want 12", st.Restoring)
	}
	want := []control.Trouble{
		{App: "o/lacking", Service: "bank", Reason: "denied"},
		{App: "o/unstaged", State: "not-staged", Reason: "no such user there"},
		{App: "o/waiting", State: "not-ready", Reason: "its first credentials are not there yet"},
	}
	if diff := cmp.Diff(want, st.Troubles); diff != "" {
		t.Errorf("troubles (-want +got):\n%s", diff)
	}
	if a, err := c.App(t.Context(), "o", "unstaged"); err != nil || a.Trouble != "no such user there" {
		t.Errorf("described as %+v, %v; want its trouble", a, err)
	}
}

func TestP10_PendingCancelIsListed(t *testing.T) {
	c := serve(t, told{remembered: []appregistry.TokenStatus{{ID: 7, Service: "bank:1", State: appregistry.CancelPending}}})
	list, err := c.Tokens(t.Context())
	if err != nil || len(list) != 1 || list[0].ID != 7 || list[0].State != "cancel-pending" || len(list[0].Holders) != 0 {
		t.Errorf("tokens %+v, %v; want the one that waits for its cancel", list, err)
	}
}

// The daemon speaks before its client gives up, and says what it knows.
func TestClient_WaitThatTimesOutSaysThatTheRegistrationStands(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	a := renewer.AppStatus{Key: appregistry.AppKey{Owner: me.Username, ID: "a"}, Trouble: "no such user there", Missing: map[string]string{"bank": "denied"}}
	c := serve(t, told{apps: []renewer.AppStatus{a}})
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	_, err = c.Register(ctx, control.Registration{ID: "a", User: "u", Wait: true})
	if codeOf(err) != "not-ready" || ctx.Err() != nil {
		t.Errorf("got %v, want not-ready before the deadline", err)
	}
	for _, why := range []string{a.Trouble, "bank: denied"} {
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%v does not say %q", err, why)
		}
	}
}

// A no can come before the answer that the registration is recorded.
func TestClient_RegisteredAndLetGoAtOnce(t *testing.T) {
	_, err := serve(t, told{}).Register(t.Context(), control.Registration{ID: "a", User: "u"})
	if codeOf(err) != "not-found" || !strings.Contains(err.Error(), "let go again") {
		t.Errorf("got %v, want that it was registered and let go", err)
	}
}

func TestClient_SlowIsNotUnreachable(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // it accepts in the kernel, and nobody answers
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = control.NewClient(l.Addr().String()).Apps(ctx)
	if errors.Is(err, control.ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a slow daemon: %v; want a deadline that passed, and no more", err)
	}
	if _, err := control.NewClient(filepath.Join(dir, "none")).Apps(t.Context()); !errors.Is(err, control.ErrUnreachable) {
		t.Errorf("no daemon: %v, want it unreachable", err)
	}
}

// The status counts what is there, and for who is no operator what is his.
func TestCV10_StatusCountsWhatIsThere(t *testing.T) {
	w, _ := crowded(t)
	pending := control.Selection{App: "bob/b1", Kind: vaultKind, Force: true}
	if _, err := w.client().CancelTokens(t.Context(), pending); err != nil {
		t.Fatal(err)
	}
	count := func() control.Status {
		st, err := w.client().Status(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		return control.Status{Apps: st.Apps, Ready: st.Ready, Entries: st.Entries, Tokens: st.Tokens}
	}
	list := func() (st control.Status) {
		apps, err := w.client().Apps(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		tokens, err := w.client().Tokens(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		entries := map[uint64]bool{}
		st = control.Status{Apps: len(apps), Ready: len(apps), Tokens: map[string]int{}}
		for _, tok := range tokens {
			if st.Tokens[tok.State]++; tok.Entry != 0 {
				entries[tok.Entry] = true
			}
		}
		st.Entries = len(entries)
		return st
	}
	for uid, apps := range map[uint32]int{olgaUID: 3, aliceUID: 2, malloryUID: 0} {
		w.uid.Store(uid)
		got, want := count(), list()
		for again := count(); !cmp.Equal(got, again); again = count() { // bob's successor came in between
			got, want = again, list()
		}
		if diff := cmp.Diff(want, got); diff != "" || got.Apps != apps {
			t.Errorf("%s sees %d applications, want %d; (-listed +counted):\n%s", names[uid], got.Apps, apps, diff)
		}
	}
}
