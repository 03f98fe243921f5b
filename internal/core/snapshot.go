package core

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// Snapshot is what an application should hold now.
type Snapshot struct {
	Credentials plugins.Credentials
	// Generation is that of the last set on its way; 0: none yet.
	Generation uint32
	Ready      bool
}

// AppStatus is what an operator may know of one application. It holds no secret.
type AppStatus struct {
	Key        appregistry.AppKey
	User       string
	Group      string
	UUID       string
	Generation uint32
	Ready      bool
	Entries    map[string]appregistry.EntryID // by alias
	// Missing says by authority why a planned token is not there.
	Missing map[string]string
	// NextStage is when staging is tried next, by our wall clock; zero: not planned.
	NextStage time.Time
	// Trouble is why the last staging failed; "" once one works.
	Trouble string
	// LeavesAt is when it leaves, after its linger time or at the end of its lease,
	// by our wall clock; zero: it stays.
	LeavesAt time.Time
}

// Current is what the application should hold now. The credentials' maps are the
// caller's, their bytes are shared and not to be changed. The error is
// appregistry.ErrNotFound where there is no such application.
func (c *Core) Current(key appregistry.AppKey) (Snapshot, error) {
	rec := c.reg.AppByKey(key)
	if rec == nil {
		return Snapshot{}, appregistry.ErrNotFound
	}
	return Snapshot{Credentials: c.credentials(rec, c.assemble(rec)), Generation: rec.Generation, Ready: rec.Ready}, nil
}

// Numbers are those of all records beyond one, in ascending order. Who lists very
// many does so part by part, with the functions that take numbers and pass over
// what is something else, or gone. What has a higher number came later.
func (c *Core) Numbers(after uint64) []uint64 { return c.reg.Numbers(after) }

// NumbersOf are as [Core.Numbers], of the applications of one owner.
func (c *Core) NumbersOf(owner string, after uint64) []uint64 {
	of := c.reg.AppsOf(owner)
	at, _ := slices.BinarySearch(of, after+1)
	return of[at:]
}

// HeldBy are the numbers of the entries that applications hold.
func (c *Core) HeldBy(numbers []uint64) (entries []uint64) {
	each(c, numbers, func(n uint64) {
		if rec := c.reg.App(n); rec != nil {
			for _, h := range rec.Holdings {
				entries = append(entries, uint64(h.Entry))
			}
		}
	})
	return entries
}

// HeldByApp is [Core.HeldBy] of the application that is registered under a key, of one
// that is to replace it, and of what left its group where it stands for that. The error is appregistry.ErrNotFound.
func (c *Core) HeldByApp(key appregistry.AppKey) ([]uint64, error) {
	rec := c.reg.AppByKey(key)
	if rec == nil {
		return nil, appregistry.ErrNotFound
	}
	numbers := append([]uint64{rec.Seq}, c.leftTo(rec)...)
	if rival := c.candidateFor(key); rival != nil {
		numbers = append(numbers, rival.rec.Seq)
	}
	return c.HeldBy(numbers), nil
}

// Entries lists all entries, in order of their ids. It holds no password.
func (c *Core) Entries() []appregistry.Entry { return c.EntriesAmong(c.Numbers(0)) }

// EntriesAmong is [Core.Entries] of some numbers.
func (c *Core) EntriesAmong(numbers []uint64) (entries []appregistry.Entry) {
	each(c, numbers, func(n uint64) {
		if rec := c.reg.Entry(appregistry.EntryID(n)); rec != nil {
			entries = append(entries, c.entryView(rec))
		}
	})
	return entries
}

func (c *Core) entryView(rec *appregistry.EntryRecord) appregistry.Entry {
	e := appregistry.Entry{ID: rec.ID, Authority: rec.Authority, Holders: c.holdersOf(rec.ID, math.MaxInt)}
	for _, id := range slices.Backward(c.reg.TokensOf(rec.ID)) {
		e.Tokens = append(e.Tokens, c.tokenView(c.peek(id)))
		if id == rec.Current {
			e.Owner = c.reg.Token(id).Owner
		}
	}
	slices.SortStableFunc(e.Tokens, func(a, b appregistry.TokenStatus) int {
		return currentFirst(rec.Current, a.ID) - currentFirst(rec.Current, b.ID)
	})
	return e
}

// EntryOf is the entry that has the token. Where nobody holds that any more it is
// one without id, of that token alone. The error is appregistry.ErrNotFound.
func (c *Core) EntryOf(id appregistry.TokenID) (appregistry.Entry, error) {
	t := c.peek(id)
	if t == nil {
		return appregistry.Entry{}, appregistry.ErrNotFound
	}
	if rec := c.reg.Entry(t.rec.Entry); rec != nil {
		return c.entryView(rec), nil
	}
	return appregistry.Entry{Tokens: []appregistry.TokenStatus{c.tokenView(t)}}, nil
}

func currentFirst(current, id appregistry.TokenID) int {
	if id == current {
		return 0
	}
	return 1
}

// Remembered lists the tokens without an entry: those on their way to be
// cancelled and those only remembered, in order of their ids.
func (c *Core) Remembered() []appregistry.TokenStatus { return c.RememberedAmong(c.Numbers(0)) }

// RememberedAmong is [Core.Remembered] of some numbers.
func (c *Core) RememberedAmong(numbers []uint64) (tokens []appregistry.TokenStatus) {
	each(c, numbers, func(n uint64) {
		if t := c.peek(appregistry.TokenID(n)); t != nil && c.reg.Entry(t.rec.Entry) == nil {
			tokens = append(tokens, c.tokenView(t))
		}
	})
	return tokens
}

func (c *Core) tokenView(t *token) appregistry.TokenStatus {
	r, next := t.rec, c.nextOf(t)
	if s := c.successorSupply(t); s != nil && s.timer.isSet() {
		next = min(next, s.timer.at)
	}
	if t.stored && c.pending.going {
		next = c.now.Boot // when it will be done is being found out
	}
	if next == never && c.commit.retry.isSet() {
		next = c.commit.retry.at // it waits for the store
	}
	rule := &states[r.State]
	return appregistry.TokenStatus{
		ID: r.ID, Fingerprint: r.Digests().Fingerprint, Kind: r.Token.Kind, Service: r.Token.Service,
		State: r.State, Reason: cmp.Or(r.Reason, rule.Reason), Action: rule.Action, Proof: r.Proof, Obtained: r.Obtained, Keep: r.Keep,
		Issued: r.Issued, Expires: r.Expires, Max: r.Max, Next: c.wall(next), Attempts: t.failures,
	}
}

// successorSupply is what obtains the token's successor now; nil: nothing does.
func (c *Core) successorSupply(t *token) *supply {
	if e := c.entry(t); e != nil && e.Current == t.rec.ID {
		if s := c.supplies[e.Supply]; s != nil && s.wanted {
			return s
		}
	}
	return nil
}

// Apps lists all applications, in order of registration. One that is to replace
// another under the same key is not in it before it does.
func (c *Core) Apps() []AppStatus { return c.AppsAmong(c.Numbers(0)) }

// AppsAmong is [Core.Apps] of some numbers.
func (c *Core) AppsAmong(numbers []uint64) (apps []AppStatus) {
	each(c, numbers, func(n uint64) {
		if a := c.app(n); a != nil && a.rec.Replaces == 0 && !a.rec.Left {
			apps = append(apps, c.appView(a))
		}
	})
	return apps
}

// App is the application that is registered under a key. The error is
// appregistry.ErrNotFound.
func (c *Core) App(key appregistry.AppKey) (AppStatus, error) {
	rec := c.reg.AppByKey(key)
	if rec == nil {
		return AppStatus{}, appregistry.ErrNotFound
	}
	return c.appView(c.app(rec.Seq)), nil
}

func (c *Core) appView(a *app) AppStatus {
	s := AppStatus{
		Key: a.rec.App.Key(), User: a.rec.App.User, Group: a.rec.App.Group, UUID: a.rec.UUID, LeavesAt: c.wall(a.leaveAt),
		Generation: a.rec.Generation, Ready: a.rec.Ready,
		Entries: map[string]appregistry.EntryID{}, Missing: map[string]string{}, NextStage: c.wall(a.stageAt), Trouble: a.trouble,
	}
	for _, h := range a.rec.Holdings {
		if !h.Carried {
			s.Entries[h.Alias] = h.Entry
		}
	}
	for authority, why := range a.missing {
		s.Missing[authority.String()] = why
	}
	return s
}

// wall is our own wall clock's date at a boot time, for people to read.
func (c *Core) wall(at time.Duration) time.Time {
	if at == never {
		return time.Time{}
	}
	return c.now.Wall.Add(at - c.now.Boot)
}
