package krb

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/types"
)

// maxKeytab bounds a keytab file; one of a few thousand principals is far below.
const maxKeytab = 4 << 20

// Keytab is the keys of a keytab file. It is immutable once parsed, so it may
// be shared. It prints as a count only.
type Keytab struct {
	entries []keytabEntry
}

type keytabEntry struct {
	principal Principal
	stamp     time.Time
	kvno      uint32
	key       types.EncryptionKey
}

// LoadKeytab reads and parses a whole keytab file. Errors have kind ErrKeytab.
func LoadKeytab(path string) (*Keytab, error) {
	b, err := readCapped(path, maxKeytab)
	if err != nil {
		return nil, &Error{Kind: ErrKeytab, Keytab: path, Err: err}
	}
	kt, err := ParseKeytab(b)
	if err != nil {
		return nil, &Error{Kind: ErrKeytab, Keytab: path, Err: err, Next: "check it with klist -kte"}
	}
	return kt, nil
}

// ParseKeytab reads the keytab format of MIT Kerberos, versions 1 (in little
// endian) and 2. The whole input must parse: a file that is being written is an
// error, never a shorter keytab. Input bytes are copied.
func ParseKeytab(b []byte) (*Keytab, error) {
	r := &reader{b: b, order: binary.BigEndian}
	if r.uint8() != 5 {
		return nil, errors.New("not a keytab: the first byte is not 5")
	}
	version := r.uint8()
	switch version {
	case 1:
		r.order = binary.LittleEndian
	case 2:
	default:
		return nil, fmt.Errorf("keytab version %d is not known", version)
	}
	kt := &Keytab{}
	for len(r.b) > 0 {
		size := int32(r.uint32())
		switch {
		case r.err != nil:
		case size < 0: // a deleted entry
			r.bytes(-int(size))
		case size == 0: // MIT takes this for the end
			return kt, nil
		default:
			entry, err := parseKeytabEntry(&reader{b: r.bytes(int(size)), order: r.order}, version)
			if r.err == nil && err != nil {
				return nil, fmt.Errorf("keytab entry %d: %w", len(kt.entries)+1, err)
			}
			kt.entries = append(kt.entries, entry)
		}
		if r.err != nil {
			return nil, fmt.Errorf("keytab is cut short after %d entries", len(kt.entries))
		}
	}
	if r.err != nil {
		return nil, errors.New("keytab is cut short")
	}
	return kt, nil
}

func parseKeytabEntry(r *reader, version uint8) (keytabEntry, error) {
	var e keytabEntry
	count := int(r.uint16())
	if version == 1 {
		count-- // version 1 counts the realm
	}
	e.principal.Realm = string(r.data16())
	for range count {
		if r.err != nil {
			break
		}
		e.principal.Components = append(e.principal.Components, string(r.data16()))
	}
	if version != 1 {
		r.uint32() // name type, which does not matter for equality
	}
	e.stamp = time.Unix(int64(r.uint32()), 0)
	e.kvno = uint32(r.uint8())
	e.key.KeyType = int32(int16(r.uint16()))
	e.key.KeyValue = bytes.Clone(r.data16())
	if r.err != nil {
		return e, r.err
	}
	if len(r.b) >= 4 { // a 32-bit version number may follow, 0 meaning none
		if kvno := r.uint32(); kvno != 0 {
			e.kvno = kvno
		}
	}
	return e, nil
}

// Bytes encodes the keytab as version 2.
func (kt *Keytab) Bytes() []byte {
	out := []byte{5, 2}
	order := binary.BigEndian
	data := func(b []byte, s string) []byte {
		return append(order.AppendUint16(b, uint16(len(s))), s...)
	}
	for _, e := range kt.entries {
		b := order.AppendUint16(nil, uint16(len(e.principal.Components)))
		b = data(b, e.principal.Realm)
		for _, c := range e.principal.Components {
			b = data(b, c)
		}
		b = order.AppendUint32(b, uint32(nametype.KRB_NT_PRINCIPAL))
		b = order.AppendUint32(b, uint32(e.stamp.Unix()))
		b = append(b, uint8(e.kvno))
		b = order.AppendUint16(b, uint16(e.key.KeyType))
		b = data(b, string(e.key.KeyValue))
		b = order.AppendUint32(b, e.kvno)
		out = append(order.AppendUint32(out, uint32(len(b))), b...)
	}
	return out
}

// Add appends a key; it is for building keytabs, before the Keytab is shared.
func (kt *Keytab) Add(p Principal, kvno uint32, stamp time.Time, key types.EncryptionKey) {
	kt.entries = append(kt.entries, keytabEntry{principal: p, kvno: kvno, stamp: stamp, key: key})
}

// Principals lists whose keys it holds, in its own order.
func (kt *Keytab) Principals() []Principal {
	var list []Principal
	for _, e := range kt.entries {
		if !slices.ContainsFunc(list, e.principal.equal) {
			list = append(list, e.principal)
		}
	}
	return list
}

// String keeps keys out of logs.
func (kt *Keytab) String() string { return fmt.Sprintf("keytab of %d keys", len(kt.entries)) }

// GoString keeps keys out of logs.
func (kt *Keytab) GoString() string { return kt.String() }

// etypes lists the encryption types held for p, in the order of the keytab.
func (kt *Keytab) etypes(p Principal) []int32 {
	var ids []int32
	for _, e := range kt.entries {
		if e.principal.equal(p) && !slices.Contains(ids, e.key.KeyType) {
			ids = append(ids, e.key.KeyType)
		}
	}
	return ids
}

// keys lists p's keys of one encryption type, the newest version first.
func (kt *Keytab) keys(p Principal, etype int32) []keytabEntry {
	var found []keytabEntry
	for _, e := range kt.entries {
		if e.key.KeyType == etype && e.principal.equal(p) {
			found = append(found, e)
		}
	}
	slices.SortStableFunc(found, func(a, b keytabEntry) int {
		return cmp.Or(cmp.Compare(b.kvno, a.kvno), b.stamp.Compare(a.stamp))
	})
	return found
}

// key finds p's key of one encryption type and version; kvno 0 asks for the
// newest. An entry with an 8-bit version matches by the low byte, as MIT has it.
func (kt *Keytab) key(p Principal, etype int32, kvno int) (types.EncryptionKey, bool) {
	for _, e := range kt.keys(p, etype) {
		if kvno == 0 || e.kvno == uint32(kvno) || e.kvno <= 0xff && e.kvno == uint32(kvno)&0xff {
			return e.key, true
		}
	}
	return types.EncryptionKey{}, false
}

// readCapped reads a regular file of at most limit bytes.
func readCapped(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return b, nil
}
