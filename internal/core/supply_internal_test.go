package core

import (
	"fmt"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/clock"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// A daemon that serves applications one after the other keeps nothing of those
// that left: neither what an operator sees nor what only the engine knows.
func TestP9_NothingIsKeptOfApplicationsThatLeft(t *testing.T) {
	s := &stub{core: New(Config{}), wall: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
	s.step(Start{})
	ns := appregistry.Authority{Instance: "hdfs", Name: "ns1"}
	for i := range 5 {
		app := appregistry.App{
			ID: appregistry.AppID(fmt.Sprint("a", i)), User: "alice",
		}
		s.step(Register{Request: 1, Caller: Caller{Trusted: true}, App: app, Brought: []Brought{{
			Alias: "x", Token: s.token(), Authority: ns, Obtains: true,
			Identity: &plugins.Identity{User: "alice", Ours: true, Issued: s.date(0), Max: s.date(7 * 24 * time.Hour)},
		}}})
		s.run(8 * 24 * time.Hour) // beyond its max date: a successor was obtained
		s.step(Unregister{Request: 2, Caller: Caller{Trusted: true}, App: app.Key()})
		s.run(20 * 24 * time.Hour)
	}
	c := s.core
	if s.obtains == 0 {
		t.Fatal("nothing was obtained")
	}
	if len(c.reg.AppSeqs())+c.reg.Tokens()+len(c.supplies)+len(c.numbered)+len(c.jobs) > 0 {
		t.Errorf("left: %d apps, %d tokens, %d supplies, %d of them numbered, %d jobs", len(c.reg.AppSeqs()), c.reg.Tokens(), len(c.supplies), len(c.numbered), len(c.jobs))
	}
}

// stub answers every call at once.
type stub struct {
	core    *Core
	boot    time.Duration
	wall    time.Time
	tokens  int
	obtains int
}

func (s *stub) date(in time.Duration) time.Time { return s.wall.Add(s.boot + in) }

func (s *stub) token() plugins.Token {
	s.tokens++
	return plugins.Token{Kind: "T", Service: "s", Identifier: fmt.Append(nil, s.tokens)}
}

func (s *stub) step(ev Event) {
	for _, a := range s.core.Step(clock.Instant{Boot: s.boot, Wall: s.date(0)}, ev) {
		switch a := a.(type) {
		case Commit:
			s.step(Committed{Seq: a.Seq})
		case Renew:
			s.step(Renewed{Job: a.Job, Expires: s.date(24 * time.Hour)})
		case Cancel:
			s.step(Cancelled{Job: a.Job})
		case Obtain:
			s.obtains++
			s.step(Obtained{Job: a.Job, Grants: []Grant{{Grant: plugins.Grant{
				Token:   s.token(),
				Expires: s.date(24 * time.Hour), Max: s.date(7 * 24 * time.Hour),
			}}}})
		}
	}
}

func (s *stub) run(d time.Duration) {
	for end := s.boot + d; ; s.step(Tick{}) {
		next, ok := s.core.Next()
		if !ok || next > end {
			s.boot = end
			return
		}
		s.boot = max(s.boot, next)
	}
}
