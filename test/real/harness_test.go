package real_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/test/real/cluster"
)

// javaToken lets Java's own client, logged in as alice, get a delegation token into a new token file.
func javaToken(t *testing.T, c *cluster.Cluster, renewer, format string) (file string) {
	t.Helper()
	ctx := within(t, time.Minute)
	ccache, err := c.Login(ctx, cluster.AlicePrincipal)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "alice.token")
	_, err = c.DtUtil(ctx, cluster.Identity{CCache: ccache},
		"get", "hdfs://"+c.NameNodeAddr, "-renewer", renewer, "-format", format, file)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestJavaGetsAndPrintsAToken(t *testing.T) {
	file := javaToken(t, shared, "tokenwheel", "protobuf")
	out, err := shared.DtUtil(within(t, time.Minute), cluster.Identity{}, "print", file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"HDFS_DELEGATION_TOKEN", "alice", "tokenwheel"} {
		if !strings.Contains(out, want) {
			t.Errorf("dtutil print does not name %q:\n%s", want, out)
		}
	}
}

func TestJavaLogsInWithTheTokenAlone(t *testing.T) {
	ctx := within(t, time.Minute)
	token := cluster.Identity{TokenFile: javaToken(t, shared, "tokenwheel", "java")}
	out, err := shared.FsShell(ctx, token, "-ls", "-d", "/user/alice")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "drwx------") || !strings.Contains(out, "/user/alice") {
		t.Errorf("ls printed %q, want alice's folder of mode 700", out)
	}
	if _, err := shared.FsShell(ctx, token, "-put", shared.Krb5Conf, "/user/alice/put"); err != nil {
		t.Errorf("put: %v", err)
	}
	if _, err := shared.FsShell(ctx, token, "-cat", "/user/alice/put"); err != nil {
		t.Errorf("cat: %v", err)
	}
	if _, err := shared.FsShell(ctx, token, "-ls", "/user/bob"); err == nil {
		t.Error("alice's token opened bob's folder")
	}
	if _, err := shared.FsShell(ctx, cluster.Identity{}, "-ls", "/"); err == nil {
		t.Error("ls without a ticket and without a token worked: the test above shows nothing")
	}
}

// Shows: N28, as Java's own client does it.
func TestKDCStopsAndStarts(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	token := cluster.Identity{TokenFile: javaToken(t, shared, "tokenwheel", "java")}
	shared.StopKDC()
	if _, err := shared.Login(ctx, cluster.BobPrincipal); err == nil {
		t.Error("a login worked while the KDC was stopped")
	}
	if _, err := shared.FsShell(ctx, token, "-ls", "/user/alice"); err != nil {
		t.Errorf("token login without a KDC: %v", err)
	}
	if err := shared.StartKDC(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := shared.Login(ctx, cluster.BobPrincipal); err != nil {
		t.Errorf("login after the KDC came back: %v", err)
	}
}

func TestNameNodeRemembersTokensAcrossARestart(t *testing.T) {
	ctx := within(t, 3*time.Minute)
	token := cluster.Identity{TokenFile: javaToken(t, shared, "tokenwheel", "java")}
	if err := shared.RestartNameNode(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := shared.FsShell(ctx, token, "-touch", "/user/alice/after-restart"); err != nil {
		t.Errorf("token login after the restart: %v", err)
	}
}
