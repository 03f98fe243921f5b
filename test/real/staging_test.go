package real_test

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/fsstaging"
	"github.com/tokenwheel/tokenwheel/fsstaging/stagetest"
	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/test/real/cluster"
)

// byKeytab is how a stager reaches the shared cluster, at privacy.
func byKeytab(t *testing.T) fsstaging.HDFSConfig {
	t.Helper()
	return fsstaging.HDFSConfig{
		ConfDir: clientConf(t, shared, "privacy"), Krb5Conf: shared.Krb5Conf,
		Principal: cluster.TokenwheelPrincipal, Keytab: shared.Keytab(cluster.TokenwheelPrincipal),
	}
}

// byTokens is how an executor reaches it.
func byTokens(t *testing.T, creds plugins.Credentials) fsstaging.HDFSConfig {
	t.Helper()
	return fsstaging.HDFSConfig{ConfDir: clientConf(t, shared, "privacy"), Credentials: creds}
}

func dialHDFS(t *testing.T, c fsstaging.HDFSConfig) *fsstaging.HDFS {
	t.Helper()
	h, err := fsstaging.DialHDFS(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func credentials(token plugins.Token) plugins.Credentials {
	return plugins.Credentials{Tokens: map[string]plugins.Token{token.Service: token}}
}

// Shows: S14, S23, S34.
func TestStagingOnTheRealHDFS(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config fsstaging.HDFSConfig
	}{
		{"by Kerberos", byKeytab(t)},
		{"by a token only", byTokens(t, credentials(get(t, shared)))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := dialHDFS(t, tt.config)
			dirs := 0
			stagetest.Run(t, stagetest.Config{
				User: "alice", Names: 1100, // one more page than dfs.ls.limit
				Open: func() (fsstaging.FS, string, error) {
					dirs++
					return h, fmt.Sprintf("/user/alice/suite/%s/%d", strings.ReplaceAll(tt.name, " ", "-"), dirs), nil
				},
			})
		})
	}
}

// One generation on its way: staged as proxy user, private to alice, fetched and used by Java's own client, and
// picked up by a process that has nothing but a token.
//
// Shows: S22, S27.
func TestAStagedFileServesJavaAndAProcessWithoutKeytab(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	token := get(t, shared)
	bootstrap := cluster.Identity{TokenFile: tokenFile(t, token, hadooptoken.FormatJava)}
	const dir = "/user/alice/staged/stream-1"
	set := stagetest.Set("alice", dir, 1, 9)
	set.Credentials = credentials(get(t, shared))
	set.Credentials.Secrets = map[string]plugins.Secret{"secret": []byte("of the app")}
	if _, err := fsstaging.NewStager(dialHDFS(t, byKeytab(t))).Stage(ctx, set); err != nil {
		t.Fatal(err)
	}

	listed, err := shared.FsShell(ctx, bootstrap, "-ls", path.Dir(dir), dir)
	if err != nil {
		t.Fatal(err)
	}
	fields := lsFields(listed)
	if d := fields[dir]; d.mode != "drwx------" || d.owner != "alice" {
		t.Errorf("directory is %+v, want drwx------ of alice", d)
	}
	delete(fields, dir)
	if len(fields) != 1 {
		t.Fatalf("the directory holds %v, want one file and no remains", fields)
	}
	var name string
	for file, f := range fields {
		if name = path.Base(file); f.mode != "-rw-------" || f.owner != "alice" {
			t.Errorf("%s is %+v, want -rw------- of alice", name, f)
		}
	}
	if n, ok := fsstaging.ParseName("", name); !ok || n.N != 9 || n.Epoch != 1 {
		t.Errorf("%s does not say generation 9 of epoch 1", name)
	}

	local := fetchWithJava(t, shared, bootstrap, path.Join(dir, name))
	read, err := shared.JavaSource(ctx, cluster.Identity{}, "TokenFile.java", "read", local)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(listing(set.Credentials), sortedLines(read)); diff != "" {
		t.Errorf("what Java read (-want +got):\n%s", diff)
	}
	if _, err := shared.FsShell(ctx, cluster.Identity{TokenFile: local}, "-ls", dir); err != nil {
		t.Errorf("Java with the staged file: %v", err)
	}
	got := executorPicksUp(t, bootstrap.TokenFile, dir)
	if diff := cmp.Diff(listing(set.Credentials), got); diff != "" {
		t.Errorf("what the process without a keytab picked up (-want +got):\n%s", diff)
	}
}

// lsFields reads what "hadoop fs -ls" printed, by path.
func lsFields(listed string) map[string]struct{ mode, owner string } {
	all := map[string]struct{ mode, owner string }{}
	for line := range strings.Lines(listed) {
		if f := strings.Fields(line); len(f) == 8 {
			all[f[7]] = struct{ mode, owner string }{f[0], f[2]}
		}
	}
	return all
}

// fetchWithJava copies a file of HDFS to a local one with Java's own client.
func fetchWithJava(t *testing.T, c *cluster.Cluster, id cluster.Identity, file string) (local string) {
	t.Helper()
	local = filepath.Join(t.TempDir(), "fetched.token")
	if _, err := c.FsShell(within(t, time.Minute), id, "-get", file, local); err != nil {
		t.Fatal(err)
	}
	return local
}

// Two daemons, each with a connection of its own and neither aware of the other, write one number at the same
// time; then one starts afresh.
//
// Shows: S12, S15, S16.
func TestNoFileIsOverwrittenAndNumbersGoOn(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	const dir, rounds = "/user/alice/staged/raced", 10
	daemons := []*fsstaging.HDFS{dialHDFS(t, byKeytab(t)), dialHDFS(t, byKeytab(t))}
	for n := uint32(1); n <= rounds; n++ {
		var errs [2]error
		var race sync.WaitGroup
		for i, h := range daemons {
			race.Go(func() {
				s := fsstaging.NewStager(h)
				s.Form = fsstaging.FormPlain // the same name for both
				_, errs[i] = s.Stage(ctx, writerSet(dir, n, i))
			})
		}
		race.Wait()
		winner := -1
		for i, err := range errs {
			if err == nil && winner < 0 {
				winner = i
			} else if _, behind := errors.AsType[*appregistry.Behind](err); !behind {
				t.Errorf("generation %d, writer %d: %v, want one writer to win and one to be behind", n, i, err)
			}
		}
		if winner < 0 {
			continue // both gave way; the number is a gap
		}
		reader := fsstaging.NewPickup(daemons[0], dir)
		reader.Owner = "alice"
		got, err := reader.Next(ctx)
		if want := writerSet(dir, n, winner).Credentials; err != nil || !got.Equal(want) {
			t.Errorf("generation %d is not what writer %d, who was told so, staged (%v)", n, winner, err)
		}
	}

	restarted := fsstaging.NewStager(dialHDFS(t, byKeytab(t)))
	restarted.Form = fsstaging.FormPlain
	_, err := restarted.Stage(ctx, writerSet(dir, 1, 0))
	behind, ok := errors.AsType[*appregistry.Behind](err)
	if !ok || behind.N < rounds-1 || behind.N > rounds {
		t.Fatalf("a daemon that forgot its numbers: %v, want it behind generation %d", err, rounds)
	}
	if _, err := restarted.Stage(ctx, writerSet(dir, behind.N+1, 0)); err != nil {
		t.Errorf("the next number: %v", err)
	}
}

func writerSet(dir string, n uint32, writer int) appregistry.Set {
	set := stagetest.Set("alice", dir, 1, n)
	set.Credentials.Secrets["writer"] = fmt.Append(nil, writer)
	return set
}

// A service without the right to act for alice stages nothing for her, and a token opens nobody else's folder.
func TestStagingForSomebodyElseIsDenied(t *testing.T) {
	ctx := within(t, time.Minute)
	bob := byKeytab(t)
	bob.Principal, bob.Keytab = cluster.BobPrincipal, shared.Keytab(cluster.BobPrincipal)
	for name, h := range map[string]*fsstaging.HDFS{
		"no proxy right":   dialHDFS(t, bob),
		"a token of alice": dialHDFS(t, byTokens(t, credentials(get(t, shared)))),
	} {
		user := map[string]string{"no proxy right": "alice", "a token of alice": "bob"}[name]
		_, err := fsstaging.NewStager(h).Stage(ctx, stagetest.Set(user, "/user/"+user+"/not-mine", 1, 1))
		if plugins.KindOf(err) != plugins.KindDenied {
			t.Errorf("%s, for %s: %v, want it denied", name, user, err)
		}
	}
	asAlice, err := dialHDFS(t, byKeytab(t)).As(ctx, "alice")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := asAlice.OpenDir(ctx, "/user/alice/not-mine", false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the refused directory: %v, want it not to exist", err)
	}
}
