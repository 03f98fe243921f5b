package stagetest

import (
	"bytes"
	"context"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tokenwheel/tokenwheel/fsstaging"
)

// Memory is a file system in memory, for tests: quick, and at home in a
// testing/synctest bubble. It may be used concurrently. Its own user is
// "tester"; As makes it act as anybody.
type Memory struct {
	mu   sync.Mutex // guards dirs and all below
	dirs map[string]*memoryDir
}

// File is one file of a [Memory].
type File struct {
	fsstaging.Info
	Data []byte
}

type memoryDir struct {
	info  fsstaging.Info
	files map[string]File
}

// User is whom a [Memory] acts as by itself.
const User = "tester"

// NewMemory returns an empty file system.
func NewMemory() *Memory { return &Memory{dirs: map[string]*memoryDir{}} }

// OpenDir implements [fsstaging.FS].
func (m *Memory) OpenDir(ctx context.Context, dir string, create bool) (fsstaging.Dir, error) {
	return memoryUser{m, User}.OpenDir(ctx, dir, create)
}

// As implements [fsstaging.UserFS].
func (m *Memory) As(_ context.Context, user string) (fsstaging.FS, error) {
	return memoryUser{m, user}, nil
}

// Plant puts a file into a directory, made if need be, or takes its place,
// whatever a stager would say of it.
func (m *Memory) Plant(dir, name string, f File) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dir(dir, f.Owner).files[name] = f
}

// Chmod changes a directory, or a file in it.
func (m *Memory) Chmod(dir, name string, mode fs.FileMode) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.dir(dir, User)
	if name == "." {
		d.info.Mode = mode | fs.ModeDir
		return
	}
	f := d.files[name]
	f.Mode = mode
	d.files[name] = f
}

// Files returns what a directory holds.
func (m *Memory) Files(dir string) map[string]File {
	m.mu.Lock()
	defer m.mu.Unlock()
	files := map[string]File{}
	if d, ok := m.dirs[dir]; ok {
		for name, f := range d.files {
			f.Data = bytes.Clone(f.Data)
			files[name] = f
		}
	}
	return files
}

// dir returns a directory, made for owner if need be. The caller holds mu.
func (m *Memory) dir(name, owner string) *memoryDir {
	d, ok := m.dirs[name]
	if !ok {
		d = &memoryDir{
			info:  fsstaging.Info{Mode: fs.ModeDir | fsstaging.DirMode, Owner: owner, ModTime: time.Now()},
			files: map[string]File{},
		}
		m.dirs[name] = d
	}
	return d
}

type memoryUser struct {
	m    *Memory
	user string
}

func (u memoryUser) OpenDir(ctx context.Context, dir string, create bool) (fsstaging.Dir, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !path.IsAbs(dir) || path.Clean(dir) != dir {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: fs.ErrInvalid}
	}
	u.m.mu.Lock()
	defer u.m.mu.Unlock()
	if up, ok := u.m.dirs[path.Dir(dir)]; ok {
		if _, taken := up.files[path.Base(dir)]; taken {
			return nil, &fs.PathError{Op: "open", Path: dir, Err: fs.ErrInvalid}
		}
	}
	if _, ok := u.m.dirs[dir]; !ok && !create {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: fs.ErrNotExist}
	}
	return memoryHandle{m: u.m, d: u.m.dir(dir, u.user), user: u.user}, nil
}

type memoryHandle struct {
	m    *Memory
	d    *memoryDir
	user string
}

// locked runs f under the lock, after what every method checks first.
func (h memoryHandle) locked(ctx context.Context, op string, names []string, f func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, name := range names {
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
			return &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
		}
	}
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if err := f(); err != nil {
		return &fs.PathError{Op: op, Path: strings.Join(names, " "), Err: err}
	}
	return nil
}

func (h memoryHandle) List(ctx context.Context, each func(name string)) error {
	var names []string
	err := h.locked(ctx, "list", nil, func() error {
		for name := range h.d.files {
			names = append(names, name)
		}
		return nil
	})
	slices.Sort(names) // as HDFS does: by bytes, so that 10 comes before 9
	for _, name := range names {
		each(name)
	}
	return err
}

func (h memoryHandle) Stat(ctx context.Context, name string) (info fsstaging.Info, err error) {
	if name == "." {
		err = h.locked(ctx, "stat", nil, func() error { info = h.d.info; return nil })
		return info, err
	}
	err = h.locked(ctx, "stat", []string{name}, func() error {
		f, ok := h.d.files[name]
		if !ok {
			return fs.ErrNotExist
		}
		info = f.Info
		return nil
	})
	return info, err
}

func (h memoryHandle) Create(ctx context.Context, name string, data []byte) error {
	return h.locked(ctx, "create", []string{name}, func() error {
		if _, taken := h.d.files[name]; taken {
			return fs.ErrExist
		}
		info := fsstaging.Info{Mode: fsstaging.FileMode, Owner: h.user, ModTime: time.Now()}
		h.d.files[name] = File{Info: info, Data: bytes.Clone(data)}
		return nil
	})
}

func (h memoryHandle) Read(ctx context.Context, name string) (data []byte, info fsstaging.Info, err error) {
	err = h.locked(ctx, "read", []string{name}, func() error {
		f, ok := h.d.files[name]
		switch {
		case !ok:
			return fs.ErrNotExist
		case len(f.Data) > fsstaging.MaxFile:
			return fs.ErrInvalid
		}
		data, info = bytes.Clone(f.Data), f.Info
		return nil
	})
	return data, info, err
}

func (h memoryHandle) Rename(ctx context.Context, from, to string) error {
	return h.locked(ctx, "rename", []string{from, to}, func() error {
		f, ok := h.d.files[from]
		if !ok {
			return fs.ErrNotExist
		}
		if _, taken := h.d.files[to]; taken {
			return fs.ErrExist
		}
		delete(h.d.files, from)
		h.d.files[to] = f
		return nil
	})
}

func (h memoryHandle) Remove(ctx context.Context, name string) error {
	return h.locked(ctx, "remove", []string{name}, func() error {
		if _, ok := h.d.files[name]; !ok {
			return fs.ErrNotExist
		}
		delete(h.d.files, name)
		return nil
	})
}

func (memoryHandle) Close() error { return nil }
