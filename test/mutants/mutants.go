// Package mutants judges the judges: each Mutant is a bug that somebody could
// plant, and the suite that is meant to catch it. A suite that stays green with
// the bug in place makes all its other greens worthless.
//
// A mutant is applied with the go command's -overlay: no file of the tree changes.
package mutants

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Mutant is one planted bug. Old stands exactly once in File, a path below the
// repository's root, and New takes its place.
type Mutant struct {
	Name     string // in kebab case; names the subtest
	Bug      string // what is wrong with it, in a sentence
	File     string
	Old, New string
	// Package and Tests are the suite meant to catch it: a package path such as
	// ./internal/core, and an alternation of full test names as go test -run takes it.
	Package, Tests string
}

// budget bounds one run of a suite with a mutant, the build not counted twice.
const budget = 3 * time.Minute

var (
	// ErrSurvived says that the suite stayed green.
	ErrSurvived = errors.New("the suite stays green with the bug in place")
	// ErrDoesNotApply says that the text to be replaced is not there exactly once:
	// the code has moved on, and the mutant must follow.
	ErrDoesNotApply = errors.New("the mutant does not apply")
	// ErrBroken says that the suite failed for another reason than a failing test.
	ErrBroken = errors.New("the suite did not run")
)

// A suite that dies of a panic in another goroutine names no test.
var failed = regexp.MustCompile(`(?m)^(?:--- FAIL: (\w+)|panic: .*$)`)

// Run plants the mutant in the tree at root and returns the tests that went red.
func (m Mutant) Run(ctx context.Context, root, tmp string) ([]string, error) {
	overlay, err := m.overlay(root, tmp)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Name, err)
	}
	out, err := goTest(ctx, root, m.Package, m.Tests, "-overlay", overlay)
	red := redTests(out)
	switch {
	case err == nil:
		return nil, fmt.Errorf("%s: %w: go test -run '%s' %s", m.Name, ErrSurvived, m.Tests, m.Package)
	case len(red) == 0:
		return nil, fmt.Errorf("%s: %w: %w\n%s", m.Name, ErrBroken, err, tail(out))
	}
	return red, nil
}

// overlay writes the mutated file and the list that the go command wants of it.
func (m Mutant) overlay(root, tmp string) (string, error) {
	path := filepath.Join(root, m.File)
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if n := bytes.Count(text, []byte(m.Old)); n != 1 {
		return "", fmt.Errorf("%w: its text stands %d times in %s", ErrDoesNotApply, n, m.File)
	}
	changed := filepath.Join(tmp, "mutant.go")
	if err := os.WriteFile(changed, bytes.Replace(text, []byte(m.Old), []byte(m.New), 1), 0o600); err != nil {
		return "", err
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(tmp, "overlay.json")
	return overlay, os.WriteFile(overlay, list, 0o600)
}

// goTest runs tests of a package. They must exist: a name that matches nothing
// would pass.
func goTest(ctx context.Context, root, pkg, tests string, flags ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	args := append([]string{"test", "-count=1", "-run", "^(" + tests + ")$", "-timeout", (budget - 10*time.Second).String()}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, pkg)...)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err == nil && bytes.Contains(out, []byte("no tests to run")) {
		err = fmt.Errorf("no test of %s is called %s", pkg, tests)
	}
	return string(out), err
}

func redTests(out string) []string {
	var names []string
	for _, m := range failed.FindAllStringSubmatch(out, -1) {
		names = append(names, cmp.Or(m[1], "the whole suite, by a panic"))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func tail(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}
