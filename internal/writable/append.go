package writable

import "math/bits"

// AppendVlong appends v as WritableUtils.writeVLong does: one byte from -112 to
// 127, else a byte that tells sign and length, and the value, ones' complement
// when negative, in as few big-endian bytes as hold it.
func AppendVlong(b []byte, v int64) []byte {
	if v >= -112 && v <= 127 {
		return append(b, byte(v))
	}
	head := -112
	if v < 0 {
		v, head = ^v, -120
	}
	n := (bits.Len64(uint64(v)) + 7) / 8
	b = append(b, byte(head-n))
	for i := n - 1; i >= 0; i-- {
		b = append(b, byte(v>>(8*i)))
	}
	return b
}

// AppendVint appends v as WritableUtils.writeVInt does, which is as a vlong.
func AppendVint(b []byte, v int32) []byte { return AppendVlong(b, int64(v)) }

// AppendText appends s as org.apache.hadoop.io.Text: a vint length and the bytes.
// It neither checks UTF-8 nor [MaxText].
func AppendText(b []byte, s string) []byte {
	return append(AppendVlong(b, int64(len(s))), s...)
}

// AppendBytes appends a vint length and p.
func AppendBytes(b, p []byte) []byte {
	return append(AppendVlong(b, int64(len(p))), p...)
}
