package sasl

import (
	"crypto/hmac"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// DigestClient says how to log in with a token by DIGEST-MD5. It formats without its password.
type DigestClient struct {
	Identifier []byte // the token's identifier
	Password   []byte // the token's password
	URI        string // digest-uri: protocol + "/" + serverId of the server's offer, "/default" for Hadoop RPC

	Policy  Policy
	Ciphers []string  // accepted for AuthConf, preferred first; nil: 3des, rc4. Des, rc4-56 and rc4-40 can be broken in no time
	Rand    io.Reader // source of the client's nonce; nil: crypto/rand
}

// Format writes what may be seen: never the password.
func (c DigestClient) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "DIGEST-MD5 login to %s with an identifier of %d bytes", c.URI, len(c.Identifier))
}

// MarshalJSON writes the same text as Format.
func (c DigestClient) MarshalJSON() ([]byte, error) { return json.Marshal(fmt.Sprint(c)) }

// Start returns the mechanism, which waits for the server's challenge.
func (c DigestClient) Start() Mechanism {
	if c.Ciphers == nil {
		c.Ciphers = []string{"3des", "rc4"}
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	return &digestClient{cfg: c}
}

type digestClient struct {
	cfg      DigestClient
	answered bool
	done     bool
	proof    proof
	layer    Layer
}

func (m *digestClient) QOP() QOP { return m.proof.qop }

func (m *digestClient) Layer() Layer {
	if !m.done {
		return nil
	}
	return m.layer
}

func (m *digestClient) Step(challenge []byte) ([]byte, bool, error) {
	if len(challenge) > MaxDigestChallenge {
		return nil, false, fmt.Errorf("digest challenge of %d bytes: %w", len(challenge), ErrTooLong)
	}
	d, err := parseDirectives(string(challenge))
	if err != nil {
		return nil, false, fmt.Errorf("digest challenge: %w", err)
	}
	switch {
	case !m.answered:
		m.answered = true
		response, err := m.answer(d)
		return response, false, err
	case !m.done:
		// The only sign that we speak with somebody who knows the password too.
		if !hmac.Equal([]byte(d["rspauth"]), []byte(m.proof.rspauth())) {
			return nil, false, ErrServerProof
		}
		m.done = true
		return nil, true, nil
	default:
		return nil, false, fmt.Errorf("digest challenge after the end: %w", ErrOutOfTurn)
	}
}

// answer chooses from the server's offer and proves knowledge of the password.
func (m *digestClient) answer(d directives) ([]byte, error) {
	if err := checkChallenge(d); err != nil {
		return nil, err
	}
	maxBuf, err := d.maxBuf()
	if err != nil {
		return nil, err
	}
	qop, err := m.cfg.Policy.choose(d.qops())
	if err != nil {
		return nil, err
	}
	var cipher string
	if qop == AuthConf {
		if cipher, err = firstCommon(m.cfg.Ciphers, d.list("cipher")); err != nil {
			return nil, err
		}
	}
	cnonce, err := newNonce(m.cfg.Rand)
	if err != nil {
		return nil, err
	}
	cred := tokenCredential(m.cfg.Identifier, m.cfg.Password)
	m.proof = newProof(cred, d["realm"], d["nonce"], cnonce, m.cfg.URI, qop)
	if m.layer, err = newDigestLayer(m.proof, cipher, maxBuf, clientSide); err != nil {
		return nil, err
	}
	return m.response(cred.user, d, cipher)
}

func checkChallenge(d directives) error {
	for _, name := range []string{"realm", "nonce", "algorithm"} {
		if d[name] == "" {
			return fmt.Errorf("digest challenge without %s: %w", name, ErrMalformed)
		}
	}
	if d["algorithm"] != digestAlgorithm {
		return fmt.Errorf("digest algorithm %q: %w", d["algorithm"], ErrMalformed)
	}
	if c, ok := d["charset"]; ok && !strings.EqualFold(c, "utf-8") {
		return fmt.Errorf("digest charset %q: %w", c, ErrMalformed)
	}
	return nil
}

// response writes the directives in Java's order.
func (m *digestClient) response(user string, d directives, cipher string) ([]byte, error) {
	var b strings.Builder
	if _, ok := d["charset"]; ok {
		b.WriteString("charset=utf-8,")
	}
	fmt.Fprintf(&b, `username=%s,realm=%s,nonce=%s,nc=%s,cnonce=%s,digest-uri=%s,maxbuf=%d,response=%s,qop=%s`,
		quote(user), quote(d["realm"]), quote(m.proof.nonce), digestNonceCount, quote(m.proof.cnonce),
		quote(m.proof.uri), digestMaxBuf, m.proof.response(), m.proof.qop)
	if cipher != "" {
		b.WriteString(",cipher=" + quote(cipher))
	}
	if b.Len() > MaxDigestResponse {
		return nil, fmt.Errorf("digest response of %d bytes to an identifier of %d, servers take %d: %w",
			b.Len(), len(m.cfg.Identifier), MaxDigestResponse, ErrTooLong)
	}
	return []byte(b.String()), nil
}

func firstCommon(ours, theirs []string) (string, error) {
	for _, c := range ours {
		if slices.Contains(theirs, c) {
			return c, nil
		}
	}
	return "", fmt.Errorf("server offers %q, accepted are %q: %w", theirs, ours, ErrCipher)
}
