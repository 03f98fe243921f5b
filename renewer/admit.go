package renewer

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// Limits of one application. What passes them is refused, naming the limit.
const (
	maxTokens    = 256
	maxSecrets   = 256
	maxTargets   = 4
	maxObtain    = 64
	maxSetBytes  = 1 << 20
	maxTextBytes = 1024
)

// registration checks an application in the caller's goroutine and finds out
// whose the tokens are that it brought.
func (c Client) registration(ctx context.Context, app appregistry.App) (core.Register, error) {
	app, err := c.own(app)
	if err != nil {
		return core.Register{}, err
	}
	if app.Obtain, err = inCluster(app, c.r.cfg.Providers); err != nil {
		return core.Register{}, err
	}
	if err := checkApp(app, c.r.cfg); err != nil {
		return core.Register{}, err
	}
	ev := core.Register{Caller: core.Caller(c.caller), App: app, UUID: randomUUID()}
	ev.App.Credentials.Tokens = nil
	if ev.Brought, err = c.r.router.brought(ctx, c.caller, app.Credentials.Tokens); err != nil {
		return core.Register{}, err
	}
	if ev.Plan, err = c.r.router.plan(ctx, app.Obtain); err != nil {
		return core.Register{}, err
	}
	ev.Prepare()
	return ev, nil
}

// own copies what the caller may go on changing, but for the tokens, and sets the owner.
func (c Client) own(app appregistry.App) (appregistry.App, error) {
	if !c.caller.Trusted {
		if app.Owner != "" && app.Owner != c.caller.Name {
			return app, plugins.Refused("not-owner", fmt.Errorf("%q cannot register for %q", c.caller.Name, app.Owner))
		}
		app.Owner = c.caller.Name
	} else if app.Owner == "" {
		app.Owner = c.caller.Name
	}
	app.Obtain = slices.Clone(app.Obtain)
	app.StageTo = slices.Clone(app.StageTo)
	app.Overlay = maps.Clone(app.Overlay)
	app.Credentials.Secrets = maps.Clone(app.Credentials.Secrets)
	for alias, s := range app.Credentials.Secrets {
		app.Credentials.Secrets[alias] = bytes.Clone(s)
	}
	return app, nil
}

// isUser reports whether s is a short name of a user.
func isUser(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_':
		case i > 0 && (c == '.' || c == '-'):
		default:
			return false
		}
	}
	return 0 < len(s) && len(s) <= 128
}

func checkApp(app appregistry.App, c Config) error {
	if err := app.ID.Validate(); err != nil {
		return plugins.Refused("bad-app", err)
	}
	refuse := func(format string, args ...any) error {
		return plugins.Refused("bad-app", fmt.Errorf(format, args...))
	}
	switch {
	case !isUser(app.User):
		return refuse("user %q: want a short name of letters, digits, '.', '_', '-', without realm or host", app.User)
	case app.Group != "" && appregistry.AppID(app.Group).Validate() != nil:
		return refuse("group %q: want 1 to 128 of a-z, 0-9, '.', '_', '-', the first a letter or digit", app.Group)
	case len(app.Obtain) == 0 && app.Credentials.Empty():
		return refuse("it brings no token and asks for none")
	case len(app.Obtain) > maxObtain:
		return refuse("%d names to obtain; the limit is %d", len(app.Obtain), maxObtain)
	case len(app.StageTo) > maxTargets:
		return refuse("%d targets; the limit is %d", len(app.StageTo), maxTargets)
	case len(app.StageTo) > 0 && c.Stager == nil:
		return refuse("it has targets, and no staging is configured")
	}
	if err := checkCredentials(app.Credentials); err != nil {
		return err
	}
	for _, name := range app.Obtain {
		if err := checkObtain(name, c.Providers); err != nil {
			return plugins.Refused("bad-app", err)
		}
	}
	return checkTargets(app.StageTo, c.Stager)
}

// targetChecker is a stager that can tell beforehand that a target is none.
type targetChecker interface {
	CheckTarget(t appregistry.Target) error
}

func checkTargets(targets []appregistry.Target, s Stager) error {
	checker, _ := s.(targetChecker)
	for i, t := range targets {
		if !path.IsAbs(t.Dir) || path.Clean(t.Dir) != t.Dir || t.Dir == "/" || strings.ContainsFunc(t.Dir, unicode.IsControl) {
			return plugins.Refused("bad-app", fmt.Errorf("target %q: want a clean absolute path below the root", t.String()))
		}
		if slices.ContainsFunc(targets[:i], func(u appregistry.Target) bool { return u.FS == t.FS && u.Dir == t.Dir }) {
			return plugins.Refused("bad-app", fmt.Errorf("target %q is there twice", t.String()))
		}
		if checker == nil {
			continue
		}
		if err := checker.CheckTarget(t); err != nil {
			return fmt.Errorf("target %q: %w", t.String(), err)
		}
	}
	return nil
}

// inCluster is what an application asks for, in the cluster that its setting
// cluster names: NAME and NAME:SERVICE become NAME@CLUSTER and NAME@CLUSTER:SERVICE.
func inCluster(app appregistry.App, providers map[string]plugins.Provider) ([]string, error) {
	cluster := app.Overlay["cluster"]
	if cluster == "" {
		return app.Obtain, nil
	}
	out := make([]string, len(app.Obtain))
	for i, name := range app.Obtain {
		instance, service, only := strings.Cut(name, ":")
		if !strings.Contains(instance, "@") {
			instance += "@" + cluster
		}
		if _, ok := providers[instance]; !ok {
			return nil, plugins.Refused("no-cluster", fmt.Errorf("obtain %q in cluster %q: no provider %q is configured; there are %q", name, cluster, instance, slices.Sorted(maps.Keys(providers))))
		}
		if out[i] = instance; only {
			out[i] += ":" + service
		}
	}
	return out, nil
}

var errObtainSyntax = errors.New("want INSTANCE, INSTANCE@CLUSTER or INSTANCE:SERVICE")

func checkObtain(name string, providers map[string]plugins.Provider) error {
	instance, authority, only := strings.Cut(name, ":")
	if checkInstanceName(instance) != nil || only && authority == "" || len(name) > maxTextBytes {
		return fmt.Errorf("obtain %q: %w", name, errObtainSyntax)
	}
	if _, ok := providers[instance]; !ok {
		return fmt.Errorf("obtain %q: no provider of that name; there are %q", name, slices.Sorted(maps.Keys(providers)))
	}
	return nil
}

func checkCredentials(c plugins.Credentials) error {
	refuse := func(what string, limit, got int) error {
		return plugins.Refused("too-large", fmt.Errorf("%s: the limit is %d, got %d", what, limit, got))
	}
	if n := len(c.Tokens); n > maxTokens {
		return refuse("tokens", maxTokens, n)
	}
	if n := len(c.Secrets); n > maxSecrets {
		return refuse("secrets", maxSecrets, n)
	}
	size := 0
	for alias, t := range c.Tokens {
		if len(t.Identifier) == 0 || t.Kind == "" {
			return plugins.Refused("empty-token", fmt.Errorf("token %q has no kind or no identifier", alias))
		}
		if !utf8.ValidString(alias) || !utf8.ValidString(t.Kind) || !utf8.ValidString(t.Service) {
			return plugins.Refused("not-text", fmt.Errorf("alias, kind or service of token %q is not UTF-8", alias))
		}
		if n := max(len(alias), len(t.Kind), len(t.Service)); n > maxTextBytes {
			return refuse("alias, kind or service of a token, in bytes", maxTextBytes, n)
		}
		size += len(alias) + len(t.Kind) + len(t.Service) + len(t.Identifier) + len(t.Password)
	}
	for alias, s := range c.Secrets {
		if !utf8.ValidString(alias) {
			return plugins.Refused("not-text", fmt.Errorf("alias %q of a secret is not UTF-8", alias))
		}
		if n := len(alias); n > maxTextBytes {
			return refuse("alias of a secret, in bytes", maxTextBytes, n)
		}
		size += len(alias) + len(s)
	}
	if size > maxSetBytes {
		return refuse("credentials, in bytes", maxSetBytes, size)
	}
	return nil
}

// randomUUID is a version 4 UUID in lower case (RFC 9562).
func randomUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	var text [36]byte
	hex.Encode(text[:], b[:4])
	hex.Encode(text[9:], b[4:6])
	hex.Encode(text[14:], b[6:8])
	hex.Encode(text[19:], b[8:10])
	hex.Encode(text[24:], b[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}

func randomSeed() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.NativeEndian.Uint64(b[:])
}
