package appregistry

import (
	"encoding/binary"
	"errors"
	"time"
)

// A record is a version byte, fields, and a zero byte, without which it was cut. A field is its number and type in one
// varint, then a varint, or a length and that many bytes. What is zero is not
// written. A reader keeps the fields it does not know and writes them again
// behind its own, so that an older release may touch what a later one made.

const (
	numberField = iota
	bytesField
)

var errDamaged = errors.New("damaged record")

// fieldWriter appends fields.
type fieldWriter struct {
	b     []byte
	words *words // texts are written as numbers of these; nil: as they are
}

func (w *fieldWriter) number(field int, v uint64) {
	if v != 0 {
		w.always(field, v)
	}
}

// always writes a number that means something even where it is zero.
func (w *fieldWriter) always(field int, v uint64) {
	w.b = binary.AppendUvarint(w.b, uint64(field)<<1) // the low bit tells numbers from bytes
	w.b = binary.AppendUvarint(w.b, v)
}

func (w *fieldWriter) flag(field int, v bool) {
	if v {
		w.number(field, 1)
	}
}

func (w *fieldWriter) bytes(field int, v []byte) {
	if len(v) > 0 {
		w.head(field, len(v))
		w.b = append(w.b, v...)
	}
}

func (w *fieldWriter) text(field int, v string) {
	if v != "" {
		w.head(field, len(v))
		w.b = append(w.b, v...)
	}
}

// word writes a text that many records have.
func (w *fieldWriter) word(field int, v string) {
	if n := w.words.number(v); n != 0 {
		w.number(field, n)
		return
	}
	w.text(field, v)
}

func (w *fieldWriter) authority(field int, a Authority) {
	if a.IsZero() {
		return
	}
	if n := w.words.authority(a); n != 0 {
		w.number(field, n)
		return
	}
	w.nested(field, func() {
		w.text(1, a.Instance)
		w.text(2, a.Name)
	})
}

func (w *fieldWriter) head(field, length int) {
	w.b = binary.AppendUvarint(w.b, uint64(field)<<1|bytesField)
	w.b = binary.AppendUvarint(w.b, uint64(length))
}

// ref writes the number of another record by its distance from the record's own,
// which is short for what was made together.
func (w *fieldWriter) ref(field int, own, id uint64) {
	if id != 0 {
		w.always(field, zigzag(int64(id-own)))
	}
}

func (w *fieldWriter) refs(field int, own uint64, ids []TokenID) {
	if len(ids) > 0 {
		w.nested(field, func() {
			for _, id := range ids {
				w.b = binary.AppendUvarint(w.b, zigzag(int64(uint64(id)-own)))
				own = uint64(id)
			}
		})
	}
}

// date writes milliseconds, as services know them, or nanoseconds where there
// are some.
func (w *fieldWriter) date(field int, t time.Time) {
	switch {
	case t.IsZero():
	case t.Nanosecond()%1e6 != 0 && t.Year() > 1900 && t.Year() < 2040: // two bits are left
		w.always(field, zigzag(t.UnixNano())<<1|1)
	default: // in 63 bits, which a service's "never" may exceed
		w.always(field, zigzag(max(-1<<61, min(t.UnixMilli(), 1<<61-1)))<<1)
	}
}

// nested writes a field of fields.
func (w *fieldWriter) nested(field int, write func()) {
	w.b = binary.AppendUvarint(w.b, uint64(field)<<1|bytesField)
	at := len(w.b)
	w.b = append(w.b, 0) // the length, mostly below 128
	write()
	length := len(w.b) - at - 1
	if length < 0x80 {
		w.b[at] = byte(length)
		return
	}
	body := append([]byte(nil), w.b[at+1:]...)
	w.b = binary.AppendUvarint(w.b[:at], uint64(length))
	w.b = append(w.b, body...)
}

func zigzag(v int64) uint64   { return uint64(v<<1) ^ uint64(v>>63) }
func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// fieldReader takes fields off bytes from outside.
type fieldReader struct {
	rest  []byte
	words *words // whose numbers stand for texts; nil: none do
	lent  bool   // bytes are those that are read, and not copied
	known *words // texts that need not be made again; nil: none
	err   error
	field int
	kind  int
	value uint64       // of a number
	body  []byte       // of bytes; part of what is read
	whole []byte       // the field as it stands
	ended bool         // the zero byte behind the last field was there
	inner *fieldReader // of nested fields, used again for each
}

// finish reports what was wrong with a record that was read to its end.
func (r *fieldReader) finish() error {
	if r.err == nil && !r.ended {
		return errDamaged
	}
	return r.err
}

// next reads a field. It reports false at the end and at damage.
func (r *fieldReader) next() bool {
	if r.err != nil || len(r.rest) == 0 {
		return false
	}
	start := r.rest
	head := r.uvarint()
	if r.err == nil && head == 0 && len(r.rest) == 0 {
		r.ended = true
		return false
	}
	v := r.uvarint()
	if r.err != nil || head>>1 == 0 || head>>1 > 1<<20 {
		r.err = errDamaged
		return false
	}
	r.field, r.kind, r.value, r.body = int(head>>1), int(head&1), v, nil
	if r.kind == bytesField {
		if v > uint64(len(r.rest)) {
			r.err = errDamaged
			return false
		}
		r.body, r.rest = r.rest[:v:v], r.rest[v:]
	}
	r.whole = start[:len(start)-len(r.rest)]
	return true
}

func (r *fieldReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.err = errDamaged
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *fieldReader) want(kind int) bool {
	if r.kind != kind {
		r.err = errDamaged
	}
	return r.err == nil
}

func (r *fieldReader) number() uint64 {
	if r.want(numberField) {
		return r.value
	}
	return 0
}

// below reads a number of a small set.
func (r *fieldReader) below(limit uint64) uint64 {
	v := r.number()
	if v >= limit {
		r.err = errDamaged
		return 0
	}
	return v
}

func (r *fieldReader) ref(own uint64) uint64 { return own + uint64(unzigzag(r.number())) }

func (r *fieldReader) refs(own uint64) []TokenID {
	if !r.want(bytesField) {
		return nil
	}
	var ids []TokenID
	for body := r.body; len(body) > 0; {
		v, n := binary.Uvarint(body)
		if n <= 0 {
			r.err = errDamaged
			return nil
		}
		body = body[n:]
		own += uint64(unzigzag(v))
		ids = append(ids, TokenID(own))
	}
	return ids
}

// bytes copies, unless what is read is lent.
func (r *fieldReader) bytes() []byte {
	switch {
	case !r.want(bytesField):
		return nil
	case r.lent:
		return r.body
	}
	return append([]byte(nil), r.body...)
}

func (r *fieldReader) text() string {
	if r.want(bytesField) {
		return string(r.body)
	}
	return ""
}

func (r *fieldReader) word() string {
	if r.kind == bytesField {
		if text, ok := r.known.has(r.body); ok {
			return text
		}
		return string(r.body)
	}
	v, ok := r.words.text(r.value)
	if !ok {
		r.err = errDamaged
	}
	return v
}

func (r *fieldReader) authority() (a Authority) {
	if r.kind == numberField {
		a, ok := r.words.authorityOf(r.value)
		if !ok {
			r.err = errDamaged
		}
		return a
	}
	if a, ok := r.known.readBefore(r.body); ok && r.kind == bytesField {
		return a
	}
	r.nested(func(in *fieldReader) {
		switch in.field {
		case 1:
			a.Instance = in.text()
		case 2:
			a.Name = in.text()
		}
	})
	if r.err == nil {
		r.known.read(r.body, a)
	}
	return a
}

func (r *fieldReader) date() time.Time {
	v := r.number()
	switch at := unzigzag(v >> 1); {
	case r.err != nil:
		return time.Time{}
	case v&1 != 0:
		return time.Unix(0, at).UTC()
	default:
		return time.UnixMilli(at).UTC()
	}
}

// nested reads the fields within this one.
func (r *fieldReader) nested(each func(*fieldReader)) {
	if !r.want(bytesField) {
		return
	}
	if r.inner == nil {
		r.inner = &fieldReader{}
	}
	in := r.inner
	*in = fieldReader{rest: r.body, words: r.words, lent: r.lent, known: r.known, inner: in.inner}
	for in.next() {
		each(in)
	}
	if in.err != nil {
		r.err = in.err
	}
}
