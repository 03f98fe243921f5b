package renewer

import (
	"context"
	"fmt"
	"slices"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
)

// partOfList is how many records a listing looks at before the loop does something
// else.
const partOfList = 256

// listed makes a listing part by part, so that a long one holds up nobody: of all
// records, or of the applications of a caller who is not trusted. What changes
// meanwhile is in it as it was before, or as it is then. What takes another's place
// has a higher number than all that were there, so that it goes on until what is
// new fits in one part.
func listed[T any](ctx context.Context, c Client, part func(*core.Core, []uint64) []T) (list []T, err error) {
	type batch struct {
		numbers []uint64
		few     []T
	}
	for after := uint64(0); ; {
		next, err := ask(ctx, c.r, func(k *core.Core) (b batch) {
			if b.numbers = c.numbers(k, after); len(b.numbers) <= partOfList {
				b.few = part(k, b.numbers)
			}
			return b
		})
		if err != nil {
			return nil, err
		}
		if len(next.numbers) <= partOfList {
			return append(list, next.few...), nil
		}
		some, err := inParts(ctx, c.r, next.numbers, part)
		if err != nil {
			return nil, err
		}
		list, after = append(list, some...), next.numbers[len(next.numbers)-1]
	}
}

func (c Client) numbers(k *core.Core, after uint64) []uint64 {
	if c.caller.Trusted {
		return k.Numbers(after)
	}
	return k.NumbersOf(c.caller.Name, after)
}

func inParts[T any](ctx context.Context, r *Renewer, numbers []uint64, part func(*core.Core, []uint64) []T) (list []T, err error) {
	for some := range slices.Chunk(numbers, partOfList) {
		of, err := ask(ctx, r, func(k *core.Core) []T { return part(k, some) })
		if err != nil {
			return nil, err
		}
		list = append(list, of...)
	}
	return list, nil
}

// Entries lists the entries that applications of the caller hold; a trusted
// caller sees all.
func (c Client) Entries(ctx context.Context) ([]appregistry.Entry, error) {
	if c.caller.Trusted {
		return listed(ctx, c, (*core.Core).EntriesAmong)
	}
	held, err := listed(ctx, c, (*core.Core).HeldBy)
	if err != nil {
		return nil, err
	}
	return c.entries(ctx, held)
}

// EntriesOf lists the entries that one application holds.
func (c Client) EntriesOf(ctx context.Context, key appregistry.AppKey) ([]appregistry.Entry, error) {
	held, err := found(ctx, c.r, func(k *core.Core) ([]uint64, error) {
		if !c.caller.sees(key.Owner) {
			return nil, appregistry.ErrNotFound
		}
		return k.HeldByApp(key)
	})
	if err != nil {
		return nil, fmt.Errorf("entries of %s: %w", key, err)
	}
	return c.entries(ctx, held)
}

// entries are those of some numbers that the caller may see.
func (c Client) entries(ctx context.Context, numbers []uint64) ([]appregistry.Entry, error) {
	slices.Sort(numbers)
	list, err := inParts(ctx, c.r, slices.Compact(numbers), (*core.Core).EntriesAmong)
	for i := range list {
		list[i] = c.seen(list[i])
	}
	return slices.DeleteFunc(list, func(e appregistry.Entry) bool { return !c.caller.Trusted && len(e.Holders) == 0 }), err
}

// seen is an entry as the caller may see it: he hears of nobody else's application.
func (c Client) seen(e appregistry.Entry) appregistry.Entry {
	e.Holders = slices.DeleteFunc(e.Holders, func(holder appregistry.AppKey) bool { return !c.caller.sees(holder.Owner) })
	return e
}

// EntryOf is the entry that has the token. Of a token that nobody holds any more
// only a trusted caller hears: the entry then has no id, and that token alone.
func (c Client) EntryOf(ctx context.Context, id appregistry.TokenID) (appregistry.Entry, error) {
	e, err := found(ctx, c.r, func(k *core.Core) (appregistry.Entry, error) { return k.EntryOf(id) })
	if e = c.seen(e); err == nil && !c.caller.Trusted && len(e.Holders) == 0 {
		e, err = appregistry.Entry{}, appregistry.ErrNotFound
	}
	if err != nil {
		return e, fmt.Errorf("token %d: %w", id, err)
	}
	return e, nil
}

// Remembered lists the tokens that nobody holds any more: those that wait for
// their cancel, and those of which only the name is kept until their max date.
// They carry no holder by which they could be somebody's, so that only a trusted
// caller sees them.
func (c Client) Remembered(ctx context.Context) ([]appregistry.TokenStatus, error) {
	if !c.caller.Trusted {
		return nil, nil
	}
	return listed(ctx, c, (*core.Core).RememberedAmong)
}

// Counts tells how much there is of the caller's; a trusted caller hears of all,
// at no more cost for a million tokens than for one.
func (c Client) Counts(ctx context.Context) (Counts, error) {
	if c.caller.Trusted {
		n, err := ask(ctx, c.r, (*core.Core).Counts)
		return Counts(n), err
	}
	apps, err := c.Apps(ctx)
	if err != nil {
		return Counts{}, err
	}
	entries, err := c.Entries(ctx)
	n := Counts{Apps: len(apps), Entries: len(entries), Tokens: map[appregistry.State]int{}}
	for _, a := range apps {
		if a.Ready {
			n.Ready++
		}
	}
	for _, e := range entries {
		for _, t := range e.Tokens {
			n.Tokens[t.State]++
		}
	}
	return n, err
}

// Apps lists the caller's applications; a trusted caller sees all.
func (c Client) Apps(ctx context.Context) ([]AppStatus, error) {
	return c.apps(ctx, (*core.Core).AppsAmong)
}

func (c Client) apps(ctx context.Context, part func(*core.Core, []uint64) []core.AppStatus) ([]AppStatus, error) {
	list, err := listed(ctx, c, part)
	at := make(map[appregistry.AppKey]int, len(list))
	apps := make([]AppStatus, 0, len(list))
	for _, a := range list {
		if i, twice := at[a.Key]; twice { // this one took that one's place meanwhile
			apps[i] = AppStatus(a)
			continue
		}
		at[a.Key] = len(apps)
		apps = append(apps, AppStatus(a))
	}
	return apps, err
}

// App is one application of the caller's.
func (c Client) App(ctx context.Context, key appregistry.AppKey) (AppStatus, error) {
	a, err := found(ctx, c.r, func(k *core.Core) (core.AppStatus, error) {
		if !c.caller.sees(key.Owner) {
			return core.AppStatus{}, appregistry.ErrNotFound
		}
		return k.App(key)
	})
	if err != nil {
		return AppStatus{}, fmt.Errorf("application %s: %w", key, err)
	}
	return AppStatus(a), nil
}

// found is as ask, for a question whose answer may be an error.
func found[T any](ctx context.Context, r *Renewer, question func(*core.Core) (T, error)) (answer T, err error) {
	type result struct {
		value T
		err   error
	}
	got, err := ask(ctx, r, func(k *core.Core) (a result) {
		a.value, a.err = question(k)
		return a
	})
	if err == nil {
		err = got.err
	}
	return got.value, err
}
