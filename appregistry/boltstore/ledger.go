package boltstore

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc64"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"go.etcd.io/bbolt"
)

// The file has two buckets. "records" maps each key to a checksum and the value.
// "header" has under "format" magic, schema, and the number and sum of the
// checksums, which only change together with the records, and under "id" what tells
// this store from its backups; files of earlier releases have no id.
var (
	recordsBucket = []byte("records")
	headerBucket  = []byte("header")
	formatKey     = []byte("format")
	idKey         = []byte("id")
	magic         = []byte("tokenwheel store")
	checksums     = crc64.MakeTable(crc64.ECMA)
)

const (
	schema   = 1
	sealSize = 8 // bytes of checksum before each value
)

// header is the format record.
type header struct {
	schema uint32
	count  uint64 // of records
	sum    uint64 // of their checksums, modulo 2^64
}

// newID makes an id for a store.
func newID() []byte {
	raw := make([]byte, 8)
	_, _ = rand.Read(raw) // never fails
	return hex.AppendEncode(nil, raw)
}

func (h header) encode() []byte {
	b := append([]byte(nil), magic...)
	b = binary.BigEndian.AppendUint32(b, h.schema)
	b = binary.BigEndian.AppendUint64(b, h.count)
	return binary.BigEndian.AppendUint64(b, h.sum)
}

// readHeader reads the format record.
func readHeader(tx *bbolt.Tx) (h header, err error) {
	bucket := tx.Bucket(headerBucket)
	if bucket == nil || tx.Bucket(recordsBucket) == nil {
		return h, fmt.Errorf("%w: it has no header or no records", ErrCorrupt)
	}
	return parseHeader(bucket.Get(formatKey))
}

// parseHeader reads what header.encode wrote. A later schema may have more in it,
// which is why it is told before the length is looked at.
func parseHeader(b []byte) (h header, err error) {
	n := len(magic)
	if len(b) < n+4 || string(b[:n]) != string(magic) {
		return h, fmt.Errorf("%w: its header is not ours", ErrCorrupt)
	}
	switch h.schema = binary.BigEndian.Uint32(b[n:]); {
	case h.schema > schema:
		return h, fmt.Errorf("%w: schema %d, this one reads %d", ErrNewerSchema, h.schema, schema)
	case h.schema != schema || len(b) != n+20:
		return h, fmt.Errorf("%w: header of schema %d with %d bytes", ErrCorrupt, h.schema, len(b))
	}
	h.count = binary.BigEndian.Uint64(b[n+4:])
	h.sum = binary.BigEndian.Uint64(b[n+12:])
	return h, nil
}

// checksum covers the key's length too, so that no byte moves from key to value
// unnoticed.
func checksum(key, value []byte) uint64 {
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(len(key)))
	sum := crc64.Update(0, checksums, size[:])
	return crc64.Update(crc64.Update(sum, checksums, key), checksums, value)
}

// seal appends the value with its checksum.
func seal(b, key, value []byte) []byte {
	return append(binary.BigEndian.AppendUint64(b, checksum(key, value)), value...)
}

// unseal returns the value within stored, which it shares.
func unseal(key, stored []byte) ([]byte, error) {
	if len(stored) <= sealSize || binary.BigEndian.Uint64(stored) != checksum(key, stored[sealSize:]) {
		return nil, fmt.Errorf("%w: checksum of record %q", ErrCorrupt, key)
	}
	return stored[sealSize:], nil
}

// ledger applies batches within one transaction and keeps the header in step.
type ledger struct {
	header  header
	heading *bbolt.Bucket
	records *bbolt.Bucket
	changed bool
}

func openLedger(tx *bbolt.Tx) (*ledger, error) {
	h, err := readHeader(tx)
	return &ledger{header: h, heading: tx.Bucket(headerBucket), records: tx.Bucket(recordsBucket)}, err
}

// apply writes the whole batch, or nothing where its fence does not hold. err is
// the failure of the transaction.
func (l *ledger) apply(b appregistry.Batch) (verdict, err error) {
	if b.Fence != nil {
		var value []byte
		if stored := l.records.Get(b.Fence.Key); stored != nil {
			if value, err = unseal(b.Fence.Key, stored); err != nil {
				return nil, err
			}
		}
		if !b.Fence.Holds(value) {
			return appregistry.ErrFenced, nil
		}
	}
	size := 0
	for _, r := range b.Put {
		size += sealSize + len(r.Value)
	}
	all := make([]byte, 0, size) // it is the transaction's until that ends
	for _, r := range b.Put {
		l.forget(r.Key)
		at := len(all)
		all = seal(all, r.Key, r.Value)
		sealed := all[at:len(all):len(all)]
		l.header.count++
		l.header.sum += binary.BigEndian.Uint64(sealed)
		if err := l.records.Put(r.Key, sealed); err != nil {
			return nil, err
		}
		l.changed = true
	}
	for _, key := range b.Delete {
		if !l.forget(key) {
			continue
		}
		if err := l.records.Delete(key); err != nil {
			return nil, err
		}
		l.changed = true
	}
	return nil, nil
}

// forget takes a record out of count and sum and reports whether there is one.
func (l *ledger) forget(key []byte) bool {
	stored := l.records.Get(key)
	if stored == nil {
		return false
	}
	l.header.count--
	l.header.sum -= binary.BigEndian.Uint64(stored)
	return true
}

func (l *ledger) close() error { return l.heading.Put(formatKey, l.header.encode()) }
