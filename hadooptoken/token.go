package hadooptoken

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/tokenwheel/tokenwheel/internal/writable"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// MarshalToken writes one token as Java's Token.write does: identifier and
// password with their lengths, then kind and service as Text.
func MarshalToken(t plugins.Token) ([]byte, error) {
	if err := checkToken(t); err != nil {
		return nil, fmt.Errorf("write token: %w", err)
	}
	return appendToken(nil, t), nil
}

// UnmarshalToken reads what [MarshalToken] or Java's Token.write wrote, at most
// [DefaultMaxBytes]. Bytes after it are ignored, as Java does.
func UnmarshalToken(b []byte) (plugins.Token, error) {
	if len(b) > DefaultMaxBytes {
		return plugins.Token{}, fmt.Errorf("read token: %d bytes, the limit is %d", len(b), DefaultMaxBytes)
	}
	r := writable.NewReader(b)
	t := readToken(r)
	if err := r.Err(); err != nil {
		return plugins.Token{}, fmt.Errorf("read token: %w", err)
	}
	return t, nil
}

// EncodeURL returns the token as Java's Token.encodeToUrlString does: base64 of
// [MarshalToken] in the URL alphabet, without padding. The string is as secret
// as the password in it.
func EncodeURL(t plugins.Token) (string, error) {
	b, err := MarshalToken(t)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// urlAlphabet maps the standard alphabet to the URL one and drops the white
// space that base64 picks up when it is wrapped or pasted.
var urlAlphabet = strings.NewReplacer("+", "-", "/", "_", " ", "", "\t", "", "\r", "", "\n", "")

// DecodeURL reads what [EncodeURL] or Java wrote. Like Java's decoder it also
// takes the standard alphabet, padding and white space; any other character,
// which Java would skip, is an error.
func DecodeURL(s string) (plugins.Token, error) {
	if limit := base64.StdEncoding.EncodedLen(DefaultMaxBytes); len(s) > limit {
		return plugins.Token{}, fmt.Errorf("read token string: %d characters, the limit is %d", len(s), limit)
	}
	s = strings.TrimRight(urlAlphabet.Replace(s), "=")
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return plugins.Token{}, fmt.Errorf("read token string: %w", err)
	}
	return UnmarshalToken(b)
}

func appendToken(b []byte, t plugins.Token) []byte {
	b = writable.AppendBytes(b, t.Identifier)
	b = writable.AppendBytes(b, t.Password)
	b = writable.AppendText(b, t.Kind)
	return writable.AppendText(b, t.Service)
}

func readToken(r *writable.Reader) plugins.Token {
	return plugins.Token{
		Identifier: bytes.Clone(r.Bytes()),
		Password:   bytes.Clone(r.Bytes()),
		Kind:       r.Text(),
		Service:    r.Text(),
	}
}

// checkToken refuses texts longer than a reader takes.
func checkToken(t plugins.Token) error {
	if err := checkText("kind", t.Kind); err != nil {
		return err
	}
	return checkText("service", t.Service)
}
