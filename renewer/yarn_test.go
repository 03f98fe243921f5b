package renewer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// What YARN's renewer is tested for, and what it should have been.

// Three tokens, each renewed once at registration; afterwards only the one whose
// expiry is near.
//
// Shows: C-Y01, Y9.
func TestCY01_OnlyTheTokenThatIsNearIsRenewedAgain(t *testing.T) {
	day := hadooptest.Lifetimes{}
	a, b, near := newLender(day), newLender(day), newLender(hadooptest.Lifetimes{RenewInterval: time.Hour})
	b.service, near.service = "b:8020", "near:8020"
	s := newShelf()
	config := renewer.Config{Providers: map[string]plugins.Provider{"a": a, "b": plain{b, "b:8020"}, "near": plain{near, "near:8020"}}, Stager: s}
	config.Providers["a"] = plain{a, "nn:8020"}
	running(t, config, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		job := app("job")
		job.Credentials.Tokens = map[string]plugins.Token{"a": issued(t, a, "alice"), "b": issued(t, b, "alice"), "near": issued(t, near, "alice")}
		must(t, r.Register(ctx, job))
		if x, y, z := a.count("renew"), b.count("renew"), near.count("renew"); x != 1 || y != 1 || z != 1 {
			t.Fatalf("renewed %d, %d and %d times at registration, want once each", x, y, z)
		}
		time.Sleep(time.Hour)
		if x, y, z := a.count("renew"), b.count("renew"), near.count("renew"); x != 1 || y != 1 || z != 2 {
			t.Errorf("renewed %d, %d and %d times within the hour, want 1, 1 and 2", x, y, z)
		}
	})
}

// plain is a lender that answers for its own service text alone.
type plain struct {
	*lender
	text string
}

func (p plain) Authorities(context.Context) ([]plugins.Authority, error) {
	return []plugins.Authority{{Name: "ns", Kinds: p.Kinds(), Services: []string{p.text}, Obtains: true}}, nil
}

// Shows: C-Y02, Y17, Y39.
func TestCY02_NoRenewalAfterTheApplicationLeft(t *testing.T) {
	l, s := newLender(hadooptest.Lifetimes{}), newShelf()
	running(t, renewer.Config{Providers: providers(l), Stager: s}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		token := issued(t, l, "alice")
		must(t, r.Register(ctx, bringing("job", token)))
		must(t, r.Unregister(ctx, key("job")))
		time.Sleep(time.Second)
		if n := l.count("cancel"); n != 1 {
			t.Errorf("%d cancels a second after it left, want 1", n)
		}
		time.Sleep(3 * 24 * time.Hour)
		if n := l.count("renew"); n != 1 {
			t.Errorf("%d renewals, want the one at registration", n)
		}
		_, err := l.secrets.Renew(time.Now(), hadooptest.Caller{Principal: principal, Effective: principal}, token.Identifier, token.Password)
		if java, ok := errors.AsType[*hadooptest.JavaError](err); !ok || java.Class != hadooptest.ClassInvalidToken {
			t.Errorf("a renewal by hand: %v, want InvalidToken", err)
		}
	})
}

// Shows: C-Y20, C-Y24, C-F26.
func TestCY20_RequestsOutsideASessionChangeNothing(t *testing.T) {
	l, s, store := newLender(hadooptest.Lifetimes{}), newShelf(), appregistry.NewMemory()
	synctest.Test(t, func(t *testing.T) {
		config := renewer.Config{Providers: providers(l), Stager: s, Store: store}
		var ended *renewer.Renewer
		runIn(t, config, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
			ended = r
			must(t, r.Register(ctx, app("job", "hdfs")))
		})
		never, err := renewer.New(config)
		must(t, err)
		for name, r := range map[string]*renewer.Renewer{"after its end": ended, "before its start": never} {
			if err := r.Unregister(t.Context(), key("job")); !errors.Is(err, renewer.ErrNotRunning) {
				t.Errorf("unregister %s: %v", name, err)
			}
			if err := operatorOf(r).RenewToken(t.Context(), 1); !errors.Is(err, renewer.ErrNotRunning) {
				t.Errorf("renew %s: %v", name, err)
			}
		}
		runIn(t, config, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
			if _, _, err := r.Current(ctx, key("job")); err != nil {
				t.Errorf("the application in the next session: %v", err)
			}
		})
	})
}

// Down for longer than its token lives: the renewal is refused, a new token is
// obtained, and the trail shows both.
//
// Shows: C-Y12, Y42, Y43, Y44, C-H52, C-S40, B22, C-V01.
func TestCY12_TokenThatDiedWhileWeWereDownIsReplaced(t *testing.T) {
	for name, c := range map[string]struct {
		down  time.Duration
		spoil func(l *lender, t plugins.Token)
	}{
		"past its max date":    {8 * 24 * time.Hour, func(*lender, plugins.Token) {}},
		"past its renew date":  {3 * 24 * time.Hour, func(l *lender, t plugins.Token) { l.secrets.Forget(t.Identifier) }},
		"forgotten, not ended": {time.Minute, func(l *lender, t plugins.Token) { l.secrets.Forget(t.Identifier) }},
	} {
		t.Run(name, func(t *testing.T) {
			l, s, store := newLender(hadooptest.Lifetimes{}), newShelf(), appregistry.NewMemory()
			synctest.Test(t, func(t *testing.T) {
				config := renewer.Config{Providers: providers(l), Stager: s, Store: store}
				runIn(t, config, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
					must(t, r.Register(ctx, app("job", "hdfs")))
				})
				first, _ := s.newest(key("job"))
				time.Sleep(c.down)
				c.spoil(l, only(t, first.Credentials))
				var seen events
				config.Hooks = seen.hooks()
				runIn(t, config, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
					if c.down < time.Hour {
						time.Sleep(20 * time.Hour) // until its renewal is due
					}
					time.Sleep(2 * time.Minute)
					set, _ := s.newest(key("job"))
					if set.Generation <= first.Generation || l.valid(only(t, set.Credentials)) != nil {
						t.Errorf("generation %d after %d, or its token does not log in", set.Generation, first.Generation)
					}
				})
				if seen.count("token-obtained") != 1 || seen.count("token-replaced") != 1 {
					t.Errorf("%d obtained and %d replaced in the trail, want one each", seen.count("token-obtained"), seen.count("token-replaced"))
				}
			})
		})
	}
}

// gate gives tokens of a kind that no Hadoop service has.
type gate struct{ *lender }

func (gate) Kinds() []string { return []string{"GATE_PASS"} }

func (g gate) Authorities(context.Context) ([]plugins.Authority, error) {
	return []plugins.Authority{{Name: "gate", Kinds: g.Kinds(), Services: []string{"gate"}, Obtains: true}}, nil
}

func (g gate) Identify(ctx context.Context, t plugins.Token) (plugins.Identity, error) {
	t.Kind = hadooptoken.KindHDFS
	return g.lender.Identify(ctx, t)
}

func (g gate) Obtain(ctx context.Context, req plugins.ObtainRequest) ([]plugins.Grant, error) {
	grants, err := g.lender.Obtain(ctx, req)
	for i := range grants {
		grants[i].Token.Kind, grants[i].Token.Service = "GATE_PASS", "gate"
	}
	return grants, err
}

// Shows: C-Y31.
func TestCY31_AnyKindIsReplaced(t *testing.T) {
	g, s := gate{newLender(hadooptest.Lifetimes{RenewInterval: time.Hour, MaxLifetime: 4 * time.Hour})}, newShelf()
	running(t, renewer.Config{Providers: map[string]plugins.Provider{"gate": g}, Stager: s}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		must(t, r.Register(ctx, app("job", "gate")))
		for range 100 {
			set, _ := s.newest(key("job"))
			if tok := only(t, set.Credentials); tok.Kind != "GATE_PASS" || g.valid(tok) != nil {
				t.Fatalf("%v at hand does not log in", tok)
			}
			time.Sleep(20 * time.Minute)
		}
		if n := g.count("obtain"); n < 8 {
			t.Errorf("%d obtains in 33 hours of four each", n)
		}
	})
}

// A service that does not answer holds up no acknowledgement: what is durable is
// acknowledged, and proved afterwards.
//
// Shows: C-Y33, Y13.
func TestCY33_AcknowledgedBeforeAnyRenewal(t *testing.T) {
	l, s := newLender(hadooptest.Lifetimes{}), newShelf()
	running(t, renewer.Config{Providers: providers(l), Stager: s}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		block := make(chan struct{})
		l.fail(func(string) error { <-block; return nil })
		began := time.Now()
		must(t, operatorOf(r).Admit(ctx, bringing("job", issued(t, l, "alice"))))
		if d := time.Since(began); d != 0 {
			t.Errorf("acknowledged after %v", d)
		}
		list, err := r.Entries(ctx)
		must(t, err)
		if got := list[0].Tokens[0]; got.Proof != appregistry.ProofNone {
			t.Errorf("proof %v before any answer", got.Proof)
		}
		close(block)
		time.Sleep(time.Second)
		list, err = r.Entries(ctx)
		must(t, err)
		if got := list[0].Tokens[0]; got.Proof != appregistry.ProofRenewed {
			t.Errorf("proof %v after the renewal", got.Proof)
		}
	})
}

// The last second before the max date makes no token immortal (CVE-2021-32923).
func TestCV03_RenewalInTheFinalSecondEndsAtTheMaxDate(t *testing.T) {
	l, s := newLender(hadooptest.Lifetimes{RenewInterval: time.Hour, MaxLifetime: 4 * time.Hour}), newShelf()
	running(t, renewer.Config{Providers: providers(l), Stager: s}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		token := issued(t, l, "alice")
		token.Service = "10.0.0.1:8020"
		job := bringing("job", token)
		job.User = "bob" // lent: nobody obtains a successor for it
		must(t, r.Register(ctx, job))
		list, err := r.Entries(ctx)
		must(t, err)
		maxDate := list[0].Tokens[0].Max
		time.Sleep(time.Until(maxDate) - time.Second)
		_ = operatorOf(r).RenewToken(ctx, list[0].Tokens[0].ID)
		list, err = r.Entries(ctx)
		must(t, err)
		if got := list[0].Tokens[0].Expires; !got.Equal(maxDate) {
			t.Errorf("it expires %v, its max date is %v", got, maxDate)
		}
		time.Sleep(3 * time.Second)
		list, err = r.Entries(ctx)
		must(t, err)
		if got := list[0].Tokens[0].State; got != appregistry.Expired {
			t.Errorf("it is %v after its max date", got)
		}
	})
}

// Ten-second tokens for ten minutes: the one at hand logs in at every instant.
func TestCV13_RotationSoak(t *testing.T) {
	l, s := newLender(hadooptest.Lifetimes{RenewInterval: 5 * time.Second, MaxLifetime: 10 * time.Second, Scan: time.Second}), newShelf()
	running(t, renewer.Config{Providers: providers(l), Stager: s}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		must(t, r.Register(ctx, app("job", "hdfs")))
		for i := range 6000 {
			set, _ := s.newest(key("job"))
			if err := l.valid(only(t, set.Credentials)); err != nil {
				t.Fatalf("after %v: %v", time.Duration(i)*100*time.Millisecond, err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if set, _ := s.newest(key("job")); set.Generation < 60 {
			t.Errorf("%d rotations in ten minutes, want 60 at least", set.Generation)
		}
	})
}

// silent answers obtains with nothing, and says that all is well.
type silent struct{ *lender }

func (silent) Obtain(context.Context, plugins.ObtainRequest) ([]plugins.Grant, error) {
	return nil, nil
}

// An answer without tokens is that provider's error: it is no update, and the
// others' tokens are delivered.
//
// Shows: F9, F17, B53, C-S19.
func TestF9_AnswerWithoutTokensIsAnErrorOfItsProvider(t *testing.T) {
	l, mute, s := newLender(hadooptest.Lifetimes{}), silent{newLender(hadooptest.Lifetimes{})}, newShelf()
	var seen events
	config := renewer.Config{Providers: map[string]plugins.Provider{"hdfs": l, "mute": mute}, Stager: s, Hooks: seen.hooks()}
	running(t, config, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		must(t, operatorOf(r).Admit(ctx, app("nothing", "mute")))
		must(t, r.Register(ctx, app("job", "hdfs", "mute")))
		time.Sleep(time.Hour)
		if set, _ := s.newest(key("job")); len(set.Credentials.Tokens) != 1 {
			t.Errorf("%d tokens delivered, want the other provider's", len(set.Credentials.Tokens))
		}
		if set, ok := s.newest(key("nothing")); ok {
			t.Errorf("generation %d of nothing is staged", set.Generation)
		}
		if seen.count("try-failed") == 0 {
			t.Error("nobody was told")
		}
		apps, err := operatorOf(r).Apps(ctx)
		must(t, err)
		for _, a := range apps {
			if why := a.Missing["mute:ns"]; !strings.Contains(why, "no token in the answer") {
				t.Errorf("%s: missing is told as %q", a.Key, why)
			}
		}
	})
}

// What the client brought does not stand in the way of a token of its own.
//
// Shows: F11, C-S39, Y29.
func TestF11_BroughtTokensDoNotStopTheObtain(t *testing.T) {
	l, s := newLender(hadooptest.Lifetimes{}), newShelf()
	running(t, renewer.Config{Providers: providers(l), Stager: s}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		old := issued(t, l, "alice")
		l.secrets.Forget(old.Identifier) // the client's token died before its driver was started again
		job := app("job", "hdfs")
		job.Credentials.Tokens = map[string]plugins.Token{old.Service: old}
		job.Verify = appregistry.VerifyNone
		must(t, r.Register(ctx, job))
		set, _ := s.newest(key("job"))
		if tok := only(t, set.Credentials); tok.Equal(old) || l.valid(tok) != nil {
			t.Errorf("%v is delivered, which is the dead one or does not log in", tok)
		}
	})
}
