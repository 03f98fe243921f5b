package krb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jcmturner/gokrb5/v8/types"
)

// maxCCache bounds a credential cache; tickets with large PACs are 64 KiB each.
const maxCCache = 16 << 20

// ccache is a credential cache of MIT's FILE format, versions 1 to 4 (1 and 2 in
// little endian, which is what machines of today wrote).
type ccache struct {
	client  Principal
	entries []ccacheEntry
}

type ccacheEntry struct {
	client, server Principal
	key            types.EncryptionKey
	start, end     time.Time
	ticket         []byte
}

// ccachePath takes a KRB5CCNAME-like text and gives the path of its file.
func ccachePath(name string) (string, error) {
	kind, rest, found := strings.Cut(name, ":")
	switch {
	case !found || strings.HasPrefix(kind, "/") || strings.HasPrefix(kind, "."):
		return name, nil
	case kind == "FILE" || kind == "WRFILE":
		return rest, nil
	}
	return "", &Error{
		Kind: ErrCCache, CCache: name, Err: fmt.Errorf("credential caches of type %q cannot be read", kind),
		Next: "use a keytab, or a file: KRB5CCNAME=FILE:/path kinit ...",
	}
}

func loadCCache(path string) (*ccache, error) {
	b, err := readCapped(path, maxCCache)
	if err != nil {
		return nil, &Error{Kind: ErrCCache, CCache: path, Err: err, Next: "run kinit with KRB5CCNAME=FILE:" + path}
	}
	cc, err := parseCCache(b)
	if err != nil {
		return nil, &Error{Kind: ErrCCache, CCache: path, Err: err, Next: "run kinit with KRB5CCNAME=FILE:" + path}
	}
	return cc, nil
}

func parseCCache(b []byte) (*ccache, error) {
	r := &reader{b: b, order: binary.BigEndian}
	if r.uint8() != 5 {
		return nil, errors.New("not a credential cache: the first byte is not 5")
	}
	version := r.uint8()
	switch version {
	case 1, 2:
		r.order = binary.LittleEndian
	case 3:
	case 4:
		r.data16() // header fields: a clock offset that only its writer can judge
	default:
		return nil, fmt.Errorf("credential cache version %d is not known", version)
	}
	cc := &ccache{client: readCCacheName(r, version)}
	for r.err == nil && len(r.b) > 0 {
		e := readCCacheEntry(r, version)
		if r.err == nil && !strings.HasPrefix(e.server.Realm, "X-CACHECONF") {
			cc.entries = append(cc.entries, e)
		}
	}
	if r.err != nil {
		return nil, fmt.Errorf("credential cache is cut short after %d entries", len(cc.entries))
	}
	return cc, nil
}

func readCCacheName(r *reader, version uint8) Principal {
	if version != 1 {
		r.uint32() // name type
	}
	count := r.uint32()
	if version == 1 {
		count-- // version 1 counts the realm
	}
	p := Principal{Realm: string(r.data32())}
	for i := uint32(0); i < count && r.err == nil; i++ {
		p.Components = append(p.Components, string(r.data32()))
	}
	return p
}

func readCCacheEntry(r *reader, version uint8) ccacheEntry {
	e := ccacheEntry{client: readCCacheName(r, version), server: readCCacheName(r, version)}
	e.key.KeyType = int32(int16(r.uint16()))
	if version == 3 {
		r.uint16() // version 3 has the type twice
	}
	e.key.KeyValue = bytes.Clone(r.data32())
	auth := r.uint32()
	start := r.uint32()
	if start == 0 {
		start = auth
	}
	e.start, e.end = time.Unix(int64(start), 0).UTC(), time.Unix(int64(r.uint32()), 0).UTC()
	r.uint32() // renew till
	r.uint8()  // is session key
	r.uint32() // flags
	for range 2 {
		for n := r.uint32(); n > 0 && r.err == nil; n-- { // addresses, authorization data
			r.uint16()
			r.data32()
		}
	}
	e.ticket = bytes.Clone(r.data32())
	r.data32() // second ticket
	return e
}

// find gives the entry for server with the latest end.
func (cc *ccache) find(server Principal) (ccacheEntry, bool) {
	var best ccacheEntry
	for _, e := range cc.entries {
		if e.server.equal(server) && e.client.equal(cc.client) && e.end.After(best.end) {
			best = e
		}
	}
	return best, best.ticket != nil
}
