package fsstaging

import (
	"context"
	"crypto/sha1" //nolint:gosec // RFC 9562 makes version 5 of it; nothing secret rests on it
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/tokenwheel/tokenwheel/appregistry"
)

// choosePrefix is the prefix of a set's files: what its target names, that of
// the application's stored UUID, or, for an application without a store, the
// only one the directory knows, so that a restarted writer goes on where it was.
func choosePrefix(ctx context.Context, d Dir, set appregistry.Set) (string, error) {
	switch {
	case set.Target.Prefix != "":
		return set.Target.Prefix, nil
	case set.UUID != "":
		return ownPrefix(set.UUID), nil
	}
	l, err := scan(ctx, d, "")
	if err != nil {
		return "", err
	}
	if len(l.prefixes) == 1 {
		return l.prefixes[0], nil
	}
	return ownPrefix(uuidOf(set.App)), nil
}

// urlSpace is the name space for URLs of RFC 9562, section 6.6.
var urlSpace = [16]byte{0x6b, 0xa7, 0xb8, 0x11, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8}

// uuidOf derives a UUID, version 5, from an application's key.
func uuidOf(app appregistry.AppKey) string {
	h := sha1.New() //nolint:gosec // see the import
	h.Write(urlSpace[:])
	h.Write([]byte("https://github.com/tokenwheel/tokenwheel/app/" + app.String()))
	u := h.Sum(nil)[:16]
	u[6] = u[6]&0x0f | 0x50
	u[8] = u[8]&0x3f | 0x80
	x := hex.EncodeToString(u)
	return strings.Join([]string{x[:8], x[8:12], x[12:16], x[16:20], x[20:]}, "-")
}

// SeveralPrefixes is the error of a pickup that was not told which prefix to
// follow, in a directory with files of several.
type SeveralPrefixes struct {
	Dir      string
	Prefixes []string
}

// Error implements error.
func (e *SeveralPrefixes) Error() string {
	const shown = 3
	return fmt.Sprintf("%s holds credentials files of %d prefixes, such as %s: name one", e.Dir, len(e.Prefixes),
		strings.Join(e.Prefixes[:min(shown, len(e.Prefixes))], ", "))
}
