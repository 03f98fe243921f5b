package sasl

import (
	"fmt"
	"strings"
)

// directives are the name=value pairs of a DIGEST-MD5 message, names in lower case, values unquoted.
type directives map[string]string

// maxDirectives is more than any message of RFC 2831 can have without naming one twice.
const maxDirectives = 32

// parseDirectives reads the list of RFC 2831 section 7.1. Unlike the RFC, and like Java's acceptor, it takes no
// directive twice: of two nonces or two qops, somebody would have to choose one.
func parseDirectives(msg string) (directives, error) {
	d := directives{}
	for rest := msg; ; {
		rest = strings.TrimLeft(rest, " \t\r\n,")
		if rest == "" {
			return d, nil
		}
		name, value, tail, err := cutDirective(rest)
		if err != nil {
			return nil, err
		}
		if _, twice := d[name]; twice {
			return nil, fmt.Errorf("directive %q twice: %w", name, ErrMalformed)
		}
		if len(d) == maxDirectives {
			return nil, fmt.Errorf("more than %d directives: %w", maxDirectives, ErrMalformed)
		}
		d[name] = value
		rest = tail
	}
}

// cutDirective takes one directive off the front of s and leaves the comma, if there is one, on the rest.
func cutDirective(s string) (name, value, rest string, err error) {
	name, rest, found := strings.Cut(s, "=")
	name = strings.ToLower(strings.TrimRight(name, " \t\r\n"))
	if !found || !isToken(name) {
		return "", "", "", fmt.Errorf("directive without name and value: %w", ErrMalformed)
	}
	rest = strings.TrimLeft(rest, " \t\r\n")
	if strings.HasPrefix(rest, `"`) {
		value, rest, err = cutQuoted(rest[1:])
	} else {
		end := strings.IndexByte(rest, ',')
		if end < 0 {
			end = len(rest)
		}
		value, rest = strings.TrimRight(rest[:end], " \t\r\n"), rest[end:]
		if !isToken(value) {
			err = fmt.Errorf("directive %q has no token as value: %w", name, ErrMalformed)
		}
	}
	if err != nil {
		return "", "", "", err
	}
	rest = strings.TrimLeft(rest, " \t\r\n")
	if rest != "" && rest[0] != ',' {
		return "", "", "", fmt.Errorf("directive %q is not followed by a comma: %w", name, ErrMalformed)
	}
	return name, value, rest, nil
}

// cutQuoted reads a quoted-string whose opening quote is already gone.
func cutQuoted(s string) (value, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], nil
		case '\\':
			if i++; i == len(s) {
				return "", "", fmt.Errorf("quoted string ends in a backslash: %w", ErrMalformed)
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", fmt.Errorf("quoted string without end: %w", ErrMalformed)
}

// isToken reports whether s is an HTTP token (RFC 2831 section 7.1): printable ASCII without separators.
func isToken(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?={}`, s[i]) >= 0 {
			return false
		}
	}
	return s != ""
}

// quote is the inverse of cutQuoted.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// list splits the comma-separated value of a directive such as qop.
func (d directives) list(name string) []string {
	return strings.FieldsFunc(d[name], func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
}

// qops returns the qualities a challenge offers; those unknown to us are left out. RFC 2831 section 2.1.1: a missing
// directive means "auth".
func (d directives) qops() []QOP {
	if _, ok := d["qop"]; !ok {
		return []QOP{Auth}
	}
	var qs []QOP
	for _, name := range d.list("qop") {
		if q, err := ParseQOP(name); err == nil {
			qs = append(qs, q)
		}
	}
	return qs
}
