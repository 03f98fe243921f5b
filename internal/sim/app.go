package sim

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// kind is what an application wants of us.
type kind uint8

const (
	obtainsOwn kind = iota // tokens of all services, for itself
	sharesUser             // the same, shared among its user's applications
	bringsOwn              // brings tokens that may be replaced
	bringsBoth             // brings one, and asks for the others
	joins                  // brings the tokens of an earlier application of its user, as a sub-job does
	borrows                // brings a token of its caller, and runs as somebody else
	foreign                // brings a token that names another renewer
	forges                 // brings somebody's token with a made-up password, to have it cancelled
)

// share of applications of each kind, in percent.
var mix = [...]int{obtainsOwn: 48, sharesUser: 15, bringsOwn: 15, bringsBoth: 6, joins: 10, borrows: 2, foreign: 3, forges: 1}

// app is one application and its client: it registers until it is heard, and
// unregisters at its end.
type app struct {
	w       *world
	id      appregistry.AppID
	number  int
	kind    kind
	spec    appregistry.App
	caller  core.Caller
	plan    []appregistry.Authority
	bring   map[string]broughtToken
	slots   []*slot // by service
	reader  *reader
	asked   core.Request // the registration that is not answered for good; 0: none
	begun   time.Duration
	acked   bool
	ready   bool
	gone    bool // it ended, or was turned away
	left    bool // and the engine has said so
	lives   time.Duration
	follows bool // another one comes when it ends
}

type broughtToken struct {
	lease *lease
	token plugins.Token
	// obtains: policy lets us ask for a successor for its owner.
	obtains bool
}

// Format implements [fmt.Formatter]: the token's own words, without its password.
func (b broughtToken) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, b.token.String()) }

// Format implements [fmt.Formatter]: the id alone, since the application brings tokens.
func (a *app) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, string(a.id)) }

// settle lets one application after another live in one place.
func (w *world) settle(at time.Duration, stays bool) {
	w.at(at, func() {
		a := w.newApp(stays)
		if a == nil { // a token that it was to bring is not to be had now
			w.settle(w.now+10*time.Minute, stays)
			return
		}
		a.register()
	})
}

func (w *world) newApp(stays bool) *app {
	w.lastApp++
	a := &app{
		w: w, number: w.lastApp, id: appregistry.AppID(fmt.Sprintf("app-%d", w.lastApp)),
		slots: make([]*slot, len(w.services)), follows: !stays, begun: w.now,
		bring: map[string]broughtToken{},
	}
	a.reader = &reader{w: w, app: a}
	w.readers["/apps/"+string(a.id)] = a.reader
	w.living[a] = struct{}{}
	if !stays {
		a.lives = 10*time.Minute + time.Duration(w.random.ExpFloat64()*float64(2*day))
	}
	user := fmt.Sprintf("user%d", w.random.IntN(w.cfg.Apps/8+1))
	a.spec = appregistry.App{
		ID: a.id, Owner: user, User: user,
		StageTo: []appregistry.Target{{Dir: "/apps/" + string(a.id)}},
	}
	switch p := w.random.IntN(100); {
	case p < 20:
		a.spec.AtEnd = appregistry.CancelAll
	case p < 35:
		a.spec.AtEnd = appregistry.KeepAll
	}
	a.caller = core.Caller{Name: user}
	p := w.random.IntN(100)
	for k, share := range mix {
		if p < share {
			a.kind = kind(k)
			break
		}
		p -= share
	}
	if stays && (a.kind == borrows || a.kind == foreign || a.kind == forges) {
		a.kind = obtainsOwn // what these bring ends after days, whatever anybody does
	}
	if !a.outfit() {
		delete(w.living, a)
		return nil
	}
	for alias, b := range a.bring {
		if a.spec.Credentials.Tokens == nil {
			a.spec.Credentials.Tokens = map[string]plugins.Token{}
		}
		a.spec.Credentials.Tokens[alias] = b.token
	}
	return a
}

// outfit gives the application what its kind has. False: not to be had now.
func (a *app) outfit() bool {
	w := a.w
	s := w.services[w.random.IntN(len(w.services))]
	switch a.kind {
	case obtainsOwn, sharesUser:
		if a.kind == sharesUser {
			a.spec.Share = appregistry.ShareUser
		}
		a.ask(nil)
	case bringsOwn:
		return a.fetch(w.services[0], ourName, true) && (len(w.services) < 2 || a.fetch(w.services[1], ourName, true))
	case bringsBoth:
		a.ask(s)
		return a.fetch(s, ourName, true)
	case joins:
		other := w.lastOf[a.spec.User]
		if other == nil || other.gone || len(other.bring) == 0 {
			return a.fetch(s, ourName, true)
		}
		for _, s := range w.services {
			if b, ok := other.bring[s.authority.Name]; ok && !b.lease.dead(w.now) {
				a.bring[s.authority.Name] = b
			}
		}
		return len(a.bring) > 0
	case borrows:
		a.caller = core.Caller{Name: a.spec.Owner, ActsFor: []string{"guest"}}
		ok := a.fetch(s, ourName, false)
		a.spec.User = "guest"
		return ok
	case foreign:
		return a.fetch(s, somebodyElse, false)
	case forges:
		return a.forge(s)
	}
	return true
}

// ask plans to obtain from all services but one.
func (a *app) ask(but *service) {
	for _, s := range a.w.services {
		if s != but {
			a.plan = append(a.plan, s.authority)
			a.spec.Obtain = append(a.spec.Obtain, s.authority.String())
		}
	}
}

// fetch gets a token as the application's client does, before it registers.
func (a *app) fetch(s *service, renewer string, obtains bool) bool {
	w := a.w
	if _, shut := w.plan.closed[s.index].at(w.now); shut {
		return false
	}
	l, err := w.issue(s, hadooptest.Caller{Principal: a.spec.User, Effective: a.spec.User}, renewer)
	if err != nil {
		return false
	}
	l.brought = true
	a.bring[s.authority.Name] = broughtToken{l, l.token, obtains}
	if a.kind == bringsOwn || a.kind == joins {
		w.lastOf[a.spec.User] = a
	}
	return true
}

// forge takes a token of the user, whether somebody registers it or not, and
// makes up its password.
func (a *app) forge(s *service) bool {
	a.spec.AtEnd = appregistry.CancelAll
	a.lives = 10*time.Minute + time.Duration(a.w.random.Int64N(int64(day)))
	if other := a.w.lastOf[a.spec.User]; other != nil && a.w.random.IntN(2) == 0 {
		if b, ok := other.bring[s.authority.Name]; ok && !b.lease.dead(a.w.now) {
			a.bring[s.authority.Name] = b
		}
	}
	if len(a.bring) == 0 && !a.fetch(s, ourName, false) {
		return false
	}
	for _, s := range a.w.services { // not over the map: the order must be the same each time
		if b, ok := a.bring[s.authority.Name]; ok {
			b.token = b.token.Clone()
			b.token.Password = plugins.Secret(fmt.Sprintf("made up %d", a.number))
			a.bring[s.authority.Name] = b
		}
	}
	return true
}

func (a *app) keeps() bool { return a.spec.Ending() == appregistry.KeepAll }

func (a *app) key() appregistry.AppKey { return a.spec.Key() }

// register asks, and asks again until somebody hears it.
func (a *app) register() {
	if a.gone || a.ready {
		return
	}
	a.w.at(a.w.now+time.Minute, a.register) // an engine that crashed has forgotten it
	if a.w.engine.waits(a.asked) {
		return
	}
	ev := core.Register{
		App: a.spec, Caller: a.caller, Plan: a.plan, UUID: fmt.Sprintf("%016x%016x", a.w.random.Uint64(), a.w.random.Uint64()),
	}
	for alias, b := range a.bring {
		id := b.lease.identity
		ev.Brought = append(ev.Brought, core.Brought{
			Alias: alias, Token: b.token.Clone(), Authority: b.lease.svc.authority, Identity: &id, Obtains: b.obtains,
		})
	}
	a.asked = a.w.engine.request(func(r core.Request) core.Event {
		ev.Request = r
		return ev
	}, a.answered)
}

func (a *app) answered(r core.Reply) {
	if a.gone {
		return
	}
	if r.Moment == core.Acknowledged {
		a.admitted()
		return
	}
	if r.Err != nil {
		a.turnedAway(r.Err)
		return
	}
	a.ready = true
	a.w.report.ready = append(a.w.report.ready, a.w.now-a.begun)
}

// admitted: what the application brought counts from now on.
func (a *app) admitted() {
	if a.acked {
		return
	}
	a.acked = true
	a.w.report.Registered++
	for _, s := range a.w.services {
		b, ok := a.bring[s.authority.Name]
		if !ok || a.kind == forges {
			continue
		}
		if a.spec.Ending() != appregistry.CancelAll {
			b.lease.keep = true
		}
		if a.slots[s.index] == nil && !b.lease.dead(a.w.now) {
			a.w.judge.arm(a, s, b.lease, b.obtains)
		}
	}
	if a.lives > 0 {
		a.w.at(a.w.now+a.lives, a.end)
	}
}

func (a *app) turnedAway(err error) {
	code := plugins.CodeOf(err)
	if errors.Is(err, appregistry.ErrNotReady) && code == "" {
		code = "not-ready"
	}
	if code == "" {
		code = plugins.KindOf(err).String()
	}
	a.w.report.TurnedAway[code]++
	a.finish()
	a.left = true
}

// end is the application's own end.
func (a *app) end() {
	if a.gone {
		return
	}
	a.finish()
	a.w.report.Departed++
	a.unregister()
}

func (a *app) finish() {
	a.w.judge.leave(a)
	a.gone = true
	delete(a.w.living, a)
	if a.follows {
		a.w.settle(a.w.now+time.Minute, false)
	}
}

// unregister asks until it is answered.
func (a *app) unregister() {
	if a.left {
		return
	}
	a.w.engine.request(func(r core.Request) core.Event {
		return core.Unregister{Request: r, Caller: a.caller, App: a.key()}
	}, func(r core.Reply) {
		if r.Err == nil || errors.Is(r.Err, appregistry.ErrNotFound) {
			a.left = true
		}
	})
	a.w.at(a.w.now+time.Minute, a.unregister)
}
