package dispatch

import "time"

// forget is how long it counts that a tenant's calls ran out of time, if none is
// under way.
const forget = 5 * time.Minute

// account is what one tenant has and had of one service.
type account[T any] struct {
	service *service[T]
	name    string
	waiting [classes]tenant[T]
	running int           // calls that hold a place
	hung    int           // of them given up
	taken   time.Duration // until when it has had its part of the service
	// share is how many calls at a time it gets: halved when one runs out of time,
	// climbing back by successes. A tenant whose calls alone hang, since the service
	// cannot look him up, keeps no place from the others.
	share  float64
	halved time.Duration // when that was last
}

func newAccount[T any](s *service[T], name string) *account[T] {
	a := &account[T]{service: s, name: name, share: float64(s.limits.Share), halved: -between}
	for c := range a.waiting {
		a.waiting[c] = tenant[T]{account: a, class: Class(c), place: -1}
	}
	return a
}

// full reports whether the tenant begins no call before one of its own returns.
// Calls that hang for good leave a place to others.
func (a *account[T]) full() bool {
	return a.running-a.hung >= int(a.share) || a.hung >= max(1, a.service.limits.Share-1)
}

// holdsHalf: who holds half of the places lets others go first, where tenants
// take turns.
func (a *account[T]) holdsHalf() bool { return 2*a.running >= a.service.limits.Share }

// begin counts a call that goes out.
func (a *account[T]) begin(now time.Duration) {
	if a.running == 0 && now-a.halved > forget {
		a.share = float64(a.service.limits.Share)
	}
	a.running++
}

func (a *account[T]) settle() {
	for c := range a.waiting {
		a.waiting[c].settle()
	}
}

// charge counts what a tenant took of a service's time.
func (a *account[T]) charge(now, price time.Duration) {
	a.taken = min(max(a.taken, now)+costs*price, now+most)
}

// succeed has the tenant get a little more again.
func (a *account[T]) succeed() {
	a.share = min(float64(a.service.limits.Share), a.share+1/a.share)
}

// stall: a call ran out of time.
func (a *account[T]) stall(now time.Duration) {
	if now-a.halved < between {
		return
	}
	a.halved = now
	a.share = max(1, min(a.share, a.service.share)/2)
}

// idle reports whether there is nothing to remember of the tenant.
func (a *account[T]) idle(now time.Duration) bool {
	for c := range a.waiting {
		if len(a.waiting[c].calls) > 0 {
			return false
		}
	}
	return a.running == 0 && a.taken <= now && (int(a.share) >= a.service.limits.Share || now-a.halved > forget)
}
