package conformance_test

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tokenwheel/tokenwheel/internal/conformance"
)

var update = flag.Bool("update", false, "rewrite status and tests of each row of docs/conformance.md")

const page = "../../docs/conformance.md"

// TestPageTellsTheTruth compares the page with the tests of this module and of
// the real tier. The number of rows is fixed, so that none can be dropped.
func TestPageTellsTheTruth(t *testing.T) {
	const statements = 756
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	p, err := conformance.Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	shown, err := conformance.Scan("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range p.Apply(shown) {
		t.Errorf("tests %v claim %s, which is no statement of the page", shown[id], id)
	}
	if got := p.Count("shown") + p.Count("open") + p.Count("refused"); got != statements {
		t.Errorf("the page has %d statements, want %d", got, statements)
	}
	want := p.String()
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Logf("shown %d, open %d, refused %d", p.Count("shown"), p.Count("open"), p.Count("refused"))
		return
	}
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("docs/conformance.md differs from the tests (-tests +page); run with -update:\n%s", diff)
	}
}

func TestParse_RefusesWhatItCannotRead(t *testing.T) {
	for name, text := range map[string]string{
		"unknown status":         "| Y1 | a | done |  |  |",
		"refused without reason": "| Y1 | a | refused |  |  |",
		"second row":             "| T-01 | a | open |  |  |\n| T01 | b | open |  |  |",
		"broken row":             "| Y1 | a |",
	} {
		if _, err := conformance.Parse(text); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestApply_FollowsTests(t *testing.T) {
	p, err := conformance.Parse("| Y1 | a | shown | TestY1_Gone |  |\n| T-01 | b | open |  |  |\n| S2 | c | refused |  | by decision 9 |")
	if err != nil {
		t.Fatal(err)
	}
	unknown := p.Apply(map[string][]string{"T01": {"TestT01_A"}, "Z9": {"TestZ9_B"}})
	if diff := cmp.Diff([]string{"Z9"}, unknown); diff != "" {
		t.Error(diff)
	}
	want := "| Y1 | a | open |  |  |\n| T-01 | b | shown | TestT01_A |  |\n| S2 | c | refused |  | by decision 9 |"
	if diff := cmp.Diff(want, p.String()); diff != "" {
		t.Error(diff)
	}
}
