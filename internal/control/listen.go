package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// ErrInUse wraps into the error of [Listen] where a daemon answers already.
var ErrInUse = errors.New("another daemon serves this socket")

// listener removes its socket, and only its own, when it is closed.
type listener struct {
	*net.UnixListener
	path string
	made os.FileInfo
}

// Listen makes a control socket of that mode and, unless gid is -1, group. The
// socket of a dead daemon is replaced; a live one is an error that wraps
// [ErrInUse] and names its process. At no moment can more people open the socket
// than the mode says.
func Listen(path string, mode os.FileMode, gid int) (net.Listener, error) {
	l, err := listen(path, mode, gid)
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	return l, nil
}

// listen makes the socket under a name of its own, and moves it into place once
// its mode is right.
func listen(path string, mode os.FileMode, gid int) (_ net.Listener, err error) {
	unlock, err := lock(path)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := vacant(path); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".c") // mode 0700; a short name, since a socket's is limited
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	temp := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: temp})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			l.Close()
		}
	}()
	l.SetUnlinkOnClose(false)
	if gid >= 0 {
		if err := os.Chown(temp, -1, gid); err != nil {
			return nil, err
		}
	}
	if err := os.Chmod(temp, mode); err != nil {
		return nil, err
	}
	made, err := os.Lstat(temp)
	if err != nil {
		return nil, err
	}
	if err := os.Rename(temp, path); err != nil {
		return nil, err
	}
	return &listener{l, path, made}, nil
}

// Close implements net.Listener.
func (l *listener) Close() error {
	// The socket is removed while it is open, as nothing else can have its inode then.
	unlock, err := lock(l.path)
	if err == nil {
		if now, e := os.Lstat(l.path); e == nil && os.SameFile(now, l.made) {
			err = os.Remove(l.path)
		}
		unlock()
	}
	return errors.Join(err, l.UnixListener.Close())
}

const (
	lockFor   = 5 * time.Second
	lockAgain = 5 * time.Millisecond
)

// lock keeps the place to its caller: between a look at it and what follows from
// that nobody else takes or leaves it. The file it does that by is nobody's but the
// daemon's, and gone afterwards.
func lock(path string) (unlock func(), err error) {
	name := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".lock")
	for begun := time.Now(); ; time.Sleep(lockAgain) {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, err
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil && isAt(f, name) {
			return func() { _ = os.Remove(name); f.Close() }, nil
		}
		f.Close()
		if err != nil && !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		if time.Since(begun) > lockFor {
			return nil, fmt.Errorf("%w: it has had %s for more than %s", ErrInUse, name, lockFor)
		}
	}
}

// isAt reports whether an open file is what has that name, and was not removed by
// who had its lock.
func isAt(f *os.File, name string) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(name)
	return err == nil && os.SameFile(open, there)
}

// vacant checks that nobody serves the path, and that what is there is a socket if
// it is anything: the one of a daemon that is dead.
func vacant(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("something else than a socket is there: remove it, or choose another path")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
		return nil // its daemon is dead
	}
	if err != nil {
		return err
	}
	defer c.Close()
	peer, err := peerOf(c)
	if err != nil {
		return fmt.Errorf("%w (%w)", ErrInUse, err)
	}
	return fmt.Errorf("%w: process %d", ErrInUse, peer.PID)
}
