package demo

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/tokenwheel/tokenwheel/renewer"
)

// What the demo has to show.
const (
	sawLogin      = "a login at the KDC"
	sawObtained   = "tokens obtained"
	sawPlugin     = "a token of the provider program"
	sawRenewed    = "a renewal"
	sawFailed     = "a failed renewal with its next attempt"
	sawReplaced   = "a token replaced before its max date"
	sawStaged     = "a new credentials file staged"
	sawBothPickUp = "both executors picking up a new file and logging in with its token"
	sawKept       = "a shared token kept while one of its holders is left"
	sawCancelled  = "a shared token cancelled when its last holder left"
)

var allOfThem = []string{
	sawLogin, sawObtained, sawPlugin, sawRenewed, sawFailed, sawReplaced, sawStaged, sawBothPickUp, sawKept, sawCancelled,
}

// seen is the check list. It is safe for concurrent use.
type seen struct {
	mu      sync.Mutex // guards what follows
	things  map[string]bool
	proofs  map[string]uint32 // by executor: the highest generation proved by a login
	changed chan struct{}
}

func newSeen() *seen {
	return &seen{things: map[string]bool{}, proofs: map[string]uint32{}, changed: make(chan struct{})}
}

func (s *seen) set(thing string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mark(thing)
}

// mark notes a thing; the caller holds mu.
func (s *seen) mark(thing string) {
	if !s.things[thing] {
		s.things[thing] = true
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

// proved notes that an executor logged in with the tokens of a generation. The
// first file is what it starts with; a later one is picked up.
func (s *seen) proved(executor string, generation uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proofs[executor] = max(s.proofs[executor], generation)
	if s.proofs["orders"] > 1 && s.proofs["clicks"] > 1 {
		s.mark(sawBothPickUp)
	}
}

// wait returns when all the things were seen.
func (s *seen) wait(ctx context.Context, things ...string) error {
	for _, thing := range things {
		for {
			s.mu.Lock()
			ok, changed := s.things[thing], s.changed
			s.mu.Unlock()
			if ok {
				break
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	return nil
}

func (s *seen) missing() (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, thing := range allOfThem {
		if !s.things[thing] {
			list = append(list, thing)
		}
	}
	return list
}

// teller writes one line an event, with the time since the start. When nobody
// reads any more it ends the run.
type teller struct {
	start time.Time
	end   context.CancelCauseFunc

	mu  sync.Mutex // guards out
	out io.Writer
}

func (t *teller) line(topic, format string, args ...any) {
	t.text(fmt.Sprintf("%6.1fs  %-9s %s\n", time.Since(t.start).Seconds(), topic, fmt.Sprintf(format, args...)))
}

func (t *teller) text(s string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, err := io.WriteString(t.out, s); err != nil {
		t.end(fmt.Errorf("tell the story: %w", err))
	}
}

// hooks turn the renewer's events into lines.
func (s *stage) hooks() renewer.Hooks {
	return renewer.Hooks{Each: func(ev renewer.Event) {
		switch ev.What {
		case "token-obtained":
			s.say.line("obtained", "token %s of kind %s", ev.Fingerprint, ev.Kind)
			s.seen.set(sawObtained)
			if ev.Authority.Instance == "gatepass" {
				s.seen.set(sawPlugin)
			}
		case "token-renewed":
			s.say.line("renewed", "token %s until %s, for %s", ev.Fingerprint, clock(ev.Expires), apps(ev))
			s.seen.set(sawRenewed)
		case "token-replaced":
			s.say.line("replaced", "a successor takes the place of token %s, which still works, for %s", ev.Fingerprint, apps(ev))
			s.seen.set(sawReplaced)
		case "token-cancelled":
			s.say.line("cancelled", "token %s", ev.Fingerprint)
		case "token-lost":
			s.say.line("LOST", "token %s: %s", ev.Fingerprint, ev.Reason)
		case "set-staged":
			s.say.line("staged", "generation %d of %s", ev.Generation, apps(ev))
			if ev.Generation > 1 {
				s.seen.set(sawStaged)
			}
		case "try-failed", "try-alarmed":
			s.say.line("failed", "%s; next attempt at %s", ev.Err, clock(ev.Next))
			if ev.Op == "renew" && !ev.Next.IsZero() {
				s.seen.set(sawFailed)
			}
		}
	}}
}

func clock(t time.Time) string { return t.Local().Format("15:04:05") }

func apps(ev renewer.Event) string {
	names := make([]string, len(ev.Apps))
	for i, app := range ev.Apps {
		names[i] = string(app.ID)
	}
	return strings.Join(names, ", ")
}
