package sasl

import (
	"fmt"
	"slices"
)

const (
	gssMaxToken   = 1 << 16 // an AP-REQ with a large authorisation field is some tens of KiB
	gssBufferSize = 1 << 16 // what we announce, as Java does
	gssOverhead   = 96      // over the longest header, confounder and checksum of RFC 4121 and RFC 8009
)

// gssBits maps the layers of RFC 4752 section 3.1 to qualities, the weakest first.
var gssBits = [...]struct {
	bit byte
	qop QOP
}{{1, Auth}, {2, AuthInt}, {4, AuthConf}}

func bitOf(q QOP) byte { return gssBits[q].bit }

func qopsOf(mask byte) []QOP {
	var qs []QOP
	for _, b := range gssBits {
		if mask&b.bit != 0 {
			qs = append(qs, b.qop)
		}
	}
	return qs
}

// offer is the four bytes that both sides send: a mask of layers and the size of the sender's buffer.
type offer struct {
	mask byte
	size int
}

func (o offer) bytes() []byte {
	return []byte{o.mask, byte(o.size >> 16), byte(o.size >> 8), byte(o.size)}
}

func parseOffer(b []byte) (offer, error) {
	if len(b) != 4 {
		return offer{}, fmt.Errorf("security layer offer of %d bytes: %w", len(b), ErrMalformed)
	}
	return offer{b[0], int(b[1])<<16 | int(b[2])<<8 | int(b[3])}, nil
}

// gssExchange is what both sides of the mechanism share.
type gssExchange struct {
	gss         GSS
	established bool
	done        bool
	qop         QOP
	layer       *gssLayer
}

// QOP implements [Mechanism].
func (x *gssExchange) QOP() QOP { return x.qop }

// Layer implements [Mechanism].
func (x *gssExchange) Layer() Layer {
	if !x.done || x.layer == nil {
		return nil
	}
	return x.layer
}

func (x *gssExchange) check(in []byte) error {
	if x.done {
		return fmt.Errorf("GSSAPI message after the end: %w", ErrOutOfTurn)
	}
	if len(in) > gssMaxToken {
		return fmt.Errorf("GSSAPI message of %d bytes: %w", len(in), ErrTooLong)
	}
	return nil
}

// wrapOffer protects the four bytes. RFC 4752 wants them readable: without encryption.
func (x *gssExchange) wrapOffer(o offer) ([]byte, error) { return x.gss.Wrap(o.bytes(), false) }

func (x *gssExchange) unwrapOffer(token []byte) (offer, error) {
	plain, _, err := x.gss.Unwrap(token)
	if err != nil {
		return offer{}, fmt.Errorf("unwrap the security layer offer: %w", err)
	}
	return parseOffer(plain)
}

// agree fixes the quality; peerSize is the other side's buffer.
func (x *gssExchange) agree(q QOP, peerSize int) error {
	x.qop = q
	if q == Auth {
		return nil
	}
	if peerSize <= gssOverhead {
		return fmt.Errorf("%s with a buffer of %d bytes: %w", q, peerSize, ErrMalformed)
	}
	x.layer = &gssLayer{gss: x.gss, seal: q == AuthConf, maxPlain: peerSize - gssOverhead}
	return nil
}

// NewGSSClient returns the client's side of GSSAPI over an initiator's context. Its first Step takes nil.
func NewGSSClient(g GSS, p Policy) Mechanism {
	return &gssClient{gssExchange: gssExchange{gss: g}, policy: p}
}

type gssClient struct {
	gssExchange
	policy Policy
}

func (m *gssClient) Step(challenge []byte) ([]byte, bool, error) {
	if err := m.check(challenge); err != nil {
		return nil, false, err
	}
	if m.established {
		response, err := m.choose(challenge)
		m.done = err == nil
		return response, m.done, err
	}
	out, done, err := m.gss.Step(challenge)
	if err != nil {
		return nil, false, fmt.Errorf("GSSAPI: %w", err)
	}
	m.established = done
	if out == nil {
		out = []byte{} // RFC 4752: an empty response asks for the server's offer
	}
	return out, false, nil
}

// choose answers the server's offer with exactly one layer and no authorisation identity.
func (m *gssClient) choose(challenge []byte) ([]byte, error) {
	theirs, err := m.unwrapOffer(challenge)
	if err != nil {
		return nil, err
	}
	q, err := m.policy.choose(qopsOf(theirs.mask))
	if err != nil {
		return nil, err
	}
	if err := m.agree(q, theirs.size); err != nil {
		return nil, err
	}
	ours := offer{mask: bitOf(q)}
	if q != Auth {
		ours.size = gssBufferSize
	}
	return m.wrapOffer(ours)
}

// NewGSSServer returns the server's side of GSSAPI over an acceptor's context. Its first Step takes the client's first
// token. It offers the given qualities, Auth when there are none.
func NewGSSServer(g GSS, offered ...QOP) Mechanism {
	if len(offered) == 0 {
		offered = []QOP{Auth}
	}
	return &gssServer{gssExchange: gssExchange{gss: g}, offered: offered}
}

type gssServer struct {
	gssExchange
	offered []QOP
	sent    bool // our offer
}

func (m *gssServer) Step(response []byte) ([]byte, bool, error) {
	if err := m.check(response); err != nil {
		return nil, false, err
	}
	switch {
	case !m.established:
		out, done, err := m.gss.Step(response)
		if err != nil {
			return nil, false, fmt.Errorf("GSSAPI: %w", err)
		}
		m.established = done
		if !done || len(out) > 0 {
			return out, false, nil
		}
	case !m.sent:
		if len(response) > 0 {
			return nil, false, fmt.Errorf("GSSAPI response of %d bytes where an empty one is due: %w", len(response), ErrMalformed)
		}
	default:
		err := m.accept(response)
		m.done = err == nil
		return nil, m.done, err
	}
	m.sent = true
	var mask byte
	for _, q := range m.offered {
		mask |= bitOf(q)
	}
	out, err := m.wrapOffer(offer{mask, gssBufferSize})
	return out, false, err
}

// accept reads the client's choice. Of several bits it takes the strongest, as the JDK does.
func (m *gssServer) accept(response []byte) error {
	plain, _, err := m.gss.Unwrap(response)
	if err != nil {
		return fmt.Errorf("unwrap the client's choice: %w", err)
	}
	choice, err := parseOffer(plain[:min(4, len(plain))]) // what follows is an authorisation identity, which Hadoop ignores
	if err != nil {
		return err
	}
	qs := qopsOf(choice.mask)
	if len(qs) == 0 || !slices.Contains(m.offered, qs[len(qs)-1]) {
		return fmt.Errorf("client chose layers %#x: %w", choice.mask, ErrQOP)
	}
	return m.agree(qs[len(qs)-1], choice.size)
}

// gssLayer is the layer of RFC 4121 messages; numbering and checksums are the context's.
type gssLayer struct {
	gss      GSS
	seal     bool
	maxPlain int
	recvErr  error
}

func (l *gssLayer) MaxPlain() int { return l.maxPlain }

func (l *gssLayer) Wrap(plain []byte) ([]byte, error) {
	return l.gss.Wrap(plain, l.seal)
}

func (l *gssLayer) Unwrap(token []byte) ([]byte, error) {
	if l.recvErr != nil {
		return nil, l.recvErr
	}
	plain, sealed, err := l.gss.Unwrap(token)
	switch {
	case err != nil:
		l.recvErr = fmt.Errorf("unwrap a message of %d bytes: %w: %w", len(token), ErrIntegrity, err)
	case l.seal && !sealed:
		l.recvErr = fmt.Errorf("unwrap a message of %d bytes that is not encrypted: %w", len(token), ErrIntegrity)
	}
	if l.recvErr != nil {
		return nil, l.recvErr
	}
	return plain, nil
}
