package main

import (
	"strings"
	"testing"
)

// What is no command must not look like one that worked: a script would go on.
func TestUsage_NamesWhatWasWrong(t *testing.T) {
	for name, c := range map[string]struct {
		args  []string
		words []string
	}{
		"no such command":          {[]string{"bogus"}, []string{`"bogus"`, "tokenwheel --help"}},
		"no such command of creds": {[]string{"creds", "append", "a", "b"}, []string{`unknown command "append" for "tokenwheel creds"`, "cancel, get, print, renew"}},
		"behind a flag":            {[]string{"app", "-o", "json"}, []string{`for "tokenwheel app"`}},
		"no help for it":           {[]string{"help", "bogus"}, []string{`"bogus"`}},
		"no help for it in app":    {[]string{"help", "app", "bogus"}, []string{`"bogus" for "tokenwheel app"`}},
		"an argument is missing":   {[]string{"token", "describe"}, []string{"token describe: an argument is missing", "tokenwheel token describe TOKEN"}},
		"an argument too many":     {[]string{"app", "unregister", "a", "b"}, []string{`app unregister: too many arguments: ["a" "b"]`, "NAME"}},
		"takes none":               {[]string{"config", "check", "tw.yaml"}, []string{`config check: it takes no argument, and got "tw.yaml"`, "--config FILE"}},
		"unknown flag":             {[]string{"app", "list", "--nonsense"}, []string{"--nonsense", "tokenwheel app list --help"}},
	} {
		t.Run(name, func(t *testing.T) { fails(t, exitLocal, c.words, c.args...) })
	}
}

func TestUsage_HelpIsNoError(t *testing.T) {
	for _, args := range [][]string{{}, {"help"}, {"--help"}, {"help", "app", "register"}, {"app"}, {"app", "--help"}, {"completion", "bash"}} {
		if out := ok(t, args...); !strings.Contains(out, "tokenwheel") {
			t.Errorf("tokenwheel %s printed %q", strings.Join(args, " "), out)
		}
	}
}
