package cluster

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// A need is a program of the machine and the Debian packages that bring it.
type need struct {
	program  string
	packages []string
}

var needs = [...]need{
	{"krb5kdc", []string{"krb5-kdc"}},
	{"kadmin.local", []string{"krb5-admin-server"}},
	{"kinit", []string{"krb5-user"}},
	{"javac", []string{"openjdk-17-jdk-headless"}}, // a bare runtime has java, but cannot run source files
	{"mvn", []string{"maven"}},
}

// minJava is the oldest release that runs Hadoop 3.4 with the flags used here.
const minJava = 17

// tools are the paths of what the tier runs.
type tools struct {
	krb5kdc, kdb5util, kadminLocal, kinit, java, mvn string
	jars                                             string // folder of Hadoop's jars
}

// install finds what the tier needs, installing what is missing where it may.
// Its error is one line "real tier needs X: <how to get it>".
func install(ctx context.Context, pom string) (tools, error) {
	var missing []string
	for _, n := range needs {
		if lookup(n.program) == "" {
			missing = append(missing, n.packages...)
		}
	}
	if err := aptInstall(ctx, missing); err != nil {
		return tools{}, err
	}
	t := tools{
		krb5kdc:     lookup("krb5kdc"),
		kdb5util:    lookup("kdb5_util"),
		kadminLocal: lookup("kadmin.local"),
		kinit:       lookup("kinit"),
		java:        lookup("java"),
		mvn:         lookup("mvn"),
	}
	if err := checkJava(ctx, t.java); err != nil {
		return tools{}, err
	}
	var err error
	t.jars, err = hadoopJars(ctx, t.mvn, pom)
	return t, err
}

// lookup finds a program on PATH or in the system folders that an unprivileged PATH leaves out; "" if nowhere.
func lookup(program string) string {
	if p, err := exec.LookPath(program); err == nil {
		return p
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/local/sbin"} {
		if p, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return p
		}
	}
	return ""
}

func aptInstall(ctx context.Context, packages []string) error {
	if len(packages) == 0 {
		return nil
	}
	list := strings.Join(packages, " ")
	if os.Geteuid() != 0 || lookup("apt-get") == "" {
		return fmt.Errorf("real tier needs %s: run \"apt-get install %s\" as root, or the like of your system", list, list)
	}
	apt := func(args ...string) error {
		cmd := exec.Command("apt-get", append([]string{"-q", "-y"}, args...)...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		_, err := run(ctx, cmd)
		return err
	}
	// The package lists of a fresh machine are often absent or stale. That reading them fails is no matter if the packages come.
	updateErr := apt("update")
	if err := apt(append([]string{"install", "--no-install-recommends"}, packages...)...); err != nil {
		return fmt.Errorf("real tier needs %s: \"apt-get install %s\" did not bring it: %w", list, list, errors.Join(updateErr, err))
	}
	return nil
}

var javaVersion = regexp.MustCompile(`version "(\d+)`)

func checkJava(ctx context.Context, java string) error {
	cmd := exec.CommandContext(ctx, java, "-version")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("real tier needs a working JDK %d: %s -version: %w", minJava, java, err)
	}
	m := javaVersion.FindSubmatch(out)
	if m == nil {
		return fmt.Errorf("real tier needs JDK %d or newer: cannot read the version of %s", minJava, java)
	}
	if v, _ := strconv.Atoi(string(m[1])); v < minJava {
		return fmt.Errorf("real tier needs JDK %d or newer: install openjdk-17-jdk-headless, or put a newer java before %s (%d) on PATH", minJava, java, v)
	}
	return nil
}

// hadoopJars returns the folder that holds the jars pom names, fetching them once for each content of pom.
// The folder appears under its name only when it is complete.
func hadoopJars(ctx context.Context, mvn, pom string) (string, error) {
	text, err := os.ReadFile(pom)
	if err != nil {
		return "", fmt.Errorf("fetch the Hadoop jars: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("real tier needs a cache folder: set HOME or XDG_CACHE_HOME: %w", err)
	}
	cache = filepath.Join(cache, "tokenwheel")
	dir := filepath.Join(cache, fmt.Sprintf("hadoop-%.4x", sha256.Sum256(text)))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("fetch the Hadoop jars: %w", err)
	}
	part, err := os.MkdirTemp(cache, "part-")
	if err != nil {
		return "", fmt.Errorf("fetch the Hadoop jars: %w", err)
	}
	defer os.RemoveAll(part)
	_, err = run(ctx, exec.Command(mvn, "-q", "-B", "-f", pom, "dependency:copy-dependencies", "-DoutputDirectory="+part))
	if err != nil {
		return "", fmt.Errorf("real tier needs the Hadoop jars: let Maven reach its repository, then \"mvn -f %s dependency:copy-dependencies\" must work: %w", pom, err)
	}
	if err := os.Rename(part, dir); err != nil {
		// Another run may have been faster; its folder is as good.
		if _, statErr := os.Stat(dir); statErr != nil {
			return "", fmt.Errorf("fetch the Hadoop jars: %w", err)
		}
	}
	return dir, nil
}
