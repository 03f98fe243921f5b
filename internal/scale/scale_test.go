package scale_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"path/filepath"
	"strconv"
	"strings"
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

// Paced, each registration is timed, and beside it what the disk gives.
func TestMeasure_TimesWhatIsPaced(t *testing.T) {
	got := measure(t, scale.Load{Apps: 50, Pace: 1000, Renew: true, Store: filepath.Join(t.TempDir(), "apps.db")})
	for _, what := range []string{"register", "sync"} {
		p50, p99, most := got[what+".p50"], got[what+".p99"], got[what+".most"]
		if !(0 < p50 && p50 <= p99 && p99 <= most) {
			t.Errorf("%s took %v, %v, %v ms", what, p50, p99, most)
		}
	}
	if got = measure(t, scale.Load{Apps: 50}); got["register.p50"] != 0 {
		t.Errorf("without a pace: %v", got)
	}
}

func TestTable_TellsWhatWasMeasured(t *testing.T) {
	measured := []map[string]float64{{"memory.register.cpu": 50, "memory.register.time": 1234.6}, {"memory.register.cpu": 60}}
	table := scale.Table([]int{10_000, 1_000_000}, 10, measured)
	for _, want := range []string{"| 10,000 tokens | 1,000,000 tokens |", "| CPU of registering | 5 µs a token | 6 µs a token |", "| 1,235 s | – |"} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
}

func TestPlot_IsAPictureOfAllPoints(t *testing.T) {
	var svg bytes.Buffer
	lines := []scale.Line{{Name: "a", Points: [][2]float64{{1e4, 200}, {1e5, 180}, {1e6, 179}}}, {Name: "b", Points: [][2]float64{{1e4, 0.02}}}}
	if err := scale.Plot(&svg, "title", lines); err != nil {
		t.Fatal(err)
	}
	points := 0
	for d := xml.NewDecoder(&svg); ; {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := tok.(xml.StartElement); ok && e.Name.Local == "circle" {
			points++
			for _, a := range e.Attr {
				if v, err := strconv.ParseFloat(a.Value, 64); err == nil && (v < 0 || v > 760) {
					t.Errorf("a point at %s=%v is outside", a.Name.Local, v)
				}
			}
		}
	}
	if points != 4 {
		t.Errorf("%d points, want 4", points)
	}
}

// An application with one token of its own costs the engine less than the 730 B
// that YARN's renewer takes, and nearly nothing runs for it.
// Shows: M30.
func TestM30_MemoryOfATokenIsBounded(t *testing.T) {
	got := measure(t, scale.Load{Apps: 30_000, Renew: true})
	// At this number the records that stay open for a while weigh most.
	if most := 600.0; got["registered.engine.token"] > most {
		t.Errorf("%.0f B a token besides its bytes, want at most %.0f", got["registered.engine.token"], most)
	}
	if most := 30.0; got["registered.goroutines"] > most {
		t.Errorf("%.0f goroutines, want at most %.0f", got["registered.goroutines"], most)
	}
}
