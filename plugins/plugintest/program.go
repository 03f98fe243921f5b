package plugintest

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Build builds the main package at the import path or folder pkg, and returns the
// program's path. It is removed with the test's other files.
func Build(t testing.TB, pkg string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "provider")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, pkg).CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
	// Hosts refuse what the umask of many a desktop lets the group write.
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	return program
}

// logger writes to the test's output.
func logger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
}
