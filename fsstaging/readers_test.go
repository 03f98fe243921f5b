package fsstaging_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/fsstaging"
	"github.com/tokenwheel/tokenwheel/fsstaging/stagetest"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// TestB105_ReadersDuringPublications: 8 readers follow a writer that publishes,
// prunes and restarts with a higher epoch now and then. None ever sees a mixture,
// none goes back, and all arrive at the last version.
// Shows: P5.
func TestB105_ReadersDuringPublications(t *testing.T) {
	tests := []struct {
		name         string
		fs           fsstaging.FS
		dir          string
		publications uint32
	}{
		{"in memory", stagetest.NewMemory(), dir, 10_000},
		{"on disk", fsstaging.Local{OneUser: true}, filepath.Join(t.TempDir(), "stage"), 150},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if testing.Short() {
				tt.publications /= 20
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					seen, err := follow(ctx, tt.fs, tt.dir, tt.publications)
					if err != nil {
						t.Errorf("reader %d, after %d versions: %v", i, seen, err)
					}
				})
			}
			for n := uint32(1); n <= tt.publications && ctx.Err() == nil; n++ {
				s := fsstaging.NewStager(tt.fs)
				s.Keep = 2 // so that files often go under a reader
				if _, err := s.Stage(ctx, large(tt.dir, 1+n/100, n)); err != nil {
					t.Error(err)
					cancel()
				}
			}
			wg.Wait()
		})
	}
}

// large is a set whose every secret tells its version.
func large(dir string, epoch, n uint32) appregistry.Set {
	s := stagetest.Set(alice, dir, epoch, n)
	for i := range 50 {
		s.Credentials.Secrets[fmt.Sprintf("copy %d", i)] = s.Credentials.Secrets["version"]
	}
	return s
}

// follow reads until generation last and returns how many versions it saw.
func follow(ctx context.Context, f fsstaging.FS, dir string, last uint32) (seen int, err error) {
	p := fsstaging.NewPickup(f, dir)
	p.Owner = alice
	p.MinPoll, p.MaxPoll = time.Microsecond, 100*time.Microsecond
	var torn error
	p.Skipped = func(name string, err error) { torn = fmt.Errorf("%s was passed over: %w", name, err) }
	var held appregistry.Receipt
	for held.N < last {
		creds, err := p.Next(ctx)
		if err := errors.Join(err, torn); err != nil {
			return seen, err
		}
		v, err := versionOfAll(creds)
		if err != nil {
			return seen, err
		}
		if v.Epoch < held.Epoch || v.N <= held.N || v != p.Held() {
			return seen, fmt.Errorf("went from %+v to %+v, named %+v", held, v, p.Held())
		}
		held = v
		seen++
	}
	return seen, nil
}

// versionOfAll is the version that all secrets agree on.
func versionOfAll(c plugins.Credentials) (appregistry.Receipt, error) {
	for alias, s := range c.Secrets {
		if string(s) != string(c.Secrets["version"]) {
			return appregistry.Receipt{}, fmt.Errorf("a mixture: %s is of another version", alias)
		}
	}
	return stagetest.Version(c)
}
