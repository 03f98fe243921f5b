package plugins

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"strconv"
)

// redacted stands wherever a secret would be printed.
const redacted = "[secret]"

// Secret is bytes that must not be printed. Every verb of package fmt, text and
// JSON encoding and package slog show a fixed word instead. Converting it to
// []byte or string is deliberate and gives the bytes themselves.
//
// Package fmt calls no method on what stands in an unexported field. A struct
// that keeps a Secret, Token or Credentials in one, or in a slice or map there,
// needs a Format method of its own or keeps them behind a pointer. Nor does fmt
// call any at %p or at a misplaced %w, both of which go vet refuses.
type Secret []byte

// Format implements [fmt.Formatter]: the fixed word for every verb and flag.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String returns the fixed word.
func (Secret) String() string { return redacted }

// MarshalText returns the fixed word; JSON and YAML encoders use it.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns the fixed word.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// Token is a Hadoop token: four fields, opaque to everyone but the service that
// issued it. Kind and service tell clients where to use it; the service itself
// looks at identifier and password only. The zero value is no token.
//
// Tokens are handed on by value and share their bytes; who keeps one beyond a
// call, or changes it, clones it first.
type Token struct {
	Kind       string
	Service    string
	Identifier []byte
	Password   Secret
}

// Equal reports whether all four fields are the same, as Java's Token.equals.
func (t Token) Equal(u Token) bool {
	return t.Kind == u.Kind && t.Service == u.Service &&
		bytes.Equal(t.Identifier, u.Identifier) && bytes.Equal(t.Password, u.Password)
}

// Clone returns a token that shares no bytes with t.
func (t Token) Clone() Token {
	t.Identifier = bytes.Clone(t.Identifier)
	t.Password = bytes.Clone(t.Password)
	return t
}

// Fingerprint is a short name for the token in logs and listings: 12 hexadecimal
// digits of the SHA-256 of its kind and identifier. It says nothing of the
// password.
func (t Token) Fingerprint() string {
	b := strconv.AppendInt(make([]byte, 0, 256), int64(len(t.Kind)), 10)
	b = append(append(b, ':'), t.Kind...)
	h := sha256.Sum256(append(b, t.Identifier...))
	return hex.EncodeToString(h[:6])
}

// String names the token by kind, service and fingerprint. Kind and service are
// quoted, since they come from outside and may hold anything.
func (t Token) String() string {
	return fmt.Sprintf("token %s of kind %s for %s", t.Fingerprint(), strconv.Quote(t.Kind), strconv.Quote(t.Service))
}

// Format implements [fmt.Formatter] with [Token.String] for every verb, so that
// %+v and %#v show no password either.
func (t Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// MarshalText returns [Token.String]: tokens do not travel as text.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// LogValue is the token as a group of kind, service and fingerprint.
func (t Token) LogValue() slog.Value {
	return slog.GroupValue(slog.String("kind", t.Kind), slog.String("service", t.Service), slog.String("token", t.Fingerprint()))
}
