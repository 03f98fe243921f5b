package main

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/control"
	"github.com/tokenwheel/tokenwheel/internal/sim"
)

var update = flag.Bool("update", false, "write the generated parts of the pages anew")

const (
	generatedBegin = "<!-- generated: go test ./cmd/tokenwheel -run Docs -update -->\n"
	generatedEnd   = "<!-- end of the generated part -->\n"
)

func TestDocs_GeneratedPartsAreUpToDate(t *testing.T) {
	for path, want := range map[string]string{
		"../../docs/configuration.md": "```yaml\n" + string(fullYAML) + "```\n",
		"../../docs/cli.md":           commandPages(newRoot()) + jsonNames(),
	} {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, ok1 := strings.Cut(string(raw), generatedBegin)
		got, after, ok2 := strings.Cut(rest, generatedEnd)
		if !ok1 || !ok2 {
			t.Errorf("%s has no generated part", path)
			continue
		}
		if *update {
			if err := os.WriteFile(path, []byte(before+generatedBegin+want+generatedEnd+after), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s is not what the program says; run with -update (-program +page):\n%s", path, diff)
		}
	}
}

// shownDefault is the default of a flag, unless it is nothing or stands in the words
// of its usage.
func shownDefault(f *pflag.Flag) string {
	switch f.DefValue {
	case "", "0", "0s", "[]", "false":
		return ""
	}
	if strings.Contains(f.Usage, "(default") {
		return ""
	}
	return " (default " + f.DefValue + ")"
}

// shownType is what is written behind a flag; "" for one that takes nothing.
func shownType(f *pflag.Flag) string {
	switch word, _ := pflag.UnquoteUsage(f); word {
	case "":
		return ""
	case "string", "stringArray":
		return " TEXT"
	case "strings":
		return " TEXT,..."
	case "stringToString":
		return " KEY=VALUE,..."
	case "float", "int", "uint":
		return " NUMBER"
	default:
		if strings.Contains(word, "|") {
			return " " + word // the words themselves
		}
		return " " + strings.ToUpper(word)
	}
}

// commandPages describes every command that does something, with its flags.
func commandPages(c *cobra.Command) string {
	var b strings.Builder
	if c.Hidden {
		return ""
	}
	if c.Runnable() {
		fmt.Fprintf(&b, "\n### %s\n\n", strings.TrimSuffix(c.UseLine(), " [flags]"))
		text := c.Long
		if text == "" {
			text = c.Short + "."
		}
		fmt.Fprintf(&b, "%s\n\n", text)
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" {
				fmt.Fprintf(&b, "- `--%s%s`: %s%s\n", f.Name, shownType(f), f.Usage, shownDefault(f))
			}
		})
	}
	for _, sub := range c.Commands() {
		b.WriteString(commandPages(sub))
	}
	return b.String()
}

// jsonNames lists what commands print with -o json, so that nobody renames a thing
// that scripts read without seeing it here.
func jsonNames() string {
	var b strings.Builder
	b.WriteString("\n## Names in JSON and YAML\n\n| in the answer of | names |\n| --- | --- |\n")
	for _, row := range []struct {
		of  string
		typ reflect.Type
	}{
		{"`app list`, `describe`, `register`, `keepalive`", reflect.TypeFor[control.App]()},
		{"`token list`, `describe`, `renew`, `cancel`; `tokens` of `app describe`", reflect.TypeFor[control.Token]()},
		{"`token cancel` of a selection: those of a token, and", reflect.TypeFor[control.CancelledToken]()},
		{"`problem` in it", reflect.TypeFor[control.Problem]()},
		{"`status`", reflect.TypeFor[control.Status]()},
		{"`troubles` in it", reflect.TypeFor[control.Trouble]()},
		{"`creds print`", reflect.TypeFor[fileView]()},
		{"`tokens` in it", reflect.TypeFor[tokenView]()},
		{"`secrets` in it", reflect.TypeFor[secretView]()},
		{"`creds renew`", reflect.TypeFor[renewalView]()},
		{"`store check`", reflect.TypeFor[storeReport]()},
		{"`simulate`", reflect.TypeFor[sim.Report]()},
		{"`calls` in it, by service", reflect.TypeFor[sim.Calls]()},
		{"`losses` in it", reflect.TypeFor[sim.Loser]()},
		{"`harms` in it", reflect.TypeFor[sim.Harm]()},
		{"its times, such as `lateness`", reflect.TypeFor[sim.Quantiles]()},
		{"its shares, `lifeLeft`", reflect.TypeFor[sim.Shares]()},
	} {
		var names []string
		for f := range row.typ.Fields() {
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
				names = append(names, "`"+name+"`")
			}
		}
		fmt.Fprintf(&b, "| %s | %s |\n", row.of, strings.Join(names, ", "))
	}
	return b.String()
}

// Every setting of --set stands on the page of applications.
func TestDocs_SettingsAreExplained(t *testing.T) {
	page, err := os.ReadFile("../../docs/applications.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "## Settings of one application")
	for key := range appregistry.OverlayKeys() {
		if !strings.Contains(table, "\n| `"+key+"` | ") {
			t.Errorf("docs/applications.md does not explain the setting %q", key)
		}
	}
}
