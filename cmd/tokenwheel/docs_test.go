package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write the generated parts of the pages anew")

const (
	generatedBegin = "<!-- generated: go test ./cmd/tokenwheel -run Docs -update -->\n"
	generatedEnd   = "<!-- end of the generated part -->\n"
)

func TestDocs_GeneratedPartsAreUpToDate(t *testing.T) {
	for path, want := range map[string]string{
		"../../docs/configuration.md": "```yaml\n" + string(fullYAML) + "```\n",
		"../../docs/cli.md":           commandPages(newRoot()),
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
