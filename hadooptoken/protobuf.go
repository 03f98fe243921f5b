package hadooptoken

import (
	"bytes"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tokenwheel/tokenwheel/plugins"
)

// The body of a file of version 1 (Credentials.writeProto): a varint length and
// a CredentialsProto, decoded by hand so that whoever embeds this package links
// no protobuf runtime. Field numbers are those of Hadoop's Security.proto.
const (
	credentialsTokens  = 1 // repeated CredentialsKVProto
	credentialsSecrets = 2 // repeated CredentialsKVProto

	entryAlias  = 1
	entryToken  = 2 // TokenProto
	entrySecret = 3

	tokenIdentifier = 1
	tokenPassword   = 2
	tokenKind       = 3
	tokenService    = 4
)

func appendProtobuf(b []byte, c plugins.Credentials) []byte {
	var body, entry []byte
	for _, alias := range sortedKeys(c.Tokens) {
		entry = appendField(entry[:0], entryAlias, []byte(alias))
		entry = appendField(entry, entryToken, tokenProto(c.Tokens[alias]))
		body = appendField(body, credentialsTokens, entry)
	}
	for _, alias := range sortedKeys(c.Secrets) {
		entry = appendField(entry[:0], entryAlias, []byte(alias))
		entry = appendField(entry, entrySecret, c.Secrets[alias])
		body = appendField(body, credentialsSecrets, entry)
	}
	return protowire.AppendBytes(b, body)
}

func tokenProto(t plugins.Token) []byte {
	b := appendField(nil, tokenIdentifier, t.Identifier)
	b = appendField(b, tokenPassword, t.Password)
	b = appendField(b, tokenKind, []byte(t.Kind))
	return appendField(b, tokenService, []byte(t.Service))
}

func appendField(b []byte, n protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), value)
}

func readProtobuf(body []byte, l Limits) (plugins.Credentials, error) {
	message, n := protowire.ConsumeBytes(body)
	if n < 0 {
		return plugins.Credentials{}, protowire.ParseError(n)
	}
	c := emptyCredentials()
	var tokens, secrets int // entries seen; the maps count an alias once
	err := eachField(message, func(f field) error {
		switch f.number {
		case credentialsTokens:
			tokens++
			return readTokenEntry(c, f, tokens, l)
		case credentialsSecrets:
			secrets++
			return readSecretEntry(c, f, secrets, l)
		}
		return nil
	})
	if err != nil {
		return plugins.Credentials{}, err
	}
	return c, nil
}

func readTokenEntry(c plugins.Credentials, f field, nth int, l Limits) error {
	if err := l.checkCount("tokens", nth); err != nil {
		return err
	}
	e, err := readEntry(f)
	if err == nil && !e.hasToken {
		err = errMissing("token")
	}
	if err != nil {
		return fmt.Errorf("token %d: %w", nth, err)
	}
	c.Tokens[e.alias] = e.token
	return nil
}

// readSecretEntry takes an absent secret for an empty one, as Java does.
func readSecretEntry(c plugins.Credentials, f field, nth int, l Limits) error {
	if err := l.checkCount("secrets", nth); err != nil {
		return err
	}
	e, err := readEntry(f)
	if err != nil {
		return fmt.Errorf("secret %d: %w", nth, err)
	}
	c.Secrets[e.alias] = bytes.Clone(e.secret)
	return nil
}

// entry is a CredentialsKVProto. Its secret shares the input.
type entry struct {
	alias    string
	token    plugins.Token
	hasToken bool
	secret   []byte
}

// Format implements [fmt.Formatter]: the alias alone.
func (e entry) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "entry %q", e.alias) }

func readEntry(f field) (entry, error) {
	var e entry
	message, err := f.raw()
	if err != nil {
		return e, err
	}
	var hasAlias bool
	var p tokenParts
	err = eachField(message, func(f field) (err error) {
		switch f.number {
		case entryAlias:
			hasAlias = true
			e.alias, err = f.text("alias")
		case entryToken:
			e.hasToken = true
			err = p.merge(f)
		case entrySecret:
			e.secret, err = f.raw()
		}
		return err
	})
	if err == nil && !hasAlias {
		err = errMissing("alias")
	}
	if err == nil && e.hasToken {
		e.token, err = p.token()
	}
	return e, err
}

// tokenParts collects a TokenProto, which protobuf allows to come in pieces; the
// fields share the input. All four are required.
type tokenParts [tokenService + 1]struct {
	set   bool
	value []byte
}

func (p *tokenParts) merge(f field) error {
	message, err := f.raw()
	if err != nil {
		return err
	}
	return eachField(message, func(f field) (err error) {
		if f.number > tokenService {
			return nil
		}
		p[f.number].set = true
		p[f.number].value, err = f.raw()
		return err
	})
}

func (p *tokenParts) token() (plugins.Token, error) {
	for number, what := range [...]string{tokenIdentifier: "identifier", tokenPassword: "password", tokenKind: "kind", tokenService: "service"} {
		if what != "" && !p[number].set {
			return plugins.Token{}, errMissing(what)
		}
	}
	t := plugins.Token{
		Kind:       string(p[tokenKind].value),
		Service:    string(p[tokenService].value),
		Identifier: bytes.Clone(p[tokenIdentifier].value),
		Password:   bytes.Clone(p[tokenPassword].value),
	}
	return t, checkToken(t)
}
