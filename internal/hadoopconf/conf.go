// Package hadoopconf reads a HADOOP_CONF_DIR as Hadoop's Configuration class
// does: core-site.xml and its sisters with final properties, variables, XInclude
// and deprecated names, and answers what a client of HDFS must know from them.
//
// The files are the operator's, but are read with care all the same: sizes,
// depths and counts are capped, and no external entity is ever followed. A
// [Conf] does not change after [Load] and may be used concurrently.
package hadoopconf

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// siteFiles are read in this order; a later one wins over an earlier one.
var siteFiles = [...]string{"core-site.xml", "hdfs-site.xml", "yarn-site.xml", "kms-site.xml"}

// deprecated maps the names that old installations still use to today's.
var deprecated = map[string]string{
	"fs.default.name":                 "fs.defaultFS",
	"dfs.federation.nameservices":     "dfs.nameservices",
	"dfs.federation.nameservice.id":   "dfs.nameservice.id",
	"dfs.http.address":                "dfs.namenode.http-address",
	"dfs.https.address":               "dfs.namenode.https-address",
	"dfs.encryption.key.provider.uri": "hadoop.security.key.provider.path",
}

// Conf is the content of a configuration directory.
type Conf struct {
	dir        string
	properties map[string]property
}

type property struct {
	value  string
	origin string // file:line
	final  bool
}

// Dir is where a Hadoop client looks for its configuration: $HADOOP_CONF_DIR,
// else $HADOOP_HOME/etc/hadoop, else /etc/hadoop/conf.
func Dir() string {
	if dir := os.Getenv("HADOOP_CONF_DIR"); dir != "" {
		return dir
	}
	if home := os.Getenv("HADOOP_HOME"); home != "" {
		return filepath.Join(home, "etc", "hadoop")
	}
	return "/etc/hadoop/conf"
}

// Load reads core-site.xml from dir, and hdfs-, yarn- and kms-site.xml where
// they are. Errors name file and line.
func Load(dir string) (*Conf, error) {
	c := &Conf{dir: dir, properties: map[string]property{}}
	l := loader{conf: c}
	for i, name := range siteFiles {
		err := l.file(filepath.Join(dir, name), 0)
		if i > 0 && os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read Hadoop configuration: %w", err)
		}
	}
	return c, nil
}

// Get returns the value of key with its variables replaced and surrounding white
// space removed; a deprecated name stands for today's.
func (c *Conf) Get(key string) (string, bool) {
	p, ok := c.properties[canonical(key)]
	if !ok {
		return "", false
	}
	return strings.TrimSpace(c.expand(p.value)), true
}

// Origin tells where the value of key stands, as file:line; "" where it is not
// set.
func (c *Conf) Origin(key string) string { return c.properties[canonical(key)].origin }

// String names the directory. Values are not shown: some are passwords.
func (c *Conf) String() string { return "Hadoop configuration of " + c.dir }

// Format implements [fmt.Formatter] with [Conf.String] for every verb.
func (c *Conf) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// Bool returns the value of key, and def where it is unset or empty. Java takes
// anything but true and false for the default; here it is an error.
func (c *Conf) Bool(key string, def bool) (bool, error) {
	switch s := c.text(key, ""); strings.ToLower(s) {
	case "":
		return def, nil
	case "true":
		return true, nil
	case "false":
		return false, nil
	default:
		return def, c.bad(key, s, "want true or false")
	}
}

// timeUnits are the suffixes of Configuration.getTimeDuration. Longer ones come
// first where one ends another.
var timeUnits = []struct {
	suffix string
	unit   time.Duration
}{
	{"ns", time.Nanosecond},
	{"us", time.Microsecond},
	{"ms", time.Millisecond},
	{"s", time.Second},
	{"m", time.Minute},
	{"h", time.Hour},
	{"d", 24 * time.Hour},
}

// Duration returns the value of key, a whole number with a suffix from ns to d;
// without a suffix it counts unit. It returns def where key is unset or empty.
func (c *Conf) Duration(key string, unit, def time.Duration) (time.Duration, error) {
	s := strings.ToLower(c.text(key, ""))
	if s == "" {
		return def, nil
	}
	number := s
	for _, u := range timeUnits {
		if rest, ok := strings.CutSuffix(s, u.suffix); ok {
			number, unit = strings.TrimSpace(rest), u.unit
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	d := time.Duration(n) * unit
	if err != nil || d/unit != time.Duration(n) {
		return def, c.bad(key, s, "want a duration such as 30s")
	}
	return d, nil
}

// Strings returns the comma-separated parts of the value of key, trimmed, empty
// ones left out.
func (c *Conf) Strings(key string) []string {
	var parts []string
	for part := range strings.SplitSeq(c.text(key, ""), ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

// text returns the value of key, def where it is unset or empty.
func (c *Conf) text(key, def string) string {
	if s, _ := c.Get(key); s != "" {
		return s
	}
	return def
}

// bad is the error for a value that makes no sense.
func (c *Conf) bad(key, value, want string) error {
	return fmt.Errorf("%s: %s is %q: %s", c.Origin(key), key, value, want)
}

func canonical(key string) string {
	if now, ok := deprecated[key]; ok {
		return now
	}
	return key
}

// variable is one innermost ${name}.
var variable = regexp.MustCompile(`\$\{([^${} ]+)\}`)

// maxSubstitutions is Configuration.MAX_SUBST.
const maxSubstitutions = 20

// expand replaces variables as Configuration.substituteVars does, without Java's
// system properties. An unknown one ends it; a value that needs more steps than
// the limit, as one that names itself does, is left as written.
func (c *Conf) expand(value string) string {
	s := value
	for range maxSubstitutions {
		at := variable.FindStringSubmatchIndex(s)
		if at == nil {
			return s
		}
		replacement, ok := c.lookUp(s[at[2]:at[3]])
		if !ok {
			return s
		}
		s = s[:at[0]] + replacement + s[at[1]:]
	}
	if variable.MatchString(s) {
		return value
	}
	return s
}

// lookUp finds a variable: env.NAME, env.NAME-default where NAME is unset,
// env.NAME:-default where it is unset or empty, else a property.
func (c *Conf) lookUp(name string) (string, bool) {
	env, ok := strings.CutPrefix(name, "env.")
	if !ok {
		p, ok := c.properties[canonical(name)]
		return p.value, ok
	}
	env, def, hasDefault := strings.Cut(env, "-")
	env, unlessEmpty := strings.CutSuffix(env, ":")
	value, ok := os.LookupEnv(env)
	if hasDefault && (!ok || unlessEmpty && value == "") {
		return def, true
	}
	return value, ok
}
