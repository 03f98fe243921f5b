package hadooptoken

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// field is one field of a message: a number for varints, else bytes that share
// the input.
type field struct {
	number protowire.Number
	wire   protowire.Type
	varint uint64
	bytes  []byte
}

// eachField calls read for each field of message, in order, and stops at the
// first error.
func eachField(message []byte, read func(field) error) error {
	for rest := message; len(rest) > 0; {
		number, wire, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return protowire.ParseError(n)
		}
		rest = rest[n:]
		f := field{number: number, wire: wire}
		switch wire {
		case protowire.VarintType:
			f.varint, n = protowire.ConsumeVarint(rest)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(rest)
		default:
			n = protowire.ConsumeFieldValue(number, wire, rest)
		}
		if n < 0 {
			return fmt.Errorf("field %d: %w", number, protowire.ParseError(n))
		}
		rest = rest[n:]
		if err := read(f); err != nil {
			return err
		}
	}
	return nil
}

func (f field) raw() ([]byte, error) {
	if f.wire != protowire.BytesType {
		return nil, f.wrongType()
	}
	return f.bytes, nil
}

func (f field) text(what string) (string, error) {
	b, err := f.raw()
	if err != nil {
		return "", err
	}
	s := string(b)
	return s, checkText(what, s)
}

func (f field) integer() (int64, error) {
	if f.wire != protowire.VarintType {
		return 0, f.wrongType()
	}
	return int64(f.varint), nil
}

// wrongType refuses what a protobuf runtime would skip as unknown: no version of
// Hadoop gave a number to a field of another type.
func (f field) wrongType() error { return fmt.Errorf("field %d has wire type %d", f.number, f.wire) }

func errMissing(what string) error { return fmt.Errorf("%s is missing", what) }

// each reads the fields of the message in f.
func (f field) each(read func(field) error) error {
	message, err := f.raw()
	if err != nil {
		return err
	}
	return eachField(message, read)
}

func (f field) setText(to *string, what string) (err error) {
	*to, err = f.text(what)
	return err
}

func (f field) setInt64(to *int64) (err error) {
	*to, err = f.integer()
	return err
}

// setInt32 and setKey drop the upper bits of a varint, as protobuf runtimes do.
func (f field) setInt32(to *int64) error {
	v, err := f.integer()
	*to = int64(int32(v))
	return err
}

func (f field) setKey(to *int32) error {
	v, err := f.integer()
	*to = int32(v)
	return err
}

func (f field) setDate(to *time.Time) error {
	ms, err := f.integer()
	*to = date(ms)
	return err
}

// want refuses an enum of another value.
func (f field) want(what string, value int64) error {
	v, err := f.integer()
	if err == nil && v != value {
		err = fmt.Errorf("%s is %d, want %d", what, v, value)
	}
	return err
}

// fieldSet remembers which of the fields 1 to 63 a message had.
type fieldSet uint64

func (s *fieldSet) add(f field) { *s |= 1 << f.number }

func (s fieldSet) require(n protowire.Number, what string) error {
	if s&(1<<n) == 0 {
		return errMissing(what)
	}
	return nil
}
