// Package gsstest has a pair of security contexts for tests of what stands on [sasl.GSS]: two messages to establish,
// then numbered, signed and seemingly encrypted ones. It keeps the contract of the interface and no secret.
package gsstest

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

const (
	macSize  = 16
	headSize = 10 // direction, sealed, sequence number
)

// Context is one side of a pair; it implements sasl.GSS.
type Context struct {
	self, peer string
	initiator  bool
	started    bool
	done       bool
	sent, seen uint64
}

// NewPair returns contexts that know each other only by what they exchange. A context belongs to one connection.
func NewPair(initiator, acceptor string) (*Context, *Context) {
	return &Context{self: initiator, initiator: true}, &Context{self: acceptor}
}

// Step implements sasl.GSS. The initiator verifies the acceptor's answer, as with Kerberos' AP-REP.
func (c *Context) Step(in []byte) ([]byte, bool, error) {
	switch {
	case c.done:
		return nil, false, errors.New("context already stands")
	case c.initiator && !c.started:
		c.started = true
		return sign([]byte("req " + c.self)), false, nil
	}
	body, err := verify(in)
	if err != nil {
		return nil, false, err
	}
	word, name, _ := bytes.Cut(body, []byte(" "))
	c.peer, c.done = string(name), true
	if c.initiator {
		if string(word) != "rep" {
			return nil, false, errors.New("not an acceptor's answer")
		}
		return nil, true, nil
	}
	return sign([]byte("rep " + c.self)), true, nil
}

// Wrap implements sasl.GSS.
func (c *Context) Wrap(plain []byte, seal bool) ([]byte, error) {
	out := make([]byte, headSize, headSize+len(plain)+macSize)
	out[0], out[1] = flag(c.initiator), flag(seal)
	binary.BigEndian.PutUint64(out[2:], c.sent)
	c.sent++
	return sign(append(out, mask(plain, seal)...)), nil
}

// Unwrap implements sasl.GSS.
func (c *Context) Unwrap(token []byte) ([]byte, bool, error) {
	body, err := verify(token)
	if err != nil {
		return nil, false, err
	}
	if len(body) < headSize || body[0] != flag(!c.initiator) || binary.BigEndian.Uint64(body[2:]) != c.seen {
		return nil, false, errors.New("wrong direction or out of sequence")
	}
	c.seen++
	sealed := body[1] == 1
	return mask(body[headSize:], sealed), sealed, nil
}

// Peer implements sasl.GSS.
func (c *Context) Peer() string { return c.peer }

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func mask(b []byte, seal bool) []byte {
	out := bytes.Clone(b)
	for i := range out {
		out[i] ^= flag(seal) * 0x5a
	}
	return out
}

func sign(b []byte) []byte { return append(b, mac(b)...) }

func verify(b []byte) ([]byte, error) {
	if len(b) < macSize {
		return nil, errors.New("token too short")
	}
	body := b[:len(b)-macSize]
	if !hmac.Equal(b[len(body):], mac(body)) {
		return nil, errors.New("wrong checksum")
	}
	return body, nil
}

func mac(b []byte) []byte {
	h := hmac.New(sha256.New, []byte("a key everybody knows"))
	h.Write(b)
	return h.Sum(nil)[:macSize]
}
