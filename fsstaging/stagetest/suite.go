// Package stagetest says what it means to be a file system that credentials can
// be staged on.
//
// [Run] holds an [fsstaging.FS] to it as a test, [Verify] does the same without
// package testing. What is checked: exclusive creation, modes and owner, whole
// reads, renames that overwrite nothing, complete listings, errors by their
// meaning, and a stager and a pickup at work on it. [Memory] is a file system of
// that kind for other tests.
package stagetest

import (
	"context"
	"errors"
	"fmt"
	"path"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/fsstaging"
)

// Config names what is tested.
type Config struct {
	// Open returns the file system and a directory on it, an absolute path that
	// does not exist yet but may be created. Each check asks for its own.
	Open func() (f fsstaging.FS, dir string, err error)
	// User is a short name that the file system can act as, and whose files it
	// then creates.
	User string
	// Names is how many files the listing check creates, enough for several of the
	// file system's pages; 0: 1500.
	Names int
	// Timeout bounds one check; 0: 1 min.
	Timeout time.Duration
}

// Run runs each check as a subtest.
func Run(t *testing.T, c Config) {
	t.Helper()
	for _, k := range checks {
		t.Run(k.name, func(t *testing.T) {
			if err := k.verify(t.Context(), c); err != nil {
				t.Error(err)
			}
		})
	}
}

// Verify runs all checks and returns what they found, nil if all is well.
func Verify(ctx context.Context, c Config) error {
	var errs []error
	for _, k := range checks {
		if err := k.verify(ctx, c); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", k.name, err))
		}
	}
	return errors.Join(errs...)
}

type check struct {
	name string
	run  func(ctx context.Context, e env) error
}

var checks = []check{
	{"a missing directory is missing", checkMissingDir},
	{"directories and files are private", checkModes},
	{"a file is not a directory", checkNotADir},
	{"creation is exclusive", checkExclusive},
	{"of many creators one wins", checkOneWinner},
	{"what is written is read back whole", checkContent},
	{"a rename overwrites nothing", checkRename},
	{"a rename shows whole files only", checkWhole},
	{"removal removes", checkRemove},
	{"a listing is complete", checkList},
	{"names stay within the directory", checkNames},
	{"an ended context ends the work", checkContext},
	{"generations are staged and picked up", checkStaging},
	{"two writers never share a generation", checkTwoWriters},
}

// env is what a check works with.
type env struct {
	Config
	fs  fsstaging.FS // acting as the user
	all fsstaging.FS // as opened
	dir string
}

func (k check) verify(ctx context.Context, c Config) error {
	if c.Timeout <= 0 {
		c.Timeout = time.Minute
	}
	if c.Names <= 0 {
		c.Names = 1500
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	f, dir, err := c.Open()
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	e := env{Config: c, fs: f, all: f, dir: dir}
	if u, ok := f.(fsstaging.UserFS); ok {
		if e.fs, err = u.As(ctx, c.User); err != nil {
			return fmt.Errorf("act as %s: %w", c.User, err)
		}
	}
	return k.run(ctx, e)
}

// open opens the check's directory, made if need be.
func (e env) open(ctx context.Context) (fsstaging.Dir, error) {
	d, err := e.fs.OpenDir(ctx, e.dir, true)
	if err != nil {
		return nil, fmt.Errorf("create directory: %w", err)
	}
	return d, nil
}

// within runs f on the check's directory and closes it.
func (e env) within(ctx context.Context, f func(d fsstaging.Dir) error) error {
	d, err := e.open(ctx)
	if err != nil {
		return err
	}
	err = f(d)
	return errors.Join(err, d.Close())
}

// want is an error unless got wraps target.
func want(what string, got, target error) error {
	if errors.Is(got, target) {
		return nil
	}
	return fmt.Errorf("%s: got %v, want %v", what, got, target)
}

// content reads a file that must hold data.
func content(ctx context.Context, d fsstaging.Dir, name, data string) error {
	got, _, err := d.Read(ctx, name)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if string(got) != data {
		return fmt.Errorf("%s holds %d bytes, want %d: %.20q…, want %.20q…", name, len(got), len(data), got, data)
	}
	return nil
}

func child(dir, name string) string { return path.Join(dir, name) }
