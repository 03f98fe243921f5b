package conformance_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tokenwheel/tokenwheel/internal/conformance"
)

// scan reads one test file whose only test, TestY1_One, has this comment.
func scan(t *testing.T, comment string) (map[string][]string, error) {
	t.Helper()
	dir := t.TempDir()
	text := "package p\n\n// " + strings.ReplaceAll(comment, "\n", "\n// ") + "\nfunc TestY1_One(t *testing.T) {}\n"
	if err := os.WriteFile(filepath.Join(dir, "p_test.go"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return conformance.Scan(dir)
}

func TestScan_CountsEachListedID(t *testing.T) {
	for name, c := range map[string]struct {
		comment string
		want    []string
	}{
		"no list":                {"One is one.", []string{"Y1"}},
		"a list":                 {"Shows: N7, T-01, C-Y03.", []string{"Y1", "N7", "T01", "CY03"}},
		"behind a sentence":      {"One is one. Shows: N7.", []string{"Y1", "N7"}},
		"over two lines":         {"Shows: N7,\nN8.", []string{"Y1", "N7", "N8"}},
		"a remark":               {"Shows: N1 (intervals), N7, N14 (before the remover), N16.", []string{"Y1", "N1", "N7", "N14", "N16"}},
		"a remark naming an id":  {"Shows: N7 (not N8), N9.", []string{"Y1", "N7", "N9"}},
		"prose after the list":   {"Shows: N7, N8, as far as a killed process can: the machine goes on.", []string{"Y1", "N7", "N8"}},
		"a sentence after it":    {"Shows: N7. Every reply is cut at every byte.", []string{"Y1", "N7"}},
		"two lists of one entry": {"Shows: N7.\n\nShows: N8.", []string{"Y1", "N7", "N8"}},
	} {
		want := map[string][]string{}
		for _, id := range c.want {
			want[id] = []string{"TestY1_One"}
		}
		got, err := scan(t, c.comment)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestScan_RefusesWhatItWouldNotCount(t *testing.T) {
	for name, comment := range map[string]string{
		"an id after prose":         "Shows: N7, and what follows of N8.",
		"an id in a later sentence": "Shows: N7. So does N8.",
		"no id":                     "Shows: how it goes.",
		"only a remark":             "Shows: (N7).",
		"an open remark":            "Shows: N7 (far from\nthe end), N8.",
	} {
		if got, err := scan(t, comment); err == nil || !strings.Contains(err.Error(), "TestY1_One") {
			t.Errorf("%s: read as %v, %v; want an error that names the test", name, got, err)
		}
	}
}
