package renewer_test

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// What a session is: from Run to its return. Flink's manager and Vault's leases
// have their tests for it; these are ours.

func operatorOf(r *renewer.Renewer) renewer.Client { return r.As(renewer.Caller{Trusted: true}) }

func denial(err error) error {
	return &plugins.Error{Kind: plugins.KindDenied, Protected: true, Err: err}
}

// Shows: C-F13, C-F40, F10, Y13, C-V02 (recorded and counted).
func TestCF13_RegistrationObtainsAtOnceAndIsOne(t *testing.T) {
	l, s := newLender(hadooptest.Lifetimes{}), newShelf()
	running(t, renewer.Config{Providers: providers(l), Stager: s}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		began := time.Now()
		must(t, r.Register(ctx, app("job", "hdfs")))
		must(t, r.Register(ctx, app("job", "hdfs")))
		if d := time.Since(began); d != 0 {
			t.Errorf("ready after %v: it waited for something", d)
		}
		if n := l.count("obtain"); n != 1 {
			t.Errorf("%d obtains for two equal registrations, want 1", n)
		}
		if set, ok := s.newest(key("job")); !ok || l.valid(only(t, set.Credentials)) != nil {
			t.Error("the first set is not staged, or its token does not log in")
		}
		apps, err := operatorOf(r).Apps(ctx)
		must(t, err)
		if len(apps) != 1 {
			t.Errorf("%d applications listed, want 1", len(apps))
		}
		must(t, r.Unregister(ctx, key("job")))
		if apps, err = operatorOf(r).Apps(ctx); err != nil || len(apps) != 0 {
			t.Errorf("%d applications listed after the last left, error %v", len(apps), err)
		}
		if err := r.Unregister(ctx, key("job")); !errors.Is(err, appregistry.ErrNotFound) {
			t.Errorf("unregistered twice: %v", err)
		}
	})
}

// A second Run is refused, and the first goes on.
//
// Shows: C-F16, C-F38, F21.
func TestCF38_SecondRunDisturbsNothing(t *testing.T) {
	l, s := newLender(hadooptest.Lifetimes{}), newShelf()
	var again *renewer.Renewer
	running(t, renewer.Config{Providers: providers(l), Stager: s}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		again = r
		if err := r.Run(ctx, nil); err == nil {
			t.Error("Run ran twice at a time")
		}
		must(t, r.Register(ctx, app("job", "hdfs")))
	})
	if err := again.Run(t.Context(), nil); err == nil {
		t.Error("Run ran again after its end")
	}
}

// One service denies: the new application is refused, what was got for it is
// cancelled, nobody else notices, and a later try can succeed.
//
// Shows: C-F17, C-F46, F30.
func TestCF17_FailedFirstRegistrationIsRolledBack(t *testing.T) {
	good, bad, s := newLender(hadooptest.Lifetimes{}), newLender(hadooptest.Lifetimes{}), newShelf()
	bad.service = "bad:8020"
	denied := denial(errTest(1))
	bad.fail(func(string) error { return denied })
	config := renewer.Config{Providers: map[string]plugins.Provider{"good": good, "bad": bad}, Stager: s}
	running(t, config, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		must(t, r.Register(ctx, app("other", "good")))
		before, _ := s.newest(key("other"))
		if err := r.Register(ctx, app("job", "good", "bad")); !errors.Is(err, denied) {
			t.Fatalf("register: %v, want the denial", err)
		}
		time.Sleep(time.Minute)
		if issued, cancelled := good.count("obtain"), good.count("cancel"); issued != 2 || cancelled != 1 {
			t.Errorf("%d tokens obtained and %d cancelled of the good service, want 2 and 1", issued, cancelled)
		}
		apps, err := operatorOf(r).Apps(ctx)
		must(t, err)
		if len(apps) != 1 || apps[0].Key != key("other") {
			t.Errorf("%d applications, want the other one alone", len(apps))
		}
		if after, _ := s.newest(key("other")); after.Generation != before.Generation || good.valid(only(t, after.Credentials)) != nil {
			t.Error("the other application was touched")
		}
		bad.fail(nil)
		must(t, r.Register(ctx, app("job", "good", "bad")))
	})
}

// A provider that crashes is no denial: the application is accepted, gets what
// the others gave, and the rest when the provider is back (decision 8).
//
// Shows: C-F18, F8, C-S16, C-V25.
func TestCF18_CrashingProviderLeavesTheOthersDelivered(t *testing.T) {
	good, bad, s := newLender(hadooptest.Lifetimes{}), newLender(hadooptest.Lifetimes{}), newShelf()
	bad.service = "bad:8020"
	bad.fail(func(string) error { panic("a bug of the provider") })
	config := renewer.Config{Providers: map[string]plugins.Provider{"good": good, "bad": bad}, Stager: s, PerAuthority: 1}
	running(t, config, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		must(t, r.Register(ctx, app("job", "good", "bad")))
		set, _ := s.newest(key("job"))
		if tok := only(t, set.Credentials); tok.Service != good.service {
			t.Errorf("delivered %v", tok)
		}
		time.Sleep(time.Hour)
		if n := bad.count("obtain"); n < 10 {
			t.Errorf("the crashing provider was asked %d times in an hour: its place was not given back", n)
		}
		bad.fail(nil)
		time.Sleep(10 * time.Minute)
		if set, _ = s.newest(key("job")); len(set.Credentials.Tokens) != 2 {
			t.Errorf("%d tokens after it came back, want 2", len(set.Credentials.Tokens))
		}
	})
}

// A cancel that fails, or throws, is the cancel's business alone; it is tried on
// until the token's own end.
//
// Shows: C-F19, C-F47, F32, C-Y30, C-V27.
func TestCF19_UnregisterSwallowsProviderFailure(t *testing.T) {
	l, s := newLender(hadooptest.Lifetimes{}), newShelf()
	var seen events
	running(t, renewer.Config{Providers: providers(l), Stager: s, Hooks: seen.hooks()}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		for _, id := range []string{"a", "b", "c"} {
			must(t, r.Register(ctx, app(id, "hdfs")))
		}
		var mu sync.Mutex
		fails := 0
		l.fail(func(op string) error {
			mu.Lock()
			defer mu.Unlock()
			if op != "cancel" {
				return nil
			}
			if fails++; fails%2 == 0 {
				panic("a bug of the provider")
			}
			return errTest(1)
		})
		for _, id := range []string{"a", "b", "c"} {
			must(t, r.Unregister(ctx, key(id)))
		}
		if apps, err := operatorOf(r).Apps(ctx); err != nil || len(apps) != 0 {
			t.Errorf("%d applications are left, error %v", len(apps), err)
		}
		time.Sleep(6 * time.Hour)
		if n := seen.count("token-cancelled"); n != 0 {
			t.Fatalf("%d cancels told of, and none came through", n)
		}
		l.fail(nil)
		time.Sleep(10 * time.Minute)
		if n := seen.count("token-cancelled"); n != 3 {
			t.Errorf("%d of 3 cancels came through once the service worked", n)
		}
		must(t, r.Register(ctx, app("d", "hdfs")))
		l.fail(func(string) error { return errTest(2) })
		must(t, r.Unregister(ctx, key("d")))
		time.Sleep(9 * 24 * time.Hour)
		if n := seen.count("cancel-given-up"); n != 1 {
			t.Errorf("given up %d times by the token's end, want 1: nothing ends without a word", n)
		}
	})
}

// Another content that cannot be had leaves the application as it was.
//
// Shows: C-F44, F31.
func TestCF44_FailedReregistrationKeepsTheEarlier(t *testing.T) {
	good, bad, s := newLender(hadooptest.Lifetimes{}), newLender(hadooptest.Lifetimes{}), newShelf()
	bad.service = "bad:8020"
	bad.fail(func(string) error { return denial(errTest(1)) })
	config := renewer.Config{Providers: map[string]plugins.Provider{"good": good, "bad": bad}, Stager: s}
	running(t, config, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		must(t, r.Register(ctx, app("job", "good")))
		before, _ := s.newest(key("job"))
		if err := r.Register(ctx, app("job", "good", "bad")); err == nil {
			t.Fatal("registered with a service that denies")
		}
		time.Sleep(3 * 24 * time.Hour)
		set, _ := s.newest(key("job"))
		if set.Generation != before.Generation || good.valid(only(t, set.Credentials)) != nil {
			t.Errorf("generation %d after %d: the earlier registration was touched", set.Generation, before.Generation)
		}
	})
}

// counting is a lender that knows how many of its obtains for one application
// are under way.
type counting struct {
	*lender
	mu      sync.Mutex // guards what follows
	running map[string]int
	most    map[string]int
	all     int
	mostAll int
}

func (c *counting) Obtain(ctx context.Context, req plugins.ObtainRequest) ([]plugins.Grant, error) {
	c.mu.Lock()
	c.running[req.App]++
	c.all++
	c.most[req.App] = max(c.most[req.App], c.running[req.App])
	c.mostAll = max(c.mostAll, c.all)
	c.mu.Unlock()
	time.Sleep(20 * time.Second)
	c.mu.Lock()
	c.running[req.App]--
	c.all--
	c.mu.Unlock()
	var both []plugins.Grant
	for _, alias := range []string{"x", "y"} {
		grants, err := c.lender.Obtain(ctx, req)
		if err != nil {
			return nil, err
		}
		grants[0].Alias = alias
		both = append(both, grants...)
	}
	return both, nil
}

// Two tokens of one obtain, each of which may want its successor at any time.
//
// Shows: C-F43, F18.
func TestCF43_ObtainsForOneApplicationAreSerial(t *testing.T) {
	c := &counting{lender: newLender(hadooptest.Lifetimes{RenewInterval: 5 * time.Minute, MaxLifetime: 15 * time.Minute}), running: map[string]int{}, most: map[string]int{}}
	s := newShelf()
	running(t, renewer.Config{Providers: providers(c), Stager: s}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		for _, id := range []string{"a", "b", "c"} {
			must(t, operatorOf(r).Admit(ctx, app(id, "hdfs")))
		}
		var last uint32
		for range 120 {
			list, err := r.Entries(ctx)
			must(t, err)
			for _, e := range list { // every wish for another token, while one is on its way
				_ = operatorOf(r).CancelToken(ctx, e.Tokens[0].ID, true)
			}
			if set, ok := s.newest(key("a")); ok {
				if set.Generation < last {
					t.Fatalf("generation %d after %d", set.Generation, last)
				}
				last = set.Generation
			}
			time.Sleep(7 * time.Second)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, id := range []string{"a", "b", "c"} {
			if n := c.most[id]; n != 1 {
				t.Errorf("%d obtains at a time for %s, want 1", n, id)
			}
		}
		if c.mostAll < 2 {
			t.Errorf("%d obtains at a time in all: the applications wait for each other", c.mostAll)
		}
	})
}

// A session that follows another begins anew: at once, with the first backoff,
// on the providers of the one before.
//
// Shows: C-F49, C-F37, C-V01.
func TestCF49_NewSessionStartsFromTheFirstBackoff(t *testing.T) {
	l, s, store := newLender(hadooptest.Lifetimes{}), newShelf(), appregistry.NewMemory()
	synctest.Test(t, func(t *testing.T) {
		config := renewer.Config{Providers: providers(l), Stager: s, Store: store}
		var mu sync.Mutex
		var at []time.Time
		l.fail(func(string) error {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Now())
			return errTest(1)
		})
		runIn(t, config, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
			must(t, operatorOf(r).Admit(ctx, app("job", "hdfs")))
			time.Sleep(3 * time.Hour)
		})
		if len(at) < 20 {
			t.Fatalf("%d tries in three hours", len(at))
		}
		at = nil
		began := time.Now()
		runIn(t, config, func(context.Context, *testing.T, *renewer.Renewer) { time.Sleep(20 * time.Second) })
		if len(at) < 2 || at[0] != began || at[1].Sub(at[0]) > 15*time.Second {
			t.Errorf("tries at %v of a session that began %v, want one at once and one within 15 s", at, began)
		}
		l.fail(nil)
		runIn(t, config, func(context.Context, *testing.T, *renewer.Renewer) { time.Sleep(time.Second) })
		if set, ok := s.newest(key("job")); !ok || l.valid(only(t, set.Credentials)) != nil {
			t.Error("the third session has not obtained what the first could not")
		}
	})
}

// What one session began does not arrive in the next, and what it had in its
// queue is never called.
//
// Shows: C-F34, C-F36, C-F42, C-F50, C-F51, F20, Y40.
func TestCF51_CallOfOneSessionDoesNotArriveInTheNext(t *testing.T) {
	l, s, store := newLender(hadooptest.Lifetimes{}), newShelf(), appregistry.NewMemory()
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		l.fail(func(string) error {
			<-block
			return nil
		})
		config := renewer.Config{Providers: providers(l), Stager: s, Store: store, PerAuthority: 1}
		runIn(t, config, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
			must(t, operatorOf(r).Admit(ctx, app("a", "hdfs")))
			must(t, operatorOf(r).Admit(ctx, app("b", "hdfs")))
			time.Sleep(10 * time.Second)
		})
		if n := l.count("obtain"); n != 1 {
			t.Fatalf("%d obtains with one place, want 1", n)
		}
		l.fail(nil)
		runIn(t, config, func(context.Context, *testing.T, *renewer.Renewer) {
			time.Sleep(time.Second)
			a, _ := s.newest(key("a"))
			close(block) // the answer of the first session's call
			time.Sleep(time.Hour)
			if b, _ := s.newest(key("a")); b.Generation != a.Generation || !only(t, b.Credentials).Equal(only(t, a.Credentials)) {
				t.Error("an answer of the first session reached the second")
			}
		})
		if n := l.count("obtain"); n != 3 {
			t.Errorf("%d obtains, want one of the first session and two of the second", n)
		}
		before := maps.Clone(l.calls)
		time.Sleep(30 * 24 * time.Hour)
		if !maps.Equal(before, l.calls) {
			t.Errorf("calls after the end: %v, were %v", l.calls, before)
		}
	})
}

// vandal changes whatever it is handed.
type vandal struct{ *lender }

func (v vandal) Obtain(ctx context.Context, req plugins.ObtainRequest) ([]plugins.Grant, error) {
	req.Conf["renewal.ratio"] = "0.1"
	delete(req.Conf, "linger")
	req.Services[0] = "elsewhere"
	return v.lender.Obtain(ctx, req)
}

func (v vandal) Renew(ctx context.Context, t plugins.Token) (time.Time, error) {
	defer clear(t.Identifier)
	defer clear(t.Password)
	return v.lender.Renew(ctx, t)
}

// Shows: C-F53, F33.
func TestCF53_ProvidersGetCopies(t *testing.T) {
	v, s := vandal{newLender(hadooptest.Lifetimes{})}, newShelf()
	running(t, renewer.Config{Providers: providers(v), Stager: s}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		a := app("job", "hdfs")
		a.Overlay = map[string]string{"linger": "1h", "renewal.ratio": "0.5"}
		must(t, r.Register(ctx, a))
		time.Sleep(2 * 24 * time.Hour)
		set, _ := s.newest(key("job"))
		must(t, v.valid(only(t, set.Credentials)))
		if n := v.count("renew"); n > 8 {
			t.Errorf("%d renewals in two days of half a day each: a provider changed the application's settings", n)
		}
		must(t, r.Unregister(ctx, key("job")))
		time.Sleep(59 * time.Minute)
		if n := v.count("cancel"); n != 0 {
			t.Error("it did not linger: a provider changed the application's settings")
		}
	})
}

// Our identity at one cluster is revoked: its tokens stay as they are to their own
// end, somebody is told, and the other cluster's are renewed on time.
//
// Shows: B07, Y5 (an application that brings nothing and asks for nothing changes nothing).
func TestB07_RevokedIdentityLeavesTokensAndOthersAlone(t *testing.T) {
	good, bad, s := newLender(hadooptest.Lifetimes{}), newLender(hadooptest.Lifetimes{}), newShelf()
	bad.service = "bad:8020"
	var seen events
	config := renewer.Config{Providers: map[string]plugins.Provider{"good": good, "bad": bad}, Stager: s, Hooks: seen.hooks()}
	running(t, config, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		must(t, r.Register(ctx, app("g", "good")))
		must(t, r.Register(ctx, app("b", "bad")))
		if err := r.Register(ctx, app("nothing")); plugins.KindOf(err) != plugins.KindRefused {
			t.Errorf("an application without credentials and wishes: %v", err)
		}
		held, _ := s.newest(key("b"))
		bad.fail(func(string) error { return &plugins.Error{Kind: plugins.KindDenied, Code: "revoked", Err: errTest(1)} })
		renewed := good.count("renew")
		time.Sleep(23 * time.Hour)
		if set, _ := s.newest(key("b")); set.Generation != held.Generation || bad.valid(only(t, set.Credentials)) != nil {
			t.Error("the token of the revoked identity was taken away before its own end")
		}
		if seen.count("try-alarmed") == 0 {
			t.Error("nobody was told")
		}
		if n := good.count("renew"); n == renewed {
			t.Error("the other identity's token was not renewed")
		}
		time.Sleep(2 * time.Hour) // past its end
		bad.fail(nil)             // the operator mends it
		time.Sleep(6 * time.Minute)
		if set, _ := s.newest(key("b")); bad.valid(only(t, set.Credentials)) != nil {
			t.Error("no good token six minutes after it was mended")
		}
	})
}
