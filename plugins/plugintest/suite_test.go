package plugintest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/examples/gatepass/pass"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/plugins/plugintest"
)

// TestReplaceOnlyProviderPasses: a service that cannot renew is a good provider
// when it says so.
func TestReplaceOnlyProviderPasses(t *testing.T) {
	t.Parallel()
	p := &bad{renew: func(context.Context, *bad, plugins.Token) (time.Time, error) {
		return time.Time{}, plugins.Replace(errors.New("a session is not renewed"))
	}}
	for _, f := range plugintest.Examine(t.Context(), p, plugintest.Expect{ReplaceOnly: true}) {
		t.Error(f.Error())
	}
}

// bad is a good provider with single methods replaced.
type bad struct {
	pass.Provider
	kinds  func() []string
	obtain func(context.Context, *bad, plugins.ObtainRequest) ([]plugins.Grant, error)
	renew  func(context.Context, *bad, plugins.Token) (time.Time, error)
	cancel func(context.Context, *bad, plugins.Token) error
}

func (b *bad) Kinds() []string {
	if b.kinds != nil {
		return b.kinds()
	}
	return b.Provider.Kinds()
}

func (b *bad) Obtain(ctx context.Context, r plugins.ObtainRequest) ([]plugins.Grant, error) {
	if b.obtain != nil {
		return b.obtain(ctx, b, r)
	}
	return b.Provider.Obtain(ctx, r)
}

func (b *bad) Renew(ctx context.Context, t plugins.Token) (time.Time, error) {
	if b.renew != nil {
		return b.renew(ctx, b, t)
	}
	return b.Provider.Renew(ctx, t)
}

func (b *bad) Cancel(ctx context.Context, t plugins.Token) error {
	if b.cancel != nil {
		return b.cancel(ctx, b, t)
	}
	return b.Provider.Cancel(ctx, t)
}

// TestBadProvidersAreFound: each bad provider turns the suite red, for its own
// reason, in process and over the wire.
func TestBadProvidersAreFound(t *testing.T) {
	t.Parallel()
	shared := []string{pass.Kind}
	tests := []struct {
		name          string
		provider      *bad
		want          string // in some finding
		inProcessOnly bool   // the wire makes it harmless
	}{
		{"kinds are the caller's to change", &bad{kinds: func() []string { return shared }}, "kinds are named and never change", true},
		{"shortens on renewal", &bad{renew: func(ctx context.Context, b *bad, t plugins.Token) (time.Time, error) {
			expires, err := b.Provider.Renew(ctx, t)
			return expires.Add(-5 * time.Second), err
		}}, "moved its expiry back", false},
		{"renews into the past", &bad{renew: func(context.Context, *bad, plugins.Token) (time.Time, error) {
			return time.Unix(0, 0), nil
		}}, "is past", false},
		{"cancel of the unknown is an error", &bad{cancel: func(ctx context.Context, b *bad, t plugins.Token) error {
			if _, err := b.Provider.Renew(ctx, t); err != nil {
				return err
			}
			return b.Provider.Cancel(ctx, t)
		}}, "cancel ends a token, and may be repeated", false},
		{"cancel does nothing", &bad{cancel: func(context.Context, *bad, plugins.Token) error { return nil }}, "after its cancel", false},
		{"unknown is no replace", &bad{renew: func(ctx context.Context, b *bad, t plugins.Token) (time.Time, error) {
			expires, err := b.Provider.Renew(ctx, t)
			if err != nil {
				err = errors.New("something went wrong")
			}
			return expires, err
		}}, "want replace", false},
		{"what is no identifier is retried", &bad{renew: func(ctx context.Context, b *bad, t plugins.Token) (time.Time, error) {
			expires, err := b.Provider.Renew(ctx, t)
			if plugins.KindOf(err) == plugins.KindRefused {
				err = errors.New("something went wrong")
			}
			return expires, err
		}}, "kind retry, want replace, denied or refused", false},
		{"ignores its context", &bad{renew: func(ctx context.Context, b *bad, t plugins.Token) (time.Time, error) {
			if ctx.Err() != nil {
				select {}
			}
			return b.Provider.Renew(ctx, t)
		}}, "renew did not return", true},
		{"password in an error", &bad{renew: leak(func(p []byte) string { return string(p) })}, "shows the password", true},
		{"password in an error as hex", &bad{renew: leak(func(p []byte) string { return fmt.Sprintf("%x", p) })}, "shows the password", false},
		{"empty answer", &bad{obtain: func(context.Context, *bad, plugins.ObtainRequest) ([]plugins.Grant, error) {
			return nil, nil
		}}, "an empty answer is never delivered", false},
		{"token of another kind", &bad{obtain: func(ctx context.Context, b *bad, r plugins.ObtainRequest) ([]plugins.Grant, error) {
			grants, err := b.Provider.Obtain(ctx, r)
			for i := range grants {
				grants[i].Token.Kind = "OTHER"
			}
			return grants, err
		}}, "its kind is none of", false},
		{"already expired", &bad{obtain: func(ctx context.Context, b *bad, r plugins.ObtainRequest) ([]plugins.Grant, error) {
			grants, err := b.Provider.Obtain(ctx, r)
			for i := range grants {
				grants[i].Expires = time.Unix(1, 0)
			}
			return grants, err
		}}, "before it was delivered", false},
		{"changes its request", &bad{obtain: func(ctx context.Context, b *bad, r plugins.ObtainRequest) ([]plugins.Grant, error) {
			grants, err := b.Provider.Obtain(ctx, r)
			for i := range r.Services {
				r.Services[i] = "changed"
			}
			return grants, err
		}}, "were changed", true},
		{"changes the token", &bad{renew: func(ctx context.Context, b *bad, t plugins.Token) (time.Time, error) {
			expires, err := b.Provider.Renew(ctx, t)
			clear(t.Password)
			return expires, err
		}}, "renew changed the bytes", true},
		{"hands out the bytes it keeps", sharing(), "after the caller overwrote", true},
		{"panics, and where", &bad{renew: func(context.Context, *bad, plugins.Token) (time.Time, error) { panic("ouch") }}, "at suite_test.go:", true},
		{"panics", &bad{renew: func(context.Context, *bad, plugins.Token) (time.Time, error) { panic("ouch") }}, "panic", false},
		{"obtains from anywhere", &bad{obtain: func(ctx context.Context, b *bad, r plugins.ObtainRequest) ([]plugins.Grant, error) {
			r.Services = nil
			return b.Provider.Obtain(ctx, r)
		}}, "no such authority", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			expect := plugintest.Expect{Prompt: 200 * time.Millisecond}
			wantFinding(t, plugintest.Examine(t.Context(), tt.provider, expect), tt.want)
			if !tt.inProcessOnly {
				wantFinding(t, plugintest.Examine(t.Context(), plugintest.OverWire(t, tt.provider), expect), tt.want)
			}
		})
	}
}

// leak renews as the good provider does and writes the password into each error.
func leak(write func([]byte) string) func(context.Context, *bad, plugins.Token) (time.Time, error) {
	return func(ctx context.Context, b *bad, t plugins.Token) (time.Time, error) {
		expires, err := b.Provider.Renew(ctx, t)
		if err != nil {
			err = &plugins.Error{Kind: plugins.KindOf(err), Err: errors.New("bad password " + write(t.Password))}
		}
		return expires, err
	}
}

// sharing keeps the very bytes it hands out, and knows its tokens by them.
func sharing() *bad {
	var mu sync.Mutex
	var kept []plugins.Token
	return &bad{
		obtain: func(ctx context.Context, b *bad, r plugins.ObtainRequest) ([]plugins.Grant, error) {
			grants, err := b.Provider.Obtain(ctx, r)
			mu.Lock()
			defer mu.Unlock()
			for _, g := range grants {
				kept = append(kept, g.Token)
			}
			return grants, err
		},
		renew: func(ctx context.Context, b *bad, t plugins.Token) (time.Time, error) {
			mu.Lock()
			known := slices.ContainsFunc(kept, t.Equal)
			mu.Unlock()
			if !known {
				return time.Time{}, plugins.Replace(errors.New("no such token"))
			}
			return b.Provider.Renew(ctx, t)
		},
	}
}

func wantFinding(t *testing.T, findings []plugintest.Finding, want string) {
	t.Helper()
	for _, f := range findings {
		if strings.Contains(f.Error(), want) {
			return
		}
	}
	t.Errorf("want a finding with %q, got %v", want, findings)
}
