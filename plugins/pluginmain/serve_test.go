package pluginmain_test

import (
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/tokenwheel/tokenwheel/plugins/plugintest"
)

const example = "github.com/tokenwheel/tokenwheel/examples/gatepass"

// maxModules is what an author's program may link, our own module among them.
const maxModules = 20

// TestAuthorsProgramLinksFewModules counts the modules in an example program.
// None of the heavy ones may be among them.
func TestAuthorsProgramLinksFewModules(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", example).Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := strings.Fields(string(out))
	slices.Sort(modules)
	modules = slices.Compact(modules)
	if len(modules) < 2 || len(modules) > maxModules {
		t.Errorf("%d modules, at most %d: %q", len(modules), maxModules, modules)
	}
	for _, heavy := range []string{"github.com/jcmturner/gokrb5/v8", "github.com/colinmarc/hdfs/v2", "go.etcd.io/bbolt", "github.com/spf13/cobra"} {
		if slices.Contains(modules, heavy) {
			t.Errorf("a provider's program links %s", heavy)
		}
	}
	t.Logf("%d modules: %q", len(modules), modules)
}

// TestU8_RefusesToServeByHand: a provider that was not started by a host, or
// without its certificate, says why and exits with 1.
// Shows: T-44.
func TestU8_RefusesToServeByHand(t *testing.T) {
	program := plugintest.Build(t, example)
	tests := []struct {
		name string
		env  []string
		want string
	}{
		{"by hand", nil, "this program is a tokenwheel provider"},
		{"another host's cookie", []string{"TOKENWHEEL_PROVIDER=other"}, "this program is a tokenwheel provider"},
		{"no certificate", []string{"TOKENWHEEL_PROVIDER=1f2c8b46-a-provider-is-started-by-its-host"}, "not served without TLS"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), program)
			cmd.Env = tt.env
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("want exit code 1, got %v", err)
			}
			if !strings.Contains(string(out), tt.want) || strings.Contains(string(out), "1|1|unix") {
				t.Errorf("want %q and no handshake, got:\n%s", tt.want, out)
			}
		})
	}
}
