package sasl_test

import (
	"strings"
	"testing"

	"github.com/tokenwheel/tokenwheel/internal/sasl"
)

// The client's first word to any challenge is an error or a response that our own acceptor can read.
func FuzzDigestChallenge(f *testing.F) {
	for _, e := range goldenExchanges(f) {
		f.Add(e.Challenge)
		f.Add(e.Response)
	}
	f.Add(`a="\",b=`)
	f.Fuzz(func(t *testing.T, challenge string) {
		cc, _ := digestPair(sasl.Policy{})
		client := cc.Start()
		response, done, err := client.Step([]byte(challenge))
		if done {
			t.Fatal("done before the server proved anything")
		}
		if err != nil {
			return
		}
		d, err := sasl.ParseDirectives(string(response))
		if err != nil {
			t.Fatalf("own response %q: %v", response, err)
		}
		if c, _ := sasl.ParseDirectives(challenge); d["nonce"] != c["nonce"] || d["realm"] != c["realm"] {
			t.Errorf("challenge %q answered with %q", challenge, response)
		}
		if _, done, err := client.Step([]byte(challenge)); done || err == nil {
			t.Error("a second challenge taken for a proof")
		}
	})
}

// No response but an honest one logs in.
func FuzzDigestResponse(f *testing.F) {
	for _, e := range goldenExchanges(f) {
		f.Add(e.Response)
	}
	f.Fuzz(func(t *testing.T, response string) {
		_, sc := digestPair(sasl.Policy{}, sasl.Auth, sasl.AuthInt, sasl.AuthConf)
		sc.Rand = strings.NewReader("thirty bytes of no randomness!!")
		server := sc.Start()
		if _, _, err := server.Step(nil); err != nil {
			t.Fatal(err)
		}
		if _, done, err := server.Step([]byte(response)); done || err == nil || server.Identifier() != nil {
			t.Errorf("logged in with %q", response)
		}
	})
}
