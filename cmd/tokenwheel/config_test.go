package main

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/tokenwheel/tokenwheel/hadooptest"
)

// write makes a private file.
func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// config writes a configuration that is well, followed by more keys.
func (s site) config(t *testing.T, more string) string {
	t.Helper()
	return write(t, s.file("tokenwheel.yaml"), fmt.Sprintf(`hadoop_conf: %s
kerberos: {principal: %s@%s, keytab: %s, krb5_conf: %s}
control: unix://%s
store: bolt://%s
staging: {default: local}
%s`, s.ConfDir, self, s.Realm, s.keytab(t, self), s.Krb5Conf, s.file("control.sock"), s.file("apps.db"), more))
}

func TestConfig_EveryKeyHasItsDefaultInFullYAML(t *testing.T) {
	var tree map[string]any
	if err := yaml.Unmarshal(fullYAML, &tree); err != nil {
		t.Fatal(err)
	}
	want := []string{"providers.hdfs"}
	for _, key := range allKeys(reflect.TypeFor[config](), "") {
		want = append(want, strings.Replace(key, "*", "hdfs", 1))
	}
	if diff := cmp.Diff(sorted(want), keysIn(tree, "")); diff != "" {
		t.Errorf("keys of the type and of full.yaml (-type +file):\n%s", diff)
	}
	if l := parseConfig("full.yaml", fullYAML); l.err() != nil {
		t.Error(l.err())
	}
}

// keysIn are the paths of all keys, sorted as allKeys sorts them: section by section.
func keysIn(tree map[string]any, path string) []string {
	var all []string
	for key, v := range tree {
		all = append(all, join(path, key))
		if m, ok := v.(map[string]any); ok {
			all = append(all, keysIn(m, join(path, key))...)
		}
	}
	return sorted(all)
}

func TestConfig_ShortFileKeepsAllOtherDefaults(t *testing.T) {
	full := parseConfig("full.yaml", fullYAML)
	for name, text := range map[string]string{
		"empty":        "",
		"comment only": "# nothing\n",
		"YAML":         "renewal:\n  per-service: 7\ncontrol: unix:///run/x.sock\n",
		"JSON":         "{\n\t\"renewal\": {\"per-service\": 7},\n\t\"control\": {\"address\": \"unix:///run/x.sock\"}\n}\n",
	} {
		t.Run(name, func(t *testing.T) {
			want := full.config
			if text != "" && text[0] != '#' {
				want.Renewal.PerService, want.Control.Address = 7, "unix:///run/x.sock"
			}
			l := parseConfig("x", []byte(text))
			if err := l.err(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, l.config); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestConfig_ErrorsShowTheLineAndTheNearestKey(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"a typo": {"renewal:\n  jiter: 0.1\n", `f:2:3: unknown key "renewal.jiter"; did you mean "renewal.jitter"?
    1 | renewal:
    2 |   jiter: 0.1
      |   ^`},
		"another section": {"per-service: 3\n", `f:1:1: unknown key "per-service"; did you mean "renewal.per-service"?
    1 | per-service: 3
      | ^`},
		"nothing like it": {"metrics: x\n", `f:1:1: unknown key "metrics"; tokenwheel config default prints all keys
    1 | metrics: x
      | ^`},
		"several at once": {"stor: x\nproviders:\n  acme: {comand: /x}\n", `f:1:1: unknown key "stor"; did you mean "store"?
    1 | stor: x
      | ^
f:3:10: unknown key "providers.acme.comand"; did you mean "providers.acme.command"?
    2 | providers:
    3 |   acme: {comand: /x}
      |          ^`},
		"a duration in words": {"retry:\n  max-backoff: 5 minutes\n", `f:2:16: retry.max-backoff: "5 minutes" is no duration: write a number with its unit, such as 90s, 5m or 12h
    1 | retry:
    2 |   max-backoff: 5 minutes
      |                ^`},
		"a wrong type": {"renewal:\n  per-service: many\n", `f:2:16: renewal.per-service: "many": want a whole number
    1 | renewal:
    2 |   per-service: many
      |                ^`},
		"a key twice": {"store: a\nstore: b\n", `f:2:1: mapping key "store" already defined at [1:1]
    1 | store: a
    2 | store: b
      | ^`},
		"two documents": {"store: a\n---\nstore: b\n", `f:3:6: a second document: one file holds one configuration
    2 | ---
    3 | store: b
      |      ^`},
		"not YAML": {"renewal: [1\n", `f:1:10: sequence end token ']' not found
    1 | renewal: [1
      |          ^`},
	} {
		t.Run(name, func(t *testing.T) {
			err := parseConfig("f", []byte(c.text)).err()
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(c.want, err.Error()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestConfig_CheckSaysAllProblemsAtOnce(t *testing.T) {
	s := newSite(t, hadooptest.Config{})
	wide := s.file("wide")
	if err := os.Mkdir(wide, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(wide, 0o777); err != nil {
		t.Fatal(err)
	}
	keytab := s.keytab(t, self)
	if err := os.Chmod(keytab, 0o644); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`hadoop_conf: %s
kerberos: {principal: "a b@X", keytab: %s, krb5_conf: %s}
control: {address: "tcp://0.0.0.0:1", mode: "0177", group: no-such-group}
store: bolt://%s/apps.db
renewal: {time-ratio: 2, jitter: 1, per-service: 0, calls-per-second: 0, call-timeout: 0s}
retry: {initial-backoff: 10m}
staging: {default: s3, targets: {scratch: ftp}}
providers:
  acme: {}
  other: {command: /nowhere/other, sha256: "00"}
  third: {command: /nowhere/third}
log: {level: loud, format: xml}
`, s.file("no-conf"), keytab, s.file("no-krb5"), wide)
	path := write(t, s.file("bad.yaml"), text)
	r := fails(t, exitFound, []string{"mend"}, "config", "check", "--config", path)
	var keys []string
	for _, m := range regexp.MustCompile(`(?m)(?:^|: )`+regexp.QuoteMeta(path)+`:\d+:\d+: ([a-z0-9_.-]+): `).FindAllStringSubmatch(r.errOut, -1) {
		keys = append(keys, m[1])
	}
	want := []string{
		"control", "control.group", "control.mode", "hadoop_conf", "kerberos.keytab", "kerberos.krb5_conf", "log.format", "log.level",
		"providers.acme", "providers.other.command", "providers.third.command", "renewal.call-timeout", "renewal.calls-per-second", "renewal.jitter", "renewal.per-service",
		"renewal.time-ratio", "retry.max-backoff", "staging.default", "staging.targets.scratch", "store",
	}
	if diff := cmp.Diff(want, sorted(keys)); diff != "" {
		t.Errorf("keys with a problem (-want +got):\n%s\n%s", diff, r.errOut)
	}
}

func TestConfig_SocketMode(t *testing.T) {
	for text, want := range map[string]os.FileMode{
		"0600": 0o600, "660": 0o660, "0666": 0o666,
		"": 0, "0660x": 0, "0600 0666": 0, "0o600": 0, "-600": 0, "0680": 0, "01600": 0, "0400": 0, "40000000600": 0,
	} {
		c := config{Control: controlConfig{Mode: text}}
		if got, err := c.socketMode(); got != want || (err == nil) != (want != 0) {
			t.Errorf("mode %q is read as %v, %v; want %v", text, got, err, want)
		}
	}
}

// keysOfProblems are the keys that a check of a file complains of.
func keysOfProblems(t *testing.T, path, words string) []string {
	t.Helper()
	r := fails(t, exitFound, []string{words}, "config", "check", "--config", path)
	var keys []string
	for _, m := range regexp.MustCompile(`(?m)`+regexp.QuoteMeta(path)+`:\d+:\d+: ([a-z0-9@_.-]+): `).FindAllStringSubmatch(r.errOut, -1) {
		keys = append(keys, m[1])
	}
	if strings.Contains(r.errOut, path+": ") || strings.Contains(r.errOut, "float64") {
		t.Errorf("a follow-up without a place, or Go's words:\n%s", r.errOut)
	}
	return keys
}

func TestConfig_EachBadValueIsNamedOnce(t *testing.T) {
	s := newSite(t, hadooptest.Config{})
	for name, c := range map[string]struct {
		text, words string
		want        []string
	}{
		"of all kinds": {
			"renewal: {time-ratio: much, jitter: 7, grace: -5s, per-service: 1.5, call-timeout: soon}\nretry: {initial-backoff: 1h, max-backoff: 1m}\n", `"-5s" is negative`,
			[]string{"renewal.time-ratio", "renewal.jitter", "renewal.grace", "renewal.per-service", "renewal.call-timeout", "retry.max-backoff"},
		},
		"sections":          {"access: {operators: x}\nlog: 5\n", "want a list", []string{"access.operators", "log"}},
		"nobody here":       {"access: {operators: [no-such-user], acts-for: {nor-he: [alice]}}\n", "no account", []string{"access.operators", "access.acts-for.nor-he"}},
		"other cluster":     {"providers: {hdfs@dr: {config: {hadoop_conf: /nope, keytab: /nope/k}}}\n", "/nope/core-site.xml", []string{"providers.hdfs@dr.config", "providers.hdfs@dr.config"}},
		"provider's key":    {"providers: {hdfs: {polcy: watch}}\n", `did you mean "providers.hdfs.policy"`, nil},
		"built-in provider": {"providers: {hdfs: {config: {colour: red}}}\n", "colour", []string{"providers.hdfs.config"}},
		"name with a dot":   {"providers:\n  hdfs@a.b: {config: {colour: red}}\n", ":7:22: ", []string{"providers.hdfs@a.b.config"}},
		"relative program":  {"providers: {x: {command: bin/x}}\n", "want an absolute path", []string{"providers.x.command"}},
		"broken":            {"renewal: [1\n", "']' not found", nil},
		"a key twice":       {"log: {level: loud}\nlog: {level: info}\n", "already defined", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, keysOfProblems(t, s.config(t, c.text), c.words)); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
		})
	}
	mode := parseConfig("f", []byte("control: {address: unix:///tmp/x, mode: 0600}\n"))
	if mode.checkControl(); mode.err() == nil || !strings.Contains(mode.err().Error(), "in quotes") {
		t.Errorf("a mode that YAML reads as a number: %v", mode.err())
	}
	for _, text := range []string{"log:\n", fmt.Sprintf("access: {operators: &o [%s], acts-for: {root: *o}}\n", me(t))} {
		ok(t, "config", "check", "--config", s.config(t, text))
	}
}

// Shows: N32, C-F59.
func TestConfig_ConnectTriesWhatTheFileNames(t *testing.T) {
	s := newSite(t, hadooptest.Config{Principals: []string{"mallory"}})
	good := s.config(t, "")
	before := s.KDC.Logins()
	ok(t, "config", "check", "--config", good)
	if n := s.KDC.Logins(); n != before {
		t.Errorf("a check that connects to nothing logged in %d times", n-before)
	}
	ok(t, "config", "check", "--connect", "--config", good)

	t.Run("service down", func(t *testing.T) {
		s.NameNode.SetFault(hadooptest.Fault{Cut: true, Standby: true})
		defer s.NameNode.SetFault(hadooptest.Fault{})
		s.KDC.SetDown(true)
		defer s.KDC.SetDown(false)
		fails(t, exitFound, []string{"providers.hdfs"}, "config", "check", "--connect", "--timeout", "1s", "--config", good)
	})
	t.Run("damaged store", func(t *testing.T) {
		db := write(t, s.file("apps.db"), "no database")
		defer os.Remove(db)
		fails(t, exitFound, []string{"store", db}, "config", "check", "--connect", "--config", good)
	})
	t.Run("keytab of another", func(t *testing.T) {
		text, err := os.ReadFile(good)
		if err != nil {
			t.Fatal(err)
		}
		bad := write(t, filepath.Join(s.dir, "bad.yaml"), strings.ReplaceAll(string(text), s.keytab(t, self), s.keytab(t, "mallory")))
		fails(t, exitFound, []string{"kerberos.keytab", "mallory@HADOOP.TEST", self}, "config", "check", "--config", bad)
	})
	fails(t, exitLocal, []string{"nowhere.yaml"}, "config", "check", "--config", "nowhere.yaml")
}

// A provider's own policy and numbers, and the general ones for the rest.
func TestConfig_PolicyOfEachProvider(t *testing.T) {
	l := parseConfig("x.yaml", []byte(`renewal: {time-ratio: 0.6}
providers:
  hdfs: {}
  hdfs@prod2: {policy: watch, exclude: [ns9]}
  hdfs@dr: {policy: replace, renewal: {time-ratio: 0.5, min-lead: 1h}}
  hdfs@all: {renewal: {jitter: 0}}
  hdfs@same: {renewal: {jitter: null}}
`))
	l.complete()
	got := l.instances()
	if p := got["hdfs@dr"].Policy; p == nil || p.Ratio != 0.5 || p.MinLead != time.Hour || p.DefaultValidity != 12*time.Hour {
		t.Errorf("numbers of hdfs@dr: %+v", p)
	}
	if got["hdfs"].Policy != nil || got["hdfs@prod2"].Policy != nil || got["hdfs@prod2"].Exclude[0] != "ns9" {
		t.Errorf("policies %+v", got)
	}
	if none, inherited := got["hdfs@all"].Policy, got["hdfs@dr"].Policy; none == nil || none.Jitter >= 0 || none.Ratio != 0.6 || inherited.Jitter != 0.1 || got["hdfs@same"].Policy != nil {
		t.Errorf("jitter: 0 is %+v, and what says nothing %+v; want none, and that of all", none, inherited)
	}
	if full := parseConfig("full.yaml", fullYAML); full.instances()["hdfs"].Policy != nil {
		t.Error("the file of all defaults has numbers of its own for hdfs")
	}
	want := map[string]string{"hdfs": "renew", "hdfs@all": "renew", "hdfs@same": "renew", "hdfs@prod2": "watch, but not ns9", "hdfs@dr": "replace"}
	if diff := cmp.Diff(want, l.policyWords()); diff != "" {
		t.Errorf("in words (-want +got):\n%s", diff)
	}
	bad := parseConfig("x.yaml", []byte("providers:\n  hdfs: {policy: drop, renewal: {time-ratio: 2}}\n"))
	bad.checkProviders()
	if err := bad.err(); err == nil || !strings.Contains(err.Error(), "providers.hdfs.policy") || !strings.Contains(err.Error(), "0.1 to 0.95") {
		t.Errorf("a policy that there is not: %v", err)
	}
}
