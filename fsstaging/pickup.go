package fsstaging

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/plugins"
)

const (
	defaultMinPoll = time.Second
	defaultMaxPoll = 5 * time.Minute
	// overdue is the longest pause when a file is awaited that should be there.
	overdue = time.Minute
	// pollShare: a pause is at most this part of what is left until something is
	// due.
	pollShare = 10
	// triesPerLook bounds the files read for one listing.
	triesPerLook = 16
	// looksPerPoll bounds the listings of one poll, when files vanish between
	// listing and reading.
	looksPerPoll = 3
)

// Pickup waits for credentials files in one directory, on the executor's side.
// It is for one goroutine; set the fields before the first Next.
//
// Files are ordered by epoch and generation as their names say, never by their
// times. A file that is torn, unreadable or not private is passed over for the
// next lower one and looked at again at the next poll. What was returned once is
// never followed by something older. While nothing can be read, the caller's
// credentials stay what they are and Pickup goes on looking.
type Pickup struct {
	// Prefix of the files' names; "": the only credentials-<uuid> there is. What
	// was found first is kept to.
	Prefix string
	// Owner whom directory and files must belong to; "": whoever owns the
	// directory, which on a [Local] file system is the process's own user.
	Owner string
	// MinPoll and MaxPoll bound the pause between two listings; 0: 1 s and 5 min.
	// Between them it is a tenth of the time until the next update or the first
	// token's max date, and at most 1 min when an update is overdue.
	MinPoll, MaxPoll time.Duration
	// Skipped hears, once for each reason and name, of a file that was passed
	// over, and of a directory that could not be looked at (name "."). Nil: nobody.
	Skipped func(name string, err error)

	fs  FS
	dir string

	held   Name // zero: nothing yet
	due    time.Time
	since  time.Time // when this wait began
	heard  map[string]string
	census Census
}

// Census counts what the last listing held beside the files of the one writer in
// charge.
type Census struct {
	Foreign int // names that are not credentials files of this prefix
	Deposed int // files of an epoch lower than the highest seen
}

// NewPickup returns a pickup of the files in dir, an absolute path on f. Nothing
// is opened before the first Next.
func NewPickup(f FS, dir string) *Pickup {
	return &Pickup{fs: f, dir: dir, heard: map[string]string{}}
}

// Held tells the version of the set returned last; zero before the first, and
// its epoch is 0 where the name told none.
func (p *Pickup) Held() appregistry.Receipt { return p.held.version() }

// Census tells about the last listing.
func (p *Pickup) Census() Census { return p.census }

// Next returns the newest set that is newer than the one returned before, and
// waits for it if need be. A file system that is a [CredentialFS] has been given
// the set by then. The caller owns what it gets.
//
// An error is the end of ctx, or, before the first set, something only an
// operator can change: no permission, a directory or file that is not private
// (kind refused, code [CodeUnsafePath]), or [*SeveralPrefixes]. Once a set was
// returned, such trouble only goes to Skipped.
func (p *Pickup) Next(ctx context.Context) (plugins.Credentials, error) {
	p.since = time.Now()
	for {
		creds, found, err := p.poll(ctx)
		if ctx.Err() != nil {
			return plugins.Credentials{}, fmt.Errorf("wait for credentials in %s: %w", p.dir, context.Cause(ctx))
		}
		if found {
			return creds, nil
		}
		if err != nil && p.held.N == 0 && lasting(err) {
			return plugins.Credentials{}, fmt.Errorf("pick up credentials in %s: %w", p.dir, withKind(err))
		}
		if err := sleep(ctx, p.pause(time.Now())); err != nil {
			return plugins.Credentials{}, fmt.Errorf("wait for credentials in %s: %w", p.dir, err)
		}
	}
}

// lasting reports whether waiting will not help.
func lasting(err error) bool {
	if _, ok := errors.AsType[*SeveralPrefixes](err); ok {
		return true
	}
	kind := plugins.KindOf(withKind(err))
	return kind == plugins.KindRefused || kind == plugins.KindDenied
}

// poll looks once, and again at once if a file went away under it.
func (p *Pickup) poll(ctx context.Context) (plugins.Credentials, bool, error) {
	var creds plugins.Credentials
	var found bool
	var err error
	for range looksPerPoll {
		creds, found, err = p.look(ctx)
		if !errors.Is(err, errVanished) {
			break
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // no directory yet, or files that come and go: both pass
	}
	if err != nil && ctx.Err() == nil {
		p.skip(".", err)
	}
	return creds, found, err
}

// errVanished: a file was listed and gone when it was read.
var errVanished = fmt.Errorf("listed, then gone: %w", fs.ErrNotExist)

// look lists once and reads from the newest file down to the one held.
func (p *Pickup) look(ctx context.Context) (plugins.Credentials, bool, error) {
	f, err := asOwner(ctx, p.fs, p.Owner)
	if err != nil {
		return plugins.Credentials{}, false, err
	}
	d, err := f.OpenDir(ctx, p.dir, false)
	if err != nil {
		return plugins.Credentials{}, false, err
	}
	defer func() { _ = d.Close() }() // only read from
	owner, err := p.checkDir(ctx, d)
	if err != nil {
		return plugins.Credentials{}, false, err
	}
	l, err := scan(ctx, d, p.Prefix)
	if err != nil {
		return plugins.Credentials{}, false, err
	}
	if len(l.prefixes) > 1 {
		return plugins.Credentials{}, false, &SeveralPrefixes{Dir: p.dir, Prefixes: l.prefixes}
	}
	p.census.Foreign = l.foreign
	p.forget(l)
	return p.choose(ctx, d, owner, l.files)
}

func asOwner(ctx context.Context, f FS, owner string) (FS, error) {
	if owner == "" {
		return f, nil
	}
	return asUser(ctx, f, owner)
}

// checkDir returns who owns the directory and must own the files.
func (p *Pickup) checkDir(ctx context.Context, d Dir) (string, error) {
	info, err := d.Stat(ctx, ".")
	if err != nil {
		return "", err
	}
	owner := p.Owner
	if owner == "" {
		owner = info.Owner
	}
	return owner, checkPrivate(p.dir, info, owner)
}

// choose returns the newest sound file that is newer than the one held. Files
// that turn out unsound do not count, not even for the highest epoch: a torn
// file of a new writer must not hide the last whole one of the old.
func (p *Pickup) choose(ctx context.Context, d Dir, owner string, files []Name) (plugins.Credentials, bool, error) {
	var refused error
	for range triesPerLook {
		kept, deposed := current(files, highestEpoch(files, p.held.Epoch))
		p.census.Deposed = deposed
		i := slices.IndexFunc(kept, p.newer)
		if i < 0 {
			return plugins.Credentials{}, false, refused
		}
		n := kept[i]
		creds, err := read(ctx, d, n, owner)
		if err == nil {
			p.take(n, creds)
			return creds, true, nil
		}
		if ctx.Err() != nil {
			return plugins.Credentials{}, false, ctx.Err()
		}
		if errors.Is(err, fs.ErrNotExist) {
			return plugins.Credentials{}, false, errVanished
		}
		p.skip(n.String(), err)
		if refused == nil && lasting(err) {
			refused = err
		}
		files = slices.DeleteFunc(files, func(f Name) bool { return f == n })
	}
	return plugins.Credentials{}, false, refused
}

// newer reports whether n comes after the file held. A higher epoch wins over
// any number.
func (p *Pickup) newer(n Name) bool {
	return n.N > p.held.N || n.Epoch > p.held.Epoch
}

// read takes a file whole or not at all.
func read(ctx context.Context, d Dir, n Name, owner string) (plugins.Credentials, error) {
	name := n.String()
	data, info, err := d.Read(ctx, name)
	if err != nil {
		return plugins.Credentials{}, err
	}
	if err := checkPrivate(name, info, owner); err != nil {
		return plugins.Credentials{}, err
	}
	if !n.Matches(data) {
		return plugins.Credentials{}, fmt.Errorf("%s holds %d bytes that are not those it was named for", name, len(data))
	}
	return hadooptoken.Unmarshal(data, hadooptoken.Limits{})
}

// take makes a set the one held.
func (p *Pickup) take(n Name, creds plugins.Credentials) {
	n.Epoch = max(n.Epoch, p.held.Epoch)
	p.held, p.Prefix, p.due = n, n.Prefix, n.NextUpdate
	if end := firstMax(creds); p.due.IsZero() || !end.IsZero() && end.Before(p.due) {
		p.due = end
	}
	if c, ok := p.fs.(CredentialFS); ok {
		c.UseCredentials(creds.Clone())
	}
}

// firstMax is the earliest max date that a token tells of itself.
func firstMax(creds plugins.Credentials) time.Time {
	var first time.Time
	for _, t := range creds.Tokens {
		id, err := hadooptoken.ParseIdentifier(t.Kind, t.Identifier)
		if err != nil || id.Max.IsZero() {
			continue // opaque: it ends when its service says so
		}
		if first.IsZero() || id.Max.Before(first) {
			first = id.Max
		}
	}
	return first
}

// pause is the time to the next look: the nearer something is due, the shorter.
// Where nothing tells, and after it is overdue, pauses grow with the waiting.
func (p *Pickup) pause(now time.Time) time.Duration {
	shortest, longest := p.MinPoll, p.MaxPoll
	if shortest <= 0 {
		shortest = defaultMinPoll
	}
	if longest <= 0 {
		longest = defaultMaxPoll
	}
	left := p.due.Sub(now)
	if left <= 0 {
		start := p.since
		if p.due.After(start) {
			start = p.due
		}
		left = now.Sub(start)
		longest = min(longest, overdue)
	}
	pause := min(max(left/pollShare, shortest), max(longest, shortest))
	return pause - rand.N(pause/5+1) // so that a thousand executors do not list at once
}

// skip tells of what was passed over, once as long as the reason stays.
func (p *Pickup) skip(name string, err error) {
	if p.Skipped == nil || p.heard[name] == err.Error() {
		return
	}
	p.heard[name] = err.Error()
	p.Skipped(name, err)
}

// forget drops what was heard of files that are gone. The directory itself is
// well, or it would not have been listed.
func (p *Pickup) forget(l listing) {
	if len(p.heard) == 0 {
		return
	}
	there := make(map[string]bool, len(l.files))
	for _, n := range l.files {
		there[n.String()] = true
	}
	for name := range p.heard {
		if !there[name] {
			delete(p.heard, name)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
