package fsstaging

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	client "github.com/colinmarc/hdfs/v2"
)

const (
	// transferTime bounds reading or writing one file at the DataNodes.
	transferTime = time.Minute
	// page is the NameNode's own, dfs.ls.limit; what it sends beyond is thrown away.
	listPage = 1000
	// closePause is the first pause before a file is closed again, closePauseMax
	// the longest.
	closePause    = 5 * time.Millisecond
	closePauseMax = 500 * time.Millisecond
)

// hdfsUser is the file system as one user.
type hdfsUser struct {
	h         *HDFS
	effective string // "": ourselves
}

// OpenDir implements [FS]. It waits for one of the file system's connections.
func (u hdfsUser) OpenDir(ctx context.Context, dir string, create bool) (Dir, error) {
	if err := errors.Join(ctx.Err(), checkDir(dir)); err != nil {
		return nil, err
	}
	select {
	case u.h.slots <- struct{}{}:
	case <-u.h.life.Done():
		return nil, fmt.Errorf("open %s: %w", dir, fs.ErrClosed)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	d := &hdfsDir{user: u, path: dir}
	if err := d.open(ctx, create); err != nil {
		_ = d.Close()
		if u.h.life.Err() != nil {
			err = fmt.Errorf("%w: %w", fs.ErrClosed, err)
		}
		return nil, err
	}
	return d, nil
}

// hdfsDir holds one of the file system's slots, and a session while it is sound.
type hdfsDir struct {
	user    hdfsUser
	path    string
	session *session
	closed  bool
}

func (d *hdfsDir) open(ctx context.Context, create bool) error {
	return d.repeat(ctx, func(s *session) error {
		info, err := s.Stat(d.path)
		if errors.Is(err, fs.ErrNotExist) && create {
			if err = s.MkdirAll(d.path, DirMode); err == nil {
				info, err = s.Stat(d.path)
			}
		}
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return unsafe("%s is not a directory", d.path)
		}
		return nil
	})
}

// do runs one step on a session. A session that failed is not used again: half
// an answer may still be in its connection.
func (d *hdfsDir) do(ctx context.Context, op func(*session) error) error {
	if d.closed {
		return fs.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if d.session == nil {
		s, err := d.user.h.newSession(ctx, d.user.effective)
		if err != nil {
			return err
		}
		d.session = s
	}
	s := d.session
	stop := context.AfterFunc(ctx, s.sever)
	err := guarded(func() error { return op(s) })
	sound := stop() && answered(err)
	d.user.h.judge(s.nameNode(), sound)
	if !sound {
		err = s.cause(ctx, err)
		s.close()
		d.session = nil
	}
	return posixError(err)
}

// guarded makes an error of a panic: the library indexes and counts by what NameNodes
// and DataNodes say, without looking.
func guarded(op func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the HDFS library panicked: %T", v) // the value may hold a secret
		}
	}()
	return op()
}

// repeat is do for what may be done twice: where a connection made earlier
// turns out to be broken, on a fresh one.
func (d *hdfsDir) repeat(ctx context.Context, op func(*session) error) error {
	reused := d.session != nil
	err := d.do(ctx, op)
	if reused && !answered(err) && ctx.Err() == nil {
		err = d.do(ctx, op)
	}
	return err
}

func (d *hdfsDir) at(name string) string { return path.Join(d.path, name) }

// List implements [Dir].
func (d *hdfsDir) List(ctx context.Context, each func(name string)) error {
	return d.do(ctx, func(s *session) error { // not repeated: names were told already
		f, err := s.Open(d.path)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		for {
			infos, err := f.Readdir(listPage)
			for _, info := range infos {
				each(info.Name())
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	})
}

// Stat implements [Dir].
func (d *hdfsDir) Stat(ctx context.Context, name string) (Info, error) {
	if name != "." {
		if err := checkElement(name); err != nil {
			return Info{}, err
		}
	}
	var info Info
	err := d.repeat(ctx, func(s *session) error {
		fi, err := s.Stat(d.at(name))
		if err == nil {
			info = hdfsInfo(fi)
		}
		return err
	})
	return info, err
}

// hdfsInfo translates permission bits, which the library hands through.
func hdfsInfo(fi fs.FileInfo) Info {
	const sticky = 0o1000
	bits := fi.Mode()
	i := Info{Mode: bits & (fs.ModePerm | fs.ModeDir), ModTime: fi.ModTime()}
	if bits&sticky != 0 {
		i.Mode |= fs.ModeSticky
	}
	if st, ok := fi.Sys().(*client.FileStatus); ok {
		i.Owner = st.GetOwner()
		if len(st.GetSymlink()) > 0 {
			i.Mode |= fs.ModeSymlink
		}
	}
	return i
}

// Create implements [Dir]. The NameNode creates without overwriting; the file is
// written and closed when it returns.
func (d *hdfsDir) Create(ctx context.Context, name string, data []byte) error {
	if err := checkElement(name); err != nil {
		return err
	}
	return d.do(ctx, func(s *session) error {
		defaults, err := s.ServerDefaults()
		if err != nil {
			return err
		}
		w, err := s.CreateFile(d.at(name), defaults.Replication, defaults.BlockSize, FileMode)
		if err != nil {
			return err
		}
		if err := w.SetDeadline(time.Now().Add(transferTime)); err != nil {
			return err
		}
		if len(data) > 0 { // an empty file needs no DataNode
			if _, err := w.Write(data); err != nil {
				return err
			}
		}
		return complete(ctx, w)
	})
}

// complete closes a file until the NameNode has heard of its blocks: the first
// answer is mostly that it has not.
func complete(ctx context.Context, w *client.FileWriter) error {
	pause := closePause
	for {
		err := w.Close()
		if !client.IsErrReplicating(err) {
			return err
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, closePauseMax)
	}
}

// Read implements [Dir].
func (d *hdfsDir) Read(ctx context.Context, name string) (data []byte, info Info, err error) {
	if err := checkElement(name); err != nil {
		return nil, Info{}, err
	}
	err = d.repeat(ctx, func(s *session) error {
		f, err := s.Open(d.at(name))
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		info = hdfsInfo(f.Stat())
		switch {
		case !info.Mode.IsRegular():
			return unsafe("%s is a %s", name, typeWord(info.Mode))
		case f.Stat().Size() > MaxFile:
			return fmt.Errorf("%s is longer than %d bytes", name, MaxFile)
		}
		if err := f.SetDeadline(time.Now().Add(transferTime)); err != nil {
			return err
		}
		data, err = io.ReadAll(io.LimitReader(f, MaxFile))
		return err
	})
	if err != nil && ctx.Err() == nil {
		// A file removed under its reader shows as any trouble with a DataNode.
		if _, gone := d.Stat(ctx, name); errors.Is(gone, fs.ErrNotExist) {
			err = gone
		}
	}
	return data, info, err
}

// Rename implements [Dir]. The look at the new name is a step of its own: the
// library renames with overwriting.
func (d *hdfsDir) Rename(ctx context.Context, from, to string) error {
	if err := errors.Join(checkElement(from), checkElement(to)); err != nil {
		return err
	}
	return d.do(ctx, func(s *session) error {
		_, err := s.Stat(d.at(to))
		if err == nil {
			return &fs.PathError{Op: "rename", Path: to, Err: fs.ErrExist}
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return s.Rename(d.at(from), d.at(to))
	})
}

// Remove implements [Dir].
func (d *hdfsDir) Remove(ctx context.Context, name string) error {
	if err := checkElement(name); err != nil {
		return err
	}
	return d.do(ctx, func(s *session) error { return s.Remove(d.at(name)) })
}

// Close gives the connection up.
func (d *hdfsDir) Close() error {
	if d.closed {
		return nil
	}
	d.closed = true
	if d.session != nil {
		d.session.close()
	}
	<-d.user.h.slots
	return nil
}
