// Package writable speaks Hadoop's Writable encoding: the integers of
// WritableUtils, Text, and bytes with a length before them. It knows nothing of
// tokens; package hadooptoken builds those from it. For appending integers of
// fixed size use encoding/binary with BigEndian.
//
// A [Reader] takes exactly what Java's readers take and allocates nothing but
// the strings it returns, whatever lengths the input declares.
package writable

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// MaxText is the length from which a Text is refused, as by the identifier
// classes of Hadoop (AbstractDelegationTokenIdentifier.readFields).
const MaxText = 1 << 20

// Reader reads values from a byte slice, one after the other. Its first error
// sticks: every later read returns a zero value, so that a caller may read a
// whole structure and look at [Reader.Err] once. Not for concurrent use.
type Reader struct {
	buf []byte
	off int
	err error
}

// NewReader returns a Reader of b. The caller must not change b while it reads.
func NewReader(b []byte) *Reader { return &Reader{buf: b} }

// Err returns the first error, which names what was read and at which byte; one
// of truncated input wraps [io.ErrUnexpectedEOF].
func (r *Reader) Err() error { return r.err }

// Rest returns the bytes not read yet, sharing the input.
func (r *Reader) Rest() []byte { return r.buf[r.off:] }

// Byte reads one byte.
func (r *Reader) Byte() byte {
	if b := r.take("byte", 1); b != nil {
		return b[0]
	}
	return 0
}

// Int32 reads four bytes, big-endian.
func (r *Reader) Int32() int32 {
	if b := r.take("int32", 4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

// Vlong reads what [AppendVlong] wrote. Like WritableUtils.readVLong it also
// takes longer forms than needed, and eight bytes that overflow into the sign.
func (r *Reader) Vlong() int64 { return r.vlong("vlong") }

// Vint reads a vlong that must fit 32 bits, as WritableUtils.readVInt does.
func (r *Reader) Vint() int32 { return r.vint("vint") }

// Text reads a Text shorter than [MaxText]. The string holds the bytes as they
// are, valid UTF-8 or not.
func (r *Reader) Text() string {
	at := r.off
	n := r.length("text length")
	if n >= MaxText {
		r.fail(at, "text length", fmt.Errorf("%d, the limit is %d", n, MaxText-1))
		return ""
	}
	return string(r.take("text", n))
}

// Bytes reads bytes after a vint length. They share the input; nil stands for
// none.
func (r *Reader) Bytes() []byte { return r.take("bytes", r.length("bytes length")) }

// Sized reads n bytes, which share the input.
func (r *Reader) Sized(n int) []byte {
	if n < 0 {
		r.fail(r.off, "bytes", fmt.Errorf("negative length %d", n))
		return nil
	}
	return r.take("bytes", n)
}

// take returns the next n bytes, or nil after an error and for n = 0. The cap
// keeps an append by the caller off the bytes that follow.
func (r *Reader) take(what string, n int) []byte {
	if r.err != nil || n == 0 {
		return nil
	}
	if left := len(r.buf) - r.off; n > left {
		r.fail(r.off, what, fmt.Errorf("%d bytes wanted, %d left: %w", n, left, io.ErrUnexpectedEOF))
		return nil
	}
	b := r.buf[r.off : r.off+n : r.off+n]
	r.off += n
	return b
}

func (r *Reader) length(what string) int {
	at := r.off
	n := r.vint(what)
	if n < 0 {
		r.fail(at, what, fmt.Errorf("%d is negative", n))
		return 0
	}
	return int(n)
}

func (r *Reader) vint(what string) int32 {
	at := r.off
	v := r.vlong(what)
	if v < math.MinInt32 || v > math.MaxInt32 {
		r.fail(at, what, fmt.Errorf("%d does not fit 32 bits", v))
		return 0
	}
	return int32(v)
}

func (r *Reader) vlong(what string) int64 {
	first := r.take(what, 1)
	if first == nil {
		return 0
	}
	head := int8(first[0])
	if head >= -112 {
		return int64(head)
	}
	n, negative := -112-int(head), false
	if head < -120 {
		n, negative = -120-int(head), true
	}
	var v int64
	for _, c := range r.take(what, n) {
		v = v<<8 | int64(c)
	}
	if negative && r.err == nil {
		return ^v
	}
	return v
}

// fail keeps the first error only.
func (r *Reader) fail(at int, what string, err error) {
	if r.err == nil {
		r.err = fmt.Errorf("read %s at byte %d: %w", what, at, err)
	}
}
