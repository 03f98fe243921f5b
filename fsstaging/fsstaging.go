// Package fsstaging carries credentials to executors as files in a directory.
//
// A [Stager] writes each generation of an application's credentials as a Hadoop
// token file of its own; a [Pickup], on the executor's side, waits for the
// newest one. What both hold to: a file appears under its final name only when
// it is whole; a name is never used twice and nothing is overwritten; the order
// of files is that of their names, never of their times; a directory is 0700, a
// file 0600, both belong to the application's user, and anything wider is
// refused. Readers that know only Spark's names take the files for Spark's own.
//
// Where the files live is behind [FS]. [Local] is a directory of this machine,
// [HDFS] a Hadoop file system; package stagetest holds any other to the same.
package fsstaging

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/plugins"
)

const (
	// DirMode and FileMode are the modes of what is created here. No bit beyond
	// them is accepted when something is found.
	DirMode  fs.FileMode = 0o700
	FileMode fs.FileMode = 0o600
	// MaxFile is the length above which a file is neither written nor read.
	MaxFile = hadooptoken.DefaultMaxBytes
)

// CodeUnsafePath is the code of a refusal because somebody else could read,
// write or replace what is at a path.
const CodeUnsafePath = "unsafe-path"

// FS is a file system that credentials files can be staged on. It is safe for
// concurrent use.
type FS interface {
	// OpenDir opens the directory at an absolute, clean path. A missing one is
	// [fs.ErrNotExist], or is created with [DirMode] if create is set; what is
	// there already is left as it is, and checked by the caller. The last element
	// of the path is not followed if it is a link.
	OpenDir(ctx context.Context, dir string, create bool) (Dir, error)
}

// Dir is one open directory. Names are single path elements; links are never
// followed. Errors wrap [fs.ErrNotExist], [fs.ErrExist] and [fs.ErrPermission]
// where they apply; an error of no known kind may be tried again. A Dir is for
// one goroutine; it belongs to whoever opened it, who closes it.
type Dir interface {
	// List calls each with every name in the directory, in any order, page by
	// page: the whole listing is never in memory. It need not be a snapshot.
	List(ctx context.Context, each func(name string)) error
	// Stat describes an entry, or the directory itself for ".".
	Stat(ctx context.Context, name string) (Info, error)
	// Create writes a new file with [FileMode], and fails with [fs.ErrExist] if
	// the name is taken, whoever else tries at the same time. When it returns
	// nil, the bytes are as safe as the file system can make them; when it fails
	// half-way, a part of the file may stay behind.
	Create(ctx context.Context, name string, data []byte) error
	// Read returns a whole regular file, and what the open file says of itself. A
	// file longer than [MaxFile] is an error.
	Read(ctx context.Context, name string) ([]byte, Info, error)
	// Rename moves a file in one step: a reader sees it under one of the names,
	// whole. A taken new name is [fs.ErrExist]; that check may be a step of its
	// own, since a stager renames only to a name it has claimed.
	Rename(ctx context.Context, from, to string) error
	// Remove deletes a file. A missing one is [fs.ErrNotExist].
	Remove(ctx context.Context, name string) error
	// Close releases the directory.
	Close() error
}

// Info is what matters about a file or directory.
type Info struct {
	Mode  fs.FileMode
	Owner string // in the file system's own words: the short name on HDFS
	// ModTime tells the age of remains, against another time of the same file
	// system. Nothing is ordered by it.
	ModTime time.Time
}

// UserFS is the ability to act as another user, to whom the files then belong.
// A user one may not act as is an error of kind denied or refused.
type UserFS interface {
	FS
	As(ctx context.Context, user string) (FS, error)
}

// CredentialFS is the ability to log in with the tokens of the files it reads.
// [Pickup] hands it each set before it returns that set, or an executor's own
// access would end with its first token. The credentials are shared: an
// implementation does not change them.
type CredentialFS interface {
	FS
	UseCredentials(plugins.Credentials)
}

// NamedFS is a file system under the name that targets use for it.
type NamedFS struct {
	Name string
	FS   FS
}

// asUser is f acting as user, where f can.
func asUser(ctx context.Context, f FS, user string) (FS, error) {
	if u, ok := f.(UserFS); ok {
		return u.As(ctx, user)
	}
	return f, nil
}

// checkDir reports whether a path can name a staging directory.
func checkDir(dir string) error {
	switch {
	case !path.IsAbs(dir) || path.Clean(dir) != dir || dir == "/":
		return fmt.Errorf("directory %q: want an absolute path without empty, '.' or '..' elements", dir)
	case len(dir) > 4096 || !utf8.ValidString(dir) || strings.ContainsFunc(dir, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("directory %q: control characters, bad UTF-8 or too long", dir)
	}
	return nil
}

// checkElement is for implementations: it refuses what is not the name of a file
// within one directory.
func checkElement(name string) error {
	if name == "" || name == "." || name == ".." || len(name) > 255 || strings.ContainsAny(name, "/\x00") {
		return unsafe("name %q is not one path element", name)
	}
	return nil
}

// checkPrivate refuses a directory or file that anybody but owner could use.
func checkPrivate(what string, i Info, owner string) error {
	const special = fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	limit := FileMode
	if i.Mode.IsDir() {
		limit = DirMode
	}
	if i.Mode.Type()&^fs.ModeDir != 0 {
		return unsafe("%s is a %s", what, typeWord(i.Mode))
	}
	if extra := (i.Mode.Perm() &^ limit) | i.Mode&special; extra != 0 {
		return unsafe("%s has mode %v, want %v at most", what, i.Mode, limit)
	}
	if i.Owner != owner {
		return unsafe("%s belongs to %q, want %q", what, i.Owner, owner)
	}
	return nil
}

func typeWord(m fs.FileMode) string {
	switch {
	case m&fs.ModeSymlink != 0:
		return "link"
	case m&fs.ModeNamedPipe != 0:
		return "pipe"
	case m&fs.ModeSocket != 0:
		return "socket"
	case m&fs.ModeDevice != 0:
		return "device"
	case m.IsDir():
		return "directory"
	}
	return "special file"
}

// unsafe is a refusal with CodeUnsafePath.
func unsafe(format string, args ...any) error {
	return plugins.Refused(CodeUnsafePath, fmt.Errorf(format, args...))
}

// withKind gives an error of a file system its kind: a missing right is denied,
// everything that says nothing of itself is tried again.
func withKind(err error) error {
	if _, ok := errors.AsType[*plugins.Error](err); !ok && errors.Is(err, fs.ErrPermission) {
		return plugins.Denied(err)
	}
	return err
}

// listing is what a directory holds of one prefix.
type listing struct {
	files   []Name
	temps   []Name
	claims  []Name
	foreign int // names that are neither of the above nor dot files
	// prefixes are those found where none was asked for, each once.
	prefixes []string
}

// scan lists a directory. With an empty prefix it takes every credentials-<uuid>.
func scan(ctx context.Context, d Dir, prefix string) (listing, error) {
	var l listing
	seen := map[string]bool{}
	err := d.List(ctx, func(name string) {
		if n, ok := ParseName(prefix, name); ok {
			l.files = append(l.files, n)
			if !seen[n.Prefix] {
				seen[n.Prefix] = true
				l.prefixes = append(l.prefixes, n.Prefix)
			}
		} else if n, ok := parseTemp(prefix, name); ok {
			l.temps = append(l.temps, n)
		} else if n, ok := parseClaim(prefix, name); ok {
			l.claims = append(l.claims, n)
		} else if !strings.HasPrefix(name, ".") {
			l.foreign++
		}
	})
	return l, err
}
