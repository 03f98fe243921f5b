package real_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// credentialsFile writes credentials as a Java token file.
func credentialsFile(t *testing.T, creds plugins.Credentials) string {
	t.Helper()
	text, err := hadooptoken.Marshal(creds, hadooptoken.FormatJava)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
