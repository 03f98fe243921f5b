package hadooptoken

import (
	"bytes"
	"fmt"

	"github.com/tokenwheel/tokenwheel/internal/writable"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// The body of a file of version 0 (Credentials.write): a vint count, each token
// after its alias, a vint count, each secret after its alias.

func appendWritable(b []byte, c plugins.Credentials) []byte {
	b = writable.AppendVlong(b, int64(len(c.Tokens)))
	for _, alias := range sortedKeys(c.Tokens) {
		b = writable.AppendText(b, alias)
		b = appendToken(b, c.Tokens[alias])
	}
	b = writable.AppendVlong(b, int64(len(c.Secrets)))
	for _, alias := range sortedKeys(c.Secrets) {
		b = writable.AppendText(b, alias)
		b = writable.AppendBytes(b, c.Secrets[alias])
	}
	return b
}

func readWritable(body []byte, l Limits) (plugins.Credentials, error) {
	c, r := emptyCredentials(), writable.NewReader(body)
	err := eachEntry(r, "token", l, func(alias string) { c.Tokens[alias] = readToken(r) })
	if err != nil {
		return plugins.Credentials{}, err
	}
	err = eachEntry(r, "secret", l, func(alias string) { c.Secrets[alias] = bytes.Clone(r.Bytes()) })
	if err != nil {
		return plugins.Credentials{}, err
	}
	return c, nil
}

// eachEntry reads a count and calls read after each alias.
func eachEntry(r *writable.Reader, what string, l Limits, read func(alias string)) error {
	n := int(r.Vint())
	if err := r.Err(); err != nil {
		return fmt.Errorf("number of %ss: %w", what, err)
	}
	if err := l.checkCount(what+"s", n); err != nil {
		return err
	}
	for i := range n {
		read(r.Text())
		if err := r.Err(); err != nil {
			return fmt.Errorf("%s %d of %d: %w", what, i+1, n, err)
		}
	}
	return nil
}
