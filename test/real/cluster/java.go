package cluster

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// Identity is what a Java client of the Cluster may log in with. The zero value is nothing: the client finds
// neither a ticket nor a token, whatever the environment of the test holds.
type Identity struct {
	CCache    string // path of a FILE ccache, as Login returns it
	TokenFile string // path of a Hadoop token file (HADOOP_TOKEN_FILE_LOCATION)
	ConfDir   string // HADOOP_CONF_DIR to read instead of the Cluster's; "": the Cluster's
}

// FsShell runs Java's "hadoop fs" as id and returns what it printed.
func (c *Cluster) FsShell(ctx context.Context, id Identity, args ...string) (string, error) {
	return c.Java(ctx, id, "org.apache.hadoop.fs.FsShell", args...)
}

// DtUtil runs Java's "hadoop dtutil" as id and returns what it printed.
func (c *Cluster) DtUtil(ctx context.Context, id Identity, args ...string) (string, error) {
	return c.Java(ctx, id, "org.apache.hadoop.security.token.DtUtilShell", args...)
}

// JavaSource runs a Java source file of test/real/java as id and returns what it printed.
func (c *Cluster) JavaSource(ctx context.Context, id Identity, file string, args ...string) (string, error) {
	root, err := sourceDir()
	if err != nil {
		return "", err
	}
	return c.Java(ctx, id, filepath.Join(root, "java", file), args...)
}

// Java runs a main class, or a source file, with Hadoop's jars and the Cluster's configuration as id and
// returns its standard output. The error is a *CommandError when the program ended with another status than 0.
func (c *Cluster) Java(ctx context.Context, id Identity, main string, args ...string) (string, error) {
	return run(ctx, c.javaCommand(id, main, args...))
}

// quickFlags suit programs that live for seconds: quick starts count, peak speed does not.
var quickFlags = []string{"-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"}

func (c *Cluster) javaCommand(id Identity, main string, args ...string) *exec.Cmd {
	conf := id.ConfDir
	if conf == "" {
		conf = c.ConfDir
	}
	classPath := conf + ":" + c.webDir() + ":" + filepath.Join(c.tools.jars, "*")
	return c.jvm(id, quickFlags, classPath, main, args...)
}

func (c *Cluster) daemonCommand(main string) *exec.Cmd {
	cmd := c.javaCommand(Identity{}, main)
	if c.opts.DaemonFlags != nil {
		cmd.Args = slices.Replace(cmd.Args, 1, 1+len(quickFlags), c.opts.DaemonFlags...)
	}
	return cmd
}

// jvm is a Java program as id, with nothing of the test's own environment.
func (c *Cluster) jvm(id Identity, flags []string, classPath, main string, args ...string) *exec.Cmd {
	flags = append(slices.Clone(flags), "-Djava.net.preferIPv4Stack=true")
	if c.Krb5Conf != "" {
		flags = append(flags, "-Djava.security.krb5.conf="+c.Krb5Conf)
	}
	cmd := exec.Command(c.tools.java, slices.Concat(flags, openFlags, []string{"-cp", classPath, main}, args)...)
	cmd.Dir = c.Dir
	cmd.Env = c.javaEnv(id)
	return cmd
}

// openFlags let Hadoop reach what newer releases of Java keep closed.
var openFlags = []string{
	"--add-opens=java.base/java.lang=ALL-UNNAMED",
	"--add-opens=java.security.jgss/sun.security.krb5=ALL-UNNAMED",
	"--add-exports=java.security.jgss/sun.security.krb5=ALL-UNNAMED",
}

// javaEnv is the environment of a Java program: nothing in it but id can log anybody in.
func (c *Cluster) javaEnv(id Identity) []string {
	ccache := id.CCache
	if ccache == "" {
		ccache = filepath.Join(c.Dir, "no-ccache")
	}
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.Dir, "LC_ALL=C.UTF-8", "KRB5CCNAME=FILE:" + ccache}
	if id.TokenFile != "" {
		env = append(env, "HADOOP_TOKEN_FILE_LOCATION="+id.TokenFile)
	}
	return env
}
