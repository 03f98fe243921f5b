package core

import (
	"errors"
	"fmt"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
)

// lazyFor is how long a change that may be lost waits for company.
const lazyFor = time.Second

// committer keeps the store behind memory. One commit is out at a time and holds
// all that changed since the last, so whatever one step changes is one commit.
type committer struct {
	seq     uint64
	batch   appregistry.Batch // the one that is out
	out     bool
	waiting []waiter // for the next commit
	aboard  []waiter // for the one that is out
	// fenced are tokens whose cancels wait for the word that the store is ours still,
	// which any commit brings, and one of nothing where nothing changed.
	fenced   []appregistry.TokenID
	failures int
	retry    timer
	lazy     timer
	// Records that were last asked for before settled are in nobody's hands: that
	// is the age in which the commit before the last one that is done went out.
	settled, age, ageBefore uint64
	// header is the header record as the store has it, and the fence of every
	// commit; next is what the first commit of this session makes of it.
	header, next []byte
	// unsure: a commit of next failed, and may have been made after all.
	unsure bool
}

// waiter is what may only happen once the step that asked is durable.
type waiter struct {
	run func()
	// fail is called instead where the commit failed; nil: wait for the next one.
	fail func(error)
	// lost is called instead where no commit will ever succeed and fail is nil.
	lost func(error)
}

// replyDurable answers a request once all that was decided so far is durable.
func (c *Core) replyDurable(r Request) {
	c.commit.waiting = append(c.commit.waiting, waiter{
		run:  func() { c.reply(r, Done, nil) },
		lost: func(err error) { c.reply(r, Done, err) },
	})
}

func (c *Core) afterCommit(run func()) {
	c.commit.waiting = append(c.commit.waiting, waiter{run: run})
}

// flush sends what changed, or, where nothing did, lets go on what waits.
func (c *Core) flush() {
	k := &c.commit
	for !k.out && !k.retry.isSet() && c.taken == nil {
		if !c.reg.Dirty() && k.next == nil && len(k.fenced) == 0 {
			if len(k.waiting) == 0 {
				return
			}
			run := k.waiting
			k.waiting = nil
			for _, w := range run {
				w.run()
			}
			continue
		}
		c.sendCommit()
	}
}

func (c *Core) sendCommit() {
	k := &c.commit
	c.writeLazy()
	batch := c.reg.TakeBatch()
	if k.next != nil {
		batch.Put = append(batch.Put, appregistry.Record{Key: []byte(headerKey), Value: k.next})
	}
	batch.Fence = &appregistry.Fence{Key: []byte(headerKey), Want: k.header}
	k.seq++
	k.batch, k.out = batch, true
	k.sent(c.reg.Turn())
	k.aboard, k.waiting = append(k.aboard, k.waiting...), nil
	if ids := k.fenced; len(ids) > 0 {
		k.fenced = nil
		k.aboard = append(k.aboard, waiter{
			run:  func() { each(c, ids, c.sendRecorded) },
			fail: func(error) { k.fenced = append(k.fenced, ids...) },
		})
	}
	c.emit(Commit{Seq: k.seq, Batch: batch})
}

func (c *Core) committed(ev Committed) {
	k := &c.commit
	if !k.out || ev.Seq != k.seq {
		return
	}
	k.out = false
	aboard := k.aboard
	k.aboard = nil
	switch {
	case ev.Err == nil:
		k.failures = 0
		k.settled = max(k.settled, k.ageBefore)
		if k.next != nil {
			k.header, k.next, k.unsure = k.next, nil, false
		}
		for _, w := range aboard {
			w.run()
		}
	case errors.Is(ev.Err, appregistry.ErrFenced) && k.unsure:
		// The header in our way may be our own, from the commit that failed. No
		// other session writes the same, so it can be the next fence.
		k.header, k.unsure = k.next, false
		k.aboard = aboard
		c.reg.Redo(k.batch)
	case errors.Is(ev.Err, appregistry.ErrFenced):
		c.stop(ev.Err, aboard)
	default:
		c.commitFailed(aboard, ev.Err)
	}
	k.batch = appregistry.Batch{}
}

// commitFailed keeps memory as it is, but for what nobody was promised yet.
func (c *Core) commitFailed(aboard []waiter, err error) {
	k := &c.commit
	c.reg.Redo(k.batch)
	k.failures++
	k.unsure = k.next != nil
	at := c.now.Boot + min(leastWait<<min(k.failures-1, 10), 30*time.Second)
	c.notify(Notify{What: StoreFailed, Op: "store", Err: err, Next: c.wall(at)})
	c.set(&k.retry, coreTimer, commitRetry, at)
	for _, w := range aboard {
		if w.fail != nil {
			w.fail(err)
			continue
		}
		k.aboard = append(k.aboard, w)
	}
}

// stop ends all acting: another writer has the store. Everybody who waits for
// something is told.
func (c *Core) stop(err error, aboard []waiter) {
	err = fmt.Errorf("commit: %w", err)
	c.notify(Notify{What: StoreTaken, Op: "store", Err: err})
	waiting := append(aboard, c.commit.waiting...)
	c.commit.waiting = nil
	c.stored, c.pending = stored{}, pending{}
	for _, w := range waiting {
		switch {
		case w.fail != nil:
			w.fail(err)
		case w.lost != nil:
			w.lost(err)
		}
	}
	each(c, c.reg.AppSeqs(), func(seq uint64) { c.answer(c.app(seq), err) })
	each(c, c.reg.TokenIDs(), func(id appregistry.TokenID) { c.answerCommands(c.token(id), err) })
	for _, s := range c.supplies {
		c.answerSupply(s, err)
	}
	c.taken = err
}

// later marks a change that may be lost: it is written with the next commit, or
// within lazyFor.
func (c *Core) later(t *token) {
	if c.cfg.Volatile {
		return
	}
	c.lazy[t.rec.ID] = struct{}{}
	if !c.commit.lazy.isSet() {
		c.set(&c.commit.lazy, coreTimer, lazyFlush, c.now.Boot+lazyFor)
	}
}

// writeLazy has written what may be lost. A token about which a call is out is
// changed again by its answer, and written then.
func (c *Core) writeLazy() {
	for id := range c.lazy {
		if t := c.token(id); t != nil && t.job == 0 {
			c.reg.PutToken(t.rec)
		}
	}
	clear(c.lazy)
}
