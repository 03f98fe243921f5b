package krb_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/tokenwheel/tokenwheel/internal/krb"
)

// wrapGolden is one line of what a JDK's two ends made of a message.
type wrapGolden struct {
	Etype              int32  `json:"etype"`
	Key                string `json:"key"`
	AcceptorSubkeyFlag bool   `json:"acceptor_subkey_flag"`
	Conf               bool   `json:"conf"`
	Plain              string `json:"plain"`
	InitiatorSeq       uint64 `json:"initiator_seq"`
	InitiatorToken     string `json:"initiator_token"`
	AcceptorSeq        uint64 `json:"acceptor_seq"`
	AcceptorToken      string `json:"acceptor_token"`
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wrapGoldens(t testing.TB) []wrapGolden {
	t.Helper()
	var golden []wrapGolden
	readJSON(t, "../../testdata/krb/gss-wrap.json", &golden)
	if len(golden) != 48 {
		t.Fatalf("%d lines, want 48", len(golden))
	}
	return golden
}

func TestWrapTokensOfJDK(t *testing.T) {
	for _, g := range wrapGoldens(t) {
		key, plain := unhex(t, g.Key), unhex(t, g.Plain)
		for _, side := range []struct {
			initiator bool
			seq       uint64
			token     string
		}{{true, g.InitiatorSeq, g.InitiatorToken}, {false, g.AcceptorSeq, g.AcceptorToken}} {
			token := unhex(t, side.token)
			reader := krb.NewSession(g.Etype, key, !side.initiator, g.AcceptorSubkeyFlag, 0, side.seq)
			got, sealed, err := reader.Unwrap(token)
			if err != nil || !bytes.Equal(got, plain) || sealed != g.Conf {
				t.Errorf("etype %d, initiator %v, seq %d: %x, sealed %v, %v", g.Etype, side.initiator, side.seq, got, sealed, err)
			}
			writer := krb.NewSession(g.Etype, key, side.initiator, g.AcceptorSubkeyFlag, side.seq, 0)
			ours, err := writer.Wrap(plain, g.Conf)
			if err != nil {
				t.Fatal(err)
			}
			if g.Conf { // the confounder is random; the rest of the form is not
				if len(ours) != len(token) || !bytes.Equal(ours[:16], token[:16]) {
					t.Errorf("etype %d sealed: header %x of %d bytes, want %x of %d", g.Etype, ours[:16], len(ours), token[:16], len(token))
				}
			} else if !bytes.Equal(ours, token) {
				t.Errorf("etype %d: wrapped to %x, want %x", g.Etype, ours, token)
			}
		}
	}
}

// rotate turns a token's body right by n, as acceptors on Windows do.
func rotate(token []byte, n int) []byte {
	body := token[16:]
	at := len(body) - n%len(body)
	out := append(bytes.Clone(token[:16]), body[at:]...)
	out = append(out, body[:at]...)
	out[6], out[7] = byte(n>>8), byte(n)
	return out
}

func TestWrapTokensRotated(t *testing.T) {
	for _, g := range wrapGoldens(t) {
		token := unhex(t, g.AcceptorToken)
		for _, n := range []int{1, 12, 28, len(token) - 16, 60000} {
			reader := krb.NewSession(g.Etype, unhex(t, g.Key), true, g.AcceptorSubkeyFlag, 0, g.AcceptorSeq)
			if got, _, err := reader.Unwrap(rotate(token, n)); err != nil || hex.EncodeToString(got) != g.Plain {
				t.Errorf("etype %d, sealed %v, rotated by %d: %x, %v", g.Etype, g.Conf, n, got, err)
			}
		}
	}
}

func TestUnwrapRefusesForgedTokens(t *testing.T) {
	for _, g := range wrapGoldens(t) {
		token := unhex(t, g.AcceptorToken)
		reader := func() interface {
			Unwrap([]byte) ([]byte, bool, error)
		} {
			return krb.NewSession(g.Etype, unhex(t, g.Key), true, g.AcceptorSubkeyFlag, 0, g.AcceptorSeq)
		}
		for i := range token {
			if _, _, err := reader().Unwrap(token[:i]); !errors.Is(err, krb.ErrProtocol) {
				t.Errorf("etype %d, sealed %v: cut to %d bytes: %v", g.Etype, g.Conf, i, err)
			}
			if i == 6 || i == 7 { // the rotation count is covered below: it is not under the checksum
				continue
			}
			forged := bytes.Clone(token)
			forged[i] ^= 0x20
			if _, _, err := reader().Unwrap(forged); !errors.Is(err, krb.ErrProtocol) {
				t.Errorf("etype %d, sealed %v: byte %d changed: %v", g.Etype, g.Conf, i, err)
			}
		}
		if _, _, err := reader().Unwrap(unhex(t, g.InitiatorToken)); !errors.Is(err, krb.ErrProtocol) {
			t.Errorf("our own token came back and was taken: %v", err)
		}
		other := krb.NewSession(g.Etype, unhex(t, g.Key), true, !g.AcceptorSubkeyFlag, 0, g.AcceptorSeq)
		if _, _, err := other.Unwrap(token); !errors.Is(err, krb.ErrProtocol) {
			t.Errorf("a token under the wrong key flag was taken: %v", err)
		}
	}
}

func TestUnwrapChecksSequence(t *testing.T) {
	key := make([]byte, 32)
	wrap := func(seq uint64) []byte {
		token, err := krb.NewSession(18, key, false, false, seq, 0).Wrap([]byte("x"), true)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	for name, seq := range map[string]uint64{"gap": 8, "old": 5, "repeat": 6} {
		reader := krb.NewSession(18, key, true, false, 0, 6)
		if _, _, err := reader.Unwrap(wrap(6)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := reader.Unwrap(wrap(seq)); !errors.Is(err, krb.ErrSequence) {
			t.Errorf("%s: %v, want a sequence error", name, err)
		}
		if _, _, err := reader.Unwrap(wrap(7)); err != nil {
			t.Errorf("%s: the due message after it: %v", name, err)
		}
	}
}
