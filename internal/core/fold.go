package core

import (
	"encoding/binary"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/wheel"
)

// What the engine knows of a token or an application is folded with its record
// while nothing is under way about it. Times are exact: who is folded in between
// acts at the same instant as who is not.

// keepOpen is how many records stay open beside those in use.
const keepOpen = 1024

// tidy folds what no step will find in its hands: a record may be in those of
// what waits for a commit, so it is left open until the commit behind the one
// that was out when it was last asked for is done.
func (c *Core) tidy(idle bool) {
	k := &c.commit
	if !k.out && !k.retry.isSet() && len(k.waiting)+len(k.aboard) == 0 {
		k.settled = c.reg.Turn() + 1
	}
	keep := keepOpen
	if c.cfg.Open != 0 {
		keep = max(0, c.cfg.Open)
	}
	if idle {
		c.reg.TidyMany(k.settled, idleFolds)
		return
	}
	c.reg.Tidy(k.settled, keep)
}

// idleFolds is how many records a tick folds, when nothing else asks for time.
const idleFolds = 20_000

// fewAside is how many records each opens before it folds them again.
const fewAside = 512

// each does something about very many records, and folds what is opened for it:
// nobody had that in hand before. What has begun to wait for a commit meanwhile
// may, so that is left open.
func each[T any](c *Core, all []T, do func(T)) {
	for len(all) > 0 {
		opened, waiting := c.reg.Opened(), len(c.commit.waiting)
		for len(all) > 0 && c.reg.Opened() < opened+fewAside {
			do(all[0])
			all = all[1:]
		}
		if len(c.commit.waiting) == waiting {
			c.reg.FoldSince(opened)
		}
	}
}

// sent marks the age of a commit that goes out.
func (k *committer) sent(age uint64) { k.age, k.ageBefore = age, k.age }

// app is what the engine knows of an application, nil where that is gone.
func (c *Core) app(seq uint64) *app {
	rec := c.reg.App(seq)
	if rec == nil {
		return nil
	}
	if a, ok := rec.Attached().(*app); ok {
		return a
	}
	if len(rec.Folded()) == 0 { // nobody has asked for it in this session
		a := c.restoredApp(rec)
		rec.Attach(a)
		return a
	}
	a := newApp(rec)
	a.unfold(rec.Folded())
	rec.Attach(a)
	return a
}

// token is what the engine knows of a token, nil where that is forgotten. One of
// an earlier session that was not planned yet is planned, since it is wanted.
func (c *Core) token(id appregistry.TokenID) *token {
	t := c.peek(id)
	if t != nil && t.stored && c.pending.going && !c.candidate(t) {
		c.resumeToken(t)
	}
	return t
}

// peek is as token, for who only looks.
func (c *Core) peek(id appregistry.TokenID) *token {
	rec := c.reg.Token(id)
	if rec == nil {
		return nil
	}
	t, ok := rec.Attached().(*token)
	if !ok {
		if folded := rec.Folded(); len(folded) == 0 {
			t = c.restoredToken(rec)
		} else {
			t = newToken(rec)
			t.unfold(folded)
		}
		rec.Attach(t)
	}
	return t
}

// Which values a folded token has.
const (
	hasTimer = 1 << iota
	hasRenew
	hasReplace
	hasEnd
	hasRelease
	hasCancel
	hasRenewed
	isFixed
	isDead
	isWarned
	hasFailures
	hasReaders
	timerIsNext // the timer is set for what is next, as it mostly is
	isStored
	hasReader // of one application only
)

// Awaits implements [appregistry.Session].
func (t *token) Awaits() bool { return t.job != 0 }

// Fold implements [appregistry.Session].
func (t *token) Fold(b []byte) ([]byte, bool) {
	if t.job != 0 || t.doubt.is || len(t.gates) > 0 || t.failures < 0 {
		return b, false
	}
	var flags uint64
	mark := func(flag uint64, on bool) {
		if on {
			flags |= flag
		}
	}
	mark(hasTimer, t.timer.isSet())
	mark(hasRenew, t.renewAt != never)
	mark(hasReplace, t.replaceAt != never)
	mark(hasEnd, t.endAt != never)
	mark(hasRelease, t.releaseAt != never)
	mark(hasCancel, t.cancelAt != never)
	mark(hasRenewed, t.renewedAt != 0)
	mark(isFixed, t.fixed)
	mark(isStored, t.stored)
	mark(isDead, t.dead)
	mark(isWarned, t.warned)
	mark(hasFailures, t.failures != 0)
	mark(hasReaders, t.readUntil != 0)
	mark(hasReader, t.readBy != 0)
	mark(timerIsNext, t.timer.isSet() && t.rec != nil && t.timer.at == t.next())
	f := folder{b: binary.AppendUvarint(b, flags)}
	if flags&hasTimer != 0 {
		f.b = binary.AppendUvarint(f.b, uint64(t.timer.handle))
		f.time(^flags&timerIsNext, t.timer.at)
	}
	f.time(flags&hasRenew, t.renewAt)
	f.time(flags&hasReplace, t.replaceAt)
	f.time(flags&hasEnd, t.endAt)
	f.time(flags&hasRelease, t.releaseAt)
	f.time(flags&hasCancel, t.cancelAt)
	f.time(flags&hasRenewed, t.renewedAt)
	f.time(flags&hasReaders, t.readUntil)
	if t.readBy != 0 {
		f.b = binary.AppendUvarint(f.b, t.readBy)
	}
	if t.failures != 0 {
		f.b = binary.AppendUvarint(f.b, uint64(t.failures))
	}
	return f.b, true
}

func (t *token) unfold(b []byte) {
	if len(b) == 0 {
		return
	}
	u := unfolder{b: b}
	flags := u.uvarint()
	if flags&hasTimer != 0 {
		t.timer.handle = wheel.Timer(u.uvarint())
		u.time(^flags&timerIsNext, &t.timer.at)
	}
	u.time(flags&hasRenew, &t.renewAt)
	u.time(flags&hasReplace, &t.replaceAt)
	u.time(flags&hasEnd, &t.endAt)
	u.time(flags&hasRelease, &t.releaseAt)
	u.time(flags&hasCancel, &t.cancelAt)
	u.time(flags&hasRenewed, &t.renewedAt)
	u.time(flags&hasReaders, &t.readUntil)
	t.fixed, t.dead = flags&isFixed != 0, flags&isDead != 0
	t.warned, t.stored = flags&isWarned != 0, flags&isStored != 0
	if flags&hasReader != 0 {
		t.readBy = u.uvarint()
	}
	if flags&hasFailures != 0 {
		t.failures = int(u.uvarint())
	}
	if flags&timerIsNext != 0 {
		t.timer.at = t.next()
	}
}

// Which values a folded application has.
const (
	appHasTimer = 1 << iota
	appHasStage
	appHasLeave
	appHasUpdate
	appRestored
)

// Awaits implements [appregistry.Session]: an application has no entry of its own.
func (a *app) Awaits() bool { return false }

// Fold implements [appregistry.Session].
func (a *app) Fold(b []byte) ([]byte, bool) {
	busy := a.gone != nil || !a.durable || a.open != 0 || len(a.missing)+len(a.waiting) > 0 ||
		a.round != nil || a.changed || a.force || a.failures != 0 || a.trouble != ""
	if busy {
		return b, false
	}
	var flags uint64
	mark := func(flag uint64, on bool) {
		if on {
			flags |= flag
		}
	}
	mark(appHasTimer, a.timer.isSet())
	mark(appHasStage, a.stageAt != never)
	mark(appHasLeave, a.leaveAt != never)
	mark(appHasUpdate, a.updateAt != 0)
	mark(appRestored, a.restored)
	f := folder{b: binary.AppendUvarint(b, flags)}
	if flags&appHasTimer != 0 {
		f.timer(a.timer)
	}
	f.time(flags&appHasStage, a.stageAt)
	f.time(flags&appHasLeave, a.leaveAt)
	f.time(flags&appHasUpdate, a.updateAt)
	return f.b, true
}

func (a *app) unfold(b []byte) {
	if len(b) == 0 {
		return
	}
	a.durable = true
	u := unfolder{b: b}
	flags := u.uvarint()
	if flags&appHasTimer != 0 {
		a.timer = u.timer()
	}
	u.time(flags&appHasStage, &a.stageAt)
	u.time(flags&appHasLeave, &a.leaveAt)
	u.time(flags&appHasUpdate, &a.updateAt)
	a.restored = flags&appRestored != 0
}

type folder struct{ b []byte }

func (f *folder) time(has uint64, at time.Duration) {
	if has != 0 {
		f.b = binary.AppendVarint(f.b, wholes(at))
	}
}

// wholes is an instant in milliseconds, or in nanoseconds with one bit set:
// nearly all were rounded when they were planned.
func wholes(at time.Duration) int64 {
	if at%time.Millisecond == 0 {
		return int64(at/time.Millisecond) << 1
	}
	return int64(at)<<1 | 1
}

func (f *folder) timer(t timer) {
	f.b = binary.AppendUvarint(f.b, uint64(t.handle))
	f.b = binary.AppendVarint(f.b, wholes(t.at))
}

type unfolder struct{ b []byte }

func (u *unfolder) uvarint() uint64 {
	v, n := binary.Uvarint(u.b)
	u.b = u.b[n:]
	return v
}

func (u *unfolder) varint() time.Duration {
	v, n := binary.Varint(u.b)
	u.b = u.b[n:]
	if v&1 != 0 {
		return time.Duration(v >> 1)
	}
	return time.Duration(v>>1) * time.Millisecond
}

func (u *unfolder) time(has uint64, at *time.Duration) {
	if has != 0 {
		*at = u.varint()
	}
}

func (u *unfolder) timer() timer {
	handle := u.uvarint()
	return timer{handle: wheel.Timer(handle), at: u.varint()}
}
