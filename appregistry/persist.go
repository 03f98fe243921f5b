package appregistry

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// recordKey is table and number of a record.
type recordKey struct {
	table table
	seq   uint64
}

// tableNames begin the store's keys: a name, a slash and 8 bytes of number,
// highest first, so that records come back in the order in which they were made.
var tableNames = [...]string{appTable: "app", entryTable: "entry", tokenTable: "token", seqTable: "seq", pauseTable: "pause"}

// reserveAhead is how many numbers one write of the sequence record covers.
const reserveAhead = 1 << 16

func (r *Registry) touch(k recordKey) {
	if !r.volatile {
		r.dirty = append(r.dirty, k)
	}
}

func (r *Registry) touchNode(n *node) {
	if !r.volatile && !n.dirty {
		n.dirty = true
		r.touch(recordKey{n.table, n.id})
	}
}

// Dirty reports whether anything changed since the last [Registry.TakeBatch].
func (r *Registry) Dirty() bool { return len(r.dirty) > 0 }

// TakeBatch encodes all that changed, in order of keys, and takes it as written.
// Where it was not, [Registry.Redo] takes that back.
func (r *Registry) TakeBatch() Batch {
	slices.SortFunc(r.dirty, func(a, b recordKey) int {
		if a.table != b.table {
			return cmp.Compare(tableNames[a.table], tableNames[b.table])
		}
		return cmp.Compare(a.seq, b.seq)
	})
	keys := slices.Compact(r.dirty)
	b := Batch{Put: make([]Record, 0, len(keys))}
	w := fieldWriter{b: make([]byte, 0, len(keys)*recordSize)}
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
	r.dirty = r.dirty[:0]
	return b
}

// recordSize is about that of a key with its value.
const recordSize = 224

// Redo marks all records of a batch that was not written as changed again.
// Others in it are ignored.
func (r *Registry) Redo(b Batch) {
	for _, put := range b.Put {
		if k, ok := parseKey(put.Key); ok {
			r.redo(k)
		}
	}
	for _, key := range b.Delete {
		if k, ok := parseKey(key); ok {
			r.redo(k)
		}
	}
}

func (r *Registry) redo(k recordKey) {
	r.touch(k)
	if at := r.where.get(k.seq); at&openBit != 0 && r.nodes[at&^openBit].table == k.table {
		r.nodes[at&^openBit].dirty = true
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
	case appTable, entryTable, tokenTable:
		n := r.find(k.table, k.seq)
		switch {
		case n == nil:
			return
		case n.app != nil:
			record(n.app.encode)
		case n.entry != nil:
			record(n.entry.encode)
		case n.token != nil:
			record(n.token.encode)
		}
		n.dirty = false
	case seqTable:
		w.b = binary.BigEndian.AppendUint64(w.b, r.reserved)
	case pauseTable:
		switch {
		case r.pause.All:
			w.b = append(w.b, pausedAll)
		case !r.pause.IsZero():
			record(r.pause.encode)
		}
	}
}

// Load takes one record as it was stored. It reports false for a key that is not
// the registry's. A [Loader] takes many.
func (r *Registry) Load(key, value []byte) (bool, error) {
	l := r.Loader(nil, nil)
	defer l.Done()
	return l.Load(key, value)
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
		return tableNames[k.table], fmt.Errorf("%s record %d: %w", tableNames[k.table], k.seq, err)
	}
	return tableNames[k.table], nil
}

func (r *Registry) load(k recordKey, value []byte) error {
	switch k.table {
	case appTable, entryTable, tokenTable:
		return r.loadRecord(k, value)
	case seqTable:
		if len(value) != 8 {
			return errors.New("want 8 bytes")
		}
		// What was reserved may have been given.
		r.last = binary.BigEndian.Uint64(value)
		r.reserved = r.last
	case pauseTable:
		r.pause = Pause{}
		return r.pause.decode(value)
	}
	return nil
}

// loadRecord puts a record as if it were not a change: the way of those about
// which something is known already. Nobody has another one in hand while records
// are loaded, so they are folded soon.
func (r *Registry) loadRecord(k recordKey, value []byte) (err error) {
	n := r.make(k.table, k.seq)
	if n == nil {
		return fmt.Errorf("number %d cannot be that of a record, or is that of another", k.seq)
	}
	defer r.Tidy(r.age+1, keepLoaded)
	wasDirty := n.dirty
	n.dirty = true // so that it is not noted
	switch k.table {
	case appTable:
		var a *AppRecord
		if a, err = decodeApp(k.seq, value); err == nil {
			r.PutApp(a)
		}
	case entryTable:
		var e *EntryRecord
		if e, err = decodeEntry(k.seq, value); err == nil {
			r.PutEntry(e)
		}
	case tokenTable:
		var t *TokenRecord
		if t, err = decodeToken(k.seq, value); err == nil {
			r.PutToken(t)
		}
	}
	n.dirty = wasDirty
	r.dropEmpty(n)
	return err
}

// keepLoaded is how many records stay open while they are loaded.
const keepLoaded = 1024

func (k recordKey) append(b []byte) []byte {
	b = append(append(b, tableNames[k.table]...), '/')
	return binary.BigEndian.AppendUint64(b, k.seq)
}

func parseKey(key []byte) (recordKey, bool) {
	name, seq, ok := bytes.Cut(key, []byte{'/'})
	t := slices.Index(tableNames[:], string(name))
	if !ok || len(seq) != 8 || t < 0 {
		return recordKey{}, false
	}
	return recordKey{table(t), binary.BigEndian.Uint64(seq)}, true
}
