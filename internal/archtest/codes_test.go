package archtest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var codes = regexp.MustCompile(`(?:Refused\(|Error\{Code: |code[A-Z]\w* += |Code[A-Z]\w* += )"([a-z]+(?:-[a-z]+)*)"`)

// Whoever gets an error's code looks it up in docs/errors.md.
func TestEveryCodeStandsOnThePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, folder := range []string{"fsstaging", "internal/control", "plugins/hdfs", "plugins/pluginhost", "renewer"} {
		files, err := filepath.Glob("../../" + folder + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", folder, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range codes.FindAllStringSubmatch(string(source), -1) {
				if n++; !strings.Contains(string(page), "`"+m[1]+"`") {
					t.Errorf("docs/errors.md lacks the code %q of %s", m[1], strings.TrimPrefix(file, "../../"))
				}
			}
		}
	}
	if n < 40 {
		t.Errorf("only %d codes were found: how they are written has changed", n)
	}
}
