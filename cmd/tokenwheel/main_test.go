package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/plugins"
)

func TestMain(m *testing.M) {
	if args := os.Getenv("TOKENWHEEL_TEST_ARGS"); args != "" {
		os.Args = append(os.Args[:1], strings.Fields(args)...)
		main()
	}
	goleak.VerifyTestMain(m)
}

// process is a command that runs this program in a process of its own.
func process(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "TOKENWHEEL_TEST_ARGS="+strings.Join(args, " "))
	return c
}

const self = "tokenwheel/127.0.0.1"

// result is what a command did.
type result struct {
	code        int
	out, errOut string
}

// tokenwheel runs one command in this process, as main does.
func tokenwheel(t *testing.T, args ...string) result {
	t.Helper()
	return tokenwheelIn(t.Context(), args...)
}

func tokenwheelIn(ctx context.Context, args ...string) result {
	var out, errOut bytes.Buffer
	code := run(ctx, args, strings.NewReader(""), &out, &errOut)
	return result{code, out.String(), errOut.String()}
}

// ok runs a command that must succeed and returns what it printed.
func ok(t *testing.T, args ...string) string {
	t.Helper()
	r := tokenwheel(t, args...)
	if r.code != exitOK {
		t.Fatalf("tokenwheel %s: exit code %d\n%s", strings.Join(args, " "), r.code, r.errOut)
	}
	return r.out
}

// fails runs a command that must fail with a code, and whose error must say all
// of words.
func fails(t *testing.T, code int, words []string, args ...string) result {
	t.Helper()
	r := tokenwheel(t, args...)
	if r.code != code {
		t.Errorf("tokenwheel %s: exit code %d, want %d\n%s", strings.Join(args, " "), r.code, code, r.errOut)
	}
	for _, w := range append(words, "next: ") {
		if !strings.Contains(r.errOut, w) {
			t.Errorf("tokenwheel %s: the error does not say %q:\n%s", strings.Join(args, " "), w, r.errOut)
		}
	}
	return r
}

// site is a cluster, and the flags to be somebody there.
type site struct {
	*hadooptest.Cluster
	dir string
}

func newSite(t *testing.T, c hadooptest.Config) site {
	t.Helper()
	c.Principals = append(c.Principals, self)
	if c.ProxyUsers == nil {
		c.ProxyUsers = map[string][]string{"tokenwheel": {"alice", "bob", me(t)}}
	}
	s := site{hadooptest.NewCluster(t, c), shortDir(t)}
	t.Setenv("HADOOP_CONF_DIR", s.ConfDir)
	t.Setenv("KRB5_CONFIG", s.Krb5Conf)
	t.Setenv("KRB5CCNAME", "FILE:"+filepath.Join(s.dir, "no-cache"))
	t.Setenv("HADOOP_TOKEN_FILE_LOCATION", "")
	t.Setenv("TOKENWHEEL_ADDRESS", "")
	return s
}

// as is the flags to log in as a principal.
func (s site) as(t *testing.T, principal string) []string {
	t.Helper()
	return []string{"--principal", principal + "@" + s.Realm, "--keytab", s.keytab(t, principal)}
}

func (s site) keytab(t *testing.T, principal string) string {
	t.Helper()
	path, err := s.Cluster.Keytab(principal)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func (s site) file(name string) string { return filepath.Join(s.dir, name) }

// with joins a command with further arguments.
func with(args []string, more ...string) []string {
	return append(append([]string{}, more...), args...)
}

func modeOf(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}

// onlyToken is the one token of a file.
func onlyToken(t *testing.T, path string) (alias string, tok plugins.Token) {
	t.Helper()
	creds, err := readTokenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(creds.Tokens) != 1 {
		t.Fatalf("%s holds %d tokens, want 1", path, len(creds.Tokens))
	}
	for alias, tok = range creds.Tokens {
	}
	return alias, tok
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

// shortDir is a directory whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// me is the user that the test runs as.
func me(t *testing.T) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username
}

// deadSocket leaves the socket of a daemon that was killed.
func deadSocket(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

// Who interrupts a command is not told that the daemon is down.
func TestB27_InterruptedIsNotUnreachable(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(shortDir(t), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		interrupt()
		_, _ = io.Copy(io.Discard, c) // until it hangs up
	}()
	r := tokenwheelIn(ctx, "app", "unregister", "orders", "--address", "unix://"+l.Addr().String())
	if r.code != exitLocal || !strings.Contains(r.errOut, "interrupted") || strings.Contains(r.errOut, "does not answer") {
		t.Errorf("exit code %d and\n%s", r.code, r.errOut)
	}
}
