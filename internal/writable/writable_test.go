package writable_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tokenwheel/tokenwheel/internal/writable"
)

type vlong struct {
	value int64
	bytes []byte
}

// javaVlongs are integers written by Java's WritableUtils.
func javaVlongs(t testing.TB) []vlong {
	t.Helper()
	text, err := os.ReadFile("../../testdata/id/vlong.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []struct{ Value, Hex string }
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	var all []vlong
	for _, e := range list {
		v, err := strconv.ParseInt(e.Value, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		b, err := hex.DecodeString(e.Hex)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, vlong{v, b})
	}
	if len(all) < 20 {
		t.Fatalf("only %d integers", len(all))
	}
	return all
}

// Shows: W3, for integers.
func TestW3_VlongsOfJava(t *testing.T) {
	for _, v := range javaVlongs(t) {
		t.Run(strconv.FormatInt(v.value, 10), func(t *testing.T) {
			if diff := cmp.Diff(v.bytes, writable.AppendVlong(nil, v.value)); diff != "" {
				t.Errorf("append: %s", diff)
			}
			r := writable.NewReader(v.bytes)
			if got := r.Vlong(); got != v.value || r.Err() != nil || len(r.Rest()) != 0 {
				t.Errorf("read %d, error %v, %d bytes left", got, r.Err(), len(r.Rest()))
			}
			for n := range v.bytes {
				r := writable.NewReader(v.bytes[:n])
				if got := r.Vlong(); got != 0 || !errors.Is(r.Err(), io.ErrUnexpectedEOF) {
					t.Errorf("cut at %d: read %d, error %v", n, got, r.Err())
				}
			}
		})
	}
}

func TestW3_VlongsThatJavaReadsButNeverWrites(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		want      int64
	}{
		{"one in two bytes", "8f01", 1},
		{"zero in eight bytes", "880000000000000000", 0},
		{"minus one in two bytes", "8700", -1},
		{"eight bytes into the sign", "88ffffffffffffffff", -1},
		{"ones' complement of that", "80ffffffffffffffff", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, _ := hex.DecodeString(c.hex)
			r := writable.NewReader(b)
			if got := r.Vlong(); got != c.want || r.Err() != nil {
				t.Errorf("got %d, error %v, want %d", got, r.Err(), c.want)
			}
		})
	}
}

// Shows: W10, for the parts of a token.
func TestW10_RefusesBadLengths(t *testing.T) {
	read := map[string]func(*writable.Reader){
		"vint":  func(r *writable.Reader) { r.Vint() },
		"text":  func(r *writable.Reader) { _ = r.Text() },
		"bytes": func(r *writable.Reader) { r.Bytes() },
		"int32": func(r *writable.Reader) { r.Int32() },
		"sized": func(r *writable.Reader) { r.Sized(int(r.Int32())) },
	}
	for _, c := range []struct{ name, read, hex, want string }{
		{"33 bits", "vint", "8b0100000000", "read vint at byte 0: 4294967296 does not fit 32 bits"},
		{"negative text", "text", "ff", "read text length at byte 0: -1 is negative"},
		{"text of 1 MiB", "text", "8d100000", "read text length at byte 0: 1048576, the limit is 1048575"},
		{"text that is cut", "text", "036162", "read text at byte 1: 3 bytes wanted, 2 left: unexpected EOF"},
		{"2 GiB of nothing", "bytes", "8c7fffffff", "read bytes at byte 5: 2147483647 bytes wanted, 0 left: unexpected EOF"},
		{"length that is cut", "bytes", "8c7f", "read bytes length at byte 1: 4 bytes wanted, 1 left: unexpected EOF"},
		{"negative bytes", "bytes", "807fffffffffffffff", "read bytes length at byte 0: -9223372036854775808 does not fit 32 bits"},
		{"three bytes of four", "int32", "000000", "read int32 at byte 0: 4 bytes wanted, 3 left: unexpected EOF"},
		{"negative size", "sized", "ffffffff", "read bytes at byte 4: negative length -1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, _ := hex.DecodeString(c.hex)
			r := writable.NewReader(b)
			read[c.read](r)
			if r.Err() == nil || r.Err().Error() != c.want {
				t.Errorf("got error %v, want %s", r.Err(), c.want)
			}
		})
	}
}

func TestFirstErrorSticks(t *testing.T) {
	r := writable.NewReader([]byte{5, 'a', 'b'})
	_ = r.Text()
	first := r.Err()
	if first == nil {
		t.Fatal("a cut text was read")
	}
	if n, s, b := r.Vlong(), r.Text(), r.Bytes(); n != 0 || s != "" || b != nil || r.Byte() != 0 || !errors.Is(r.Err(), first) {
		t.Errorf("after an error: read %d, %q, %x; error %v, want %v", n, s, b, r.Err(), first)
	}
}

func TestLongestText(t *testing.T) {
	long := strings.Repeat("x", writable.MaxText-1)
	r := writable.NewReader(writable.AppendText(nil, long))
	if got := r.Text(); got != long || r.Err() != nil {
		t.Errorf("got %d bytes, error %v", len(got), r.Err())
	}
}

// TestBytesAreFenced keeps whoever appends to a part from writing into the next.
func TestBytesAreFenced(t *testing.T) {
	in := []byte{1, 'a', 1, 'b'}
	r := writable.NewReader(in)
	_ = append(r.Bytes(), 'X')
	if got := r.Bytes(); !bytes.Equal(got, []byte("b")) {
		t.Errorf("got %q, want b", got)
	}
}

// TestW10_ReaderAllocatesNothing covers all but Text, which copies its bytes.
func TestW10_ReaderAllocatesNothing(t *testing.T) {
	in := writable.AppendBytes(writable.AppendVlong([]byte{0, 0, 0, 0, 1}, -70000), []byte("identifier"))
	var err error
	n := testing.AllocsPerRun(100, func() {
		r := writable.NewReader(in)
		r.Byte()
		r.Int32()
		r.Vlong()
		r.Bytes()
		err = r.Err()
	})
	if n != 0 || err != nil {
		t.Errorf("%v allocations, error %v", n, err)
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		long, short := rapid.Int64().Draw(t, "vlong"), rapid.Int32().Draw(t, "vint")
		text, raw := rapid.String().Draw(t, "text"), rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
		b := writable.AppendVlong(nil, long)
		b = writable.AppendVint(b, short)
		b = writable.AppendText(b, text)
		b = writable.AppendBytes(b, raw)
		r := writable.NewReader(b)
		if gotLong, gotShort := r.Vlong(), r.Vint(); gotLong != long || gotShort != short {
			t.Errorf("got %d and %d, want %d and %d", gotLong, gotShort, long, short)
		}
		if gotText, gotRaw := r.Text(), r.Bytes(); gotText != text || !bytes.Equal(gotRaw, raw) {
			t.Errorf("got %q and %x, want %q and %x", gotText, gotRaw, text, raw)
		}
		if r.Err() != nil || len(r.Rest()) != 0 {
			t.Errorf("error %v, %d bytes left", r.Err(), len(r.Rest()))
		}
	})
}

// FuzzVlong: what is read is written again in no more bytes, to the same value.
func FuzzVlong(f *testing.F) {
	for _, v := range javaVlongs(f) {
		f.Add(v.bytes)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r := writable.NewReader(in)
		v := r.Vlong()
		if r.Err() != nil {
			return
		}
		used := len(in) - len(r.Rest())
		again := writable.AppendVlong(nil, v)
		if len(again) > used {
			t.Errorf("%d read from %d bytes, written in %d", v, used, len(again))
		}
		if got := writable.NewReader(again).Vlong(); got != v {
			t.Errorf("got %d, want %d", got, v)
		}
	})
}

func BenchmarkReadVlong(b *testing.B) {
	in := writable.AppendVlong(nil, 1700000000123)
	for b.Loop() {
		r := writable.NewReader(in)
		r.Vlong()
	}
}

func BenchmarkAppendVlong(b *testing.B) {
	buf := make([]byte, 0, 16)
	for b.Loop() {
		buf = writable.AppendVlong(buf[:0], 1700000000123)
	}
}
