package fsstaging

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/plugins"
)

const (
	defaultKeep = 5
	// staleAfter is the age at which remains of a writer that died are removed.
	staleAfter = time.Hour
	// cleanUpTime is what tidying after a failure may take once ctx has ended.
	cleanUpTime = 5 * time.Second
)

// Stager writes credentials files. It keeps no state between calls: what a
// directory holds is what its listing says, so that a writer that died at any
// point is followed by one that starts from there. It may be used concurrently;
// two stagings of one application to one target are for the caller to order, and
// harmless if they meet: one of them is told that it is behind.
//
// Set the fields before first use.
type Stager struct {
	Keep int  // newest files to keep for an application; 0: 5
	Form Form // how names are written

	def   FS
	named map[string]FS
}

// NewStager returns a stager for targets on def, the file system of targets that
// name none, and on the named ones. A nil def refuses such targets.
func NewStager(def FS, named ...NamedFS) *Stager {
	s := &Stager{def: def, named: make(map[string]FS, len(named))}
	for _, n := range named {
		s.named[n.Name] = n.FS
	}
	return s
}

// Stage writes one generation to its target and returns when it has read it back
// there. Staging the same set again is harmless. Where the target already holds
// the generation with other bytes, a higher one, or a higher epoch, nothing is
// written and the error is an [*appregistry.Behind]; so it is where an earlier
// attempt left the generation in doubt. Errors are of kind refused for a set, a
// directory or a mode that will not do, denied where a right is missing, else
// retry.
func (s *Stager) Stage(ctx context.Context, set appregistry.Set) (appregistry.Receipt, error) {
	if err := s.stage(ctx, set); err != nil {
		// Whoever stages names application and target.
		return appregistry.Receipt{}, fmt.Errorf("stage generation %d: %w", set.Generation, withKind(err))
	}
	return appregistry.Receipt{Epoch: set.Epoch, N: set.Generation}, nil
}

func (s *Stager) stage(ctx context.Context, set appregistry.Set) error {
	data, err := encode(set)
	if err != nil {
		return err
	}
	f, err := s.fileSystem(set.Target)
	if err != nil {
		return err
	}
	if f, err = asUser(ctx, f, set.User); err != nil {
		return err
	}
	d, err := f.OpenDir(ctx, set.Target.Dir, true)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }() // everything written was read back
	info, err := d.Stat(ctx, ".")
	if err != nil {
		return err
	}
	if err := checkPrivate(set.Target.Dir, info, set.User); err != nil {
		return err
	}
	prefix, err := choosePrefix(ctx, d, set)
	if err != nil {
		return err
	}
	w := writer{d: d, owner: set.User, epoch: set.Epoch, data: data, keep: s.Keep, name: Name{
		Prefix: prefix, Form: s.Form, N: set.Generation, NextUpdate: set.NextUpdate,
		Epoch: set.Epoch, Length: int64(len(data)), CRC: crc32.Checksum(data, castagnoli),
	}}
	if w.keep <= 0 {
		w.keep = defaultKeep
	}
	return w.run(ctx)
}

// encode checks a set before anything is touched, and returns its file.
func encode(set appregistry.Set) ([]byte, error) {
	var err error
	switch {
	case set.Generation < 1 || set.Generation > appregistry.MaxGeneration:
		err = fmt.Errorf("generation %d: want 1 to %d", set.Generation, appregistry.MaxGeneration)
	case set.Epoch < 1:
		err = errors.New("epoch 0: want 1 or more")
	case set.User == "":
		err = errors.New("no user to own the file")
	case set.UUID != "" && !uuidPattern.MatchString(set.UUID):
		err = fmt.Errorf("uuid %q: want lower case, 8-4-4-4-12", set.UUID)
	}
	if err = errors.Join(err, checkTarget(set.Target)); err != nil {
		return nil, plugins.Refused("bad-set", err)
	}
	data, err := hadooptoken.Marshal(set.Credentials, hadooptoken.FormatJava)
	if err != nil {
		return nil, plugins.Refused("bad-set", err)
	}
	if len(data) > MaxFile {
		return nil, plugins.Refused("too-large", fmt.Errorf("%d bytes, the limit is %d", len(data), MaxFile))
	}
	return data, nil
}

// CheckTarget tells beforehand, without looking there, whether a target is one
// that this stager could write to. An error is of kind refused.
func (s *Stager) CheckTarget(t appregistry.Target) error {
	if err := checkTarget(t); err != nil {
		return plugins.Refused("bad-target", err)
	}
	_, err := s.fileSystem(t)
	return err
}

func checkTarget(t appregistry.Target) error {
	var err error
	if t.Prefix != "" {
		err = checkPrefix(t.Prefix)
	}
	return errors.Join(err, checkDir(t.Dir))
}

func (s *Stager) fileSystem(t appregistry.Target) (FS, error) {
	f, ok := s.named[t.FS]
	if t.FS == "" {
		f, ok = s.def, s.def != nil
	}
	if !ok {
		what := fmt.Sprintf("no file system is configured as %q", t.FS)
		if t.FS == "" {
			what = "no file system is the default"
		}
		return nil, plugins.Refused("unknown-target", fmt.Errorf("%s; by name there are %q", what, slices.Sorted(maps.Keys(s.named))))
	}
	return f, nil
}

// writer takes one file through its steps: claim, write, rename, read back.
type writer struct {
	d     Dir
	owner string
	epoch uint32
	name  Name
	data  []byte
	keep  int
}

func (w *writer) run(ctx context.Context) error {
	l, err := scan(ctx, w.d, w.name.Prefix)
	if err != nil {
		return err
	}
	if done, err := w.settled(ctx, l); done || err != nil {
		return err
	}
	if err := w.claim(ctx); err != nil {
		return err
	}
	// A writer that was here since the first listing has let go of its claim by
	// now, but not of its file.
	if l, err = scan(ctx, w.d, w.name.Prefix); err == nil {
		err = w.behind(l, w.name.N)
	}
	if err == nil {
		err = w.write(ctx)
	}
	if err != nil {
		w.giveUp(ctx)
		return err
	}
	if err := w.publish(ctx); err != nil {
		return err // temp and claim stay: the rename may yet arrive
	}
	info, err := w.verify(ctx)
	if err != nil {
		return err
	}
	w.remove(ctx, claimName(w.name.Prefix, w.name.N))
	w.prune(ctx, l, info.ModTime)
	return nil
}

// settled reports whether this very file is the newest there is, or the error
// that this writer is behind.
func (w *writer) settled(ctx context.Context, l listing) (bool, error) {
	err := w.behind(l, 0)
	if err == nil || highestEpoch(l.files, 0) > w.epoch {
		return false, err
	}
	for _, n := range l.files {
		if n.N > w.name.N || n.N == w.name.N && n.String() != w.name.String() {
			return false, err
		}
	}
	if _, wrong := w.verify(ctx); wrong != nil {
		return false, err
	}
	return true, nil
}

// behind is an error if l holds this generation, a higher one or a higher epoch,
// in files or in claims. The claim of generation own does not count.
func (w *writer) behind(l listing, own uint32) error {
	b := appregistry.Behind{Epoch: max(highestEpoch(l.files, 0), highestEpoch(l.temps, 0))}
	for _, n := range l.files {
		b.N = max(b.N, n.N)
	}
	for _, n := range l.claims {
		if n.N != own {
			b.N = max(b.N, n.N)
		}
	}
	if b.N >= w.name.N || b.Epoch > w.epoch {
		return &b
	}
	return nil
}

// claim reserves the generation, and shows on an empty file whether what is
// created here is private before any secret is written.
func (w *writer) claim(ctx context.Context) error {
	name := claimName(w.name.Prefix, w.name.N)
	err := w.d.Create(ctx, name, nil)
	if errors.Is(err, fs.ErrExist) {
		return &appregistry.Behind{Epoch: w.epoch, N: w.name.N}
	}
	if err != nil {
		return err
	}
	info, err := w.d.Stat(ctx, name)
	if err == nil {
		err = checkPrivate(name, info, w.owner)
	}
	if err != nil {
		w.giveUp(ctx)
	}
	return err
}

// write fills the temporary file. One that is there already was left by an
// earlier attempt: nobody else writes under a claimed number and our epoch.
func (w *writer) write(ctx context.Context) error {
	err := w.d.Create(ctx, w.name.temp(), w.data)
	if errors.Is(err, fs.ErrExist) {
		if err = w.d.Remove(ctx, w.name.temp()); err == nil {
			err = w.d.Create(ctx, w.name.temp(), w.data)
		}
	}
	return err
}

// publish renames. A rename whose answer was lost counts as done if the final
// name holds our bytes.
func (w *writer) publish(ctx context.Context) error {
	err := w.d.Rename(ctx, w.name.temp(), w.name.String())
	if err == nil {
		return nil
	}
	if _, wrong := w.verify(ctx); wrong == nil {
		return nil
	}
	if errors.Is(err, fs.ErrExist) {
		return &appregistry.Behind{Epoch: w.epoch, N: w.name.N}
	}
	return err
}

// verify reads the final file back.
func (w *writer) verify(ctx context.Context) (Info, error) {
	name := w.name.String()
	data, info, err := w.d.Read(ctx, name)
	if err != nil {
		return info, err
	}
	if !bytes.Equal(data, w.data) {
		return info, plugins.Suspect(fmt.Errorf("%s reads back as other bytes than were written", name))
	}
	return info, checkPrivate(name, info, w.owner)
}

// giveUp leaves no trace of a file that was never renamed.
func (w *writer) giveUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
	defer cancel()
	w.remove(ctx, w.name.temp())
	w.remove(ctx, claimName(w.name.Prefix, w.name.N))
}

// prune removes what the new file makes superfluous: files beyond the newest
// keep, which never include the new one, and remains of writers that died. Age
// is counted against the new file by the file system's own clock.
func (w *writer) prune(ctx context.Context, l listing, now time.Time) {
	files, _ := current(l.files, 0)
	for _, n := range files[min(w.keep-1, len(files)):] {
		w.remove(ctx, n.String())
	}
	for _, n := range l.temps {
		deposed := n.Form == FormChecked && n.Epoch < w.epoch
		if deposed || n.Form != FormChecked && n.N < w.name.N {
			w.removeStale(ctx, n.temp(), now)
		}
	}
	for _, n := range l.claims {
		if n.N < w.name.N {
			w.removeStale(ctx, claimName(n.Prefix, n.N), now)
		}
	}
}

func (w *writer) removeStale(ctx context.Context, name string, now time.Time) {
	if info, err := w.d.Stat(ctx, name); err == nil && now.Sub(info.ModTime) > staleAfter {
		w.remove(ctx, name)
	}
}

// remove is tidying: what cannot be removed now is found again next time, and is
// no reason to doubt the new file.
func (w *writer) remove(ctx context.Context, name string) { _ = w.d.Remove(ctx, name) }
