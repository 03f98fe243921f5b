package sasl

// DigestProof gives tests the values of RFC 2831's examples, whose names are no token identifiers.
func DigestProof(user, password, realm, nonce, cnonce, uri string, qop QOP) (response, rspauth string) {
	p := newProof(credential{user, password}, realm, nonce, cnonce, uri, qop)
	return p.response(), p.rspauth()
}

func ParseDirectives(s string) (map[string]string, error) { return parseDirectives(s) }
