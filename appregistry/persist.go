package appregistry

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// recordKey is table and number of a record.
type recordKey struct {
	table string
	seq   uint64
}

// The store's keys: a table name, a slash and 8 bytes of number, highest first,
// so that records come back in the order in which they were made.
const (
	appTable   = "app"
	entryTable = "entry"
	tokenTable = "token"
	seqTable   = "seq"   // one record: the numbers reserved
	pauseTable = "pause" // one record, there while cancels are paused
)

// pausedMark is the value of the pause record.
const pausedMark = 1

// reserveAhead is how many numbers one write of the sequence record covers.
const reserveAhead = 1 << 16

func (r *Registry) touch(table string, seq uint64) {
	if r.volatile {
		return
	}
	r.dirty[recordKey{table, seq}] = struct{}{}
}

// Dirty reports whether anything changed since the last [Registry.TakeBatch].
func (r *Registry) Dirty() bool { return len(r.dirty) > 0 }

// TakeBatch encodes all that changed, in order of keys, and takes it as written.
// Where it was not, [Registry.Redo] takes that back.
func (r *Registry) TakeBatch() Batch {
	keys := slices.SortedFunc(maps.Keys(r.dirty), func(a, b recordKey) int {
		return cmp.Or(cmp.Compare(a.table, b.table), cmp.Compare(a.seq, b.seq))
	})
	var b Batch
	var w fieldWriter
	for _, k := range keys {
		start := len(w.b)
		w.b = k.append(w.b)
		value := len(w.b)
		r.encode(&w, k)
		// Part of one buffer for all: what stands in it already never changes.
		key := w.b[start:value:value]
		if len(w.b) == value {
			b.Delete = append(b.Delete, key)
			continue
		}
		b.Put = append(b.Put, Record{Key: key, Value: w.b[value:len(w.b):len(w.b)]})
	}
	clear(r.dirty)
	return b
}

// Redo marks all records of a batch that was not written as changed again.
// Others in it are ignored.
func (r *Registry) Redo(b Batch) {
	for _, put := range b.Put {
		if k, ok := parseKey(put.Key); ok {
			r.dirty[k] = struct{}{}
		}
	}
	for _, key := range b.Delete {
		if k, ok := parseKey(key); ok {
			r.dirty[k] = struct{}{}
		}
	}
}

// encode appends the record's value; nothing for a record that is gone.
func (r *Registry) encode(w *fieldWriter, k recordKey) {
	record := func(encode func(*fieldWriter)) {
		w.b = append(w.b, RecordVersion)
		encode(w)
		w.b = append(w.b, 0)
	}
	switch k.table {
	case appTable:
		if a := r.apps[k.seq]; a != nil {
			record(a.encode)
		}
	case entryTable:
		if e := r.entries[EntryID(k.seq)]; e != nil {
			record(e.encode)
		}
	case tokenTable:
		if t := r.tokens[TokenID(k.seq)]; t != nil {
			record(t.encode)
		}
	case seqTable:
		w.b = binary.BigEndian.AppendUint64(w.b, r.reserved)
	case pauseTable:
		if r.cancelsPaused {
			w.b = append(w.b, pausedMark)
		}
	}
}

// Load takes one record as it was stored. It reports false for a key that is not
// the registry's.
func (r *Registry) Load(key, value []byte) (bool, error) {
	k, ok := parseKey(key)
	if !ok {
		return false, nil
	}
	err := r.load(k, value)
	if err != nil {
		return true, fmt.Errorf("load %s record %d: %w", k.table, k.seq, err)
	}
	delete(r.dirty, k)
	return true, nil
}

// Inspect says of which kind a stored record is, "" for one that is not the
// registry's, and whether this release can read it. Nothing of it is kept.
func Inspect(key, value []byte) (kind string, err error) {
	k, ok := parseKey(key)
	if !ok {
		return "", nil
	}
	switch k.table {
	case appTable:
		_, err = decodeApp(k.seq, value)
	case entryTable:
		_, err = decodeEntry(k.seq, value)
	case tokenTable:
		_, err = decodeToken(k.seq, value)
	default:
		err = NewRegistry().load(k, value)
	}
	if err != nil {
		return k.table, fmt.Errorf("%s record %d: %w", k.table, k.seq, err)
	}
	return k.table, nil
}

func (r *Registry) load(k recordKey, value []byte) error {
	switch k.table {
	case appTable:
		a, err := decodeApp(k.seq, value)
		if err != nil {
			return err
		}
		r.PutApp(a)
	case entryTable:
		e, err := decodeEntry(k.seq, value)
		if err != nil {
			return err
		}
		r.PutEntry(e)
	case tokenTable:
		t, err := decodeToken(k.seq, value)
		if err != nil {
			return err
		}
		r.PutToken(t)
	case seqTable:
		if len(value) != 8 {
			return errors.New("want 8 bytes")
		}
		// What was reserved may have been given.
		r.last = binary.BigEndian.Uint64(value)
		r.reserved = r.last
	case pauseTable:
		r.cancelsPaused = true
	}
	return nil
}

func (k recordKey) append(b []byte) []byte {
	b = append(append(b, k.table...), '/')
	return binary.BigEndian.AppendUint64(b, k.seq)
}

func parseKey(key []byte) (recordKey, bool) {
	table, seq, ok := bytes.Cut(key, []byte{'/'})
	if !ok || len(seq) != 8 {
		return recordKey{}, false
	}
	switch k := (recordKey{string(table), binary.BigEndian.Uint64(seq)}); k.table {
	case appTable, entryTable, tokenTable, seqTable, pauseTable:
		return k, true
	}
	return recordKey{}, false
}
