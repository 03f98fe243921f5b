package krb

import (
	"bytes"
	"crypto/hmac"
	"encoding/binary"
	"fmt"

	"github.com/jcmturner/gokrb5/v8/types"
)

// Token identifiers, RFC 4121 section 4.1.
const (
	tokenAPReq    = 0x0100
	tokenAPRep    = 0x0200
	tokenKRBError = 0x0300
)

// Flags of a wrap token, RFC 4121 section 4.2.2.
const (
	wrapByAcceptor     = 1
	wrapSealed         = 2
	wrapAcceptorSubkey = 4
)

// Flags of the GSS checksum, RFC 4121 section 4.1.1.1.
const (
	gssMutual = 1 << 1
	// gssFlags is all but delegation: mutual, replay, sequence, confidentiality,
	// integrity. Without replay and sequence a JDK acceptor checks no numbers.
	gssFlags = 0x3e
)

const wrapHeader = 16

// krb5OID is the DER of the mechanism 1.2.840.113554.1.2.2.
func krb5OID() []byte {
	return []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02}
}

// frame puts a context token into the form of RFC 2743 section 3.1.
func frame(id uint16, inner []byte) []byte {
	body := binary.BigEndian.AppendUint16(krb5OID(), id)
	body = append(body, inner...)
	out := []byte{0x60}
	switch n := len(body); {
	case n < 1<<7:
		out = append(out, byte(n))
	case n < 1<<8:
		out = append(out, 0x81, byte(n))
	case n < 1<<16:
		out = append(out, 0x82, byte(n>>8), byte(n))
	default:
		out = append(out, 0x83, byte(n>>16), byte(n>>8), byte(n))
	}
	return append(out, body...)
}

// unframe takes a context token apart; inner aliases token.
func unframe(token []byte) (id uint16, inner []byte, err error) {
	if len(token) < 2 || token[0] != 0x60 {
		return 0, nil, protocolError("not a GSS token")
	}
	size, rest := int(token[1]), token[2:]
	if size >= 1<<7 {
		n := size & 0x7f
		if n == 0 || n > 3 || n > len(rest) {
			return 0, nil, protocolError("GSS token of an odd length")
		}
		size = 0
		for _, b := range rest[:n] {
			size = size<<8 | int(b)
		}
		rest = rest[n:]
	}
	if size != len(rest) {
		return 0, nil, protocolError("GSS token of %d bytes says it has %d", len(rest), size)
	}
	body, ok := bytes.CutPrefix(rest, krb5OID())
	if !ok || len(body) < 2 {
		return 0, nil, protocolError("GSS token of another mechanism than Kerberos")
	}
	return binary.BigEndian.Uint16(body), body[2:], nil
}

// session protects messages once both sides know each other: the per-message
// tokens of RFC 4121 section 4.2. Messages must arrive in order, each once.
type session struct {
	key           types.EncryptionKey
	initiator     bool // our role
	acceptorKey   bool // key came from the acceptor
	send, receive uint64
	done          bool
	peer          string

	// One for each direction, since one goroutine may wrap while another unwraps.
	sending, receiving sealer
}

// Peer is the other side's principal, proven once Step said done.
func (s *session) Peer() string { return s.peer }

func (s *session) flags(byInitiator bool) byte {
	var f byte
	if !byInitiator {
		f |= wrapByAcceptor
	}
	if s.acceptorKey {
		f |= wrapAcceptorSubkey
	}
	return f
}

func usage(byInitiator bool) uint32 {
	if byInitiator {
		return usageInitiatorSeal
	}
	return usageAcceptorSeal
}

func header(flags byte, extra, rotate uint16, seq uint64) []byte {
	b := []byte{0x05, 0x04, flags, 0xff}
	b = binary.BigEndian.AppendUint16(b, extra)
	b = binary.BigEndian.AppendUint16(b, rotate)
	return binary.BigEndian.AppendUint64(b, seq)
}

// Wrap protects a message, hiding it if seal is set; plain is not kept.
func (s *session) Wrap(plain []byte, seal bool) ([]byte, error) {
	if !s.done {
		return nil, protocolError("wrap before the security context is complete")
	}
	flags, use, seq := s.flags(s.initiator), usage(s.initiator), s.send
	s.send++
	if seal {
		head := header(flags|wrapSealed, 0, 0, seq)
		cipher, err := s.sending.encrypt(s.key, append(bytes.Clone(plain), head...), use)
		if err != nil {
			return nil, fmt.Errorf("wrap: %w", err)
		}
		return append(head, cipher...), nil
	}
	sum, err := s.sending.checksum(s.key, append(bytes.Clone(plain), header(flags, 0, 0, seq)...), use)
	if err != nil {
		return nil, fmt.Errorf("wrap: %w", err)
	}
	token := append(header(flags, uint16(len(sum)), 0, seq), plain...)
	return append(token, sum...), nil
}

// Unwrap verifies one token and gives its message, which does not alias token.
func (s *session) Unwrap(token []byte) (plain []byte, sealed bool, err error) {
	if !s.done {
		return nil, false, protocolError("unwrap before the security context is complete")
	}
	if len(token) < wrapHeader || token[0] != 0x05 || token[1] != 0x04 || token[3] != 0xff {
		return nil, false, protocolError("not a wrap token")
	}
	flags := token[2]
	sealed = flags&wrapSealed != 0
	if flags&^wrapSealed != s.flags(!s.initiator) {
		return nil, sealed, protocolError("wrap token with flags %#x is not from our peer", flags)
	}
	extra := int(binary.BigEndian.Uint16(token[4:]))
	seq := binary.BigEndian.Uint64(token[8:])
	body := unrotate(token[wrapHeader:], int(binary.BigEndian.Uint16(token[6:])))
	if sealed {
		plain, err = s.open(body, header(flags, uint16(extra), 0, seq), extra)
	} else {
		plain, err = s.verify(body, header(flags, 0, 0, seq), extra)
	}
	if err != nil {
		return nil, sealed, err
	}
	if seq != s.receive {
		return nil, sealed, &Error{Kind: ErrSequence, Err: fmt.Errorf("message %d from %s where %d is due", seq, s.peer, s.receive)}
	}
	s.receive++
	return plain, sealed, nil
}

// open decrypts message | filler | header and compares the header.
func (s *session) open(body, head []byte, extra int) ([]byte, error) {
	text, err := s.receiving.decrypt(s.key, body, usage(!s.initiator))
	if err != nil {
		return nil, protocolError("wrap token: %w", err)
	}
	end := len(text) - wrapHeader
	if end < extra || !bytes.Equal(text[end:], head) {
		return nil, protocolError("wrap token whose header was changed")
	}
	return text[: end-extra : end-extra], nil
}

func (s *session) verify(body, head []byte, extra int) ([]byte, error) {
	et, err := etypeOf(s.key)
	if err != nil {
		return nil, err
	}
	end := len(body) - extra
	if end < 0 || extra != et.GetHMACBitLength()/8 {
		return nil, protocolError("wrap token with a checksum of %d bytes", extra)
	}
	plain := body[:end:end]
	want, err := s.receiving.checksum(s.key, append(bytes.Clone(plain), head...), usage(!s.initiator))
	if err != nil {
		return nil, protocolError("wrap token: %w", err)
	}
	if !hmac.Equal(want, body[end:]) {
		return nil, protocolError("wrap token: %w", errIntegrity)
	}
	return plain, nil
}

// unrotate undoes the right rotation by RRC, RFC 4121 section 4.2.5, on a copy.
func unrotate(body []byte, by int) []byte {
	if len(body) == 0 {
		return nil
	}
	by %= len(body)
	return append(bytes.Clone(body[by:]), body[:by]...)
}
