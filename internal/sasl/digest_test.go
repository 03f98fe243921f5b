package sasl_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwheel/tokenwheel/internal/sasl"
)

// exchange is one login between the JDK's client and server.
type exchange struct {
	Name, Username, Password, Challenge, Response, Rspauth, QOP string
	RawSendSize                                                 string `json:"client_raw_send_size"`
	Wraps                                                       []struct {
		Plain    string
		ToServer string `json:"client_to_server"`
		ToClient string `json:"server_to_client"`
	}
}

func goldenExchanges(t testing.TB) []exchange {
	t.Helper()
	b, err := os.ReadFile("../../testdata/sasl/digest-md5.json")
	if err != nil {
		t.Fatal(err)
	}
	var es []exchange
	if err := json.Unmarshal(b, &es); err != nil {
		t.Fatal(err)
	}
	if len(es) != 10 {
		t.Fatalf("%d exchanges, want 10", len(es))
	}
	return es
}

var allCiphers = []string{"3des", "rc4", "des", "rc4-56", "rc4-40"}

func unbase64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (e exchange) directives(t testing.TB) (challenge, response map[string]string) {
	t.Helper()
	c, err := sasl.ParseDirectives(e.Challenge)
	if err != nil {
		t.Fatal(err)
	}
	r, err := sasl.ParseDirectives(e.Response)
	if err != nil {
		t.Fatal(err)
	}
	return c, r
}

// client logs in as the JDK's client of this exchange did, its nonce included.
func (e exchange) client(t testing.TB) sasl.Mechanism {
	t.Helper()
	_, r := e.directives(t)
	c := sasl.DigestClient{
		Identifier: unbase64(t, e.Username), Password: unbase64(t, e.Password), URI: r["digest-uri"],
		Rand: bytes.NewReader(unbase64(t, r["cnonce"])),
	}
	if r["cipher"] != "" {
		c.Ciphers = []string{r["cipher"]}
	}
	return c.Start()
}

func (e exchange) server(t testing.TB) *sasl.DigestAcceptor {
	t.Helper()
	c, r := e.directives(t)
	s := sasl.DigestServer{
		Lookup: func([]byte) ([]byte, error) { return unbase64(t, e.Password), nil },
		Realm:  c["realm"], URI: r["digest-uri"], Ciphers: allCiphers,
		Rand: bytes.NewReader(unbase64(t, c["nonce"])),
	}
	for name := range strings.SplitSeq(c["qop"], ",") {
		q, err := sasl.ParseQOP(name)
		if err != nil {
			t.Fatal(err)
		}
		s.Offer = append(s.Offer, q)
	}
	return s.Start()
}

// Both halves reproduce the JDK's bytes, login and layer, with each cipher.
func TestN27_DigestAsJava(t *testing.T) {
	for _, e := range goldenExchanges(t) {
		t.Run(e.Name, func(t *testing.T) {
			client, server := e.client(t), e.server(t)
			challenge, _, err := server.Step(nil)
			wantText(t, "challenge", challenge, err, e.Challenge)
			response, done, err := client.Step(challenge)
			wantText(t, "response", response, err, e.Response)
			if done || client.Layer() != nil {
				t.Error("client content before the server's proof")
			}
			rspauth, done, err := server.Step(response)
			wantText(t, "rspauth", rspauth, err, e.Rspauth)
			if !done {
				t.Error("server not done")
			}
			if _, done, err := client.Step(rspauth); !done || err != nil {
				t.Fatalf("client: done %t, %v", done, err)
			}
			if diff := cmp.Diff(unbase64(t, e.Username), server.Identifier()); diff != "" {
				t.Errorf("identifier (-want +got):\n%s", diff)
			}
			if client.QOP().String() != e.QOP || server.QOP().String() != e.QOP {
				t.Errorf("qop %s and %s, want %s", client.QOP(), server.QOP(), e.QOP)
			}
			e.checkLayers(t, client.Layer(), server.Layer())
		})
	}
}

func wantText(t *testing.T, what string, got []byte, err error, want string) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

func (e exchange) checkLayers(t *testing.T, client, server sasl.Layer) {
	t.Helper()
	if len(e.Wraps) == 0 {
		if client != nil || server != nil {
			t.Error("a layer where only the login was agreed")
		}
		return
	}
	if got := fmt.Sprint(client.MaxPlain()); got != e.RawSendSize {
		t.Errorf("longest message %s, want %s", got, e.RawSendSize)
	}
	for _, w := range e.Wraps {
		for _, dir := range []struct {
			name     string
			from, to sasl.Layer
			want     string
		}{{"to server", client, server, w.ToServer}, {"to client", server, client, w.ToClient}} {
			token, err := dir.from.Wrap([]byte(w.Plain))
			wantText(t, dir.name, token, err, string(unhex(t, dir.want)))
			plain, err := dir.to.Unwrap(token)
			wantText(t, dir.name, plain, err, w.Plain)
		}
	}
}

// The examples of RFC 2831 section 4.
func TestN27_DigestOfTheRFC(t *testing.T) {
	for _, tt := range []struct{ name, nonce, cnonce, uri, response, rspauth string }{
		{"imap", "OA6MG9tEQGm2hh", "OA6MHXh6VqTrRk", "imap/elwood.innosoft.com", "d388dad90d4bbd760a152321f2143af7", "ea40f60335c427b5527b84dbabcdfffd"},
		{"acap", "OA9BSXrbuRhWay", "OA9BSuZWMSpW8m", "acap/elwood.innosoft.com", "6084c6db3fede7352c551284490fd0fc", "2f0b3d7c3c2e486600ef710726aa2eae"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			response, rspauth := sasl.DigestProof("chris", "secret", "elwood.innosoft.com", tt.nonce, tt.cnonce, tt.uri, sasl.Auth)
			if diff := cmp.Diff([]string{tt.response, tt.rspauth}, []string{response, rspauth}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

var password = []byte("twenty bytes of hmac")

func digestPair(p sasl.Policy, offer ...sasl.QOP) (sasl.DigestClient, sasl.DigestServer) {
	return sasl.DigestClient{Identifier: []byte("an identifier"), Password: password, URI: "/default", Policy: p},
		sasl.DigestServer{Lookup: func([]byte) ([]byte, error) { return password, nil }, Offer: offer}
}

// run drives client and server to the end. The server speaks first if serverFirst is set.
func run(client, server sasl.Mechanism, serverFirst bool) error {
	var msg []byte
	var clientDone, serverDone bool
	turn := serverFirst
	for range 10 {
		var out []byte
		var err error
		if turn {
			out, serverDone, err = server.Step(msg)
		} else {
			out, clientDone, err = client.Step(msg)
		}
		if err != nil {
			return err
		}
		if clientDone && serverDone {
			return nil
		}
		msg, turn = out, !turn
	}
	return errors.New("no end after ten messages")
}

// The client takes the first of its own list that is offered and strong enough, or nothing.
// Shows: T-14.
func TestCH34_DigestQuality(t *testing.T) {
	a, i, c := sasl.Auth, sasl.AuthInt, sasl.AuthConf
	for _, tt := range []struct {
		name   string
		policy sasl.Policy
		offer  []sasl.QOP
		want   sasl.QOP
		err    error
	}{
		{"zero policy takes the strongest", sasl.Policy{}, []sasl.QOP{a, i, c}, c, nil},
		{"own order counts", sasl.Policy{Prefer: []sasl.QOP{i, c}}, []sasl.QOP{c, i, a}, i, nil},
		{"minimum wins over preference", sasl.Policy{Prefer: []sasl.QOP{a, i}, Minimum: i}, []sasl.QOP{a, i}, i, nil},
		{"auth alone", sasl.Policy{}, []sasl.QOP{a}, a, nil},
		{"stripped to auth", sasl.Policy{Minimum: i}, []sasl.QOP{a}, 0, sasl.ErrQOP},
		{"stripped to integrity", sasl.Policy{Minimum: c}, []sasl.QOP{a, i}, 0, sasl.ErrQOP},
		{"offer outside the preference", sasl.Policy{Prefer: []sasl.QOP{c}}, []sasl.QOP{a}, 0, sasl.ErrQOP},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cc, sc := digestPair(tt.policy, tt.offer...)
			client, server := cc.Start(), sc.Start()
			if err := run(client, server, true); !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			} else if err != nil {
				return
			}
			if client.QOP() != tt.want || server.QOP() != tt.want {
				t.Errorf("qop %s and %s, want %s", client.QOP(), server.QOP(), tt.want)
			}
			checkRoundTrips(t, client.Layer(), server.Layer(), tt.want)
		})
	}
}

func checkRoundTrips(t *testing.T, client, server sasl.Layer, q sasl.QOP) {
	t.Helper()
	if q == sasl.Auth {
		if client != nil || server != nil {
			t.Error("layer without need")
		}
		return
	}
	big := bytes.Repeat([]byte("0123456789"), client.MaxPlain()/10)
	for n, msg := range [][]byte{[]byte("a message"), nil, big} {
		token, err := client.Wrap(msg)
		if err != nil {
			t.Fatal(err)
		}
		if len(token) > 1<<16 {
			t.Errorf("message %d is %d bytes when wrapped", n, len(token))
		}
		if seen := bytes.Contains(token, []byte("a message")); n == 0 && seen != (q == sasl.AuthInt) {
			t.Errorf("plain text in the token: %t", seen)
		}
		got, err := server.Unwrap(token)
		if err != nil || !bytes.Equal(got, msg) {
			t.Fatalf("message %d came out as %d bytes, %v", n, len(got), err)
		}
	}
}

// The server's last word is believed only if it proves the password, and only when its turn has come.
// Shows: CH32.
func TestN27_TokenLoginVerifiesRspauth(t *testing.T) {
	for _, tt := range []struct {
		name   string
		tamper func(string) string
		want   error
	}{
		{"one digit", func(s string) string { return s[:len(s)-1] + string(s[len(s)-1]^1) }, sasl.ErrServerProof},
		{"cut", func(s string) string { return s[:len(s)-1] }, sasl.ErrServerProof},
		{"none", func(string) string { return "" }, sasl.ErrServerProof},
		{"empty value", func(string) string { return `rspauth=""` }, sasl.ErrServerProof},
		{"a right one and a wrong one", func(s string) string { return s + ",rspauth=00" }, sasl.ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cc, sc := digestPair(sasl.Policy{})
			client, server := cc.Start(), sc.Start()
			msg, _, _ := server.Step(nil)
			msg, _, _ = client.Step(msg)
			msg, _, err := server.Step(msg)
			if err != nil {
				t.Fatal(err)
			}
			if _, done, err := client.Step([]byte(tt.tamper(string(msg)))); done || !errors.Is(err, tt.want) {
				t.Errorf("done %t, error %v, want %v", done, err, tt.want)
			}
			if client.Layer() != nil {
				t.Error("a layer after a failure")
			}
		})
	}
}

// A wrong password and an unknown token are told apart, and the caller's own error kinds survive.
func TestCH33_DigestRefusalKinds(t *testing.T) {
	unknown := errors.New("token can't be found")
	cc, sc := digestPair(sasl.Policy{})
	sc.Lookup = func([]byte) ([]byte, error) { return nil, unknown }
	if err := run(cc.Start(), sc.Start(), true); !errors.Is(err, unknown) {
		t.Errorf("unknown token: %v", err)
	}
	cc, sc = digestPair(sasl.Policy{})
	cc.Password = []byte("wrong")
	if err := run(cc.Start(), sc.Start(), true); !errors.Is(err, sasl.ErrMismatch) {
		t.Errorf("wrong password: %v", err)
	}
	cc.Identifier = make([]byte, 2950)
	if err := run(cc.Start(), sc.Start(), true); !errors.Is(err, sasl.ErrTooLong) {
		t.Errorf("identifier of 2950 bytes: %v", err)
	}
	server := sc.Start()
	if _, _, err := server.Step(nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := server.Step(make([]byte, sasl.MaxDigestResponse+1)); !errors.Is(err, sasl.ErrTooLong) {
		t.Errorf("response over the limit: %v", err)
	}
}

func TestT14_ChallengeRefused(t *testing.T) {
	const good = `realm="default",nonce="n",qop="auth,auth-conf",charset=utf-8,cipher="3des,rc4",algorithm=md5-sess`
	for _, tt := range []struct {
		name, challenge string
		policy          sasl.Policy
		want            error
	}{
		{"good", good, sasl.Policy{}, nil},
		{"spaces and empty elements", " ," + strings.ReplaceAll(good, ",charset", " ,\r\n , charset"), sasl.Policy{}, nil},
		{"missing qop means auth", `realm="default",nonce="n",algorithm=md5-sess`, sasl.Policy{}, nil},
		{"missing qop below the minimum", `realm="default",nonce="n",algorithm=md5-sess`, sasl.Policy{Minimum: sasl.AuthInt}, sasl.ErrQOP},
		{"empty qop", `realm="default",nonce="n",qop="",algorithm=md5-sess`, sasl.Policy{}, sasl.ErrQOP},
		{"unknown qop", `realm="default",nonce="n",qop="auth-best",algorithm=md5-sess`, sasl.Policy{}, sasl.ErrQOP},
		{"weak ciphers only", strings.ReplaceAll(good, "3des,rc4", "des,rc4-56,rc4-40"), sasl.Policy{Minimum: sasl.AuthConf}, sasl.ErrCipher},
		{"no cipher", strings.ReplaceAll(good, `cipher="3des,rc4",`, ""), sasl.Policy{Minimum: sasl.AuthConf}, sasl.ErrCipher},
		{"nonce twice", good + `,nonce="m"`, sasl.Policy{}, sasl.ErrMalformed},
		{"qop twice", good + `,qop="auth"`, sasl.Policy{}, sasl.ErrMalformed},
		{"no nonce", strings.ReplaceAll(good, "nonce", "once"), sasl.Policy{}, sasl.ErrMalformed},
		{"no realm", strings.ReplaceAll(good, "realm", "elm"), sasl.Policy{}, sasl.ErrMalformed},
		{"plain md5", strings.ReplaceAll(good, "md5-sess", "md5"), sasl.Policy{}, sasl.ErrMalformed},
		{"other charset", strings.ReplaceAll(good, "utf-8", "utf-16"), sasl.Policy{}, sasl.ErrMalformed},
		{"tiny maxbuf", good + ",maxbuf=26", sasl.Policy{}, sasl.ErrMalformed},
		{"huge maxbuf", good + ",maxbuf=16777216", sasl.Policy{}, sasl.ErrMalformed},
		{"negative maxbuf", good + ",maxbuf=-1", sasl.Policy{}, sasl.ErrMalformed},
		{"no end of quote", good + `,x="`, sasl.Policy{}, sasl.ErrMalformed},
		{"text after a quote", `realm="a"b,` + good, sasl.Policy{}, sasl.ErrMalformed},
		{"empty", "", sasl.Policy{}, sasl.ErrMalformed},
		{"too long", good + strings.Repeat(",", 2048), sasl.Policy{}, sasl.ErrTooLong},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cc, _ := digestPair(tt.policy)
			if _, done, err := cc.Start().Step([]byte(tt.challenge)); done || !errors.Is(err, tt.want) {
				t.Errorf("done %t, error %v, want %v", done, err, tt.want)
			}
		})
	}
}

// A response that belongs to another challenge, or names a thing twice, is refused.
func TestCH33_ResponseRefused(t *testing.T) {
	for _, tt := range []struct {
		name, old, new string
		want           error
	}{
		{"as it is", "", "", nil},
		{"other nonce", `nonce="`, `nonce="x`, sasl.ErrMalformed},
		{"second use", "nc=00000001", "nc=00000002", sasl.ErrMalformed},
		{"other service", `"/default"`, `"hdfs/0"`, sasl.ErrMalformed},
		{"other realm", `realm="default"`, `realm="other"`, sasl.ErrMalformed},
		{"user twice", "nc=", `username="eA==",nc=`, sasl.ErrMalformed},
		{"no base64", `username="`, `username="!`, sasl.ErrMalformed},
		{"stronger than offered", "qop=auth", "qop=auth-conf", sasl.ErrQOP},
		{"unknown qop", "qop=auth", "qop=none", sasl.ErrMalformed},
		{"changed proof", "response=", "response=0", sasl.ErrMismatch},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cc, sc := digestPair(sasl.Policy{})
			server := sc.Start()
			challenge, _, _ := server.Step(nil)
			response, _, err := cc.Start().Step(challenge)
			if err != nil {
				t.Fatal(err)
			}
			tampered := strings.Replace(string(response), tt.old, tt.new, 1)
			if _, done, err := server.Step([]byte(tampered)); !errors.Is(err, tt.want) || done != (tt.want == nil) {
				t.Errorf("done %t, error %v, want %v", done, err, tt.want)
			}
		})
	}
}

// No verb and no encoder shows the password.
func TestT20_PasswordNeverShown(t *testing.T) {
	cc, _ := digestPair(sasl.Policy{})
	js, err := json.Marshal(cc)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{string(js)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		texts = append(texts, fmt.Sprintf(verb, cc), fmt.Sprintf(verb, &cc))
	}
	secrets := []string{string(password), hex.EncodeToString(password), base64.StdEncoding.EncodeToString(password), strings.Trim(fmt.Sprint(password), "[]")}
	for _, text := range texts {
		if slices.ContainsFunc(secrets, func(s string) bool { return strings.Contains(text, s) }) {
			t.Errorf("password in %q", text)
		}
	}
}
