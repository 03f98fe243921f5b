package mutants

import (
	"testing"
)

// Every mutant finds its place. It takes no time, so that who moves code learns of
// it before the suites run for minutes.
func TestEachMutantApplies(t *testing.T) {
	for _, m := range All {
		if _, err := m.overlay(root(t), t.TempDir()); err != nil {
			t.Errorf("%s: %v", m.Name, err)
		}
	}
}
