// Package archtest holds the rules of the house as tests: which package may
// import which, what must stay out of reach, how long a file may get.
package archtest_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/tokenwheel/tokenwheel/"

type pkg struct {
	ImportPath string
	Name       string
	Doc        string
	Imports    []string
	Deps       []string
}

// packages lists the module's packages by path below the module.
func packages(t *testing.T) map[string]pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Name,Doc,Imports,Deps", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := map[string]pkg{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p pkg
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all[strings.TrimPrefix(p.ImportPath, module)] = p
	}
	return all
}

// arrows names, for each package, the packages of ours that it may import
// directly. "x/..." stands for x and all below it. A package that is not listed
// is an error, so that a new one finds its place here first.
var arrows = map[string][]string{
	"plugins":                       {},
	"plugins/hdfs":                  {"internal/namenode", "plugins", "hadooptoken", "internal/hrpc", "internal/sasl", "internal/krb", "internal/hadooppb", "internal/hadoopconf", "internal/clock"},
	"plugins/hdfs/hdfstest":         {"plugins", "plugins/hdfs", "plugins/plugintest"},
	"plugins/pluginmain":            {"plugins", "internal/pluginwire/...", "internal/hclogslog"},
	"plugins/pluginhost":            {"plugins", "internal/pluginwire/...", "internal/hclogslog"},
	"plugins/plugintest":            {"plugins", "plugins/pluginhost", "internal/pluginwire/..."},
	"appregistry":                   {"plugins"},
	"appregistry/boltstore":         {"appregistry", "internal/ownedfile"},
	"appregistry/sealedstore":       {"appregistry", "internal/ownedfile"},
	"appregistry/storetest":         {"appregistry"},
	"renewer":                       {"appregistry", "plugins", "internal/core", "internal/clock", "internal/dispatch"},
	"hadooptoken":                   {"plugins", "internal/writable"},
	"fsstaging":                     {"internal/namenode", "plugins", "appregistry", "hadooptoken", "internal/krb", "internal/hrpc", "internal/sasl", "internal/hadoopconf", "internal/clock"},
	"fsstaging/stagetest":           {"plugins", "appregistry", "hadooptoken", "fsstaging"},
	"hadooptest/faultproxy":         {},
	"hadooptest":                    {"plugins", "hadooptoken", "internal/krb/...", "internal/krb", "internal/sasl", "internal/hadooppb", "internal/clock"},
	"internal/archtest":             {},
	"internal/faulttest":            {"plugins", "plugins/hdfs", "plugins/hdfs/hdfstest", "appregistry", "renewer", "hadooptoken", "hadooptest/faultproxy", "internal/clock", "internal/hadooppb", "internal/hrpc", "internal/namenode", "internal/sasl"},
	"internal/clock":                {},
	"internal/namenode":             {"internal/clock", "internal/hadoopconf", "internal/hrpc", "internal/krb", "internal/sasl"},
	"internal/dispatch":             {},
	"internal/demo":                 {"plugins", "plugins/hdfs", "plugins/pluginhost", "appregistry", "appregistry/boltstore", "renewer", "fsstaging", "hadooptest", "hadooptoken", "internal/hrpc", "internal/namenode"},
	"plugins/plugintest/testplugin": {"plugins", "plugins/pluginmain", "plugins/pluginhost", "internal/pluginwire/...", "examples/gatepass/pass"},
	"internal/conformance":          {},
	"internal/control":              {"plugins", "appregistry", "renewer", "hadooptoken"},
	"internal/core":                 {"appregistry", "plugins", "internal/wheel", "internal/clock", "internal/dispatch"},
	"internal/hadoopconf":           {},
	"internal/hadooppb":             {},
	"internal/hclogslog":            {},
	"internal/hrpc":                 {"internal/sasl", "internal/hadooppb"},
	"internal/krb":                  {"internal/clock", "internal/sasl"},
	"internal/krb/minikdc":          {"internal/krb", "internal/clock"},
	"internal/ownedfile":            {},
	"internal/pluginwire":           {"plugins", "internal/pluginwire/..."},
	"internal/sasl":                 {},
	"internal/scale":                {"plugins", "appregistry", "appregistry/boltstore", "renewer"},
	"internal/sim":                  {"appregistry", "plugins", "hadooptest", "hadooptoken", "internal/core", "internal/dispatch", "internal/clock"},
	"internal/wheel":                {},
	"internal/writable":             {},
	"test/scale":                    {"internal/scale"},
	"cmd/tokenwheel": {
		"plugins", "plugins/...", "appregistry", "appregistry/...", "renewer", "fsstaging", "hadooptoken", "examples/gatepass/pass",
		"internal/control", "internal/krb", "internal/hadoopconf", "internal/namenode", "internal/hclogslog", "internal/demo", "internal/sim",
	},
}

func allowed(list []string, imp string) bool {
	return slices.ContainsFunc(list, func(a string) bool {
		if below, ok := strings.CutSuffix(a, "/..."); ok {
			return imp == below || strings.HasPrefix(imp, below+"/")
		}
		return imp == a
	})
}

// rule finds the arrows of a package: its own, or those of the nearest parent.
func rule(path string) ([]string, bool) {
	for p := path; ; {
		if list, ok := arrows[p]; ok {
			return list, true
		}
		i := strings.LastIndexByte(p, '/')
		if i < 0 {
			return nil, false
		}
		p = p[:i]
	}
}

func TestArrowsPointOneWay(t *testing.T) {
	for path, p := range packages(t) {
		if strings.HasPrefix(path, "examples/") {
			continue // an example is a user's program: it may use what users may
		}
		list, ok := rule(path)
		if !ok {
			t.Errorf("package %s has no place in the table of arrows", path)
			continue
		}
		for _, imp := range p.Imports {
			rel, ours := strings.CutPrefix(imp, module)
			if ours && !allowed(list, rel) {
				t.Errorf("%s imports %s; it may import %v", path, rel, list)
			}
		}
	}
}

// TestHeavyClientsStayOutOfReach: who embeds the engine, or writes a provider,
// links no client that he did not ask for.
func TestHeavyClientsStayOutOfReach(t *testing.T) {
	heavy := []string{"google.golang.org/grpc", "go.etcd.io/bbolt", "github.com/jcmturner/gokrb5", "github.com/colinmarc/hdfs", "github.com/hashicorp/go-plugin"}
	all := packages(t)
	for _, path := range []string{"plugins", "appregistry", "renewer", "hadooptoken", "internal/core"} {
		p, ok := all[path]
		if !ok {
			t.Errorf("package %s is gone", path)
		}
		for _, dep := range p.Deps {
			for _, h := range heavy {
				if strings.HasPrefix(dep, h) {
					t.Errorf("%s reaches %s", path, dep)
				}
			}
		}
	}
}

// TestOneDoorToEachLibrary: a library with known defects is met in one place.
func TestOneDoorToEachLibrary(t *testing.T) {
	doors := map[string][]string{
		"github.com/jcmturner/gokrb5":             {"internal/krb/..."},
		"github.com/colinmarc/hdfs":               {"fsstaging"},
		"github.com/colinmarc/hdfs/v2/hadoopconf": {},
		"go.etcd.io/bbolt":                        {"appregistry/boltstore"},
		"github.com/hashicorp/go-plugin":          {"plugins/pluginmain", "plugins/pluginhost", "internal/pluginwire/...", "plugins/plugintest/..."},
		"github.com/goccy/go-yaml":                {"cmd/tokenwheel"},
	}
	for path, p := range packages(t) {
		for _, imp := range p.Imports {
			for lib, door := range doors {
				if (imp == lib || strings.HasPrefix(imp, lib+"/")) && !allowed(door, path) {
					t.Errorf("%s imports %s; only %v may", path, imp, door)
				}
			}
		}
	}
}

func TestPackagesCarryANoun(t *testing.T) {
	for path, p := range packages(t) {
		if slices.Contains([]string{"util", "utils", "common", "helper", "helpers", "misc", "types", "manager"}, p.Name) {
			t.Errorf("package %s is named %s, which says nothing", path, p.Name)
		}
		if p.Doc == "" && path != "internal/archtest" {
			t.Errorf("package %s has no package documentation", path)
		}
	}
}
