package renewer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// Shows: T-04.
func TestT03_NobodyInParticularSeesAndDoesNothing(t *testing.T) {
	l, s := newLender(hadooptest.Lifetimes{}), newShelf()
	running(t, renewer.Config{Providers: providers(l), Stager: s}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		must(t, r.Register(ctx, app("job", "hdfs")))
		nobody := r.As(renewer.Caller{})
		if _, _, err := nobody.Current(ctx, key("job")); !errors.Is(err, appregistry.ErrNotFound) {
			t.Errorf("current: %v, want not found", err)
		}
		if list, err := nobody.Apps(ctx); err != nil || len(list) > 0 {
			t.Errorf("apps: %d, %v; want none", len(list), err)
		}
		if list, err := nobody.Entries(ctx); err != nil || len(list) > 0 {
			t.Errorf("entries: %d, %v; want none", len(list), err)
		}
		if err := nobody.Unregister(ctx, key("job")); !errors.Is(err, appregistry.ErrNotFound) {
			t.Errorf("unregister: %v, want not found", err)
		}
		if err := nobody.Register(ctx, app("own", "hdfs")); err == nil {
			t.Error("registered one")
		}
	})
}

// flaky cannot read identifiers for a moment, as a plugin that restarts.
type flaky struct {
	*lender
	err error
}

func (f *flaky) Identify(ctx context.Context, t plugins.Token) (plugins.Identity, error) {
	if f.err != nil {
		return plugins.Identity{}, f.err
	}
	return f.lender.Identify(ctx, t)
}

// reader reads identifiers as it is told.
type reader struct {
	*lender
	read func()
}

func (r *reader) Identify(ctx context.Context, t plugins.Token) (plugins.Identity, error) {
	r.read()
	return r.lender.Identify(ctx, t)
}

// A provider that hangs or throws over an identifier ends that registration in
// time, and is named. Shows: U9.
func TestY19_ProviderThatReadsNoIdentifierIsNamed(t *testing.T) {
	block := make(chan struct{})
	for what, read := range map[string]func(){"hangs": func() { <-block }, "throws": func() { panic("a bug of the provider") }} {
		t.Run(what, func(t *testing.T) {
			l := newLender(hadooptest.Lifetimes{})
			bad := &reader{lender: newLender(hadooptest.Lifetimes{})}
			bad.service = "bad:8020"
			running(t, renewer.Config{Providers: map[string]plugins.Provider{"good": l, "bad": bad}, CallTimeout: 5 * time.Second, Stager: newShelf()}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
				block = make(chan struct{})
				defer close(block)
				job := bringing("job", issued(t, l, "alice"))
				of := issued(t, bad.lender, "alice")
				job.Credentials.Tokens[of.Service] = of
				start := time.Now()
				bad.read = read
				err := r.Register(ctx, job)
				if took := time.Since(start); err == nil || took > 5*time.Second || !strings.Contains(err.Error(), `provider "bad"`) || !strings.Contains(err.Error(), of.Service) {
					t.Errorf("after %v: %v; want an error within 5 s that names the provider and the token", took, err)
				}
			})
		})
	}
}

func TestT02_UnreadIdentifierIsNobodys(t *testing.T) {
	l, s := newLender(hadooptest.Lifetimes{}), newShelf()
	f := &flaky{lender: l}
	running(t, renewer.Config{Providers: providers(f), Stager: s}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		stolen := bringing("stolen", issued(t, l, "alice"))
		stolen.User = "mallory"
		f.err = errors.New("plugin restarts")
		if err := r.As(renewer.Caller{Name: "mallory"}).Register(ctx, stolen); err == nil {
			t.Error("mallory registered alice's token")
		}
		f.err = nil
		if err := r.As(renewer.Caller{Name: "mallory"}).Register(ctx, stolen); err == nil {
			t.Error("mallory registered alice's token, seen to be hers")
		}
	})
}

// nameless is another cluster whose names cannot be looked up.
type nameless struct{ *lender }

func (nameless) Authorities(context.Context) ([]plugins.Authority, error) {
	return nil, errors.New("no such host")
}

func TestP8_ProviderThatKnowsNothingDelaysNobody(t *testing.T) {
	l, s := newLender(hadooptest.Lifetimes{}), newShelf()
	running(t, renewer.Config{Providers: map[string]plugins.Provider{"hdfs": l, "hdfs@prod2": nameless{l}}, Stager: s}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		must(t, r.Register(ctx, bringing("own", issued(t, l, "alice"))))
		elsewhere := issued(t, l, "alice")
		elsewhere.Service = "nn.prod2:8020"
		if err := r.Register(ctx, bringing("other", elsewhere)); err == nil {
			t.Error("a token that may be the silent provider's was taken for foreign")
		}
	})
}

// thrower panics when it is asked what it serves.
type thrower struct{ *lender }

func (thrower) Authorities(context.Context) ([]plugins.Authority, error) {
	panic("a bug of the provider")
}

// Shows: U9.
func TestY19_ProviderThatThrowsWhenAskedEndsThatRegistrationOnly(t *testing.T) {
	l, s := newLender(hadooptest.Lifetimes{}), newShelf()
	running(t, renewer.Config{Providers: map[string]plugins.Provider{"bad": thrower{l}, "hdfs": l}, Stager: s}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		for range 2 { // the second must not wait for the first one's answer
			if err := r.Register(ctx, app("job", "bad")); err == nil {
				t.Error("registered with a provider that threw")
			}
		}
		must(t, r.Register(ctx, app("job", "hdfs")))
	})
}

// stuck hangs at the named file systems until its context ends.
type stuck struct{ *shelf }

func (h stuck) Stage(ctx context.Context, set appregistry.Set) (appregistry.Receipt, error) {
	if set.Target.FS != "" {
		<-ctx.Done()
		return appregistry.Receipt{}, ctx.Err()
	}
	return h.shelf.Stage(ctx, set)
}

// Shows: P8.
func TestB100_HungFileSystemsDelayNoRenewal(t *testing.T) {
	l, s := newLender(hadooptest.Lifetimes{RenewInterval: 2 * time.Minute, MaxLifetime: time.Hour}), newShelf()
	running(t, renewer.Config{Providers: providers(l), Stager: stuck{s}}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		must(t, r.Register(ctx, app("good", "hdfs")))
		for i := range 300 {
			a := app(fmt.Sprint("bad", i))
			a.Credentials.Secrets = map[string]plugins.Secret{"k": plugins.Secret("v")}
			a.StageTo = []appregistry.Target{{FS: "b", Dir: "/x"}, {FS: "c", Dir: "/x"}}
			must(t, r.As(renewer.Caller{Trusted: true}).Admit(ctx, a))
		}
		for range 20 {
			time.Sleep(30 * time.Second)
			set, _ := s.newest(key("good"))
			if err := l.valid(only(t, set.Credentials)); err != nil {
				t.Fatalf("its token is dead after %d renewals: %v", l.count("renew"), err)
			}
		}
	})
}

func TestRegister_KnowsAtShutdownWhatIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := newLender(hadooptest.Lifetimes{}), newShelf()
		s.fail = errTest(1)
		r, err := renewer.New(renewer.Config{Providers: providers(l), Stager: s, Clock: bubbleClock()})
		must(t, err)
		got := make(chan error, 1)
		must(t, r.Run(t.Context(), func(context.Context) error {
			go func() { got <- r.Register(context.Background(), app("job", "hdfs")) }()
			time.Sleep(time.Minute)
			return nil
		}))
		if err := <-got; !errors.Is(err, appregistry.ErrNotReady) || !errors.Is(err, renewer.ErrNotRunning) {
			t.Errorf("got %v, want ErrNotReady and ErrNotRunning", err)
		}
	})
}

func TestT57_HookThatPanicsEndsNothing(t *testing.T) {
	l, s := newLender(hadooptest.Lifetimes{}), newShelf()
	heard := 0
	hooks := renewer.Hooks{Each: func(renewer.Event) {
		heard++
		panic("a bug of the host program")
	}}
	running(t, renewer.Config{Providers: providers(l), Stager: s, Hooks: hooks}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		must(t, r.Register(ctx, app("job", "hdfs")))
		time.Sleep(48 * time.Hour)
		set, _ := s.newest(key("job"))
		must(t, l.valid(only(t, set.Credentials)))
	})
	if heard < 3 {
		t.Errorf("the hook heard %d events, want them all", heard)
	}
}

// Shows: T-19.
func TestRegister_RefusesWhatCannotWork(t *testing.T) {
	l, s := newLender(hadooptest.Lifetimes{}), newShelf()
	running(t, renewer.Config{Providers: providers(l), Stager: s}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		for name, spoil := range map[string]func(*appregistry.App){
			"no user":            func(a *appregistry.App) { a.User = "" },
			"user with realm":    func(a *appregistry.App) { a.User = "alice@REALM" },
			"user with a slash":  func(a *appregistry.App) { a.User = "../root" },
			"id with a slash":    func(a *appregistry.App) { a.ID = "../job" },
			"nothing to do":      func(a *appregistry.App) { a.Obtain = nil },
			"unknown provider":   func(a *appregistry.App) { a.Obtain = []string{"kms"} },
			"unknown service":    func(a *appregistry.App) { a.Obtain = []string{"hdfs:other"} },
			"relative directory": func(a *appregistry.App) { a.StageTo = []appregistry.Target{{Dir: "x"}} },
			"climbing directory": func(a *appregistry.App) { a.StageTo = []appregistry.Target{{Dir: "/x/../../etc"}} },
			"directory twice":    func(a *appregistry.App) { a.StageTo = []appregistry.Target{{Dir: "/x"}, {Dir: "/x"}} },
			"directory newline":  func(a *appregistry.App) { a.StageTo = []appregistry.Target{{Dir: "/x\ny"}} },
			"unknown setting":    func(a *appregistry.App) { a.Overlay = map[string]string{"principal": "root"} },
			"service no text": func(a *appregistry.App) {
				a.Credentials.Tokens = map[string]plugins.Token{"x": {Kind: "K", Service: "\xff", Identifier: []byte{1}}}
			},
			"empty token": func(a *appregistry.App) { a.Credentials.Tokens = map[string]plugins.Token{"x": {}} },
		} {
			a := app("job", "hdfs")
			spoil(&a)
			err := r.Register(ctx, a)
			if plugins.KindOf(err) != plugins.KindRefused {
				t.Errorf("%s: %v, want it refused", name, err)
			}
		}
		if n := l.count("obtain") + l.count("renew"); n > 0 {
			t.Errorf("%d calls for applications that were refused", n)
		}
	})
}

// tardy returns its first token after its time is over.
type tardy struct{ *lender }

func (p tardy) Obtain(ctx context.Context, req plugins.ObtainRequest) ([]plugins.Grant, error) {
	g, err := p.lender.Obtain(ctx, req)
	if p.count("obtain") == 1 {
		time.Sleep(40 * time.Second)
	}
	return g, err
}

func TestB11_LateTokenIsNotForgotten(t *testing.T) {
	l, s := newLender(hadooptest.Lifetimes{}), newShelf()
	var seen events
	running(t, renewer.Config{Providers: providers(tardy{l}), Stager: s, Hooks: seen.hooks()}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		must(t, r.Register(ctx, app("job", "hdfs")))
		time.Sleep(5 * time.Minute)
		if seen.count("grant-orphaned") == 0 {
			t.Error("no word of an obtain that did not return in time")
		}
		if obtained, live, cancelled := l.count("obtain"), l.secrets.Live(), l.count("cancel"); live != 1 || obtained != cancelled+1 {
			t.Errorf("%d obtained, %d cancelled, %d live; want the one in use", obtained, cancelled, live)
		}
	})
}

// A token whose cancel does not get through is listed until it does.
func TestP10_PendingCancelIsListed(t *testing.T) {
	l, s := newLender(hadooptest.Lifetimes{}), newShelf()
	running(t, renewer.Config{Providers: providers(l), Stager: s}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		must(t, r.Register(ctx, app("job", "hdfs")))
		l.fail(func(op string) error {
			if op == "cancel" {
				return errTest(1)
			}
			return nil
		})
		must(t, r.Unregister(ctx, key("job")))
		time.Sleep(time.Minute)
		operator := r.As(renewer.Caller{Trusted: true})
		list, err := operator.Remembered(ctx)
		must(t, err)
		if len(list) != 1 || list[0].State != appregistry.CancelPending || list[0].Next.IsZero() {
			t.Errorf("remembered %+v, want one that waits for its next try", list)
		}
		l.fail(nil)
		time.Sleep(time.Hour)
		if n := l.secrets.Live(); n != 0 {
			t.Errorf("%d tokens live", n)
		}
		if list, err := r.As(renewer.Caller{Name: "alice"}).Remembered(ctx); err != nil || len(list) > 0 {
			t.Errorf("alice sees %d, %v; want none", len(list), err)
		}
	})
}

// other is a provider that gives tokens of a kind which is not its own.
type other struct{ *lender }

func (other) Kinds() []string { return []string{"OTHER_TOKEN"} }

func TestB51_TokenOfAnotherKindIsNotTaken(t *testing.T) {
	l, s := newLender(hadooptest.Lifetimes{}), newShelf()
	var seen events
	running(t, renewer.Config{Providers: map[string]plugins.Provider{"other": other{l}}, Stager: s, Hooks: seen.hooks()}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		short, cancel := context.WithTimeout(ctx, time.Hour)
		defer cancel()
		if err := r.Register(short, app("job", "other")); err == nil {
			t.Error("registered with a token of another kind")
		}
		if _, ok := s.newest(key("job")); ok {
			t.Error("a token of another kind is staged")
		}
		seen.mu.Lock()
		defer seen.mu.Unlock()
		if failed := seen.last["try-failed"]; plugins.KindOf(failed.Err) != plugins.KindSuspect {
			t.Errorf("the failure reads %v, want kind suspect", failed.Err)
		}
	})
}

// refusing is a file system that lets nobody write.
type refusing struct{ calls atomic.Int64 }

func (f *refusing) Stage(context.Context, appregistry.Set) (appregistry.Receipt, error) {
	f.calls.Add(1)
	return appregistry.Receipt{}, plugins.Denied(errors.New("no such user there"))
}

// Renewals go on meanwhile, and must not hurry what only an operator can mend.
//
// Shows: P10.
func TestB102_DeniedTargetIsTriedSlowlyAndNamed(t *testing.T) {
	l, f := newLender(hadooptest.Lifetimes{RenewInterval: time.Minute, MaxLifetime: 24 * time.Hour}), &refusing{}
	running(t, renewer.Config{Providers: providers(l), Stager: f}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		must(t, r.As(renewer.Caller{Trusted: true}).Admit(ctx, app("job", "hdfs")))
		time.Sleep(time.Hour)
		if n := f.calls.Load(); n < 3 || n > 30 {
			t.Errorf("%d stagings in an hour of denials, want one in a few minutes", n)
		}
		list, err := r.As(renewer.Caller{Trusted: true}).Apps(ctx)
		must(t, err)
		if len(list) != 1 || list[0].Ready || !strings.Contains(list[0].Trouble, "no such user there") || list[0].NextStage.IsZero() {
			t.Errorf("listed as %+v, want the trouble and the next try", list)
		}
	})
}

// patient notes how long its renewals may take.
type patient struct {
	*lender
	given []time.Duration
}

func (p *patient) Renew(ctx context.Context, t plugins.Token) (time.Time, error) {
	deadline, _ := ctx.Deadline()
	p.mu.Lock()
	p.given = append(p.given, time.Until(deadline))
	p.mu.Unlock()
	return p.lender.Renew(ctx, t)
}

// One holder's wish for a short call must not cut the calls that others depend on.
func TestP8_HolderCannotShortenTheCallsOfOthers(t *testing.T) {
	l, s := newLender(hadooptest.Lifetimes{}), newShelf()
	p := &patient{lender: l}
	running(t, renewer.Config{Providers: providers(p), Stager: s}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		token := issued(t, l, "alice")
		hasty := bringing("hasty", token)
		hasty.Overlay = map[string]string{"call-timeout": "1s"}
		must(t, r.Register(ctx, hasty))
		must(t, r.Register(ctx, bringing("calm", token)))
		time.Sleep(24 * time.Hour)
		p.mu.Lock()
		defer p.mu.Unlock()
		if n := len(p.given); n < 2 || p.given[0] != time.Second || p.given[n-1] != 30*time.Second {
			t.Errorf("calls were given %v; want 1s alone, and 30s with a holder who has no wish", p.given)
		}
	})
}
