package stagetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"github.com/tokenwheel/tokenwheel/fsstaging"
)

func checkMissingDir(ctx context.Context, e env) error {
	_, err := e.fs.OpenDir(ctx, e.dir, false)
	return want("open a directory that is not there", err, fs.ErrNotExist)
}

func checkModes(ctx context.Context, e env) error {
	return e.within(ctx, func(d fsstaging.Dir) error {
		if err := d.Create(ctx, "a", []byte("x")); err != nil {
			return err
		}
		dir, err := d.Stat(ctx, ".")
		if err != nil {
			return err
		}
		stat, err := d.Stat(ctx, "a")
		if err != nil {
			return err
		}
		_, read, err := d.Read(ctx, "a")
		if err != nil {
			return err
		}
		return errors.Join(
			e.private("the directory", dir, fs.ModeDir|fsstaging.DirMode),
			e.private("Stat of a file", stat, fsstaging.FileMode),
			e.private("Read of a file", read, fsstaging.FileMode))
	})
}

func (e env) private(what string, i fsstaging.Info, mode fs.FileMode) error {
	switch {
	case i.Mode != mode:
		return fmt.Errorf("%s: mode %v, want %v", what, i.Mode, mode)
	case i.Owner != e.User:
		return fmt.Errorf("%s: owner %q, want %q", what, i.Owner, e.User)
	case i.ModTime.IsZero():
		return fmt.Errorf("%s: no modification time", what)
	}
	return nil
}

func checkNotADir(ctx context.Context, e env) error {
	return e.within(ctx, func(d fsstaging.Dir) error {
		if err := d.Create(ctx, "a", nil); err != nil {
			return err
		}
		for _, create := range []bool{false, true} {
			if sub, err := e.fs.OpenDir(ctx, child(e.dir, "a"), create); err == nil {
				return errors.Join(errors.New("a file was opened as a directory"), sub.Close())
			}
		}
		return content(ctx, d, "a", "")
	})
}

func checkExclusive(ctx context.Context, e env) error {
	return e.within(ctx, func(d fsstaging.Dir) error {
		if err := d.Create(ctx, "a", []byte("first")); err != nil {
			return err
		}
		return errors.Join(
			want("create a second time", d.Create(ctx, "a", []byte("second")), fs.ErrExist),
			content(ctx, d, "a", "first"))
	})
}

func checkOneWinner(ctx context.Context, e env) error {
	const writers = 4
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			errs[i] = e.within(ctx, func(d fsstaging.Dir) error { return d.Create(ctx, "a", nil) })
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("create at the same time: %w", err)
		}
	}
	if won != 1 {
		return fmt.Errorf("%d of %d creators of one name succeeded, want 1", won, writers)
	}
	return nil
}

func checkContent(ctx context.Context, e env) error {
	return e.within(ctx, func(d fsstaging.Dir) error {
		_, _, err := d.Read(ctx, "none")
		errs := []error{want("read a file that is not there", err, fs.ErrNotExist)}
		_, err = d.Stat(ctx, "none")
		errs = append(errs, want("stat a file that is not there", err, fs.ErrNotExist))
		for name, data := range map[string]string{
			"empty": "", "small": "HDTS\x00\x00\x00", "large": strings.Repeat("0123456789abcdef", 20_000),
		} {
			if err := d.Create(ctx, name, []byte(data)); err != nil {
				return err
			}
			errs = append(errs, content(ctx, d, name, data))
		}
		return errors.Join(errs...)
	})
}

func checkRename(ctx context.Context, e env) error {
	return e.within(ctx, func(d fsstaging.Dir) error {
		for _, name := range []string{"a", "b"} {
			if err := d.Create(ctx, name, []byte("of "+name)); err != nil {
				return err
			}
		}
		errs := []error{
			want("rename to a taken name", d.Rename(ctx, "a", "b"), fs.ErrExist),
			content(ctx, d, "a", "of a"),
			content(ctx, d, "b", "of b"),
			want("rename a file that is not there", d.Rename(ctx, "none", "c"), fs.ErrNotExist),
		}
		if err := d.Rename(ctx, "a", "c"); err != nil {
			return errors.Join(append(errs, err)...)
		}
		_, err := d.Stat(ctx, "a")
		return errors.Join(append(errs, content(ctx, d, "c", "of a"), want("the old name", err, fs.ErrNotExist))...)
	})
}

// checkWhole reads a name while a file is written elsewhere and renamed to it.
func checkWhole(ctx context.Context, e env) error {
	const rounds = 20
	data := strings.Repeat("whole or not at all ", 5_000)
	return e.within(ctx, func(d fsstaging.Dir) error {
		if err := d.Create(ctx, "here", nil); err != nil {
			return err
		}
		done := make(chan struct{})
		torn := make(chan error, 1)
		go func() { torn <- e.watch(ctx, "final", data, done) }()
		err := error(nil)
		for i := 0; i < rounds && err == nil; i++ {
			err = publish(ctx, d, "final", data)
		}
		close(done)
		return errors.Join(err, <-torn)
	})
}

func publish(ctx context.Context, d fsstaging.Dir, name, data string) error {
	if err := d.Create(ctx, name+".tmp", []byte(data)); err != nil {
		return err
	}
	if err := d.Rename(ctx, name+".tmp", name); err != nil {
		return err
	}
	if err := content(ctx, d, name, data); err != nil {
		return err
	}
	return d.Remove(ctx, name)
}

// watch reads name until done: whole or missing, nothing between.
func (e env) watch(ctx context.Context, name, data string, done <-chan struct{}) error {
	return e.within(ctx, func(d fsstaging.Dir) error {
		for {
			select {
			case <-done:
				return nil
			default:
			}
			if err := content(ctx, d, name, data); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("while it is renamed: %w", err)
			}
		}
	})
}

func checkRemove(ctx context.Context, e env) error {
	return e.within(ctx, func(d fsstaging.Dir) error {
		if err := d.Create(ctx, "a", nil); err != nil {
			return err
		}
		if err := d.Remove(ctx, "a"); err != nil {
			return err
		}
		_, err := d.Stat(ctx, "a")
		return errors.Join(
			want("stat after removal", err, fs.ErrNotExist),
			want("remove a second time", d.Remove(ctx, "a"), fs.ErrNotExist))
	})
}

func checkList(ctx context.Context, e env) error {
	return e.within(ctx, func(d fsstaging.Dir) error {
		want := map[string]int{}
		for i := range e.Names {
			name := fmt.Sprintf("n-%d", i)
			want[name] = 1
			if err := d.Create(ctx, name, nil); err != nil {
				return err
			}
		}
		got := map[string]int{}
		if err := d.List(ctx, func(name string) { got[name]++ }); err != nil {
			return err
		}
		for name, n := range got {
			if n != want[name] {
				return fmt.Errorf("%q is listed %d times, want %d", name, n, want[name])
			}
		}
		if len(got) != len(want) {
			return fmt.Errorf("%d names are listed, want %d", len(got), len(want))
		}
		return nil
	})
}

func checkNames(ctx context.Context, e env) error {
	return e.within(ctx, func(d fsstaging.Dir) error {
		if err := d.Create(ctx, "a", nil); err != nil {
			return err
		}
		var errs []error
		for _, name := range []string{"", ".", "..", "../a", "b/c", "/a", "b\x00c"} {
			_, _, readErr := d.Read(ctx, name)
			for op, err := range map[string]error{
				"create": d.Create(ctx, name, nil), "read": readErr, "remove": d.Remove(ctx, name),
				"rename to": d.Rename(ctx, "a", name), "rename from": d.Rename(ctx, name, "z"),
			} {
				if err == nil {
					errs = append(errs, fmt.Errorf("%s %q is accepted", op, name))
				}
			}
		}
		return errors.Join(append(errs, content(ctx, d, "a", ""))...)
	})
}

func checkContext(ctx context.Context, e env) error {
	return e.within(ctx, func(d fsstaging.Dir) error {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		_, openErr := e.fs.OpenDir(ended, e.dir, true)
		_, _, readErr := d.Read(ended, "a")
		return errors.Join(
			want("open", openErr, context.Canceled),
			want("list", d.List(ended, func(string) {}), context.Canceled),
			want("create", d.Create(ended, "a", nil), context.Canceled),
			want("read", readErr, context.Canceled))
	})
}
