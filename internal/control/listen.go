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
	if _, err := vacant(path); err != nil {
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
	for {
		err := os.Link(temp, path) // and not a rename: of two who start at once one gets the place
		if err == nil {
			return &listener{l, path, made}, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if err := moveAside(path, filepath.Join(dir, "old")); err != nil {
			return nil, err
		}
	}
}

// moveAside takes a dead socket out of the way, to a name of our own.
func moveAside(path, aside string) error {
	dead, err := vacant(path)
	if err != nil || dead == nil {
		return err
	}
	if err := os.Rename(path, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	moved, err := os.Lstat(aside)
	if err != nil || os.SameFile(moved, dead) {
		return nil // it is out of the way, by us or by somebody else
	}
	// Somebody has begun to serve there since.
	if err := os.Link(aside, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return ErrInUse
}

// Close implements net.Listener.
func (l *listener) Close() error {
	err := l.UnixListener.Close()
	if now, e := os.Lstat(l.path); e == nil && os.SameFile(now, l.made) {
		err = errors.Join(err, os.Remove(l.path))
	}
	return err
}

// vacant checks that nobody serves the path, and that what is there is a socket:
// the one of a daemon that is dead; nil for none.
func vacant(path string) (dead os.FileInfo, err error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case info.Mode().Type() != fs.ModeSocket:
		return nil, errors.New("something else than a socket is there: remove it, or choose another path")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
		return info, nil // its daemon is dead
	}
	if err != nil {
		return nil, err
	}
	defer c.Close()
	peer, err := peerOf(c)
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrInUse, err)
	}
	return nil, fmt.Errorf("%w: process %d", ErrInUse, peer.PID)
}
