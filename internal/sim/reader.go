package sim

import (
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
)

// reader is what one application's executors see of its directory: the newest
// set, and, behind it, a stock reader that looks again only when the name of the
// file it has tells it to.
type reader struct {
	w        *world
	app      *app
	epoch, n uint32
	set      []*lease // newest, by service; nil where the set has none
	update   time.Time
	held     []*lease // by the stock reader
	heldN    uint32
	ended    bool
}

// stockRetry is the pause of a stock reader that found nothing new.
const stockRetry = time.Hour

// write is a set that arrives at the application's directory.
func (r *reader) write(s appregistry.Set) (appregistry.Receipt, error) {
	if s.Epoch < r.epoch || s.Generation <= r.n {
		return appregistry.Receipt{}, &appregistry.Behind{Epoch: r.epoch, N: r.n}
	}
	r.epoch, r.n, r.update = s.Epoch, s.Generation, s.NextUpdate
	r.set = make([]*lease, len(r.w.services))
	for _, svc := range r.w.services {
		if tok, ok := s.Credentials.Tokens[svc.authority.Name]; ok {
			// A token with another password is not what the service issued.
			if l := svc.leases[string(tok.Identifier)]; l != nil && string(l.token.Password) == string(tok.Password) {
				r.set[svc.index] = l
			}
		}
	}
	r.w.report.Sets++
	r.w.history.add(r.w.now, -1, "stage", int64(s.Generation)<<32|int64(r.app.number), true)
	if r.app.gone {
		return appregistry.Receipt{Epoch: s.Epoch, N: s.Generation}, nil
	}
	r.show()
	if r.held == nil {
		r.look()
	}
	return appregistry.Receipt{Epoch: s.Epoch, N: s.Generation}, nil
}

// show tells the judge what the newest set has.
func (r *reader) show() {
	a, j := r.app, r.w.judge
	for i, l := range r.set {
		switch {
		case a.slots[i] != nil:
			j.give(a.slots[i], l)
		case l != nil:
			j.arm(a, r.w.services[i], l, true)
		}
		if l != nil && a.keeps() {
			l.keep = true
		}
	}
}

// look is the stock reader taking what is there.
func (r *reader) look() {
	if r.ended {
		return
	}
	wait := stockRetry
	if r.heldN != r.n {
		for _, l := range r.held {
			if l != nil && l.expires <= r.w.now && l.forgotten == 0 {
				r.w.judge.overslept++
			}
		}
		r.hold(r.set)
		r.heldN = r.n
		wait = max(0, r.update.Sub(r.w.wall()))
	}
	r.w.at(r.w.now+wait, r.look)
}

func (r *reader) hold(set []*lease) {
	for _, l := range r.held {
		if l != nil {
			l.lagging--
		}
	}
	r.held = set
	for _, l := range set {
		if l != nil {
			l.lagging++
		}
	}
}

func (r *reader) drop() {
	r.ended = true
	r.hold(nil)
}
