package stagetest_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/fsstaging"
	"github.com/tokenwheel/tokenwheel/fsstaging/stagetest"
)

const dir = "/user/tester/.stage/stream-42"

func TestMemory(t *testing.T) {
	stagetest.Run(t, stagetest.Config{
		Open: func() (fsstaging.FS, string, error) { return stagetest.NewMemory(), dir, nil },
		User: stagetest.User,
	})
}

// broken is a file system whose directories are replaced by worse ones.
type broken struct {
	fsstaging.FS
	worse func(fsstaging.Dir) fsstaging.Dir
}

func (b broken) OpenDir(ctx context.Context, dir string, create bool) (fsstaging.Dir, error) {
	d, err := b.FS.OpenDir(ctx, dir, create)
	if err != nil {
		return nil, err
	}
	return b.worse(d), nil
}

type overwritingRename struct{ fsstaging.Dir }

func (d overwritingRename) Rename(ctx context.Context, from, to string) error {
	if _, err := d.Stat(ctx, from); err == nil {
		_ = d.Remove(ctx, to)
	}
	return d.Dir.Rename(ctx, from, to)
}

type sharedCreate struct{ fsstaging.Dir }

func (d sharedCreate) Create(ctx context.Context, name string, data []byte) error {
	err := d.Dir.Create(ctx, name, data)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// copyingRename writes under the final name in two steps.
type copyingRename struct{ fsstaging.Dir }

func (d copyingRename) Rename(ctx context.Context, from, to string) error {
	data, _, err := d.Read(ctx, from)
	if err != nil {
		return err
	}
	if err := d.Create(ctx, to, data[:len(data)/2]); err != nil {
		return err
	}
	time.Sleep(time.Millisecond) // long enough for a reader to come by
	return errors.Join(d.Remove(ctx, to), d.Dir.Rename(ctx, from, to))
}

type shortRead struct{ fsstaging.Dir }

func (d shortRead) Read(ctx context.Context, name string) ([]byte, fsstaging.Info, error) {
	data, info, err := d.Dir.Read(ctx, name)
	return data[:min(len(data), 4096)], info, err
}

type wide struct{ fsstaging.Dir }

func (d wide) Stat(ctx context.Context, name string) (fsstaging.Info, error) {
	info, err := d.Dir.Stat(ctx, name)
	info.Mode |= 0o044
	return info, err
}

type firstPage struct{ fsstaging.Dir }

func (d firstPage) List(ctx context.Context, each func(string)) error {
	left := 1000
	return d.Dir.List(ctx, func(name string) {
		if left--; left >= 0 {
			each(name)
		}
	})
}

type ownerless struct{ fsstaging.Dir }

func (d ownerless) Read(ctx context.Context, name string) ([]byte, fsstaging.Info, error) {
	data, info, err := d.Dir.Read(ctx, name)
	info.Owner = ""
	return data, info, err
}

type vagueErrors struct{ fsstaging.Dir }

func (d vagueErrors) Remove(ctx context.Context, name string) error {
	if d.Dir.Remove(ctx, name) != nil {
		return errors.New("something went wrong")
	}
	return nil
}

type deaf struct{ fsstaging.Dir }

func (d deaf) List(_ context.Context, each func(string)) error {
	return d.Dir.List(context.Background(), each)
}

// TestVerifyFindsBrokenFileSystems shows that the suite can fail, and at which
// check.
func TestVerifyFindsBrokenFileSystems(t *testing.T) {
	tests := []struct {
		name  string
		worse func(fsstaging.Dir) fsstaging.Dir
		check string
	}{
		{"rename overwrites", func(d fsstaging.Dir) fsstaging.Dir { return overwritingRename{d} }, "a rename overwrites nothing"},
		{"create is not exclusive", func(d fsstaging.Dir) fsstaging.Dir { return sharedCreate{d} }, "creation is exclusive"},
		{"create is not exclusive in a race", func(d fsstaging.Dir) fsstaging.Dir { return sharedCreate{d} }, "of many creators one wins"},
		{"rename copies", func(d fsstaging.Dir) fsstaging.Dir { return copyingRename{d} }, "a rename shows whole files only"},
		{"reads are short", func(d fsstaging.Dir) fsstaging.Dir { return shortRead{d} }, "what is written is read back whole"},
		{"modes are wide", func(d fsstaging.Dir) fsstaging.Dir { return wide{d} }, "directories and files are private"},
		{"only the first page is listed", func(d fsstaging.Dir) fsstaging.Dir { return firstPage{d} }, "a listing is complete"},
		{"no owner is told", func(d fsstaging.Dir) fsstaging.Dir { return ownerless{d} }, "generations are staged and picked up"},
		{"errors mean nothing", func(d fsstaging.Dir) fsstaging.Dir { return vagueErrors{d} }, "removal removes"},
		{"the context is ignored", func(d fsstaging.Dir) fsstaging.Dir { return deaf{d} }, "an ended context ends the work"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := stagetest.Verify(t.Context(), stagetest.Config{
				Open: func() (fsstaging.FS, string, error) {
					return broken{stagetest.NewMemory(), tt.worse}, dir, nil
				},
				User: stagetest.User,
			})
			if err == nil || !strings.Contains(err.Error(), tt.check) {
				t.Errorf("got %v, want a failure of %q", err, tt.check)
			}
		})
	}
}
