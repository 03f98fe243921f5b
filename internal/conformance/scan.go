package conformance

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var (
	testName = regexp.MustCompile(`^(Test|Fuzz)`)
	// A test's name begins with the ids it shows: TestY18_N27_HungTarget….
	nameIDs  = regexp.MustCompile(`^(?:Test|Fuzz)((?:[A-Z]+[0-9]+_)+)`)
	oneID    = regexp.MustCompile(`^[A-Z]+-?[A-Z]*[0-9]+$`)
	showLine = regexp.MustCompile(`(?m)\bShows: (.*?)\.?$`)
	remark   = regexp.MustCompile(`\([^()]*\)`)
)

// Scan reads every test file below root and returns, by id without dash, the
// names of the tests that show it: those with the id in their name, or in a
// "Shows: Y1 (one case), T-01." line of their comment. Prose may follow such a
// list; an id behind it is an error, since it would be counted for nothing.
func Scan(root string) (map[string][]string, error) {
	shown := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != root && (strings.HasPrefix(name, ".") || name == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		return scanFile(path, shown)
	})
	if err != nil {
		return nil, fmt.Errorf("scan tests below %s: %w", root, err)
	}
	for id := range shown {
		slices.Sort(shown[id])
		shown[id] = slices.Compact(shown[id])
	}
	return shown, nil
}

func scanFile(path string, shown map[string][]string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ParseComments)
	if err != nil {
		return err
	}
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Recv != nil || !testName.MatchString(f.Name.Name) {
			continue
		}
		ids, err := testIDs(f)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", path, f.Name.Name, err)
		}
		for _, id := range ids {
			shown[id] = append(shown[id], f.Name.Name)
		}
	}
	return nil
}

func testIDs(f *ast.FuncDecl) ([]string, error) {
	var ids []string
	if m := nameIDs.FindStringSubmatch(f.Name.Name); m != nil {
		ids = strings.Split(strings.TrimSuffix(m[1], "_"), "_")
	}
	// A Shows: list may run over several lines; comment text is joined first.
	for _, m := range showLine.FindAllStringSubmatch(joinShows(f.Doc.Text()), -1) {
		listed, err := listedIDs(m[1])
		if err != nil {
			return nil, err
		}
		ids = append(ids, listed...)
	}
	return ids, nil
}

// listedIDs reads what stands behind "Shows:". A remark in parentheses narrows
// the id before it and is no claim itself.
func listedIDs(list string) ([]string, error) {
	text := remark.ReplaceAllString(list, " ")
	if strings.ContainsAny(text, "()") {
		return nil, fmt.Errorf("its Shows: line has a parenthesis without its other half: %q", list)
	}
	var ids []string
	prose := false
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune(", .;:", r) }) {
		switch {
		case !oneID.MatchString(word):
			prose = true
		case prose:
			return nil, fmt.Errorf("its Shows: line names %s after prose: %q", word, list)
		default:
			ids = append(ids, Normal(word))
		}
	}
	if len(ids) == 0 {
		return nil, fmt.Errorf("its Shows: line names no id: %q", list)
	}
	return ids, nil
}

// joinShows puts a Shows: list that was wrapped onto one line.
func joinShows(doc string) string {
	var out []string
	for line := range strings.SplitSeq(doc, "\n") {
		if n := len(out); n > 0 && strings.Contains(out[n-1], "Shows: ") && strings.HasSuffix(out[n-1], ",") {
			out[n-1] += " " + line
			continue
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}
