package dispatch

import "time"

const (
	// costs: while others wait, a tenant gets at most one in so many of the calls
	// that go by deadline, and so much of the places' time. What it takes beyond
	// makes its next ones count as due later.
	costs = 2
	// most is how much later that is at most. A tenant that had a service for
	// itself is behind others' calls that are near their deadline, and not behind
	// all.
	most = 5 * time.Minute
)

// line is the tenants that have calls of one class waiting, and may begin one.
type line[T any] struct {
	tenants heap[*tenant[T]]
	turn    uint64
}

func (l *line[T]) len() int { return len(l.tenants) }

// tenant is what waits of one class on one tenant's account.
type tenant[T any] struct {
	account *account[T]
	class   Class
	calls   heap[item[T]]
	place   int    // in its line; -1: it is not there
	turn    uint64 // of its last call; the lowest goes first
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
	switch {
	case t.class == Due:
		return max(t.calls[0].deadline, t.account.taken)
	case t.account.holdsHalf():
		return 1
	}
	return 0
}

func (t *tenant[T]) before(o *tenant[T]) bool {
	if a, b := t.rank(), o.rank(); a != b {
		return a < b
	}
	return t.turn < o.turn
}

func (t *tenant[T]) at(place int) { t.place = place }

func (t *tenant[T]) add(it item[T]) {
	if t.calls.push(it); len(t.calls) == 1 {
		t.turn = t.nextTurn()
	}
	t.settle()
}

// pop takes out the first call.
func (t *tenant[T]) pop() item[T] {
	it := t.calls.pop()
	if len(t.calls) == 0 {
		t.calls = nil
	}
	t.settle()
	return it
}

func (t *tenant[T]) nextTurn() uint64 {
	l := t.line()
	l.turn++
	return l.turn
}

func (t *tenant[T]) line() *line[T] { return &t.account.service.lines[t.class] }

// settle finds the tenant's place in its line, after any change.
func (t *tenant[T]) settle() {
	l := t.line()
	switch want := len(t.calls) > 0 && !t.account.full(); {
	case want && t.place < 0:
		l.tenants.push(t)
	case want:
		l.tenants.fix(t.place)
	case t.place >= 0:
		l.tenants.remove(t.place)
		t.place = -1
	}
}
