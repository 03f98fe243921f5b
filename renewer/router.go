package renewer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/clock"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// askAgain is the least time between two questions to a provider for its
// authorities, since every token of an unknown service would ask.
const askAgain = 30 * time.Second

// router finds the provider of a token that an application brought, by kind and
// service. Both are only keys into what the operator configured: nothing is ever
// dialled because a token says so.
type router struct {
	providers map[string]plugins.Provider
	timeout   time.Duration // of each question to a provider
	clock     clock.Source
	log       *slog.Logger

	mu    sync.Mutex // guards known
	known map[string]*known
}

// known is what a provider instance last said of its authorities.
type known struct {
	asked time.Duration // boot time
	services
	err    error
	asking chan struct{} // closed when the question under way is answered; nil: there is none
}

// services are what an instance serves. They are never changed.
type services struct {
	authorities []plugins.Authority
	byText      map[serviceText][]match // the same by what a token says
}

func newRouter(c Config) *router {
	return &router{providers: c.Providers, timeout: c.CallTimeout, clock: c.clock(), log: c.Logger, known: map[string]*known{}}
}

func (r *router) provider(instance string) (plugins.Provider, error) {
	p, ok := r.providers[instance]
	if !ok {
		return nil, plugins.Refused("no-provider", fmt.Errorf("no provider %q is configured", instance))
	}
	return p, nil
}

// authorities asks an instance, or remembers; fresh wants an answer that is not
// older than askAgain. Of many callers at once one asks.
func (r *router) authorities(ctx context.Context, instance string, fresh bool) (services, error) {
	p, err := r.provider(instance)
	if err != nil {
		return services{}, err
	}
	if !plugins.AbilitiesOf(p).Authorize {
		return services{}, nil
	}
	for {
		r.mu.Lock()
		k := r.known[instance]
		if k == nil {
			k = &known{asked: -askAgain}
			r.known[instance] = k
		}
		asking := k.asking
		switch {
		case asking != nil:
		case k.authorities != nil && !fresh, r.clock.Now().Boot-k.asked < askAgain:
			defer r.mu.Unlock()
			return k.services, k.err
		default:
			k.asking = make(chan struct{})
			r.mu.Unlock()
			return r.refresh(ctx, instance, p, k)
		}
		r.mu.Unlock()
		select {
		case <-asking:
		case <-ctx.Done():
			return services{}, context.Cause(ctx)
		}
	}
}

// refresh asks a provider and remembers its answer. One that fails leaves what
// is known; one whose caller gave up leaves the question to the next.
func (r *router) refresh(ctx context.Context, instance string, p plugins.Provider, k *known) (services, error) {
	list, err := bounded(ctx, r.timeout, p.(plugins.Authorizer).Authorities)
	r.mu.Lock()
	defer r.mu.Unlock()
	close(k.asking)
	k.asking = nil
	if ctx.Err() == nil { // else the next caller asks again
		k.asked = r.clock.Now().Boot
	}
	switch {
	case err == nil:
		k.services, k.err = services{list, matches(instance, list)}, nil
	case k.authorities != nil:
		r.log.Warn("services are those of an earlier answer", "provider", instance, "error", err)
	default:
		k.err = fmt.Errorf("provider %q: list its services: %w", instance, err)
	}
	return k.services, k.err
}

// plan expands what an application asks to obtain: a bare instance name becomes
// one element for each of its authorities.
func (r *router) plan(ctx context.Context, obtain []string) ([]appregistry.Authority, error) {
	var plan []appregistry.Authority
	for _, name := range obtain {
		instance, wanted, only := strings.Cut(name, ":")
		known, err := r.authorities(ctx, instance, false)
		if err != nil {
			return nil, err
		}
		list := known.authorities
		if len(list) == 0 { // one service, which the instance does not name
			plan = append(plan, appregistry.Authority{Instance: instance, Name: wanted})
			continue
		}
		before := len(plan)
		for _, a := range list {
			if a.Obtains && (!only || a.Name == wanted) {
				plan = append(plan, appregistry.Authority{Instance: instance, Name: a.Name})
			}
		}
		if len(plan) == before {
			return nil, plugins.Refused("not-obtainable", fmt.Errorf("nothing can be obtained as %q; provider %q has %s", name, instance, obtainable(list)))
		}
	}
	slices.SortFunc(plan, func(a, b appregistry.Authority) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(plan), nil
}

func obtainable(list []plugins.Authority) string {
	var names []string
	for _, a := range list {
		if a.Obtains {
			names = append(names, a.Name)
		}
	}
	return fmt.Sprintf("%q", names)
}

// match is one authority that a token may belong to.
type match struct {
	authority appregistry.Authority
	obtains   bool
}

// serviceText is a kind of token with the text of its service.
type serviceText struct{ kind, service string }

// matches finds authorities by each text as it was told, and by its canonical form.
func matches(instance string, list []plugins.Authority) map[serviceText][]match {
	byText := map[serviceText][]match{}
	each := func(do func(a plugins.Authority, told serviceText)) {
		for _, a := range list {
			for _, kind := range a.Kinds {
				for _, s := range a.Services {
					do(a, serviceText{kind, s})
				}
			}
		}
	}
	each(func(a plugins.Authority, told serviceText) {
		at := serviceText{told.kind, canonicalService(told.service)}
		m := match{appregistry.Authority{Instance: instance, Name: a.Name}, a.Obtains}
		if !slices.Contains(byText[at], m) {
			byText[at] = append(byText[at], m)
		}
	})
	each(func(_ plugins.Authority, told serviceText) {
		byText[told] = byText[serviceText{told.kind, canonicalService(told.service)}]
	})
	return byText
}

// brought finds out whose tokens an application brought along.
func (r *router) brought(ctx context.Context, c Caller, tokens map[string]plugins.Token) ([]core.Brought, error) {
	all := make([]core.Brought, 0, len(tokens))
	for alias, t := range tokens {
		b, err := r.place(ctx, t.Clone())
		if err != nil {
			return nil, fmt.Errorf("token %q: %w", alias, err)
		}
		b.Alias = alias
		all = append(all, b)
	}
	ids, err := r.identify(ctx, all)
	for i, id := range ids {
		b := &all[i]
		b.Identity, b.Obtains = id, b.Obtains && id != nil && c.mayActFor(id.User)
	}
	return all, err
}

// place finds the one authority that a token belongs to, and whether tokens can be
// obtained there.
func (r *router) place(ctx context.Context, t plugins.Token) (core.Brought, error) {
	found, err := r.find(ctx, t, false)
	if err == nil && len(found) == 0 {
		found, err = r.find(ctx, t, true)
	}
	if err != nil {
		return core.Brought{}, err
	}
	switch len(found) {
	case 0:
		return core.Brought{Token: t, Reason: "service-not-configured: no provider answers for this kind and service"}, nil
	case 1:
		return core.Brought{Token: t, Authority: found[0].authority, Obtains: found[0].obtains}, nil
	}
	return core.Brought{Token: t, Reason: fmt.Sprintf("ambiguous: both %s and %s answer for this kind and service", found[0].authority, found[1].authority)}, nil
}

// find lists the authorities that a token may belong to. A provider that cannot
// say what it serves matters only while no other one serves the token.
func (r *router) find(ctx context.Context, t plugins.Token, fresh bool) (found []match, err error) {
	told, canonical := serviceText{t.Kind, t.Service}, serviceText{}
	var failed []error
	for instance, p := range r.providers {
		if !slices.Contains(p.Kinds(), t.Kind) {
			continue
		}
		known, err := r.authorities(ctx, instance, fresh)
		if err != nil {
			failed = append(failed, err)
		}
		matches, ok := known.byText[told]
		if !ok && len(known.byText) > 0 {
			if canonical.kind == "" {
				canonical = serviceText{t.Kind, canonicalService(t.Service)}
			}
			matches = known.byText[canonical]
		}
		if found == nil {
			found = slices.Clip(matches) // not ours to change
		} else {
			found = append(found, matches...)
		}
	}
	if len(found) == 0 {
		return nil, errors.Join(failed...)
	}
	if len(found) == 1 {
		return found, nil
	}
	found = slices.SortedFunc(slices.Values(found), func(a, b match) int { return strings.Compare(a.authority.String(), b.authority.String()) })
	return found, nil
}

// identify reads the identifiers of tokens, one after the other; nil where there is
// no provider, or one that reads none.
func (r *router) identify(ctx context.Context, tokens []core.Brought) ([]*plugins.Identity, error) {
	reads := func(b core.Brought) bool {
		p := r.providers[b.Authority.Instance]
		return p != nil && plugins.AbilitiesOf(p).Identify
	}
	if !slices.ContainsFunc(tokens, reads) {
		return make([]*plugins.Identity, len(tokens)), nil
	}
	var at atomic.Int64 // the token that is being read
	ids, err := bounded(ctx, r.timeout, func(ctx context.Context) ([]*plugins.Identity, error) {
		ids := make([]*plugins.Identity, len(tokens))
		for i, b := range tokens {
			at.Store(int64(i))
			if !reads(b) {
				continue
			}
			id, err := r.providers[b.Authority.Instance].(plugins.Identifier).Identify(ctx, b.Token)
			if err != nil {
				return nil, err
			}
			id.Issued, id.Max = id.Issued.Round(0), id.Max.Round(0)
			ids[i] = &id
		}
		return ids, nil
	})
	if err != nil {
		b := tokens[at.Load()]
		return nil, fmt.Errorf("token %q: provider %q: identifier of kind %q for %q: %w", b.Alias, b.Authority.Instance, b.Token.Kind, b.Token.Service, err)
	}
	return ids, nil
}

// bounded asks a provider in the caller's stead: a panic is an error, and neither
// the caller nor those who wait for his answer hang with a provider that does.
func bounded[T any](ctx context.Context, timeout time.Duration, question func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		var a answer
		defer func() {
			if err := panicError(recover()); err != nil {
				a.err = err
			}
			answers <- a
		}()
		a.value, a.err = question(ctx)
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
		return answer{}.value, fmt.Errorf("no answer: %w", context.Cause(ctx))
	}
}

// canonicalService is the form in which service texts are compared: lower case,
// no dot at the end of a host name, IPv4 as such. It is never dialled.
func canonicalService(s string) string {
	s = strings.ToLower(s)
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return s
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return net.JoinHostPort(ip.Unmap().String(), port)
	}
	return net.JoinHostPort(strings.TrimSuffix(host, "."), port)
}

var instancePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._@-]{0,63}$`)

func checkInstanceName(name string) error {
	if !instancePattern.MatchString(name) {
		return fmt.Errorf("provider name %q: want 1 to 64 of a-z, 0-9, '.', '_', '@', '-', the first a letter or digit", name)
	}
	return nil
}
