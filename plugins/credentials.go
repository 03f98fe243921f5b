package plugins

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
)

// Credentials is what one credentials file holds: tokens and secret keys, each
// under an alias. Reading or writing such a file is package hadooptoken's part.
// The zero value is an empty set, ready to read from.
type Credentials struct {
	Tokens  map[string]Token
	Secrets map[string]Secret
}

// Empty reports whether the set holds nothing at all.
func (c Credentials) Empty() bool { return len(c.Tokens) == 0 && len(c.Secrets) == 0 }

// Clone returns a set that shares neither maps nor bytes with c. Its maps are
// never nil.
func (c Credentials) Clone() Credentials {
	d := Credentials{
		Tokens:  make(map[string]Token, len(c.Tokens)),
		Secrets: make(map[string]Secret, len(c.Secrets)),
	}
	for alias, t := range c.Tokens {
		d.Tokens[alias] = t.Clone()
	}
	for alias, s := range c.Secrets {
		d.Secrets[alias] = bytes.Clone(s)
	}
	return d
}

// Equal reports whether both sets hold the same under the same aliases.
func (c Credentials) Equal(d Credentials) bool {
	if len(c.Tokens) != len(d.Tokens) || len(c.Secrets) != len(d.Secrets) {
		return false
	}
	for alias, t := range c.Tokens {
		if u, ok := d.Tokens[alias]; !ok || !t.Equal(u) {
			return false
		}
	}
	for alias, s := range c.Secrets {
		if u, ok := d.Secrets[alias]; !ok || !bytes.Equal(s, u) {
			return false
		}
	}
	return true
}

// String tells how much the set holds, and nothing of what.
func (c Credentials) String() string {
	return fmt.Sprintf("%d tokens, %d secrets", len(c.Tokens), len(c.Secrets))
}

// Format implements [fmt.Formatter] with [Credentials.String] for every verb.
func (c Credentials) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// MarshalText returns [Credentials.String]: credentials do not travel as text.
func (c Credentials) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// LogValue returns [Credentials.String].
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }
