package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/control"
)

// Shows: B102.
func TestP10_UnhealthyApplicationLooksIt(t *testing.T) {
	a := control.App{Owner: "alice", ID: "etl", Trouble: "no such user there"}
	for name, c := range map[string]struct {
		show func(*table)
		want []string
	}{
		"registered":     {func(tab *table) { showRegistered(tab, a) }, []string{"registered; not ready yet", "describe alice/etl", "--wait"}},
		"listed":         {func(tab *table) { showApps(tab, []control.App{a}) }, []string{"STAGED", a.Trouble}},
		"described":      {func(tab *table) { describeApp(tab, a) }, []string{"Trouble:", a.Trouble}},
		"in the status":  {func(tab *table) { showStatus(tab, control.Status{Restoring: 4711, Troubles: troubles(a)}) }, []string{"4711", "alice/etl", "not-staged", a.Trouble}},
		"named at first": {func(tab *table) { tab.line("%s", troubleText(troubles(a)[0])) }, []string{"alice/etl: not-staged: " + a.Trouble}},
		"a token's end": {func(tab *table) {
			tab.line("%s", troubleText(control.Trouble{App: "alice/etl", Service: "nn:1", Ends: time.Unix(1, 0), Reason: "denied"}))
		}, []string{"alice/etl at nn:1: dead: denied"}},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := asTable.write(&b, nil, c.show); err != nil {
				t.Fatal(err)
			}
			for _, w := range c.want {
				if !strings.Contains(b.String(), w) {
					t.Errorf("it does not say %q:\n%s", w, b.String())
				}
			}
		})
	}
}

func troubles(a control.App) []control.Trouble {
	return []control.Trouble{{App: appName(a), State: "not-staged", Reason: a.Trouble}}
}

func TestFiles_ThatAreNoneAreNamedSo(t *testing.T) {
	dir := t.TempDir()
	empty := write(t, dir+"/empty", "")
	large := write(t, dir+"/large", strings.Repeat("#", maxConfig+1))
	fails(t, exitLocal, []string{"the file is empty"}, "creds", "print", empty)
	fails(t, exitLocal, []string{dir + " is a directory"}, "creds", "print", dir)
	fails(t, exitLocal, []string{dir + " is a directory", "--config"}, "config", "check", "--config", dir)
	fails(t, exitLocal, []string{"shorten"}, "config", "check", "--config", large)
	fails(t, exitLocal, []string{"the name is empty"}, "app", "register", "")
}

func TestVersion_IsPrinted(t *testing.T) {
	for _, flag := range []string{"--version", "-version"} {
		if out := ok(t, flag); !strings.HasPrefix(out, "tokenwheel version ") || strings.TrimSpace(out) == "tokenwheel version" {
			t.Errorf("%s printed %q", flag, out)
		}
	}
}
