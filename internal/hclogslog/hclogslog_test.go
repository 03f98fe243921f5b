package hclogslog_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/tokenwheel/tokenwheel/internal/hclogslog"
)

func TestLoggerEndsInSlog(t *testing.T) {
	var out bytes.Buffer
	log := hclogslog.Logger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo})))
	log.Named("stdio").With("plugin", "acme").Warn("slow", "n", 3)
	log.Debug("unseen")
	log.Trace("unseen")
	log.Error("broken")
	for _, want := range []string{`level=WARN msg=slow logger=stdio plugin=acme n=3`, `level=ERROR msg=broken`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("want %s in:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "unseen") || log.GetLevel() != hclog.Info {
		t.Errorf("level %s:\n%s", log.GetLevel(), out.String())
	}
}

func TestNilLoggerIsSilent(t *testing.T) {
	if log := hclogslog.Logger(nil); log.IsError() {
		t.Error("it takes errors")
	}
}

// TestHandlerWritesLinesOfHclog: field names, level words and the form of time
// that go-plugin's reader asks for.
func TestHandlerWritesLinesOfHclog(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(hclogslog.Handler(&out, slog.LevelDebug))
	log.Warn("slow", "n", 3, slog.Group("g", "level", "kept"))
	var line struct {
		Message   string `json:"@message"`
		Level     string `json:"@level"`
		Timestamp string `json:"@timestamp"`
		N         int
		G         struct{ Level string }
	}
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	if line.Message != "slow" || line.Level != "warn" || line.N != 3 || line.G.Level != "kept" || len(line.Timestamp) < 20 {
		t.Errorf("got %s", out.String())
	}
}
