package sasl

import (
	"crypto/hmac"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strings"
)

// DigestServer says how to accept token logins by DIGEST-MD5, as Hadoop's SaslRpcServer does.
type DigestServer struct {
	// Lookup returns the password that belongs to an identifier. Its error comes back from Step wrapped, so that the
	// caller finds its own kinds again. It must not be nil.
	Lookup func(identifier []byte) (password []byte, err error)

	Realm   string    // "": "default", as Hadoop RPC has it
	URI     string    // the only digest-uri accepted; "": "/default"
	Offer   []QOP     // in this order; nil: Auth
	Ciphers []string  // offered with AuthConf; nil: 3des, rc4
	Rand    io.Reader // source of the nonce; nil: crypto/rand
}

// Start returns the acceptor. Its first Step takes nil and returns the challenge.
func (c DigestServer) Start() *DigestAcceptor {
	if c.Realm == "" {
		c.Realm = "default"
	}
	if c.URI == "" {
		c.URI = "/default"
	}
	if c.Offer == nil {
		c.Offer = []QOP{Auth}
	}
	if c.Ciphers == nil {
		c.Ciphers = []string{"3des", "rc4"}
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	return &DigestAcceptor{cfg: c}
}

// DigestAcceptor is the server's side of one login; it is a [Mechanism].
type DigestAcceptor struct {
	cfg        DigestServer
	nonce      string
	identifier []byte
	proof      proof
	layer      Layer
	done       bool
}

var _ Mechanism = (*DigestAcceptor)(nil)

// QOP implements [Mechanism].
func (m *DigestAcceptor) QOP() QOP { return m.proof.qop }

// Layer implements [Mechanism].
func (m *DigestAcceptor) Layer() Layer {
	if !m.done {
		return nil
	}
	return m.layer
}

// Identifier is that of the token that logged in; nil before done.
func (m *DigestAcceptor) Identifier() []byte {
	if !m.done {
		return nil
	}
	return m.identifier
}

// Step implements [Mechanism]. A wrong password is [ErrMismatch]; a response over [MaxDigestResponse] is [ErrTooLong].
func (m *DigestAcceptor) Step(response []byte) ([]byte, bool, error) {
	switch {
	case m.done:
		return nil, false, fmt.Errorf("digest response after the end: %w", ErrOutOfTurn)
	case m.nonce == "":
		challenge, err := m.challenge()
		return challenge, false, err
	case len(response) > MaxDigestResponse:
		return nil, false, fmt.Errorf("digest response of %d bytes: %w", len(response), ErrTooLong)
	}
	d, err := parseDirectives(string(response))
	if err != nil {
		return nil, false, fmt.Errorf("digest response: %w", err)
	}
	if err := m.verify(d); err != nil {
		return nil, false, err
	}
	m.done = true
	return []byte("rspauth=" + m.proof.rspauth()), true, nil
}

func (m *DigestAcceptor) challenge() ([]byte, error) {
	nonce, err := newNonce(m.cfg.Rand)
	if err != nil {
		return nil, err
	}
	m.nonce = nonce
	c := fmt.Sprintf(`realm=%s,nonce=%s,qop="%s",charset=utf-8`, quote(m.cfg.Realm), quote(nonce), joinQOPs(m.cfg.Offer))
	if slices.Contains(m.cfg.Offer, AuthConf) {
		c += `,cipher="` + strings.Join(m.cfg.Ciphers, ",") + `"`
	}
	return []byte(c + ",algorithm=" + digestAlgorithm), nil
}

// verify checks that the response belongs to our challenge, then that it proves the password.
func (m *DigestAcceptor) verify(d directives) error {
	want := []struct{ name, value string }{
		{"realm", m.cfg.Realm}, {"nonce", m.nonce}, {"nc", digestNonceCount}, {"digest-uri", m.cfg.URI},
	}
	for _, w := range want {
		if d[w.name] != w.value {
			return fmt.Errorf("digest response: %s is %q instead of %q: %w", w.name, d[w.name], w.value, ErrMalformed)
		}
	}
	qop, cipher, err := m.chosen(d)
	if err != nil {
		return err
	}
	maxBuf, err := d.maxBuf()
	if err != nil {
		return err
	}
	identifier, err := base64.StdEncoding.DecodeString(d["username"])
	if err != nil || d["cnonce"] == "" {
		return fmt.Errorf("digest response: no base64 username or no cnonce: %w", ErrMalformed)
	}
	password, err := m.cfg.Lookup(identifier)
	if err != nil {
		return fmt.Errorf("look up the password: %w", err)
	}
	p := newProof(tokenCredential(identifier, password), m.cfg.Realm, m.nonce, d["cnonce"], m.cfg.URI, qop)
	if !hmac.Equal([]byte(d["response"]), []byte(p.response())) {
		return ErrMismatch
	}
	m.identifier, m.proof = identifier, p
	m.layer, err = newDigestLayer(p, cipher, maxBuf, serverSide)
	return err
}

// chosen returns what the client chose from our offer.
func (m *DigestAcceptor) chosen(d directives) (qop QOP, cipher string, err error) {
	if name, ok := d["qop"]; ok {
		if qop, err = ParseQOP(name); err != nil {
			return 0, "", err
		}
	}
	if !slices.Contains(m.cfg.Offer, qop) {
		return 0, "", fmt.Errorf("client chose %s: %w", qop, ErrQOP)
	}
	if qop != AuthConf {
		return qop, "", nil
	}
	cipher, err = firstCommon(m.cfg.Ciphers, []string{d["cipher"]})
	return qop, cipher, err
}
