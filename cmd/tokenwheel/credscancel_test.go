package main

import (
	"slices"
	"testing"

	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// TestCH54_CancelNeedsProof: the NameNode looks at the identifier alone, so that
// it is up to us not to cancel by a forged file.
func TestCH54_CancelNeedsProof(t *testing.T) {
	s := newSite(t, hadooptest.Config{Principals: []string{"mallory"}})
	me := s.as(t, self)
	for name, c := range map[string]struct {
		get     []string // for whom, and renewable by whom
		by      string
		forged  bool // the file holds a wrong password
		dead    bool // cancelled before
		code    int
		cancels bool // the NameNode is asked for the cancel
	}{
		"renewer":                    {get: []string{"-doas", "alice"}, by: self, cancels: true},
		"renewer, forged":            {get: []string{"-doas", "alice"}, by: self, forged: true, code: exitNotAllowed},
		"owner alone":                {get: []string{"-renewer", "yarn"}, by: self, cancels: true},
		"owner and renewer":          {by: self, cancels: true},
		"owner and renewer, forged":  {by: self, forged: true, code: exitNotAllowed},
		"real user of another owner": {get: []string{"-doas", "alice", "-renewer", "yarn"}, by: self, code: exitNotAllowed},
		"stranger":                   {get: []string{"-doas", "alice"}, by: "mallory", code: exitNotAllowed},
		"dead already":               {get: []string{"-doas", "alice"}, by: self, dead: true},
	} {
		t.Run(name, func(t *testing.T) {
			file, genuine := s.file("tokens-"+name), s.file("genuine-"+name)
			ok(t, with(me, append([]string{"creds", "get", file}, c.get...)...)...)
			alias, tok := onlyToken(t, file)
			keep(t, genuine, alias, tok)
			if c.forged {
				tok.Password = slices.Concat(tok.Password, []byte("x"))
				keep(t, file, alias, tok)
			}
			if c.dead {
				ok(t, with(me, "creds", "cancel", "-alias", alias, genuine)...)
			}
			before := len(s.NameNode.Journal.Calls())
			r := tokenwheel(t, with(s.as(t, c.by), "creds", "cancel", "-alias", alias, file)...)
			if r.code != c.code {
				t.Errorf("exit code %d, want %d\n%s", r.code, c.code, r.errOut)
			}
			var asked []hadooptest.Op
			for _, call := range s.NameNode.Journal.Calls()[before:] {
				asked = append(asked, call.Op)
			}
			want := []hadooptest.Op{hadooptest.OpRenew}
			if c.cancels {
				want = append(want, hadooptest.OpCancel)
			}
			if !slices.Equal(asked, want) {
				t.Errorf("the NameNode was asked for %q, want %q", asked, want)
			}
			creds, err := readTokenFile(file)
			if _, left := creds.Tokens[alias]; err != nil || left != (c.code != exitOK) {
				t.Errorf("the token is left in its file: %v, %v", left, err)
			}
		})
	}
}

// keep writes a file with one token.
func keep(t *testing.T, path, alias string, tok plugins.Token) {
	t.Helper()
	creds := plugins.Credentials{Tokens: map[string]plugins.Token{alias: tok}}
	if err := hadooptoken.WriteFile(path, creds, hadooptoken.FormatJava); err != nil {
		t.Fatal(err)
	}
}
