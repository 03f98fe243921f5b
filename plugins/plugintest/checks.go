package plugintest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tokenwheel/tokenwheel/plugins"
)

// subject is a provider under one check.
type subject struct {
	provider plugins.Provider
	expect   Expect
}

type namedCheck struct {
	name string
	run  func(context.Context, *subject) error
}

// checks is every expectation, in the order in which a reader wants to know.
func checks() []namedCheck {
	return []namedCheck{
		{"kinds are named and never change", checkKinds},
		{"obtain gives whole, usable tokens", checkObtain},
		{"obtain leaves its request as it was", checkRequestKept},
		{"renew never shortens a life", checkRenew},
		{"bytes are not shared with the caller", checkBytesNotShared},
		{"cancel ends a token, and may be repeated", checkCancel},
		{"an unknown token is replaced or refused, and no secret told", checkUnknown},
		{"calls may run at once", checkConcurrency},
		{"an ended context ends the call", checkContext},
		{"authorities are consistent", checkAuthorities},
		{"identifiers are read without trust", checkIdentify},
	}
}

func (s *subject) request() plugins.ObtainRequest {
	return plugins.ObtainRequest{App: "plugintest", User: s.expect.User, Renewer: s.expect.Renewer}
}

// obtain gets tokens as every other check needs them.
func (s *subject) obtain(ctx context.Context) ([]plugins.Grant, error) {
	grants, err := s.provider.Obtain(ctx, s.request())
	switch {
	case err != nil:
		return nil, fmt.Errorf("obtain for %s: %w", s.expect.User, err)
	case len(grants) == 0:
		return nil, errors.New("obtain: no token and no error; an empty answer is never delivered")
	}
	return grants, nil
}

func checkKinds(_ context.Context, s *subject) error {
	first := s.provider.Kinds()
	if len(first) == 0 {
		return errors.New("no kind")
	}
	for i, kind := range first {
		if kind == "" {
			return errors.New("an empty kind")
		}
		if slices.Contains(first[:i], kind) {
			return fmt.Errorf("kind %q twice", kind)
		}
	}
	want := slices.Clone(first)
	first[0] = "changed by the caller"
	if again := s.provider.Kinds(); !slices.Equal(again, want) {
		return fmt.Errorf("first %q, then %q", want, again)
	}
	return nil
}

func checkObtain(ctx context.Context, s *subject) error {
	grants, err := s.obtain(ctx)
	if err != nil {
		return err
	}
	kinds := s.provider.Kinds()
	var aliases []string
	for _, g := range grants {
		alias := g.Alias
		if alias == "" {
			alias = g.Token.Service
		}
		switch {
		case !slices.Contains(kinds, g.Token.Kind):
			return fmt.Errorf("%s: its kind is none of %q", g.Token, kinds)
		case len(g.Token.Identifier) == 0:
			return fmt.Errorf("%s has no identifier", g.Token)
		case slices.Contains(aliases, alias):
			return fmt.Errorf("alias %q twice", alias)
		case !g.Expires.IsZero() && !g.Expires.After(time.Now()):
			return fmt.Errorf("%s expired at %s, before it was delivered", g.Token, g.Expires)
		case !g.Max.IsZero() && g.Expires.After(g.Max):
			return fmt.Errorf("%s expires at %s, after its max date %s", g.Token, g.Expires, g.Max)
		}
		aliases = append(aliases, alias)
	}
	return nil
}

func checkRequestKept(ctx context.Context, s *subject) error {
	authority, err := s.someAuthority(ctx)
	if err != nil {
		return err
	}
	req := s.request()
	req.Conf = map[string]string{}
	if authority != "" {
		req.Services = []string{authority}
	}
	services, conf := slices.Clone(req.Services), maps.Clone(req.Conf)
	if _, err := s.provider.Obtain(ctx, req); err != nil {
		return fmt.Errorf("obtain from %q: %w", req.Services, err)
	}
	if !slices.Equal(req.Services, services) || !maps.Equal(req.Conf, conf) {
		return fmt.Errorf("services or overlay of the request were changed: %q, %v", req.Services, req.Conf)
	}
	return nil
}

func checkRenew(ctx context.Context, s *subject) error {
	grants, err := s.obtain(ctx)
	if err != nil {
		return err
	}
	for _, g := range grants {
		last := g.Expires
		for range 3 {
			expires, err := s.renewOnce(ctx, g)
			if err != nil {
				return err
			}
			if expires.Before(last) {
				return fmt.Errorf("renewing %s moved its expiry back from %s to %s", g.Token, last, expires)
			}
			last = expires
		}
	}
	return nil
}

// renewOnce renews a live token and judges the one answer.
func (s *subject) renewOnce(ctx context.Context, g plugins.Grant) (time.Time, error) {
	given := g.Token.Clone()
	expires, err := s.provider.Renew(ctx, given)
	switch {
	case !given.Equal(g.Token):
		return expires, fmt.Errorf("renew changed the bytes of %s", g.Token)
	case s.expect.ReplaceOnly && plugins.KindOf(err) == plugins.KindReplace:
		return g.Expires, nil
	case s.expect.ReplaceOnly:
		return expires, fmt.Errorf("renew %s: an error of kind replace was expected, got %w", g.Token, err)
	case err != nil:
		return expires, fmt.Errorf("renew %s, which was just obtained: %w", g.Token, err)
	case !expires.After(time.Now()):
		return expires, fmt.Errorf("renew %s: the new expiry %s is past", g.Token, expires)
	case !g.Max.IsZero() && expires.After(g.Max):
		return expires, fmt.Errorf("renew %s: the new expiry %s is after its max date %s", g.Token, expires, g.Max)
	}
	return expires, nil
}

// checkBytesNotShared overwrites every byte it may own; what the provider keeps
// must not be among them.
func checkBytesNotShared(ctx context.Context, s *subject) error {
	grants, err := s.obtain(ctx)
	if err != nil {
		return err
	}
	for _, g := range grants {
		kept := g
		kept.Token = g.Token.Clone()
		overwrite(g.Token)
		if _, err := s.renewOnce(ctx, kept); err != nil {
			return fmt.Errorf("after the caller overwrote the token it was given: %w", err)
		}
	}
	return nil
}

func overwrite(t plugins.Token) {
	clear(t.Identifier)
	clear(t.Password)
}

func checkCancel(ctx context.Context, s *subject) error {
	grants, err := s.obtain(ctx)
	if err != nil {
		return err
	}
	for _, g := range grants {
		for n := range 2 {
			given := g.Token.Clone()
			if err := s.provider.Cancel(ctx, given); err != nil {
				return fmt.Errorf("cancel %s, time %d: %w", g.Token, n+1, err)
			}
			if !given.Equal(g.Token) {
				return fmt.Errorf("cancel changed the bytes of %s", g.Token)
			}
		}
		if _, err := s.provider.Renew(ctx, g.Token); plugins.KindOf(err) != plugins.KindReplace {
			return fmt.Errorf("renew %s after its cancel: kind %s, want replace (%w)", g.Token, plugins.KindOf(err), orNoError(err))
		}
	}
	return nil
}

func orNoError(err error) error {
	if err == nil {
		return errors.New("no error")
	}
	return err
}

// checkUnknown makes calls fail that every service fails, and reads the errors.
func checkUnknown(ctx context.Context, s *subject) error {
	grants, err := s.obtain(ctx)
	if err != nil {
		return err
	}
	token := grants[0].Token
	if err := s.provider.Cancel(ctx, token.Clone()); err != nil {
		return fmt.Errorf("cancel %s: %w", token, err)
	}
	damaged := token.Clone()
	damaged.Identifier = append(damaged.Identifier, "damaged"...)
	for _, t := range []plugins.Token{token, damaged} {
		_, err := s.provider.Renew(ctx, t.Clone())
		if err == nil {
			return fmt.Errorf("renew %s, which the service never issued or has cancelled: no error", t)
		}
		if leaks(err, t.Password) {
			return fmt.Errorf("renew %s: the error's text shows the password", t)
		}
		if k := plugins.KindOf(err); k == plugins.KindRetry || k == plugins.KindSuspect {
			return fmt.Errorf("renew %s, which the service never issued or has cancelled: kind %s, want replace, denied or refused (%w)", t, k, err)
		}
		if err := s.provider.Cancel(ctx, t.Clone()); err != nil && leaks(err, t.Password) {
			return fmt.Errorf("cancel %s: the error's text shows the password", t)
		}
	}
	return nil
}

func checkConcurrency(ctx context.Context, s *subject) error {
	const callers = 8
	grants := make([][]plugins.Grant, callers)
	phases := []func(i int) error{
		func(i int) (err error) { grants[i], err = s.obtain(ctx); return err },
		func(i int) error { _, err := s.renewOnce(ctx, grants[i][0]); return err },
		func(i int) error { return s.provider.Cancel(ctx, grants[i][0].Token.Clone()) },
	}
	for _, phase := range phases {
		errs := make([]error, callers)
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				defer func() {
					if v := recover(); v != nil {
						errs[i] = panicked(v)
					}
				}()
				errs[i] = phase(i)
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	return nil
}

func checkContext(ctx context.Context, s *subject) error {
	grants, err := s.obtain(ctx)
	if err != nil {
		return err
	}
	token := grants[0].Token
	ended, cancel := context.WithCancel(ctx)
	cancel()
	calls := map[string]func(){
		"obtain": func() { _, _ = s.provider.Obtain(ended, s.request()) },
		"renew":  func() { _, _ = s.provider.Renew(ended, token.Clone()) },
		"cancel": func() { _ = s.provider.Cancel(ended, token.Clone()) },
	}
	for _, name := range slices.Sorted(maps.Keys(calls)) {
		returned := make(chan error, 1)
		go func() {
			defer func() {
				var err error
				if v := recover(); v != nil {
					err = panicked(v)
				}
				returned <- err
			}()
			calls[name]()
		}()
		select {
		case err := <-returned:
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		case <-time.After(s.expect.Prompt):
			return fmt.Errorf("%s did not return within %s under an ended context", name, s.expect.Prompt)
		}
	}
	return nil
}

// leaks reports whether an error's text shows a secret in any usual writing.
func leaks(err error, secret []byte) bool {
	if len(secret) < 4 {
		return false // too short to tell from chance
	}
	text := []byte(fmt.Sprintf("%v\n%+v\n%#v", err, err, err))
	for _, form := range writings(secret) {
		if bytes.Contains(text, form) {
			return true
		}
	}
	return false
}
