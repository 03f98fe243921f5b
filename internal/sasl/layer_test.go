package sasl_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/tokenwheel/tokenwheel/internal/sasl"
	"github.com/tokenwheel/tokenwheel/internal/sasl/gsstest"
)

// loggedIn returns the two ends of a finished exchange with a layer.
func loggedIn(t testing.TB, mechanism, cipher string, q sasl.QOP) (client, server sasl.Layer) {
	t.Helper()
	var c, s sasl.Mechanism
	switch mechanism {
	case "DIGEST-MD5":
		cc, sc := digestPair(sasl.Policy{}, q)
		cc.Ciphers, sc.Ciphers = []string{cipher}, []string{cipher}
		c, s = cc.Start(), sc.Start()
	case "GSSAPI":
		initiator, acceptor := gsstest.NewPair("alice@LAB.TEST", "nn/nn1.lab.test@LAB.TEST")
		c, s = sasl.NewGSSClient(initiator, sasl.Policy{}), sasl.NewGSSServer(acceptor, q)
	}
	if err := run(c, s, mechanism == "DIGEST-MD5"); err != nil {
		t.Fatal(err)
	}
	return c.Layer(), s.Layer()
}

type layerCase struct {
	mechanism, cipher string
	qop               sasl.QOP
}

func (c layerCase) String() string { return fmt.Sprint(c.mechanism, " ", c.qop, " ", c.cipher) }

func layerCases() []layerCase {
	cases := []layerCase{
		{"DIGEST-MD5", "", sasl.AuthInt}, {"GSSAPI", "", sasl.AuthInt}, {"GSSAPI", "", sasl.AuthConf},
	}
	for _, c := range allCiphers {
		cases = append(cases, layerCase{"DIGEST-MD5", c, sasl.AuthConf})
	}
	return cases
}

// A message that was changed, cut, repeated, left out, swapped or sent back ends its direction for ever.
// Shows: T-15.
func TestB34_TamperedMessageIsTheEnd(t *testing.T) {
	tampers := []struct {
		name string
		with func(first, second, own []byte) []byte
	}{
		{"repeated", func(first, _, _ []byte) []byte { return first }},
		{"sent back", func(_, _, own []byte) []byte { return own }},
		{"longer", func(_, second, _ []byte) []byte { return append(bytes.Clone(second), 0) }},
		{"empty", func(_, _, _ []byte) []byte { return nil }},
	}
	for _, c := range layerCases() {
		for _, tamper := range tampers {
			t.Run(c.String()+" "+tamper.name, func(t *testing.T) {
				client, server := loggedIn(t, c.mechanism, c.cipher, c.qop)
				own := mustWrap(t, client, "one")
				first, second := mustWrap(t, server, "one"), mustWrap(t, server, "two")
				mustUnwrap(t, client, first, "one")
				wantBroken(t, client, tamper.with(first, second, own))
				wantBroken(t, client, second)
			})
		}
		t.Run(c.String()+" swapped", func(t *testing.T) {
			client, server := loggedIn(t, c.mechanism, c.cipher, c.qop)
			first, second := mustWrap(t, server, "one"), mustWrap(t, server, "two")
			wantBroken(t, client, second)
			wantBroken(t, client, first)
		})
		t.Run(c.String()+" every bit and every cut", func(t *testing.T) {
			_, server := loggedIn(t, c.mechanism, c.cipher, c.qop)
			size := len(mustWrap(t, server, "a message"))
			for n := range size * 8 {
				client, server := loggedIn(t, c.mechanism, c.cipher, c.qop)
				token := mustWrap(t, server, "a message")
				token[n/8] ^= 1 << (n % 8)
				wantBroken(t, client, token)
			}
			for n := range size {
				client, server := loggedIn(t, c.mechanism, c.cipher, c.qop)
				wantBroken(t, client, mustWrap(t, server, "a message")[:n])
			}
		})
	}
}

func mustWrap(t testing.TB, l sasl.Layer, plain string) []byte {
	t.Helper()
	token, err := l.Wrap([]byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func mustUnwrap(t testing.TB, l sasl.Layer, token []byte, want string) {
	t.Helper()
	if got, err := l.Unwrap(token); err != nil || string(got) != want {
		t.Fatalf("unwrapped %q, %v, want %q", got, err, want)
	}
}

func wantBroken(t testing.TB, l sasl.Layer, token []byte) {
	t.Helper()
	if got, err := l.Unwrap(token); !errors.Is(err, sasl.ErrIntegrity) {
		t.Fatalf("unwrapped %q, %v, want ErrIntegrity", got, err)
	}
}

// A server that signs where it should encrypt is not listened to.
func TestT14_UnsealedMessageOnSealedLayer(t *testing.T) {
	initiator, acceptor := gsstest.NewPair("alice@LAB.TEST", "nn/nn1.lab.test@LAB.TEST")
	c, s := sasl.NewGSSClient(initiator, sasl.Policy{}), sasl.NewGSSServer(acceptor, sasl.AuthConf)
	if err := run(c, s, false); err != nil {
		t.Fatal(err)
	}
	token, err := acceptor.Wrap([]byte("in clear"), false)
	if err != nil {
		t.Fatal(err)
	}
	wantBroken(t, c.Layer(), token)
}

// Bytes from outside never panic, and a failure is the last word of its direction.
func FuzzUnwrap(f *testing.F) {
	for _, e := range goldenExchanges(f) {
		for _, w := range e.Wraps {
			f.Add(unhex(f, w.ToClient))
			f.Add(unhex(f, w.ToServer))
		}
	}
	cases := layerCases()
	f.Fuzz(func(t *testing.T, token []byte) {
		c := cases[len(token)%len(cases)]
		client, server := loggedIn(t, c.mechanism, c.cipher, c.qop)
		if plain, err := client.Unwrap(token); err == nil {
			t.Fatalf("forged message accepted: %q", plain)
		}
		wantBroken(t, client, mustWrap(t, server, "an honest one"))
	})
}
