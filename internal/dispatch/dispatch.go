// Package dispatch decides which calls go out, and when: for each service a
// share of calls at a time and a budget of calls a second, both of which follow
// what the service bears, nearest deadline first and fair between tenants, of whom
// one whose calls hang slows himself.
//
// It is a value like internal/core: no goroutine, lock, clock or I/O. Its owner
// says what time it is, makes the calls that [Queue.Start] hands out and tells of
// their end. A Queue belongs to one goroutine, or to whoever holds its owner's
// lock. Adding and starting a call cost the logarithm of what waits at its
// service; memory for what waits is given back as it goes out.
package dispatch

import "time"

// Class says by which rule a call waits.
type Class uint8

const (
	// Due keeps something alive: by deadline, nearest first, whoever wants it.
	// Deadline order meets all deadlines where any order could.
	Due Class = iota
	// First has no deadline that anybody proved, such as the first call about what
	// was just registered: tenants take turns, and each tenant's go by deadline.
	First
	// Last, as a cancel, goes when nothing else can: tenants take turns as well.
	Last
	classes
)

// Call is one call that waits. Its owner finds what to do in Value.
type Call[T any] struct {
	Service string // the share and budget it uses
	Tenant  string // on whose account it is
	Class   Class
	Before  time.Duration // boot time by which it is needed; equal ones go in the order they came
	Value   T

	began time.Duration
}

// Limits are those of one service.
type Limits struct {
	Share int     // calls at a time; 0: 1
	Rate  float64 // calls a second; 0: no bound
	Burst int     // calls at once after a pause; 0: a tenth of a second's
}

// Outcome is how a call ended, as far as the service's pace is concerned.
type Outcome uint8

const (
	// OK lets a service that was slowed down have a little more again.
	OK Outcome = iota
	// Failed says nothing about how much the service bears.
	Failed
	// Overloaded: the service said that it has too much to do. It gets half as much.
	Overloaded
	// TimedOut: it had no time to answer. The call's tenant gets half as many places.
	// The service gets half as much where another tenant's call ran out of time
	// before, and none was answered since this one began: what only some tenants
	// meet says nothing about its pace.
	TimedOut
	// GivenUp is the return of a call of which [Queue.GiveUp] was told.
	GivenUp
)

// Queue is the calls that wait and the pace of each service. Make one with [New].
// What it knows of a service's pace stays as long as the queue: services are as
// many as the operator configured.
type Queue[T any] struct {
	limits   func(service string) Limits
	services map[string]*service[T]
	ready    heap[*service[T]] // those that want a call to begin, by when it may
	order    uint64
	waiting  int
}

// New returns an empty queue. It asks for a service's limits once.
func New[T any](limits func(service string) Limits) *Queue[T] {
	return &Queue[T]{limits: limits, services: map[string]*service[T]{}}
}

// Add takes a call, which waits for [Queue.Start].
func (q *Queue[T]) Add(c Call[T]) {
	s := q.services[c.Service]
	if s == nil {
		s = newService[T](c.Service, q.limits(c.Service))
		q.services[c.Service] = s
	}
	q.order++
	q.waiting++
	s.account(c.Tenant).waiting[c.Class].add(item[T]{deadline: c.Before, order: q.order, value: c.Value})
	q.settle(s)
}

// Start hands out every call that may begin now. Each holds its place until
// [Queue.Done].
func (q *Queue[T]) Start(now time.Duration, start func(Call[T])) {
	for len(q.ready) > 0 && q.ready[0].mayGo() <= now {
		s := q.ready[0]
		c := s.take(now)
		q.waiting--
		q.settle(s)
		start(c)
	}
}

// Next is the boot time at which a budget lets the next call begin; false where
// none waits for time to pass. It may be in the past until Start is called.
func (q *Queue[T]) Next() (time.Duration, bool) {
	if len(q.ready) == 0 {
		return 0, false
	}
	return q.ready[0].mayGo(), true
}

// Done gives back the place of a call that has returned, as Start handed it out.
func (q *Queue[T]) Done(now time.Duration, c Call[T], o Outcome) {
	s := q.services[c.Service]
	s.end(now, c, o)
	q.settle(s)
}

// GiveUp tells of a call that did not return in its time and is waited for no
// longer. It keeps its place until Done([GivenUp]), so that calls that hang stay
// bounded, but does not count against what the service bears.
func (q *Queue[T]) GiveUp(now time.Duration, c Call[T]) {
	s := q.services[c.Service]
	a := s.accounts[c.Tenant]
	s.hung++
	a.hung++
	s.learn(now, c, TimedOut)
	a.settle()
	q.settle(s)
}

// Len is the number of calls that wait.
func (q *Queue[T]) Len() int { return q.waiting }

// Drop forgets all calls that wait and returns how many they were.
func (q *Queue[T]) Drop() int {
	for _, s := range q.services {
		s.clear()
		q.settle(s)
	}
	n := q.waiting
	q.waiting = 0
	return n
}

// settle finds a service's place among those that are ready, after any change.
func (q *Queue[T]) settle(s *service[T]) {
	switch want := s.wants(); {
	case want && s.place < 0:
		q.ready.push(s)
	case want:
		q.ready.fix(s.place)
	case s.place >= 0:
		q.ready.remove(s.place)
		s.place = -1
	}
}
