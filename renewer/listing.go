package renewer

import (
	"context"
	"slices"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
)

// partOfList is how many records a listing looks at before the loop does something
// else.
const partOfList = 256

// inParts makes a listing part by part, so that a long one holds up nobody. What
// changes meanwhile is in it as it was before, or as it is then.
func inParts[T any](ctx context.Context, r *Renewer, part func(*core.Core, []uint64) []T) (list []T, err error) {
	numbers, err := ask(ctx, r, (*core.Core).Numbers)
	if err != nil {
		return nil, err
	}
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
	list, err := inParts(ctx, c.r, (*core.Core).EntriesAmong)
	if c.caller.Trusted {
		return list, err
	}
	foreign := func(holder appregistry.AppKey) bool { return !c.caller.sees(holder.Owner) }
	for i := range list {
		list[i].Holders = slices.DeleteFunc(slices.Clone(list[i].Holders), foreign)
	}
	return slices.DeleteFunc(list, func(e appregistry.Entry) bool { return len(e.Holders) == 0 }), err
}

// Remembered lists the tokens that nobody holds any more: those that wait for
// their cancel, and those of which only the name is kept until their max date.
// They carry no holder by which they could be somebody's, so that only a trusted
// caller sees them.
func (c Client) Remembered(ctx context.Context) ([]appregistry.TokenStatus, error) {
	if !c.caller.Trusted {
		return nil, nil
	}
	return inParts(ctx, c.r, (*core.Core).RememberedAmong)
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
	list, err := inParts(ctx, c.r, (*core.Core).AppsAmong)
	var own []AppStatus
	for _, a := range list {
		if c.caller.sees(a.Key.Owner) {
			own = append(own, AppStatus(a))
		}
	}
	return own, err
}
