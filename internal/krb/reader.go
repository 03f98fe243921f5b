package krb

import (
	"encoding/binary"
	"errors"
)

var errShort = errors.New("cut short")

// reader walks over a keytab or credential cache. The first read past the end
// sets err; later reads give zeros. Slices alias the input.
type reader struct {
	b     []byte
	order binary.ByteOrder
	err   error
}

func (r *reader) bytes(n int) []byte {
	if r.err != nil || n < 0 || n > len(r.b) {
		r.err = errShort
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) uint8() uint8 {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if b := r.bytes(2); b != nil {
		return r.order.Uint16(b)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.bytes(4); b != nil {
		return r.order.Uint32(b)
	}
	return 0
}

func (r *reader) data16() []byte { return r.bytes(int(r.uint16())) }
func (r *reader) data32() []byte { return r.bytes(int(r.uint32())) }
