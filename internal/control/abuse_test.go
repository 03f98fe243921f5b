package control_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/internal/control"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// file is a token file with these tokens.
func file(t *testing.T, tokens map[string]plugins.Token) []byte {
	t.Helper()
	b, err := hadooptoken.Marshal(plugins.Credentials{Tokens: tokens}, hadooptoken.FormatJava)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// many are n tokens of alice.
func many(n int) map[string]plugins.Token {
	tokens := map[string]plugins.Token{}
	for i := range n {
		tokens[fmt.Sprint(i)] = tokenOf("alice", int64(1000+i))
	}
	return tokens
}

// Each abuse of a registration has its stable code, says what is wrong and what
// to do, and leaves everything as it was.
//
// Shows: T-01, T-02, T-05, T-06, T-09, T-10, T-12, C-Y10, C-Y17, C-Y18, C-H15, B153 (one app with 10^4 tokens).
func TestT10_EachAbuseHasItsCode(t *testing.T) {
	forged := tokenOf("alice", 1) // the one that a1 holds and has proved
	forged.Password = plugins.Secret("made up")
	overlay := func(key, value string) control.Registration {
		return control.Registration{User: "alice", Overlay: map[string]string{key: value}}
	}
	// A file that says it holds a million tokens, and is over after the first.
	million := append([]byte("HDTS\x00\x8d\x0f\x42\x40"), file(t, many(1))[6:]...)
	rows := map[string]struct {
		r      control.Registration
		code   string
		detail string
	}{
		"a proved token's identifier, with a password made up": {control.Registration{User: "alice", AtEnd: "cancel", Credentials: fileWith(t, forged)}, "password-conflict", "another password of it is proved"},
		"somebody else's token":                                {control.Registration{User: "alice", Credentials: fileWith(t, tokenOf("bob", 7))}, "not-owner", `speaks for "bob"`},
		"a user with a realm":                                  {control.Registration{User: "alice@EVIL.REALM"}, "not-owner", "alice@EVIL.REALM"},
		"a user with a look-alike letter":                      {control.Registration{User: "аlice"}, "not-owner", ""},
		"a user with a space behind":                           {control.Registration{User: "alice "}, "not-owner", ""},
		"a user with a zero byte":                              {control.Registration{User: "alice\x00"}, "not-owner", ""},
		"a user with a line break":                             {control.Registration{User: "alice\nroot"}, "not-owner", ""},
		"overlay: authentication":                              {overlay("hadoop.security.authentication", "simple"), "overlay", "hadoop.security.authentication"},
		"overlay: fall-back to SIMPLE":                         {overlay("ipc.client.fallback-to-simple-auth-allowed", "true"), "overlay", "those are call-timeout, cancel-at-end, cluster, lease"},
		"overlay: protection":                                  {overlay("hadoop.rpc.protection", "authentication"), "overlay", "hadoop.rpc.protection"},
		"overlay: address":                                     {overlay("dfs.namenode.rpc-address", "evil:8020"), "overlay", "dfs.namenode.rpc-address"},
		"overlay: keytab":                                      {overlay("hadoop.kerberos.keytab", "/etc/shadow"), "overlay", "hadoop.kerberos.keytab"},
		"overlay: principal":                                   {overlay("dfs.namenode.kerberos.principal", "evil@EVIL"), "overlay", "dfs.namenode.kerberos.principal"},
		"overlay: renewer class":                               {overlay("yarn.resourcemanager.delegation.token.renewer.class", "Evil"), "overlay", "renewer.class"},
		"overlay: an XML entity":                               {overlay("policy", `<!ENTITY x SYSTEM "file:///etc/passwd">`), "overlay", "policy"},
		"overlay: a variable":                                  {overlay("policy", "${user.home}"), "overlay", "policy"},
		"overlay: a policy that nobody knows":                  {overlay("policy", "mine"), "overlay", `no policy is called "mine"; there are flink, spark2, yarn`},
		"overlay: over the limit":                              {overlay("policy", strings.Repeat("x", 12_800)), "overlay", "at most 12800"},
		"overlay: renewed all the time":                        {overlay("renewal.ratio", "0.0001"), "overlay", "0.1 to 0.95"},
		"overlay: renewed never":                               {overlay("renewal.ratio", "NaN"), "overlay", "0.1 to 0.95"},
		"overlay: a lead of nothing":                           {overlay("renewal.min-lead", "0s"), "overlay", "1s to 720h"},
		"overlay: a lead of a millisecond":                     {overlay("renewal.min-lead", "1ms"), "overlay", "1s to 720h"},
		"overlay: a lead below zero":                           {overlay("renewal.min-lead", "-1h"), "overlay", "1s to 720h"},
		"257 tokens":                                           {control.Registration{User: "alice", Credentials: file(t, many(257))}, "too-large", "the limit is 256, got 257"},
		"10,000 tokens":                                        {control.Registration{User: "alice", Credentials: file(t, many(10_000))}, "too-large", "the limit is 256, got 10000"},
		"10,001 tokens in the count":                           {control.Registration{User: "alice", Credentials: []byte("HDTS\x00\x8e\x27\x11")}, "bad-credentials", "10001 tokens, the limit is 10000"},
		"a million tokens in the count":                        {control.Registration{User: "alice", Credentials: million}, "bad-credentials", "1000000 tokens, the limit is 10000"},
		"tokens below zero":                                    {control.Registration{User: "alice", Credentials: []byte("HDTS\x00\xff")}, "bad-credentials", "-1 tokens"},
		"no token file":                                        {control.Registration{User: "alice", Credentials: []byte("PK\x03\x04")}, "bad-credentials", "bad header"},
		"a token file cut short":                               {control.Registration{User: "alice", Credentials: fileWith(t, tokenOf("alice", 9))[:30]}, "bad-credentials", "at byte"},
		"the empty token":                                      {control.Registration{User: "alice", Credentials: fileWith(t, plugins.Token{})}, "empty-token", "no kind or no identifier"},
		"a token without identifier":                           {control.Registration{User: "alice", Credentials: fileWith(t, plugins.Token{Kind: kind, Service: "bank:1"})}, "empty-token", "no kind or no identifier"},
		"a kind of many bytes":                                 {control.Registration{User: "alice", Credentials: fileWith(t, plugins.Token{Kind: strings.Repeat("k", 1025), Identifier: []byte("x")})}, "too-large", "the limit is 1024, got 1025"},
		"a service that is no text":                            {control.Registration{User: "alice", Credentials: fileWith(t, plugins.Token{Kind: kind, Service: "\xff\xfe", Identifier: []byte("x")})}, "not-text", "not UTF-8"},
		"an id that climbs":                                    {control.Registration{ID: "../../etc", User: "alice", Obtain: []string{"test"}}, "bad-app", "want 1 to 128"},
		"an id of a terminal's commands":                       {control.Registration{ID: "\x1b[2J", User: "alice", Obtain: []string{"test"}}, "bad-app", "want 1 to 128"},
		"a directory that climbs":                              {control.Registration{User: "alice", Obtain: []string{"test"}, StageTo: []control.Target{{Dir: "/user/alice/../bob"}}}, "bad-app", "clean absolute path"},
		"a directory with a line break":                        {control.Registration{User: "alice", Obtain: []string{"test"}, StageTo: []control.Target{{Dir: "/user/alice/x\ny"}}}, "bad-app", "clean absolute path"},
		"five targets":                                         {control.Registration{User: "alice", Obtain: []string{"test"}, StageTo: []control.Target{{Dir: "/a"}, {Dir: "/b"}, {Dir: "/c"}, {Dir: "/d"}, {Dir: "/e"}}}, "bad-app", "the limit is 4"},
		"a provider that is not there":                         {control.Registration{User: "alice", Obtain: []string{"evil"}}, "bad-app", `no provider of that name; there are ["test"]`},
		"a service that the provider has not":                  {control.Registration{User: "alice", Obtain: []string{"test:elsewhere"}}, "not-obtainable", `nothing can be obtained as "test:elsewhere"`},
		"neither token nor wish":                               {control.Registration{User: "alice"}, "bad-app", "brings no token and asks for none"},
	}
	w := newWorld(t, aliceUID)
	before := w.state(t)
	for name, c := range rows {
		t.Run(name, func(t *testing.T) {
			if c.r.ID == "" {
				c.r.ID = "abuse"
			}
			if len(c.r.Obtain)+len(c.r.Credentials) == 0 && c.code != "bad-app" {
				c.r.Obtain = []string{"test"}
			}
			_, err := w.client().Register(t.Context(), c.r)
			p, ok := errors.AsType[*control.Problem](err)
			if !ok || p.Code != c.code || !strings.Contains(p.Detail, c.detail) || p.Next == "" {
				t.Errorf("got %v (%+v), want %s, a text with %q and a next step", err, p, c.code, c.detail)
			}
			if ok && strings.ContainsFunc(p.Detail, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("control characters come back: %q", p.Detail)
			}
			if after := w.state(t); after != before {
				t.Errorf("before\n%safter\n%s", before, after)
			}
		})
	}
}

// Texts of a token are somebody else's: they come back as data and nothing else,
// however they are spelt.
//
// Shows: T-07 (its reason), T-18, Y6, C-H42.
func TestT18_TextsOfTokensAreData(t *testing.T) {
	w := newWorld(t, aliceUID)
	tokens := map[string]plugins.Token{
		"good":                        tokenOf("alice", 21),
		"level=error\nmsg=\"forged\"": {Kind: "K\x1b]0;title\x07", Service: "169.254.169.254:80/\r\nHost: evil", Identifier: []byte("\x00\x1b"), Password: []byte(canary)},
		"~0/~1":                       {Kind: `{"a":"b"}`, Service: "user@evil:8020", Identifier: []byte("x"), Password: []byte(canary)},
	}
	if _, err := w.client().Register(t.Context(), control.Registration{ID: "odd", User: "alice", Verify: "describe", Credentials: file(t, tokens), Wait: true}); err != nil {
		t.Fatal(err)
	}
	status, text := w.ask(t, http.MethodGet, "/v1/apps/odd", "")
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	if at := strings.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f }); at >= 0 {
		t.Errorf("a control character at %d of %q", at, text)
	}
	if strings.Contains(text, canary) {
		t.Error("a password is told")
	}
	a := decode[control.App](t, text)
	if len(a.Tokens) != 3 || len(a.Aliases) != 3 {
		t.Fatalf("%d tokens under %d aliases, want all three", len(a.Tokens), len(a.Aliases))
	}
	for _, tok := range a.Tokens {
		if odd := tok.Kind != kind; odd != (tok.State == "foreign") || odd && !strings.HasPrefix(tok.Reason, "service-not-configured") {
			t.Errorf("token of kind %q is %s: %s", tok.Kind, tok.State, tok.Reason)
		}
	}
	creds, _, err := w.r.As(renewer.Caller{Trusted: true}).Current(t.Context(), appregistry.AppKey{Owner: "alice", ID: "odd"})
	if err != nil {
		t.Fatal(err)
	}
	for alias, tok := range tokens {
		if !creds.Tokens[alias].Equal(tok) {
			t.Errorf("%q is delivered as %v, brought was %v", alias, creds.Tokens[alias], tok)
		}
	}
}
