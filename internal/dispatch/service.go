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
	name    string
	limits  Limits
	lines   [classes]line[T]
	place   int // among those that are ready; -1: it is not
	running int // calls that hold a place
	hung    int // of them given up
	passed  int // calls of class Due since the last of class First, while one waits

	// What it bears, between a least part and the limits: halved by an overload,
	// climbing back by successes.
	rate  float64
	share float64

	halved time.Duration // when that was last
	earned time.Duration // when the calls begun so far would have begun at an even pace
	began  time.Duration // the last call, where others waited on
	busy   bool          // they did
}

func newService[T any](name string, l Limits) *service[T] {
	l.Share = cmp.Or(max(l.Share, 0), 1)
	l.Rate = max(l.Rate, 0)
	l.Burst = cmp.Or(max(l.Burst, 0), max(1, int(l.Rate/10)))
	s := &service[T]{
		name: name, limits: l, place: -1, rate: l.Rate, share: float64(l.Share),
		halved: -between, earned: -time.Hour, // boot time may begin at 0
	}
	s.lines[Due].byDeadline = true
	return s
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
	if s.busy { // a call has its price in what the service really manages
		pace = max(pace, now-s.began)
	}
	class := s.choose(now)
	tenant, it := s.lines[class].take(now, pace)
	s.began, s.busy = now, s.waits()
	return Call[T]{Service: s.name, Tenant: tenant, Class: class, Before: it.deadline, Value: it.value}
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
		it := due.remove(now, t)
		s.lines[First].add(t.name, it)
	}
}

// learn lets the pace follow what the service bears: additive increase,
// multiplicative decrease.
func (s *service[T]) learn(now time.Duration, o Outcome) {
	switch o {
	case OK:
		s.share = min(float64(s.limits.Share), s.share+1/s.share)
		if s.rate > 0 {
			s.rate = min(s.limits.Rate, s.rate+s.limits.Rate*climbPart/s.rate)
		}
	case Overloaded:
		if now-s.halved < between {
			return
		}
		s.halved = now
		s.share = max(1, s.share/2)
		s.rate = max(s.limits.Rate*slowestPart, min(s.limits.Rate, slowest), s.rate/2)
	}
}

func (s *service[T]) clear() {
	for c := range s.lines {
		s.lines[c] = line[T]{byDeadline: s.lines[c].byDeadline}
	}
}
