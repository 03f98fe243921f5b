// Package hadooptoken reads and writes Hadoop's token files, single tokens and
// the identifiers inside them, in pure Go and byte for byte as Java does.
//
// A token file (HADOOP_TOKEN_FILE_LOCATION, a YARN container's tokens, what Spark
// and Flink send to their workers) is read by [Unmarshal] or [ReadFile] and
// written by [Marshal] or [WriteFile], in either of its two formats.
// [ParseIdentifier] shows what a token says of itself. Nothing here talks to a
// service: that is the part of the providers.
//
// Input is taken for hostile: counts and lengths are capped before anything is
// allocated, and no error holds bytes of a password. All functions may be called
// concurrently, and what they return shares no bytes with what they were given.
package hadooptoken

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tokenwheel/tokenwheel/internal/writable"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// Format is one of the two forms of a token file (Credentials.SerializedFormat).
type Format uint8

const (
	// FormatJava is version 0, Writable: what Java writes unless told otherwise
	// and what every release reads.
	FormatJava Format = iota
	// FormatProtobuf is version 1, read from Hadoop 3.0 on.
	FormatProtobuf
)

// String returns the word that dtutil's -format takes: java or protobuf.
func (f Format) String() string {
	switch f {
	case FormatJava:
		return "java"
	case FormatProtobuf:
		return "protobuf"
	}
	return fmt.Sprintf("format %d", uint8(f))
}

// ParseFormat is the inverse of [Format.String].
func ParseFormat(s string) (Format, error) {
	for _, f := range []Format{FormatJava, FormatProtobuf} {
		if s == f.String() {
			return f, nil
		}
	}
	return 0, fmt.Errorf("token file format %q: want java or protobuf", s)
}

const (
	// DefaultMaxBytes is the size from which a token file is refused unless
	// [Limits] says otherwise: room for MaxEntries tokens of ordinary size.
	DefaultMaxBytes = 4 << 20
	// MaxEntries is the most tokens, and the most secrets, that a file may hold.
	MaxEntries = 10_000
)

// Limits bounds what a decoder takes. The zero value means the defaults.
type Limits struct {
	Bytes   int // of the whole input; 0: DefaultMaxBytes
	Entries int // tokens, and secrets, counted apart; 0: MaxEntries
}

func (l Limits) withDefaults() Limits {
	if l.Bytes == 0 {
		l.Bytes = DefaultMaxBytes
	}
	if l.Entries == 0 {
		l.Entries = MaxEntries
	}
	return l
}

// checkCount refuses a count that no honest file has, before anything is read.
func (l Limits) checkCount(what string, n int) error {
	if n < 0 || n > l.Entries {
		return fmt.Errorf("%d %s, the limit is %d", n, what, l.Entries)
	}
	return nil
}

var (
	// ErrBadHeader: the input is not a token file at all.
	ErrBadHeader = errors.New("bad header found in token storage")
	// ErrUnknownVersion: a token file of a version that does not exist yet.
	ErrUnknownVersion = errors.New("unknown version in token storage")
)

const (
	magic      = "HDTS"
	headerSize = len(magic) + 1
)

// Marshal writes c as a token file. Tokens and secrets are sorted by alias, so
// that equal credentials give equal bytes; Java, which writes in hash order,
// reads any order. It refuses what [Unmarshal] would refuse for a count or for
// the length of a text.
func Marshal(c plugins.Credentials, f Format) ([]byte, error) {
	if err := checkWritable(c); err != nil {
		return nil, fmt.Errorf("write credentials: %w", err)
	}
	b := append([]byte(magic), byte(f))
	switch f {
	case FormatJava:
		return appendWritable(b, c), nil
	case FormatProtobuf:
		return appendProtobuf(b, c), nil
	}
	return nil, fmt.Errorf("write credentials: %s: %w", f, ErrUnknownVersion)
}

// Unmarshal reads a token file of either format. Entries may come in any order;
// of several under one alias the last wins. Bytes after the end are ignored, as
// Java does: Flink pads what it sends with zeros. The maps returned are never
// nil.
func Unmarshal(b []byte, l Limits) (plugins.Credentials, error) {
	c, err := unmarshal(b, l.withDefaults())
	if err != nil {
		return plugins.Credentials{}, fmt.Errorf("read credentials: %w", err)
	}
	return c, nil
}

func unmarshal(b []byte, l Limits) (plugins.Credentials, error) {
	if len(b) > l.Bytes {
		return plugins.Credentials{}, fmt.Errorf("%d bytes, the limit is %d", len(b), l.Bytes)
	}
	if len(b) < headerSize || string(b[:len(magic)]) != magic {
		return plugins.Credentials{}, ErrBadHeader
	}
	body := b[headerSize:]
	switch version := b[len(magic)]; Format(version) {
	case FormatJava:
		return readWritable(body, l)
	case FormatProtobuf:
		return readProtobuf(body, l)
	default:
		return plugins.Credentials{}, fmt.Errorf("%w: %d", ErrUnknownVersion, version)
	}
}

// checkWritable refuses what our own reader would not take back.
func checkWritable(c plugins.Credentials) error {
	var l Limits
	l = l.withDefaults()
	if err := l.checkCount("tokens", len(c.Tokens)); err != nil {
		return err
	}
	if err := l.checkCount("secrets", len(c.Secrets)); err != nil {
		return err
	}
	for alias, t := range c.Tokens {
		if err := checkText("alias of a token", alias); err != nil {
			return err
		}
		if err := checkToken(t); err != nil {
			return fmt.Errorf("token %q: %w", alias, err)
		}
	}
	for alias := range c.Secrets {
		if err := checkText("alias of a secret", alias); err != nil {
			return err
		}
	}
	return nil
}

func checkText(what, s string) error {
	if len(s) >= writable.MaxText {
		return fmt.Errorf("%s: %d bytes, the limit is %d", what, len(s), writable.MaxText-1)
	}
	return nil
}

// emptyCredentials leaves the maps to grow with what is really there: no count
// from the input sizes them.
func emptyCredentials() plugins.Credentials {
	return plugins.Credentials{Tokens: map[string]plugins.Token{}, Secrets: map[string]plugins.Secret{}}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
