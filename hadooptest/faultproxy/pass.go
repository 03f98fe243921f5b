package faultproxy

import (
	"encoding/binary"
	"errors"
	"io"
	"time"
)

// ResetAfter passes n bytes on, then resets the connection.
func ResetAfter(n int64) Pass { return endAfter(n, ErrReset) }

// HalfOpenAfter passes n bytes on, then nothing more, in neither direction.
func HalfOpenAfter(n int64) Pass { return endAfter(n, ErrHalfOpen) }

func endAfter(n int64, end error) Pass {
	return func(dst io.Writer, src io.Reader) error {
		if _, err := io.CopyN(dst, src, n); err != nil {
			return ended(err)
		}
		return end
	}
}

// ended is nil where a direction ended of itself.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// Slow passes one byte on in every perByte.
func Slow(perByte time.Duration) Pass {
	return func(dst io.Writer, src io.Reader) error {
		for {
			if _, err := io.CopyN(dst, src, 1); err != nil {
				return ended(err)
			}
			time.Sleep(perByte)
		}
	}
}

// Delay passes everything on, each piece as it came but that much later.
func Delay(d time.Duration) Pass {
	return func(dst io.Writer, src io.Reader) error {
		buf := make([]byte, 32<<10)
		for {
			n, err := src.Read(buf)
			time.Sleep(d)
			if _, werr := dst.Write(buf[:n]); werr != nil {
				return werr
			}
			if err != nil {
				return ended(err)
			}
		}
	}
}

// Flip passes everything on, the byte at an offset with those bits changed that mask
// has.
func Flip(offset int64, mask byte) Pass {
	return func(dst io.Writer, src io.Reader) error {
		if _, err := io.CopyN(dst, src, offset); err != nil {
			return ended(err)
		}
		var b [1]byte
		if _, err := io.ReadFull(src, b[:]); err != nil {
			return ended(err)
		}
		b[0] ^= mask
		if _, err := dst.Write(b[:]); err != nil {
			return err
		}
		return plain(dst, src)
	}
}

// maxMessage bounds what Messages holds at once.
const maxMessage = 16 << 20

// Messages passes opening bytes on as they come, then message after message of those
// that have their length before them, four bytes in network order. Edit is given the
// i-th of them, from 0, its length included, and returns the bytes to send instead; an
// error of edit is what becomes of the connection once these are sent. It may keep the
// bytes.
func Messages(opening int64, edit func(i int, message []byte) ([]byte, error)) Pass {
	return func(dst io.Writer, src io.Reader) error {
		if _, err := io.CopyN(dst, src, opening); err != nil {
			return ended(err)
		}
		for i := 0; ; i++ {
			message, err := readMessage(src)
			if err != nil {
				return ended(err)
			}
			out, end := edit(i, message)
			if _, err := dst.Write(out); err != nil {
				return err
			}
			if end != nil {
				return end
			}
		}
	}
}

func readMessage(src io.Reader) ([]byte, error) {
	message := make([]byte, 4)
	if _, err := io.ReadFull(src, message); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(message)
	if n > maxMessage {
		return nil, errors.New("no message with a length before it")
	}
	message = append(message, make([]byte, n)...)
	_, err := io.ReadFull(src, message[4:])
	return message, err
}
