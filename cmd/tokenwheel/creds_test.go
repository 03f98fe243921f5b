package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/plugins"
)

func TestCreds_RoundTrip(t *testing.T) {
	for _, format := range []string{"java", "protobuf"} {
		t.Run(format, func(t *testing.T) {
			s := newSite(t, hadooptest.Config{Lifetimes: hadooptest.Lifetimes{RenewInterval: time.Hour, MaxLifetime: 2 * time.Hour}})
			me, file := s.as(t, self), s.file("tokens")

			ok(t, with(me, "creds", "get", "hdfs://"+s.Addr, file, "-format", format, "-alias", "mine", "-doas", "alice")...)
			if m := modeOf(t, file); m != 0o600 {
				t.Errorf("the file has mode %v, want 0600", m)
			}
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if version := raw[4]; (version == 1) != (format == "protobuf") {
				t.Errorf("format %s: the file has version %d", format, version)
			}

			ok(t, with(me, "creds", "get", file, "-renewer", "yarn")...) // default FS, added to the file
			var views []fileView
			if err := json.Unmarshal([]byte(ok(t, "creds", "print", file, "-o", "json")), &views); err != nil {
				t.Fatal(err)
			}
			if len(views) != 1 || len(views[0].Tokens) != 2 {
				t.Fatalf("got %+v, want one file with two tokens", views)
			}
			byAlias := map[string]tokenView{}
			for _, v := range views[0].Tokens {
				byAlias[v.Alias] = v
			}
			if v := byAlias["mine"]; v.Owner != "alice" || v.Renewer != "tokenwheel" || v.Service != s.Addr {
				t.Errorf("alias mine is %+v, want alice's, renewed by tokenwheel", v)
			}
			if v := byAlias[s.Addr]; v.Owner != self+"@"+s.Realm || v.Renewer != "yarn" {
				t.Errorf("alias %s is %+v, want our own, renewed by yarn", s.Addr, v)
			}

			out := ok(t, with(me, "creds", "renew", "-alias=mine", file)...)
			if !strings.Contains(out, "mine") || s.NameNode.Journal.Count(hadooptest.OpRenew) != 1 {
				t.Errorf("renew printed %q, the NameNode counted %d renewals", out, s.NameNode.Journal.Count(hadooptest.OpRenew))
			}
			ok(t, with(me, "creds", "cancel", "-alias", "mine", file)...)
			if alias, _ := onlyToken(t, file); alias != s.Addr {
				t.Errorf("after the cancel the file holds %q, want %q", alias, s.Addr)
			}
			if n := s.NameNode.Journal.Count(hadooptest.OpCancel); n != 1 {
				t.Errorf("the NameNode counted %d cancels, want 1", n)
			}
		})
	}
}

// Shows: C-H43, T-20, T-58, P7.
func TestCH43_PrintShowsNoSecretUnlessAsked(t *testing.T) {
	password, key := []byte("canary-password-0001"), []byte("canary-secret-key-01")
	creds := plugins.Credentials{
		Tokens:  map[string]plugins.Token{"a": {Kind: "HDFS_DELEGATION_TOKEN", Service: "ha-hdfs:ns", Identifier: []byte("not an identifier"), Password: password}},
		Secrets: map[string]plugins.Secret{"k": key},
	}
	file := t.TempDir() + "/tokens"
	if err := hadooptoken.WriteFile(file, creds, hadooptoken.FormatJava); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"table", "json", "yaml"} {
		out := ok(t, "creds", "print", file, "-o", format)
		for _, word := range []string{"HDFS_DELEGATION_TOKEN", "ha-hdfs:ns", "k"} {
			if !strings.Contains(out, word) {
				t.Errorf("%s does not show %q:\n%s", format, word, out)
			}
		}
		for _, canary := range [][]byte{password, key} {
			if form := leaked(out, canary); form != "" {
				t.Errorf("%s shows a secret in %s", format, form)
			}
		}
		shown := ok(t, "creds", "print", file, "-o", format, "--show-secrets")
		if !strings.Contains(shown, base64.StdEncoding.EncodeToString(key)) {
			t.Errorf("%s with --show-secrets does not show the key:\n%s", format, shown)
		}
	}
}

// leaked tells in which form a secret stands in a text; "" if in none.
func leaked(text string, secret []byte) string {
	forms := map[string]string{"clear": string(secret), "hex": hex.EncodeToString(secret), "HEX": strings.ToUpper(hex.EncodeToString(secret))}
	for offset := range 3 { // base64 of a text that holds it, at each alignment
		b := base64.RawStdEncoding.EncodeToString(append(bytes.Repeat([]byte{'x'}, offset), secret...))
		skip := []int{0, 2, 3}[offset]
		forms["base64"] = b[skip : len(b)-3]
		if strings.Contains(strings.NewReplacer("-", "+", "_", "/").Replace(text), forms["base64"]) {
			return "base64"
		}
	}
	for name, form := range forms {
		if strings.Contains(text, form) {
			return name
		}
	}
	return ""
}

func TestT18_NothingThatATerminalObeysComesOut(t *testing.T) {
	evil := "a\x1b[2J\x07\u009b\u202e\u2066\n\r\x00\x7fz"
	creds := plugins.Credentials{
		Tokens:  map[string]plugins.Token{evil: {Kind: evil, Service: evil, Identifier: []byte(evil)}},
		Secrets: map[string]plugins.Secret{evil: []byte("x")},
	}
	file := t.TempDir() + "/tokens"
	if err := hadooptoken.WriteFile(file, creds, hadooptoken.FormatJava); err != nil {
		t.Fatal(err)
	}
	outputs := map[string]string{"error": fails(t, exitNotFound, nil, "creds", "print", file, "-alias", evil+"!").errOut}
	for _, format := range []string{"table", "json", "yaml"} {
		outputs[format] = ok(t, "creds", "print", file, "-o", format)
	}
	for name, out := range outputs {
		for _, r := range out {
			if r != '\n' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
				t.Errorf("%s holds %U:\n%q", name, r, out)
				break
			}
		}
	}
	var views []fileView
	if err := json.Unmarshal([]byte(outputs["json"]), &views); err != nil {
		t.Fatal(err)
	}
	if got := views[0].Tokens[0].Service; got != evil {
		t.Errorf("JSON gives service %q back, want %q", got, evil)
	}
}

// Shows: N32, P12.
func TestB27_EachErrorHasItsCodeAndNextStep(t *testing.T) {
	s := newSite(t, hadooptest.Config{Principals: []string{"mallory", "gone"}})
	me, file := s.as(t, self), s.file("tokens")
	ok(t, with(me, "creds", "get", file, "-doas", "alice")...)
	alias, token := onlyToken(t, file)
	torn := s.file("torn")
	if err := os.WriteFile(torn, []byte("HDTS\x00\x05"), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign := s.file("foreign")
	elsewhere := token.Clone()
	elsewhere.Service = "169.254.169.254:8020"
	if err := hadooptoken.WriteFile(foreign, plugins.Credentials{Tokens: map[string]plugins.Token{"x": elsewhere}}, hadooptoken.FormatJava); err != nil {
		t.Fatal(err)
	}
	wrongKey := s.keytab(t, "mallory")

	for name, c := range map[string]struct {
		code  int
		words []string
		args  []string
	}{
		"unknown flag":           {exitLocal, []string{"--nonsense"}, []string{"creds", "print", "--nonsense"}},
		"no file":                {exitLocal, []string{"no token file"}, []string{"creds", "print"}},
		"missing file":           {exitLocal, []string{s.file("none")}, []string{"creds", "print", s.file("none")}},
		"torn file":              {exitLocal, []string{torn}, []string{"creds", "print", torn}},
		"unknown alias":          {exitNotFound, []string{`"nope"`, file}, []string{"creds", "print", "-alias", "nope", file}},
		"cancel without alias":   {exitLocal, []string{"-alias"}, []string{"creds", "cancel", file}},
		"not the renewer":        {exitNotAllowed, []string{"mallory"}, with(s.as(t, "mallory"), "creds", "renew", file)},
		"not ours to cancel":     {exitNotAllowed, []string{"mallory"}, with(s.as(t, "mallory"), "creds", "cancel", "-alias", alias, file)},
		"no proxy for that user": {exitNotAllowed, []string{"carol"}, with(me, "creds", "get", s.file("new"), "-doas", "carol")},
		"service not configured": {exitLocal, []string{"169.254.169.254:8020"}, with(me, "creds", "renew", foreign)},
		"address not configured": {exitLocal, []string{"nn.evil.example:8020", s.ConfDir}, with(me, "creds", "get", "hdfs://nn.evil.example:8020", s.file("new"))},
		"not a Hadoop address":   {exitLocal, []string{"s3://bucket"}, with(me, "creds", "get", "s3://bucket", s.file("new"))},
		"no cache and no keytab": {exitLocal, []string{"no-cache"}, []string{"creds", "renew", file}},
		"keytab without name":    {exitLocal, []string{"--keytab"}, []string{"creds", "renew", file, "--keytab", wrongKey}},
		"wrong keytab":           {exitLocal, []string{wrongKey}, []string{"creds", "renew", file, "--keytab", wrongKey, "--principal", self + "@" + s.Realm}},
		"unknown principal":      {exitLocal, []string{"nobody"}, []string{"creds", "renew", file, "--keytab", wrongKey, "--principal", "nobody@" + s.Realm}},
		"wrong realm":            {exitLocal, []string{"ELSEWHERE.TEST"}, []string{"creds", "renew", file, "--keytab", wrongKey, "--principal", "mallory@ELSEWHERE.TEST"}},
	} {
		t.Run(name, func(t *testing.T) { fails(t, c.code, c.words, c.args...) })
	}

	t.Run("service down", func(t *testing.T) {
		s.NameNode.SetFault(hadooptest.Fault{Standby: true})
		defer s.NameNode.SetFault(hadooptest.Fault{})
		fails(t, exitRemote, nil, with(me, "creds", "renew", file)...)
	})
	t.Run("service hangs", func(t *testing.T) {
		s.NameNode.SetFault(hadooptest.Fault{Hang: true})
		defer s.NameNode.SetFault(hadooptest.Fault{})
		fails(t, exitTimedOut, []string{alias}, with(me, "creds", "renew", file, "--timeout", "300ms")...)
	})
	t.Run("KDC down", func(t *testing.T) {
		s.KDC.SetDown(true)
		defer s.KDC.SetDown(false)
		fails(t, exitRemote, []string{s.Realm, s.KDCAddr}, with(me, "creds", "renew", file, "--timeout", "1s")...)
	})
}
