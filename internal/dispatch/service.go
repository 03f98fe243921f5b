package dispatch

import (
	"cmp"
	"time"
)

const (
	// slowestPart of its rate is left to a service however overloaded: by it we
	// learn that it is well again.
	slowestPart = 0.01
	// slowest bounds that from below: a part of a small budget would have the next
	// call wait for longer than what waits behind it has to live.
	slowest = 0.1
	// climbPart of its rate is added back for each second of good answers.
	climbPart = 0.01
	// between is the least time from one halving to the next. Answers that come
	// together tell of one overload.
	between = time.Second
	// near is the time before a deadline within which nothing but deadlines counts.
	near = time.Hour
	// firstEach: of so many calls one is of class First, where deadlines are not
	// near. An hours' long catch-up must not shut out what is new.
	firstEach = 8
)

// service is what waits for one service, and its pace.
type service[T any] struct {
	name     string
	limits   Limits
	lines    [classes]line[T]
	accounts map[string]*account[T] // of tenants with anything waiting, running or to remember
	sweepIn  int                    // so many calls' ends from now those with nothing are forgotten
	swept    time.Duration          // when that was last
	place    int                    // among those that are ready; -1: it is not
	running  int                    // calls that hold a place
	hung     int                    // of them given up
	passed   int                    // calls of class Due since the last of class First, while one waits

	// What it bears, between a least part and the limits: halved by an overload,
	// climbing back by successes.
	rate  float64
	share float64

	halved  time.Duration // when that was last
	earned  time.Duration // when the calls begun so far would have begun at an even pace
	well    time.Duration // the last success
	stalled *account[T]   // whose call was the last to run out of time
}

func newService[T any](name string, l Limits) *service[T] {
	l.Share = cmp.Or(max(l.Share, 0), 1)
	l.Rate = max(l.Rate, 0)
	l.Burst = cmp.Or(max(l.Burst, 0), max(1, int(l.Rate/10)))
	return &service[T]{
		name: name, limits: l, accounts: map[string]*account[T]{}, place: -1, rate: l.Rate, share: float64(l.Share),
		halved: -between, well: -1, earned: -time.Hour, // boot time may begin at 0
	}
}

func (s *service[T]) account(name string) *account[T] {
	a := s.accounts[name]
	if a == nil {
		a = newAccount(s, name)
		s.accounts[name] = a
	}
	return a
}

func (s *service[T]) before(o *service[T]) bool {
	if a, b := s.mayGo(), o.mayGo(); a != b {
		return a < b
	}
	return s.name < o.name
}

func (s *service[T]) at(place int) { s.place = place }

// wants reports whether there is a call that lacks nothing but its time.
func (s *service[T]) wants() bool {
	return s.running < s.limits.Share && s.running-s.hung < int(s.share) && s.waits()
}

func (s *service[T]) waits() bool {
	return s.lines[Due].len()+s.lines[First].len()+s.lines[Last].len() > 0
}

// interval is the time between two calls at the pace that the service bears.
func (s *service[T]) interval() time.Duration {
	if s.rate == 0 {
		return 0
	}
	return time.Duration(float64(time.Second) / s.rate)
}

// mayGo is when the budget lets the next call begin: an even pace, but for the
// burst that a pause has earned.
func (s *service[T]) mayGo() time.Duration {
	if s.limits.Rate == 0 {
		return s.earned
	}
	burst := time.Duration(float64(s.limits.Burst-1) / s.limits.Rate * float64(time.Second))
	return s.earned - burst
}

// take begins the next call.
func (s *service[T]) take(now time.Duration) Call[T] {
	pace := s.interval()
	s.earned = max(s.earned, now) + pace
	s.running++
	class := s.choose(now)
	t := s.lines[class].tenants[0]
	a := t.account
	t.turn = t.nextTurn()
	a.begin(now)
	if class == Due {
		a.charge(now, pace)
	}
	it := t.pop()
	a.settle()
	return Call[T]{Service: s.name, Tenant: a.name, Class: class, Before: it.deadline, Value: it.value, began: now}
}

// end gives back a call's place.
func (s *service[T]) end(now time.Duration, c Call[T], o Outcome) {
	a := s.accounts[c.Tenant]
	s.running--
	a.running--
	if o == GivenUp {
		s.hung--
		a.hung--
	}
	if c.Class == Due {
		a.charge(now, (now-c.began)/time.Duration(int(s.share)))
	}
	s.learn(now, c, o)
	a.settle()
	if s.sweepIn--; s.sweepIn <= 0 || s.running == 0 && now-s.swept > time.Minute {
		s.sweep(now)
	}
}

// sweep forgets the tenants of which there is nothing to remember.
func (s *service[T]) sweep(now time.Duration) {
	kept := map[string]*account[T]{} // maps do not shrink
	for name, a := range s.accounts {
		if !a.idle(now) {
			kept[name] = a
		}
	}
	s.accounts, s.sweepIn, s.swept = kept, len(kept)+16, now
}

// choose is the class of the next call.
func (s *service[T]) choose(now time.Duration) Class {
	due, first := &s.lines[Due], &s.lines[First]
	s.demote(now)
	switch {
	case due.len() == 0 && first.len() == 0:
		return Last
	case first.len() == 0:
		return Due
	case due.len() == 0, s.passed >= firstEach-1 && due.tenants[0].rank()-now > near:
		s.passed = 0
		return First
	}
	s.passed++
	return Due
}

// demote lets go of deadlines that have passed: hurrying those calls would only
// make the next ones late as well, and one after the other all.
func (s *service[T]) demote(now time.Duration) {
	due := &s.lines[Due]
	for due.len() > 0 && due.tenants[0].calls[0].deadline <= now {
		t := due.tenants[0]
		t.account.waiting[First].add(t.pop())
	}
}

// learn lets the pace follow what the service bears: additive increase,
// multiplicative decrease.
func (s *service[T]) learn(now time.Duration, c Call[T], o Outcome) {
	switch a := s.accounts[c.Tenant]; o {
	case OK:
		s.share = min(float64(s.limits.Share), s.share+1/s.share)
		if s.rate > 0 {
			s.rate = min(s.limits.Rate, s.rate+s.limits.Rate*climbPart/s.rate)
		}
		a.succeed()
		s.well = now
	case Overloaded:
		s.halve(now)
	case TimedOut:
		a.stall(now)
		if s.stalled != nil && s.stalled.name != a.name && s.well < c.began {
			s.halve(now) // whoever asks, nobody is answered
		}
		s.stalled = a
	}
}

func (s *service[T]) halve(now time.Duration) {
	if now-s.halved < between {
		return
	}
	s.halved = now
	s.share = max(1, s.share/2)
	s.rate = max(s.limits.Rate*slowestPart, min(s.limits.Rate, slowest), s.rate/2)
}

// clear forgets what waits.
func (s *service[T]) clear() {
	for _, a := range s.accounts {
		for c := range a.waiting {
			a.waiting[c].calls = nil
		}
		a.settle()
	}
}
