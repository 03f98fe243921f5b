package krb_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/tokenwheel/tokenwheel/internal/krb"
)

func readJSON(t testing.TB, path string, into any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

// Shows: C-H20 (both forms of a name come to the same owner).
func TestNameRulesAgreeWithHadoop(t *testing.T) {
	var golden []struct{ Mechanism, Rules, Principal, Short, Error string }
	readJSON(t, "../../testdata/krb/auth-to-local.json", &golden)
	if len(golden) != 72 {
		t.Fatalf("%d examples, want 72", len(golden))
	}
	for _, g := range golden {
		rules, err := krb.ParseNameRules(g.Rules, "LAB.TEST", g.Mechanism)
		if err != nil {
			t.Fatal(err)
		}
		got, err := rules.ShortName(g.Principal)
		if got != g.Short || (err != nil) != (g.Error != "") {
			t.Errorf("%s %q: %s is %q, %v; want %q, %q", g.Mechanism, g.Rules, g.Principal, got, err, g.Short, g.Error)
		}
	}
}

func TestT06_TrickNamesAreRefused(t *testing.T) {
	permissive := "RULE:[1:$1] RULE:[2:$1] DEFAULT"
	for name, principal := range map[string]string{
		"NUL":                 "hdfs\x00@LAB.TEST",
		"newline":             "hdfs\n@LAB.TEST",
		"trailing space":      "hdfs @LAB.TEST",
		"space at the end":    "hdfs@LAB.TEST ",
		"cyrillic look-alike": "hdf\u0455@LAB.TEST",
		"fullwidth at sign":   "hdfs\uff20LAB.TEST",
		"zero width space":    "hdfs\u200b@LAB.TEST",
		"soft hyphen":         "hd\u00adfs@LAB.TEST",
		"two at signs":        "hdfs@LAB.TEST@LAB.TEST",
		"escaped at sign":     `hdfs\@LAB.TEST@EVIL.TEST`,
		"slash in realm":      "hdfs@LAB.TEST/x",
		"three components":    "hdfs/evil/x@LAB.TEST",
		"empty primary":       "/host@LAB.TEST",
		"empty host":          "hdfs/@LAB.TEST",
		"empty realm":         "hdfs@",
		"empty":               "",
		"too long":            strings.Repeat("a", 2000),
	} {
		t.Run(name, func(t *testing.T) {
			for _, mechanism := range []string{"hadoop", "mit"} {
				rules, err := krb.ParseNameRules(permissive, "LAB.TEST", mechanism)
				if err != nil {
					t.Fatal(err)
				}
				if short, err := rules.ShortName(principal); !errors.Is(err, krb.ErrName) {
					t.Errorf("%s: %q became %q, %v", mechanism, principal, short, err)
				}
			}
			if p, err := krb.ParsePrincipal(principal, ""); err == nil && name != "three components" {
				t.Errorf("%q was taken as principal %s", principal, p)
			}
		})
	}
}

func TestT06_RealmDecides(t *testing.T) {
	rules, err := krb.ParseNameRules("DEFAULT", "LAB.TEST", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, principal := range []string{"hdfs/evil@REALM2", "hdfs@REALM2", "hdfs@lab.test", "hdfs/nn"} {
		if short, err := rules.ShortName(principal); !errors.Is(err, krb.ErrName) {
			t.Errorf("%s became %q, %v", principal, short, err)
		}
	}
}

func TestNameRuleSyntax(t *testing.T) {
	for _, tc := range []struct {
		name, rules, principal, want string
		bad                          bool
	}{
		{name: "lower case", rules: "RULE:[1:$1]/L", principal: "ALICE@X.TEST", want: "alice"},
		{name: "first only", rules: "RULE:[1:$1](.*)s/a/b/", principal: "banana@X.TEST", want: "bbnana"},
		{name: "global", rules: "RULE:[1:$1](.*)s/a/b/g", principal: "banana@X.TEST", want: "bbnbnb"},
		{name: "group", rules: `RULE:[1:$1](.*)s/(.*)-svc/$1/`, principal: "etl-svc@X.TEST", want: "etl"},
		{name: "literal dollar", rules: `RULE:[1:$1](.*)s/x/\$1/`, principal: "x@X.TEST", want: "$1"},
		{name: "newlines between", rules: "\n RULE:[2:$1]\n\tDEFAULT\n", principal: "a/b@X.TEST", want: "a"},
		{name: "not the whole", rules: "RULE:[1:$1](ali)s/.*/root/ DEFAULT", principal: "alice@LAB.TEST", want: "alice"},
		{name: "garbage after", rules: "DEFAULT rubbish", bad: true},
		{name: "parameter too high", rules: "RULE:[1:$2]", bad: true},
		{name: "look-ahead", rules: "RULE:[1:$1](?!x).*", bad: true},
		{name: "bad pattern", rules: "RULE:[1:$1]([a-)", bad: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rules, err := krb.ParseNameRules(tc.rules, "LAB.TEST", "")
			if tc.bad {
				if err == nil {
					t.Error("parsed")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, err := rules.ShortName(tc.principal); got != tc.want || err != nil {
				t.Errorf("got %q, %v; want %q", got, err, tc.want)
			}
		})
	}
	if _, err := krb.ParseNameRules("DEFAULT", "X", "heimdal"); err == nil {
		t.Error("an unknown mechanism was taken")
	}
}
