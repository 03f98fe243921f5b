package scale_test

import (
	"path/filepath"
	"testing"

	"github.com/tokenwheel/tokenwheel/internal/scale"
)

func measure(t *testing.T, l scale.Load) map[string]float64 {
	t.Helper()
	figures, err := scale.Measure(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range figures {
		if _, twice := got[f.Name]; twice {
			t.Errorf("%s is told twice", f.Name)
		}
		got[f.Name] = f.Value
	}
	return got
}

// What is measured is what was asked for: each token is renewed once, or none is.
func TestMeasure_DoesTheWorkItTellsOf(t *testing.T) {
	for name, c := range map[string]struct {
		load     scale.Load
		renewals float64
	}{
		"renewed": {scale.Load{Apps: 200, Tokens: 2, Renew: true}, 400},
		"none":    {scale.Load{Apps: 200}, 0},
		"durable": {scale.Load{Apps: 200, Renew: true, Store: filepath.Join(t.TempDir(), "apps.db")}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			got := measure(t, c.load)
			if got["register.renewals"] != c.renewals {
				t.Errorf("%v renewals, want %v", got["register.renewals"], c.renewals)
			}
			if got["register.rate"] <= 0 || got["registered.heap"] <= 0 {
				t.Errorf("no rate or no memory: %v", got)
			}
			if _, restarted := got["restart.armed"]; restarted != (c.load.Store != "") {
				t.Errorf("restart was measured: %v, with store %q", restarted, c.load.Store)
			}
		})
	}
}
