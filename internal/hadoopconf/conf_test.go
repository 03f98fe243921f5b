package hadoopconf_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwheel/tokenwheel/internal/hadoopconf"
)

// write puts files into a new directory.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func load(t testing.TB, files map[string]string) *hadoopconf.Conf {
	t.Helper()
	c, err := hadoopconf.Load(write(t, files))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// core makes a core-site.xml of "key=value" lines.
func core(t testing.TB, lines ...string) *hadoopconf.Conf {
	t.Helper()
	return load(t, map[string]string{"core-site.xml": site(lines...)})
}

func site(lines ...string) string {
	var s strings.Builder
	s.WriteString("<configuration>\n")
	for _, line := range lines {
		key, value, _ := strings.Cut(line, "=")
		_, _ = fmt.Fprintf(&s, "<property><name>%s</name><value>%s</value></property>\n", key, value)
	}
	s.WriteString("</configuration>\n")
	return s.String()
}

func TestGet(t *testing.T) {
	t.Setenv("TW_SET", "from-env")
	t.Setenv("TW_EMPTY", "")
	c := load(t, map[string]string{
		"core-site.xml": `<?xml version="1.0"?>
<?xml-stylesheet type="text/xsl" href="configuration.xsl"?>
<configuration>
  <!-- a comment -->
  <property><name> padded </name><value>
    text <!-- inside --> here
  </value><description>said</description></property>
  <property name="attributes" value="taken" final="true"/>
  <property><name>fixed</name><value>first</value><final> TRUE </final></property>
  <property><name>fixed</name><value>second</value></property>
  <property><name>loose</name><value>core</value></property>
  <property><name>valueless</name></property>
  <property><name>empty</name><value/></property>
  <property><name>fs.default.name</name><value>hdfs://old</value></property>
  <property><name>nested</name><value>a-${loose}-${${pointer}}</value></property>
  <property><name>pointer</name><value>attributes</value></property>
  <property><name>unknown</name><value>${nobody}/${loose}</value></property>
  <property><name>self</name><value>x${self}</value></property>
  <property><name>ping</name><value>${pong}</value></property>
  <property><name>pong</name><value>${ping}</value></property>
  <property><name>bomb</name><value>${bomb1}${bomb1}</value></property>
  <property><name>bomb1</name><value>${bomb2}${bomb2}${bomb2}${bomb2}</value></property>
  <property><name>bomb2</name><value>${loose}${loose}${loose}${loose}</value></property>
  <property><name>env</name><value>${env.TW_SET}</value></property>
  <property><name>env.unset</name><value>${env.TW_UNSET}</value></property>
  <property><name>env.default</name><value>${env.TW_UNSET-a-b}${env.TW_EMPTY-c}${env.TW_SET-d}</value></property>
  <property><name>env.empty</name><value>${env.TW_UNSET:-a}${env.TW_EMPTY:-c}${env.TW_SET:-d}</value></property>
</configuration>`,
		"hdfs-site.xml": site("attributes=changed", "fixed=third", "loose=hdfs"),
		"yarn-site.xml": site("yarn=1"),
		"kms-site.xml":  site("kms=1"),
	})
	for key, want := range map[string]string{
		"padded":       "text  here",
		"attributes":   "taken",
		"fixed":        "first",
		"loose":        "hdfs",
		"empty":        "",
		"fs.defaultFS": "hdfs://old", "fs.default.name": "hdfs://old",
		"nested":      "a-hdfs-taken",
		"unknown":     "${nobody}/${loose}",
		"self":        "x${self}",
		"ping":        "${pong}",
		"bomb":        "${bomb1}${bomb1}",
		"env":         "from-env",
		"env.unset":   "${env.TW_UNSET}",
		"env.default": "a-bfrom-env",
		"env.empty":   "acfrom-env",
		"yarn":        "1", "kms": "1",
	} {
		if got, ok := c.Get(key); !ok || got != want {
			t.Errorf("%s: got %q, %t, want %q", key, got, ok, want)
		}
	}
	for _, key := range []string{"valueless", "nobody"} {
		if got, ok := c.Get(key); ok {
			t.Errorf("%s: got %q, want none", key, got)
		}
	}
	for key, want := range map[string]string{"fixed": "core-site.xml:9", "loose": "hdfs-site.xml:4", "nobody": ""} {
		if got := c.Origin(key); got != want && !strings.HasSuffix(got, "/"+want) {
			t.Errorf("origin of %s: got %s, want %s", key, got, want)
		}
	}
}

const xi = `xmlns:xi="http://www.w3.org/2001/XInclude"`

func TestInclude(t *testing.T) {
	c := load(t, map[string]string{
		"core-site.xml": `<configuration ` + xi + `>
<property><name>order</name><value>before</value></property>
<xi:include href="more/a.xml"><xi:fallback>` + site("fallback=of a file that is there") + `</xi:fallback></xi:include>
<xi:include href="missing.xml"><xi:fallback>
  <property><name>instead</name><value>yes</value></property>
  <xi:include href="more/b.xml"/>
</xi:fallback></xi:include>
<xi:include href="missing.xml"><xi:fallback/></xi:include>
<property><name>last</name><value>core</value></property>
</configuration>`,
		"more/a.xml": `<configuration ` + xi + `><xi:include href="b.xml"/>` + site("order=a", "last=a") + `</configuration>`,
		"more/b.xml": site("order=b", "b=yes"),
	})
	want := map[string]string{"order": "b", "instead": "yes", "b": "yes", "last": "core", "fallback": ""}
	got := map[string]string{}
	for key := range want {
		got[key], _ = c.Get(key)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if origin := c.Origin("b"); !strings.HasSuffix(origin, "more/b.xml:3") {
		t.Errorf("origin of an included key: %s", origin)
	}
}

func TestLoadRefuses(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	include := func(attributes string) map[string]string {
		return map[string]string{"core-site.xml": "<configuration " + xi + ">\n<xi:include " + attributes + "/>\n</configuration>"}
	}
	one := func(text string) map[string]string { return map[string]string{"core-site.xml": text} }
	many := "<configuration " + xi + ">" + strings.Repeat(`<xi:include href="a.xml"/>`, 64) + "</configuration>"
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"no core-site":          {map[string]string{"hdfs-site.xml": site()}, "core-site.xml: no such file"},
		"nothing in it":         {one(""), "core-site.xml:1: no configuration element"},
		"another root":          {one("<configurations/>"), `core-site.xml:1: root element is "configurations"`},
		"broken":                {one("<configuration>\n<property>\n</configuration>"), "core-site.xml:3: element <property> closed by </configuration>"},
		"cut":                   {one("<configuration>\n<property>\n"), "unexpected EOF"},
		"broken second file":    {map[string]string{"core-site.xml": site(), "hdfs-site.xml": "<\n"}, "hdfs-site.xml:1: "},
		"file entity":           {one("<!DOCTYPE c [\n<!ENTITY x SYSTEM \"file://" + secret + "\">]>\n" + site("a=&x;")), "entity declarations are refused"},
		"entity never declared": {one(site("a=&x;")), "core-site.xml:2: invalid character entity &x;"},
		"parameter entity":      {one("<!DOCTYPE c [<!entity % x SYSTEM \"file://" + secret + "\"> %x;]>" + site()), "entity declarations are refused"},
		"too large":             {one(site() + strings.Repeat(" ", 4<<20)), "over the limit of 4194304 bytes"},
		"too deep":              {one(strings.Repeat("<configuration>", 1000)), "over 16 elements deep"},
		"file URL":              {include(`href="file://` + secret + `"`), "core-site.xml:2: include of \"file://"},
		"scheme alone":          {include(`href="file:core-site.xml"`), "want a relative path"},
		"http URL":              {include(`href="http://192.0.2.1/x.xml"`), "want a relative path"},
		"absolute path":         {include(`href="` + secret + `"`), "want a relative path"},
		"network path":          {include(`href="//192.0.2.1/x.xml"`), "want a relative path"},
		"no href":               {include(``), "want a relative path"},
		"text":                  {include(`href="core-site.xml" parse="text"`), `include of "text" is refused`},
		"missing, no fallback":  {include(`href="b.xml"`), "core-site.xml:2: include: open "},
		"itself":                {include(`href="core-site.xml"`), "over 8 includes deep"},
		"too many":              {map[string]string{"core-site.xml": many, "a.xml": site()}, "more than 64 files"},
		"missing further in": {map[string]string{
			"core-site.xml": "<configuration " + xi + `><xi:include href="a.xml"><xi:fallback/></xi:include></configuration>`,
			"a.xml":         "<configuration " + xi + `><xi:include href="b.xml"/></configuration>`,
		}, "a.xml:1: include: open "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := hadoopconf.Load(write(t, c.files))
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("got error %v, want %s", err, c.want)
			}
		})
	}
}

func TestBool(t *testing.T) {
	c := core(t, "yes=True", "no=false", "empty=", "odd=1")
	for key, want := range map[string]string{
		"yes": "true", "no": "false", "empty": "true", "unset": "true",
		"odd": `core-site.xml:5: odd is "1": want true or false`,
	} {
		v, err := c.Bool(key, true)
		if got := result(v, err); !strings.HasSuffix(got, want) {
			t.Errorf("%s: got %s, want %s", key, got, want)
		}
	}
}

func TestDuration(t *testing.T) {
	c := core(t, "bare=90", "s=30s", "ms=250 ms", "us=5us", "ns=7ns", "m=2m", "h=3H", "d=7d", "empty=",
		"word=soon", "over=9223372036854775807d", "part=1.5h")
	for key, want := range map[string]string{
		"bare": "1m30s", "s": "30s", "ms": "250ms", "us": "5µs", "ns": "7ns", "m": "2m0s", "h": "3h0m0s", "d": "168h0m0s",
		"empty": "1h0m0s", "unset": "1h0m0s",
		"word": "want a duration such as 30s", "over": "want a duration such as 30s", "part": "want a duration such as 30s",
	} {
		v, err := c.Duration(key, time.Second, time.Hour)
		if got := result(v, err); !strings.HasSuffix(got, want) {
			t.Errorf("%s: got %s, want %s", key, got, want)
		}
	}
}

func result(v any, err error) string {
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(v)
}

func TestStrings(t *testing.T) {
	c := core(t, "list= a, b ,,c,", "empty= ")
	if diff := cmp.Diff([]string{"a", "b", "c"}, c.Strings("list")); diff != "" {
		t.Error(diff)
	}
	if got := append(c.Strings("empty"), c.Strings("unset")...); got != nil {
		t.Errorf("got %q, want none", got)
	}
}

func TestDir(t *testing.T) {
	for _, tt := range []struct{ conf, home, want string }{
		{"/conf", "/home", "/conf"},
		{"", "/opt/hadoop", "/opt/hadoop/etc/hadoop"},
		{"", "", "/etc/hadoop/conf"},
	} {
		t.Setenv("HADOOP_CONF_DIR", tt.conf)
		t.Setenv("HADOOP_HOME", tt.home)
		if got := hadoopconf.Dir(); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

// TestPrintsNoValue: keystore passwords live in these files.
func TestPrintsNoValue(t *testing.T) {
	c := core(t, "ssl.server.keystore.password=canary")
	for _, s := range []string{fmt.Sprint(c), fmt.Sprintf("%+v", c), fmt.Sprintf("%#v", c)} {
		if strings.Contains(s, "canary") {
			t.Errorf("printed: %s", s)
		}
	}
}

// FuzzLoad: whatever is read can be asked for.
func FuzzLoad(f *testing.F) {
	f.Add(site("a=${b}", "b=1"))
	f.Add(`<configuration ` + xi + `><xi:include href="x.xml"><xi:fallback>` + site("a=1") + `</xi:fallback></xi:include></configuration>`)
	f.Add(`<configuration><property name="dfs.nameservices" value="a,b"/></configuration>`)
	f.Add("<!DOCTYPE c [<!ENTITY x SYSTEM \"file:///etc/hostname\">]>" + site("a=&x;"))
	f.Fuzz(func(t *testing.T, text string) {
		c, err := hadoopconf.Load(write(t, map[string]string{"core-site.xml": text}))
		if err != nil {
			return
		}
		_, _ = c.Get("a")
		_, _ = c.Namenodes()
		_, _, _ = c.AuthToLocal()
	})
}
