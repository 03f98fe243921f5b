package mutants

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/mutants.md")

func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Each planted bug turns the suite red that is meant to catch it, and the same
// suite is green without it. Shows: M09.
func TestM09_EachPlantedBugIsCaught(t *testing.T) {
	dir := root(t)
	green := map[string]bool{}
	for _, m := range All {
		t.Run(m.Name, func(t *testing.T) {
			if suite := m.Package + " " + m.Tests; !green[suite] {
				if out, err := goTest(t.Context(), dir, m.Package, m.Tests); err != nil {
					t.Fatalf("without any bug: %v\n%s", err, tail(out))
				}
				green[suite] = true
			}
			red, err := m.Run(t.Context(), dir, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("caught by %s", strings.Join(red, ", "))
		})
	}
}

// A judge that calls everything caught would pass the test above.
func TestASurvivorIsToldApart(t *testing.T) {
	dir := root(t)
	harmless := Mutant{
		Name: "harmless", File: "internal/wheel/heap.go", Old: "func (h *bucketHeap) empty() bool { return len(h.order) == 0 }",
		New:     "func (h *bucketHeap) empty() bool { return 0 == len(h.order) }",
		Package: "./internal/wheel", Tests: "TestB94_CancelWhileFiring",
	}
	for _, c := range []struct {
		name   string
		change func(*Mutant)
		want   error
	}{
		{"survivor", func(*Mutant) {}, ErrSurvived},
		{"moved on", func(m *Mutant) { m.Old = "not there" }, ErrDoesNotApply},
		{"does not compile", func(m *Mutant) { m.New = "func (h *bucketHeap) empty() bool {" }, ErrBroken},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := harmless
			c.change(&m)
			if _, err := m.Run(t.Context(), dir, t.TempDir()); !errorIs(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// docs/mutants.md is the list, in a form to read.
func TestThePageIsTheList(t *testing.T) {
	var b strings.Builder
	b.WriteString(pageHead)
	for _, m := range All {
		fmt.Fprintf(&b, "| %s | %s | `%s` | %s |\n", m.Name, m.Bug, strings.TrimPrefix(m.Package, "./"), strings.ReplaceAll(m.Tests, "|", ", "))
	}
	path := filepath.Join(root(t), "docs", "mutants.md")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != b.String() {
		t.Error("docs/mutants.md is not the list: run go test -run Page -update . in test/mutants")
	}
	names := make([]string, len(All))
	for i, m := range All {
		names[i] = m.Name
	}
	slices.Sort(names)
	if len(slices.Compact(names)) != len(All) {
		t.Error("two mutants have the same name")
	}
}

const pageHead = `# Planted bugs

A suite that never went red shows nothing. Each bug below is planted in the code, one
at a time and without touching a file, and the suite meant to catch it must fail:
` + "`make mutants`" + `, which is a part of ` + "`make test`" + `. The list is in
` + "`test/mutants`" + `; a bug whose place in the code has changed fails there too.

| bug | what is wrong | suite | caught by |
|---|---|---|---|
`

func errorIs(err, want error) bool { return err != nil && errors.Is(err, want) }
