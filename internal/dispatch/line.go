package dispatch

import "time"

const (
	// costs: while others wait, a tenant gets at most one in so many of the calls
	// that go by deadline. What it takes beyond makes its next ones count as due
	// later.
	costs = 2
	// most is how much later that is at most. A tenant that had a service for
	// itself is behind others' calls that are near their deadline, and not behind
	// all.
	most = 5 * time.Minute
)

// line is the calls of one class for one service, by tenant.
type line[T any] struct {
	byDeadline bool // else tenants take turns
	tenants    heap[*tenant[T]]
	known      map[string]*tenant[T] // them, and those that have nothing waiting but took much
	turn       uint64
	sweepAt    int
}

// tenant is what waits on one tenant's account.
type tenant[T any] struct {
	line  *line[T]
	name  string
	calls heap[item[T]]
	place int
	turn  uint64        // of its last call; the lowest goes first
	taken time.Duration // until when it has had its part of the service
}

// item is a call that waits.
type item[T any] struct {
	deadline time.Duration
	order    uint64
	value    T
}

func (i item[T]) before(o item[T]) bool {
	if i.deadline != o.deadline {
		return i.deadline < o.deadline
	}
	return i.order < o.order
}

func (item[T]) at(int) {}

// rank is what tenants in a line are ordered by, before their turn.
func (t *tenant[T]) rank() time.Duration {
	if !t.line.byDeadline {
		return 0
	}
	return max(t.calls[0].deadline, t.taken)
}

func (t *tenant[T]) before(o *tenant[T]) bool {
	if a, b := t.rank(), o.rank(); a != b {
		return a < b
	}
	return t.turn < o.turn
}

func (t *tenant[T]) at(place int) { t.place = place }

func (l *line[T]) len() int { return len(l.tenants) }

func (l *line[T]) add(name string, it item[T]) {
	t := l.known[name]
	if t == nil {
		if l.known == nil {
			l.known = map[string]*tenant[T]{}
		}
		t = &tenant[T]{line: l, name: name}
		l.known[name] = t
	}
	t.calls.push(it)
	if len(t.calls) > 1 {
		l.tenants.fix(t.place)
		return
	}
	l.turn++
	t.turn = l.turn
	l.tenants.push(t)
}

// take returns the next call, and whose it is. One call costs the service so much
// time.
func (l *line[T]) take(now, price time.Duration) (string, item[T]) {
	t := l.tenants[0]
	l.turn++
	t.turn = l.turn
	if l.byDeadline {
		t.taken = min(max(t.taken, now)+costs*price, now+most)
	}
	return t.name, l.remove(now, t)
}

// remove takes out a tenant's first call.
func (l *line[T]) remove(now time.Duration, t *tenant[T]) item[T] {
	it := t.calls.pop()
	if len(t.calls) > 0 {
		l.tenants.fix(t.place)
		return it
	}
	t.calls = nil
	l.tenants.remove(t.place)
	if t.taken <= now {
		delete(l.known, t.name)
	} else if len(l.known) > l.sweepAt {
		l.sweep(now)
	}
	if len(l.known) == 0 {
		l.known = nil // maps do not shrink
	}
	return it
}

// sweep forgets the tenants that have nothing waiting and took no more than
// their part.
func (l *line[T]) sweep(now time.Duration) {
	for name, t := range l.known {
		if len(t.calls) == 0 && t.taken <= now {
			delete(l.known, name)
		}
	}
	l.sweepAt = 2*len(l.known) + 16
}
