package sasl

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
)

// Limits of the JDK's DIGEST-MD5, which every Java peer enforces.
const (
	MaxDigestChallenge = 2048
	MaxDigestResponse  = 4096
)

const (
	digestMaxBuf     = 65536 // the default of RFC 2831, and what Java announces
	digestMaxMaxBuf  = 1<<24 - 1
	digestAlgorithm  = "md5-sess"
	digestNonceCount = "00000001" // a nonce is used once: there is no re-authentication
	digestNonceBytes = 30         // 40 characters in base64
)

// credential is a token as DIGEST-MD5 sees it. Both halves are standard base64 with padding (SaslRpcServer.encodeIdentifier
// and encodePassword), hence ASCII, so the question of which charset is hashed does not arise.
type credential struct{ user, password string }

func tokenCredential(identifier, password []byte) credential {
	return credential{base64.StdEncoding.EncodeToString(identifier), base64.StdEncoding.EncodeToString(password)}
}

// proof is what both sides must agree on, from which every value and key of RFC 2831 follows.
type proof struct {
	ha1                [md5.Size]byte
	nonce, cnonce, uri string
	qop                QOP
}

func newProof(c credential, realm, nonce, cnonce, uri string, qop QOP) proof {
	secret := md5.Sum([]byte(c.user + ":" + realm + ":" + c.password))
	a1 := append(secret[:], ":"+nonce+":"+cnonce...)
	return proof{ha1: md5.Sum(a1), nonce: nonce, cnonce: cnonce, uri: uri, qop: qop}
}

// response is the client's proof, rspauth the server's (RFC 2831 sections 2.1.2.1 and 2.1.3).
func (p proof) response() string { return p.value("AUTHENTICATE") }
func (p proof) rspauth() string  { return p.value("") }

func (p proof) value(method string) string {
	a2 := method + ":" + p.uri
	if p.qop != Auth {
		a2 += ":00000000000000000000000000000000"
	}
	ha2 := md5.Sum([]byte(a2))
	kd := hex.EncodeToString(p.ha1[:]) + ":" + p.nonce + ":" + digestNonceCount + ":" + p.cnonce + ":" +
		p.qop.String() + ":" + hex.EncodeToString(ha2[:])
	sum := md5.Sum([]byte(kd))
	return hex.EncodeToString(sum[:])
}

func newNonce(r io.Reader) (string, error) {
	var b [digestNonceBytes]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return "", fmt.Errorf("make a nonce: %w", err)
	}
	return base64.StdEncoding.EncodeToString(b[:]), nil
}

// maxBuf reads the buffer size the other side announced.
func (d directives) maxBuf() (int, error) {
	v, ok := d["maxbuf"]
	if !ok {
		return digestMaxBuf, nil
	}
	n, err := strconv.ParseUint(v, 10, 32)
	if err != nil || n <= digestOverhead || n > digestMaxMaxBuf {
		return 0, fmt.Errorf("maxbuf %q: %w", v, ErrMalformed)
	}
	return int(n), nil
}
