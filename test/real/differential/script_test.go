package differential_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/tokenwheel/tokenwheel/hadooptest"
)

// A script is the story of one token: who asks for it, and what is then asked about it, by whom and when. It is made
// from a seed alone, and no step waits for an answer of another script.
type script struct {
	n     int
	steps []step
}

// step is one question. Its instant counts from the moment at which its boot serves.
type step struct {
	boot     int
	at       time.Duration
	op       op
	by       caller
	qop      int    // of a token's login: 0, 1, 2 for authentication, integrity, privacy
	renewer  string // to obtain with
	password forgery
	ident    forgery
}

type op string

const (
	obtain op = "obtain"
	renew  op = "renew"
	cancel op = "cancel"
	login  op = "log in" // with the token, and nothing more
)

// caller is who asks: a Kerberos identity and whom it acts for, or the token itself.
type caller struct {
	principal string // without realm; "": log in by the token
	user      string // to act for; "": itself
}

func (c caller) String() string {
	switch {
	case c.principal == "":
		return "the token"
	case c.user == "":
		return c.principal
	}
	return c.principal + " for " + c.user
}

// Principals of both realms. Only the service may act for others.
const (
	servicePrincipal  = "tokenwheel/localhost"
	ownerPrincipal    = "alice"
	strangerPrincipal = "bob"
	superPrincipal    = "hdfs"
	realm             = "REAL.TEST"
)

var (
	byService = caller{servicePrincipal, ""}
	byOwner   = caller{ownerPrincipal, ""}
	byProxy   = caller{servicePrincipal, "alice"}
	byToken   = caller{}
	// byImpostor is a stranger who has no right to act for anybody.
	byImpostor = caller{strangerPrincipal, "alice"}

	callers = []caller{
		byService, byOwner, byProxy,
		{strangerPrincipal, ""},
		{superPrincipal, ""},
		{servicePrincipal, "alice@" + realm},
		{servicePrincipal, "tokenwheel"}, // its own short name is another user than itself
		{servicePrincipal, servicePrincipal + "@" + realm},
		byImpostor,
	}
)

var renewers = []string{
	"tokenwheel", servicePrincipal + "@" + realm, "tokenwheel", servicePrincipal + "@" + realm, "tokenwheel",
	"", "yarn", "yarn/rm.example.com@" + realm, "alice", "bob", "alice@" + realm, foreignRenewer, "a b", "zoë",
}

// foreignRenewer is of a realm for which the services have no rule.
const foreignRenewer = "tokenwheel@OTHER.REALM"

// forgery is what was done to an identifier or a password before it is shown; "" is nothing.
type forgery string

var passwordForgeries = []forgery{"flipped", "empty", "cut", "longer"}

var identifierForgeries = []forgery{
	"owner", "no owner", "no owner", "renewer", "no renewer", "real user", "later", "earlier", "key", "key", "sequence",
	"cut", "empty", "trailing", "trailing", "trailing", "version", "nonsense",
}

// boot is one life of the services between two starts.
type boot struct {
	life hadooptest.Lifetimes
	long time.Duration // for how long questions are asked
}

// boots are what every script lives through. Tokens of the first outlive all of it unless they are renewed in the
// second, where tokens live for seconds; the third finds those gone.
var boots = []boot{
	{hadooptest.Lifetimes{RenewInterval: 3 * time.Minute, MaxLifetime: 10 * time.Minute}, 2 * time.Second},
	{hadooptest.Lifetimes{RenewInterval: 4 * time.Second, MaxLifetime: 10 * time.Second}, 13 * time.Second},
	{hadooptest.Lifetimes{RenewInterval: 3 * time.Minute, MaxLifetime: 10 * time.Minute}, 2 * time.Second},
}

// margin is how far from a token's dates a step is planned.
const margin = 700 * time.Millisecond

// newScript makes the n-th script of a seed.
func newScript(seed uint64, n int) script {
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	g := generator{r: r, boot: pick(r, 0, 1, 1, 1, 2)}
	g.at = within(r, boots[g.boot].long/8)
	s := script{n: n, steps: []step{g.first()}}
	if q := s.steps[0]; q.by == byImpostor || q.renewer == foreignRenewer { // who gets nothing has no story: somebody else asks
		q.by, q.renewer = byProxy, "tokenwheel"
		g.renewer = q.renewer
		s.steps = append(s.steps, q)
	}
	for range 3 + r.IntN(9) {
		g.advance()
		s.steps = append(s.steps, g.question())
	}
	return s
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func within(r *rand.Rand, d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d))) }

// generator follows the one token of a script, only so far as to keep steps away from the instants at which it changes.
type generator struct {
	r         *rand.Rand
	boot      int
	at        time.Duration // of the last step
	renewer   string
	renewDate time.Duration // in the current boot's time; negative: not in this boot
	maxDate   time.Duration
}

func (g *generator) first() step {
	by := pick(g.r, byProxy, byProxy, byProxy, byOwner, byOwner, byService, pick(g.r, callers...))
	s := step{boot: g.boot, at: g.at, op: obtain, by: by, renewer: pick(g.r, renewers...)}
	g.renewer = s.renewer
	g.renewDate, g.maxDate = g.at+boots[g.boot].life.RenewInterval, g.at+boots[g.boot].life.MaxLifetime
	return s
}

// advance picks the next instant: soon, or anywhere in what is left, or after the next start.
func (g *generator) advance() {
	for range 50 {
		boot, at := g.boot, g.at
		left := boots[boot].long - at
		switch {
		case boot+1 < len(boots) && (left < margin || g.r.IntN(6) == 0):
			boot++
			at = within(g.r, boots[boot].long)
		case left <= time.Millisecond:
			return
		case g.r.IntN(2) == 0:
			at += within(g.r, min(left, time.Second))
		default:
			at += within(g.r, left)
		}
		if boot != g.boot {
			g.boot, g.at, g.renewDate, g.maxDate = boot, at, -1, -1
			return
		}
		if !near(at, g.renewDate) && !near(at, g.maxDate) && !near(at, g.maxDate-boots[boot].life.RenewInterval) {
			g.at = at
			return
		}
	}
}

func near(at, edge time.Duration) bool { return edge >= 0 && (at-edge).Abs() < margin }

// question makes one step about the token as it is now.
func (g *generator) question() step {
	r := g.r
	s := step{boot: g.boot, at: g.at, op: pick(r, renew, renew, renew, renew, cancel, login)}
	if s.op == cancel && r.IntN(2) == 0 {
		s.op = renew // a cancel is the end of most stories: let more come before it
	}
	s.by = pick(r, byService, byService, byService, byProxy, byOwner, byToken, pick(r, callers...))
	if s.op == login {
		s.by = byToken
	}
	if s.by == byToken {
		s.qop = r.IntN(3)
	}
	if s.by == byToken && r.IntN(4) == 0 {
		s.op, s.renewer = obtain, "tokenwheel"
	}
	switch r.IntN(6) {
	case 0:
		s.password = pick(r, passwordForgeries...)
	case 1:
		s.ident = pick(r, identifierForgeries...)
	case 2:
		s.password, s.ident = pick(r, passwordForgeries...), pick(r, identifierForgeries...)
	}
	renews := s.op == renew && s.by == byService && s.password == "" && s.ident == "" && strings.HasPrefix(g.renewer, "tokenwheel")
	if renews && (g.maxDate < 0 || g.at < g.maxDate) {
		g.renewDate = g.at + boots[g.boot].life.RenewInterval
		if g.maxDate >= 0 {
			g.renewDate = min(g.renewDate, g.maxDate)
		}
	}
	return s
}

func (s step) String() string {
	text := fmt.Sprintf("%s by %s", s.op, s.by)
	if s.by == byToken {
		text += " at " + qops[s.qop].String()
	}
	if s.op == obtain {
		text += fmt.Sprintf(" with renewer %q", s.renewer)
	}
	if s.ident != "" {
		text += fmt.Sprintf(", identifier forged: %s", s.ident)
	}
	if s.password != "" {
		text += fmt.Sprintf(", password forged: %s", s.password)
	}
	return text
}
