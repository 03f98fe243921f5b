package renewer

import "time"

// lateFor is how long a call may take to notice that its context ended. What it
// brings may be a token.
const lateFor = 2 * time.Second

// watch knows the calls under way and when each has to be answered for. One timer
// serves them all: it is set for the first, and seldom has to be set again, since
// calls mostly have the same time. Its owner locks.
type watch struct {
	calls []*call
	timer *time.Timer
	at    time.Time // of the timer; zero: it is not set
}

// add watches a call that begins.
func (w *watch) add(c *call) {
	c.until = time.Now().Add(c.timeout + lateFor)
	c.place = len(w.calls)
	w.calls = append(w.calls, c)
	if w.at.IsZero() || c.until.Before(w.at) {
		w.set(c.until)
	}
}

// remove forgets a call.
func (w *watch) remove(c *call) {
	last := len(w.calls) - 1
	moved := w.calls[last]
	w.calls[c.place], moved.place = moved, c.place
	w.calls[last] = nil
	w.calls = w.calls[:last]
}

func (w *watch) set(at time.Time) {
	w.at = at
	w.timer.Reset(time.Until(at))
}

// overdue forgets the calls that hang, and returns them. It is called when the
// timer has fired.
func (w *watch) overdue(now time.Time) (hung []*call) {
	w.at = time.Time{}
	var first time.Time
	for i := len(w.calls) - 1; i >= 0; i-- {
		switch c := w.calls[i]; {
		case !c.until.After(now):
			hung = append(hung, c)
			w.remove(c)
		case first.IsZero() || c.until.Before(first):
			first = c.until
		}
	}
	if !first.IsZero() {
		w.set(first)
	}
	return hung
}

// hurry gives all calls no more time than to notice that they are to end.
func (w *watch) hurry() {
	w.timer.Stop()
	w.at = time.Time{}
	by := time.Now().Add(lateFor)
	for _, c := range w.calls {
		if c.until.After(by) {
			c.until = by
		}
		if w.at.IsZero() || c.until.Before(w.at) {
			w.set(c.until)
		}
	}
}
