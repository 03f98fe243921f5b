package fsstaging_test

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tokenwheel/tokenwheel/fsstaging"
)

// faulty lets a test fail chosen operations of a file system.
type faulty struct {
	fsstaging.FS
	// fault is asked before each operation. A non-nil [failure] is what happens
	// instead, or after it.
	fault func(op, name string) *failure
	// overwrites makes renames take the place of what is there, as HDFS can.
	overwrites bool

	mu  sync.Mutex
	ops []string // what was done, guarded by mu
}

// failure says how an operation fails.
type failure struct {
	err  error
	done bool // it is carried out all the same: the answer is lost
	half bool // Create leaves half of the bytes behind
}

var errCut = errors.New("connection cut")

func (f *faulty) OpenDir(ctx context.Context, dir string, create bool) (fsstaging.Dir, error) {
	if x := f.begin("open", ""); x != nil {
		return nil, x.err
	}
	d, err := f.FS.OpenDir(ctx, dir, create)
	if err != nil {
		return nil, err
	}
	return faultyDir{Dir: d, f: f}, nil
}

// As hides nothing: who can act as others goes on doing so.
func (f *faulty) As(ctx context.Context, user string) (fsstaging.FS, error) {
	u, ok := f.FS.(fsstaging.UserFS)
	if !ok {
		return f, nil
	}
	as, err := u.As(ctx, user)
	return &faultyUser{faulty: f, fs: as}, err
}

type faultyUser struct {
	*faulty
	fs fsstaging.FS
}

func (f *faultyUser) OpenDir(ctx context.Context, dir string, create bool) (fsstaging.Dir, error) {
	if x := f.begin("open", ""); x != nil {
		return nil, x.err
	}
	d, err := f.fs.OpenDir(ctx, dir, create)
	if err != nil {
		return nil, err
	}
	return faultyDir{Dir: d, f: f.faulty}, nil
}

func (f *faulty) begin(op, name string) *failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ops = append(f.ops, op+" "+name)
	if f.fault == nil {
		return nil
	}
	return f.fault(op, name)
}

type faultyDir struct {
	fsstaging.Dir
	f *faulty
}

func (d faultyDir) do(op, name string, real func() error) error {
	x := d.f.begin(op, name)
	if x == nil {
		return real()
	}
	if x.done {
		if err := real(); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s %s: %w", op, name, x.err)
}

func (d faultyDir) List(ctx context.Context, each func(string)) error {
	return d.do("list", "", func() error { return d.Dir.List(ctx, each) })
}

func (d faultyDir) Stat(ctx context.Context, name string) (info fsstaging.Info, err error) {
	err = d.do("stat", name, func() (err error) { info, err = d.Dir.Stat(ctx, name); return err })
	return info, err
}

func (d faultyDir) Create(ctx context.Context, name string, data []byte) error {
	x := d.f.begin("create", name)
	if x == nil {
		return d.Dir.Create(ctx, name, data)
	}
	if x.half {
		data = data[:len(data)/2]
	}
	if x.half || x.done {
		if err := d.Dir.Create(ctx, name, data); err != nil {
			return err
		}
	}
	return fmt.Errorf("create %s: %w", name, x.err)
}

func (d faultyDir) Read(ctx context.Context, name string) (data []byte, info fsstaging.Info, err error) {
	err = d.do("read", name, func() (err error) { data, info, err = d.Dir.Read(ctx, name); return err })
	return data, info, err
}

func (d faultyDir) Rename(ctx context.Context, from, to string) error {
	return d.do("rename", to, func() error {
		if d.f.overwrites {
			_ = d.Dir.Remove(ctx, to)
		}
		return d.Dir.Rename(ctx, from, to)
	})
}

func (d faultyDir) Remove(ctx context.Context, name string) error {
	return d.do("remove", name, func() error { return d.Dir.Remove(ctx, name) })
}
