//go:build unix

package fsstaging

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path"
	"strconv"
	"syscall"

	"github.com/tokenwheel/tokenwheel/plugins"
)

// Local is the file system of this machine: shared volumes, init containers,
// executors on one host. The zero value opens directories of the process's own
// user. It holds nothing and may be used concurrently.
//
// A directory is held by a handle once its owner is known, every name in it is
// looked up through that handle, and files are checked on the open file: links,
// pipes, devices and files with a second name are refused, and a directory
// swapped for another has no effect on what is open.
type Local struct {
	// OneUser lets files belong to the process's own user whatever the
	// application's user is called, as in a container whose user has no name.
	// Otherwise a process writes for its own user, and root for any.
	OneUser bool
}

var _ UserFS = Local{}

// OpenDir implements [FS] for the process's own user.
func (Local) OpenDir(ctx context.Context, dir string, create bool) (Dir, error) {
	uid := os.Geteuid()
	return localUser{uid: uid, gid: os.Getegid(), name: strconv.Itoa(uid)}.OpenDir(ctx, dir, create)
}

// As implements [UserFS]. Only root may act as somebody else.
func (l Local) As(_ context.Context, name string) (FS, error) {
	self := localUser{uid: os.Geteuid(), gid: os.Getegid(), name: name}
	if l.OneUser {
		return self, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return nil, plugins.Refused("unknown-user", fmt.Errorf("a local directory belongs to its user, who has no account on this machine: %w", err))
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return nil, plugins.Refused("unknown-user", err)
	}
	if uid == self.uid {
		return self, nil
	}
	if self.uid != 0 {
		return nil, plugins.Denied(fmt.Errorf("act as %q: this process runs as uid %d", name, self.uid))
	}
	return localUser{uid: uid, gid: gid, name: name}, nil
}

// localUser is the file system as one user, who owns what is created.
type localUser struct {
	uid, gid int
	name     string
}

// own reports whether the process itself is that user.
func (u localUser) own() bool { return u.uid == os.Geteuid() }

// OpenDir implements [FS].
func (u localUser) OpenDir(ctx context.Context, dir string, create bool) (Dir, error) {
	if err := errors.Join(ctx.Err(), checkDir(dir)); err != nil {
		return nil, err
	}
	parent, base := path.Split(dir)
	// Root creates nothing above a directory that it gives away: the user would
	// own the way there and could bend it.
	if create && u.own() {
		if err := os.MkdirAll(parent, DirMode); err != nil {
			return nil, err
		}
	}
	above, err := os.OpenRoot(parent)
	if err != nil {
		return nil, err
	}
	defer above.Close()
	made := false
	if create {
		if err := above.Mkdir(base, DirMode); err == nil {
			made = true
		} else if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	root, err := openNoFollow(above, base)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	d := &localDir{root: root, user: u, path: dir}
	if made {
		err = d.giveAway()
	}
	if err == nil {
		err = d.checkOwner()
	}
	if err != nil {
		_ = root.Close()
		return nil, err
	}
	return d, nil
}

// openNoFollow opens a directory that is no link. A swap between the look and
// the opening shows as another file.
func openNoFollow(above *os.Root, base string) (*os.Root, error) {
	before, err := above.Lstat(base)
	if err != nil {
		return nil, err
	}
	if !before.IsDir() {
		return nil, unsafe("it is a %s, not a directory", typeWord(before.Mode()))
	}
	root, err := above.OpenRoot(base)
	if err != nil {
		return nil, err
	}
	after, err := root.Stat(".")
	if err == nil && !os.SameFile(before, after) {
		err = unsafe("it was replaced while it was opened")
	}
	if err != nil {
		_ = root.Close()
		return nil, err
	}
	return root, nil
}

type localDir struct {
	root *os.Root
	user localUser
	path string
}

// giveAway sets mode and owner of a directory just created, whatever the umask
// and the parent's set-gid bit made of it.
func (d *localDir) giveAway() error {
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	return errors.Join(d.settle(f, DirMode), f.Sync())
}

// settle gives an open file its mode and owner.
func (d *localDir) settle(f *os.File, mode fs.FileMode) error {
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if d.user.own() {
		return nil
	}
	return f.Chown(d.user.uid, d.user.gid)
}

func (d *localDir) checkOwner() error {
	info, err := d.root.Stat(".")
	if err != nil {
		return err
	}
	if i := d.user.info(info); i.Owner != d.user.name {
		return unsafe("%s belongs to %q, want %q", d.path, i.Owner, d.user.name)
	}
	return nil
}

// info translates. The owner is the user's name if it is that user, else a uid.
func (u localUser) info(fi fs.FileInfo) Info {
	i := Info{Mode: fi.Mode(), ModTime: fi.ModTime()}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		i.Owner = "uid " + strconv.FormatUint(uint64(st.Uid), 10)
		if int(st.Uid) == u.uid {
			i.Owner = u.name
		}
	}
	return i
}

// List implements [Dir].
func (d *localDir) List(ctx context.Context, each func(name string)) error {
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	const page = 512
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		names, err := f.Readdirnames(page)
		for _, name := range names {
			each(name)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Stat implements [Dir].
func (d *localDir) Stat(ctx context.Context, name string) (Info, error) {
	if err := ctx.Err(); err != nil {
		return Info{}, err
	}
	if name != "." {
		if err := checkElement(name); err != nil {
			return Info{}, err
		}
	}
	fi, err := d.root.Lstat(name)
	if err != nil {
		return Info{}, err
	}
	return d.user.info(fi), nil
}

// Create implements [Dir]: file and directory are synced.
func (d *localDir) Create(ctx context.Context, name string, data []byte) error {
	if err := errors.Join(ctx.Err(), checkElement(name)); err != nil {
		return err
	}
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, FileMode)
	if err != nil {
		return err
	}
	if err = d.settle(f, FileMode); err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return d.sync()
}

// Read implements [Dir]. What it checks, it checks on the open file.
func (d *localDir) Read(ctx context.Context, name string) ([]byte, Info, error) {
	if err := errors.Join(ctx.Err(), checkElement(name)); err != nil {
		return nil, Info{}, err
	}
	before, err := d.root.Lstat(name)
	if err != nil {
		return nil, Info{}, err
	}
	if !before.Mode().IsRegular() {
		return nil, Info{}, unsafe("%s is a %s", name, typeWord(before.Mode()))
	}
	// Not to block on a pipe that takes the file's place.
	f, err := d.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, Info{}, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, Info{}, err
	}
	if err := checkOpen(name, before, fi); err != nil {
		return nil, Info{}, err
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err == nil && len(data) > MaxFile {
		err = fmt.Errorf("%s is longer than %d bytes", name, MaxFile)
	}
	return data, d.user.info(fi), err
}

// checkOpen refuses an open file that is not the one looked at, or that another
// name leads to as well.
func checkOpen(name string, before, open fs.FileInfo) error {
	if !os.SameFile(before, open) {
		return unsafe("%s was replaced while it was opened", name)
	}
	if st, ok := open.Sys().(*syscall.Stat_t); ok && st.Nlink > 1 {
		return unsafe("%s has %d names", name, st.Nlink)
	}
	return nil
}

// Rename implements [Dir].
func (d *localDir) Rename(ctx context.Context, from, to string) error {
	if err := errors.Join(ctx.Err(), checkElement(from), checkElement(to)); err != nil {
		return err
	}
	if _, err := d.root.Lstat(to); err == nil {
		return &fs.PathError{Op: "rename", Path: to, Err: fs.ErrExist}
	}
	if err := d.root.Rename(from, to); err != nil {
		return err
	}
	return d.sync()
}

// Remove implements [Dir].
func (d *localDir) Remove(ctx context.Context, name string) error {
	if err := errors.Join(ctx.Err(), checkElement(name)); err != nil {
		return err
	}
	return d.root.Remove(name)
}

// Close implements [Dir].
func (d *localDir) Close() error { return d.root.Close() }

// sync makes names durable.
func (d *localDir) sync() error {
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
