//go:build unix

package fsstaging_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/fsstaging"
	"github.com/tokenwheel/tokenwheel/fsstaging/stagetest"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// me is the name of the user the test runs as.
func me(t *testing.T) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username
}

func TestLocal(t *testing.T) {
	base := t.TempDir()
	n := 0
	open := func() (fsstaging.FS, string, error) {
		n++
		return fsstaging.Local{}, filepath.Join(base, strconv.Itoa(n), "stage"), nil
	}
	stagetest.Run(t, stagetest.Config{Open: open, User: me(t)})
}

// TestLocalForOneUser: in a container the application's user needs no name.
func TestLocalForOneUser(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "stage")
	l := fsstaging.Local{OneUser: true}
	mustStage(t, fsstaging.NewStager(l), stagetest.Set("nobody-of-that-name", dir, 1, 1))
	p := fsstaging.NewPickup(fsstaging.Local{}, dir) // the executor names no owner
	if _, err := p.Next(t.Context()); err != nil {
		t.Error(err)
	}
	_, err := fsstaging.Local{}.As(t.Context(), "nobody-of-that-name")
	if plugins.KindOf(err) != plugins.KindRefused {
		t.Errorf("an unknown user: got %v, want it refused", err)
	}
}

// TestLocal_ModesDoNotDependOnTheSurroundings: however odd the umask and the
// parent are. The real tier tries what root stages for others.
func TestLocal_ModesDoNotDependOnTheSurroundings(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "parent")
	if err := errors.Join(os.Mkdir(parent, 0o755), os.Chmod(parent, 0o777|fs.ModeSetgid)); err != nil {
		t.Fatal(err)
	}
	for _, umask := range []int{0, 0o277} {
		t.Run(fmt.Sprintf("umask %04o", umask), func(t *testing.T) {
			defer syscall.Umask(syscall.Umask(umask))
			dir := filepath.Join(parent, strconv.Itoa(umask))
			mustStage(t, fsstaging.NewStager(fsstaging.Local{}), stagetest.Set(me(t), dir, 1, 1))
			seen := 0
			err := filepath.Walk(dir, func(path string, fi fs.FileInfo, err error) error {
				if err != nil {
					return err
				}
				seen++
				want := fs.FileMode(0o600)
				if fi.IsDir() {
					want = fs.ModeDir | 0o700
				}
				if fi.Mode() != want {
					t.Errorf("%s: mode %v, want %v", path, fi.Mode(), want)
				}
				return nil
			})
			if err != nil || seen != 2 {
				t.Errorf("found %d things, %v; want the directory and one file", seen, err)
			}
		})
	}
}

// planted is a directory with one sound file, generation 1, and whatever a case
// adds as the newer file n, generation 2.
type planted struct {
	dir, outside string
	n            string // path of the newer file's name
	whole        []byte // bytes that would be right for it
}

// TestT29_PlantedThings: nothing but a private regular file with one name is
// read, and a directory that is none is not entered.
// Shows: F43, T-30, C-S34.
func TestT29_PlantedThings(t *testing.T) {
	inPlace := func(p planted) error { return os.WriteFile(p.n, p.whole, 0o600) }
	elsewhere := func(p planted) (string, error) {
		other := filepath.Join(p.outside, "file")
		return other, os.WriteFile(other, p.whole, 0o600)
	}
	replaceDir := func(p planted, with func(moved string) error) error {
		moved := p.dir + ".moved"
		return errors.Join(os.Rename(p.dir, moved), with(moved))
	}
	tests := []struct {
		name    string
		plant   func(p planted) error
		refused bool // at the start; otherwise the older file is taken
	}{
		{"link to a sound file elsewhere", func(p planted) error {
			other, err := elsewhere(p)
			return errors.Join(err, os.Symlink(other, p.n))
		}, false},
		{"link to a sound file beside it", func(p planted) error {
			beside := filepath.Join(p.dir, ".beside")
			return errors.Join(os.WriteFile(beside, p.whole, 0o600), os.Symlink(".beside", p.n))
		}, false},
		{"link to nothing", func(p planted) error { return os.Symlink("nothing", p.n) }, false},
		{"link to itself", func(p planted) error { return os.Symlink(filepath.Base(p.n), p.n) }, false},
		{"hard link", func(p planted) error {
			other, err := elsewhere(p)
			return errors.Join(err, os.Link(other, p.n))
		}, false},
		{"pipe", func(p planted) error { return syscall.Mkfifo(p.n, 0o600) }, false},
		{"socket", func(p planted) error {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(p.dir, ".s")})
			if err != nil {
				return err
			}
			l.SetUnlinkOnClose(false)
			return errors.Join(os.Rename(filepath.Join(p.dir, ".s"), p.n), l.Close())
		}, false},
		{"directory", func(p planted) error { return os.Mkdir(p.n, 0o700) }, false},
		{"file that others read", func(p planted) error { return errors.Join(inPlace(p), os.Chmod(p.n, 0o644)) }, false},
		{"file that group writes", func(p planted) error { return errors.Join(inPlace(p), os.Chmod(p.n, 0o620)) }, false},
		{"set-uid file", func(p planted) error { return errors.Join(inPlace(p), os.Chmod(p.n, 0o600|fs.ModeSetuid)) }, false},
		{"file longer than any", func(p planted) error {
			return errors.Join(inPlace(p), os.Truncate(p.n, 1<<40))
		}, false},
		{"directory is a link", func(p planted) error {
			return replaceDir(p, func(moved string) error { return os.Symlink(moved, p.dir) })
		}, true},
		{"directory is a pipe", func(p planted) error {
			return replaceDir(p, func(string) error { return syscall.Mkfifo(p.dir, 0o700) })
		}, true},
		{"directory that others read", func(p planted) error { return os.Chmod(p.dir, 0o705) }, true},
		{"directory that all write", func(p planted) error { return os.Chmod(p.dir, 0o777|fs.ModeSticky) }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newPlanted(t)
			if err := tt.plant(p); err != nil {
				t.Fatal(err)
			}
			_, stageErr := fsstaging.NewStager(fsstaging.Local{}).Stage(t.Context(), stagetest.Set(me(t), p.dir, 1, 3))
			pickup := fsstaging.NewPickup(fsstaging.Local{}, p.dir)
			_, err := pickup.Next(t.Context())
			if tt.refused {
				wantUnsafe(t, stageErr, p.dir)
				wantUnsafe(t, err, p.dir)
				return
			}
			if err != nil || pickup.Held().N != 3 || stageErr != nil {
				t.Errorf("picked up %+v, %v; staged: %v", pickup.Held(), err, stageErr)
			}
		})
		t.Run(tt.name+", newest", func(t *testing.T) {
			t.Parallel()
			p := newPlanted(t)
			if err := tt.plant(p); err != nil {
				t.Fatal(err)
			}
			pickup := fsstaging.NewPickup(fsstaging.Local{}, p.dir)
			if _, err := pickup.Next(t.Context()); !tt.refused && (err != nil || pickup.Held().N != 1) {
				t.Errorf("picked up %+v, %v; want generation 1", pickup.Held(), err)
			}
		})
	}
}

func newPlanted(t *testing.T) planted {
	t.Helper()
	p := planted{dir: filepath.Join(t.TempDir(), "stage"), outside: t.TempDir(), whole: encoded(t, 1, 2)}
	mustStage(t, fsstaging.NewStager(fsstaging.Local{}), stagetest.Set(me(t), p.dir, 1, 1))
	p.n = filepath.Join(p.dir, prefix+"-2")
	return p
}

// TestT29_SwappedWhileUsed: the file's name goes back and forth between the file
// and a link to a forged one, as fast as can be; the forged one is never taken.
// The same for the directory.
func TestT29_SwappedWhileUsed(t *testing.T) {
	const rounds = 20_000
	swaps := map[string]func(base string) (name, real, forged string){
		"file": func(base string) (string, string, string) {
			d := filepath.Join(base, "stage")
			name := filepath.Join(d, prefix+"-2")
			return name, filepath.Join(d, ".real"), ".forged"
		},
		"directory": func(base string) (string, string, string) {
			return filepath.Join(base, "stage"), filepath.Join(base, "real"), "forged"
		},
	}
	for what, paths := range swaps {
		t.Run(what, func(t *testing.T) {
			base := t.TempDir()
			for sub, n := range map[string]uint32{"stage": 2, "forged": 666} {
				d := filepath.Join(base, sub)
				err := errors.Join(os.Mkdir(d, 0o700), os.WriteFile(filepath.Join(d, prefix+"-2"), encoded(t, 1, n), 0o600))
				if err != nil {
					t.Fatal(err)
				}
			}
			// Forged things stand beside the real ones: os.Root follows no link that leads further.
			err := os.WriteFile(filepath.Join(base, "stage", ".forged"), encoded(t, 1, 666), 0o600)
			if err != nil {
				t.Fatal(err)
			}
			name, real, forged := paths(base)
			stop := swap(t, name, real, forged)
			defer stop()
			found := 0
			d := filepath.Join(base, "stage")
			for i := 0; i < rounds || found == 0; i++ {
				v, ok := readOnce(t, d)
				if ok {
					found++
				}
				if v.N == 666 {
					t.Fatalf("round %d: the forged file was read", i)
				}
			}
			t.Logf("%d of %d reads found the real file", found, rounds)
		})
	}
}

// readOnce opens the directory and reads generation 2, whatever comes of it.
func readOnce(t *testing.T, dir string) (appregistry.Receipt, bool) {
	t.Helper()
	d, err := fsstaging.Local{}.OpenDir(t.Context(), dir, false)
	if err != nil {
		return appregistry.Receipt{}, false
	}
	defer d.Close()
	data, _, err := d.Read(t.Context(), prefix+"-2")
	if err != nil {
		return appregistry.Receipt{}, false
	}
	return decoded(t, data), true
}

// swap moves name to real and puts a link to forged in its place, and back, until
// stopped.
func swap(t *testing.T, name, real, forged string) (stop func()) {
	t.Helper()
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			err := errors.Join(os.Rename(name, real), os.Symlink(forged, name), os.Remove(name), os.Rename(real, name))
			if err != nil {
				t.Error(err)
				return
			}
			runtime.Gosched()
		}
	})
	return func() { close(done); wg.Wait() }
}

// TestB106_HugeListing: 10^5 foreign names cost little memory.
func TestB106_HugeListing(t *testing.T) {
	const foreign, most = 100_000, 20 << 20
	d := filepath.Join(t.TempDir(), "stage")
	s := fsstaging.NewStager(fsstaging.Local{})
	mustStage(t, s, stagetest.Set(me(t), d, 1, 1))
	makeForeign(t, d, foreign)
	p := fsstaging.NewPickup(fsstaging.Local{}, d)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := p.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > most {
		t.Errorf("listed and chose with %d bytes allocated, want %d at most", grown, most)
	}
	if p.Census().Foreign != foreign {
		t.Errorf("foreign names: got %d, want %d", p.Census().Foreign, foreign)
	}
}

// makeForeign makes n names, as links to few files: that is quick.
func makeForeign(t *testing.T, dir string, n int) {
	t.Helper()
	const linksEach = 30_000
	file := ""
	for i := range n {
		name := filepath.Join(dir, fmt.Sprintf("%s-x%d", prefix, i))
		err := error(nil)
		if i%linksEach == 0 {
			file = name
			err = os.WriteFile(name, nil, 0o600)
		} else {
			err = os.Link(file, name)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
