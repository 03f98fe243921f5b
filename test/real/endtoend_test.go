package real_test

import (
	"context"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/fsstaging"
	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/internal/hrpc"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/test/real/cluster"
)

// The project's main job: three applications, two of which brought the same token file of Java's, live through
// renewals, a kill -9 of the daemon and past their first tokens' max dates, while Java's own client and a reader in Go,
// both without a ticket, work with what is staged. Then they leave, and a token is cancelled with its last holder.
//
// Shows: P4, S27, Y2, Y16, Y24, Y27, Y31, Y34.
func TestY31_ThreeAppsOutliveTheirTokensWhileJavaWorks(t *testing.T) {
	c := startCluster(t, cluster.Options{
		RenewInterval: 30 * time.Second, MaxLifetime: time.Minute, Protection: "privacy", HDFS: privateTransfer,
	})
	// Renewals come every 6 s and the successor after 45 s, so that a JVM that started with the old token, which is kept
	// to its end, can finish its work.
	d := newDaemon(t, c, "renewal: {time-ratio: 0.2}\nretry: {initial-backoff: 1s}\n")
	d.start()
	ctx := within(t, 4*time.Minute)
	brought := javaToken(t, c, "tokenwheel", "java")
	first := onlyToken(t, brought)
	for _, name := range []string{"a1", "a2"} {
		d.do("app", "register", name, "--user", "alice", "--token-file", brought, "--stage-to", "/user/alice/stage/"+name, "--wait")
	}
	d.do("app", "register", "b", "--user", "bob", "--obtain", "hdfs", "--stage-to", "/user/bob/stage/b", "--wait")
	if holders := d.app("a1").Tokens[0].Holders; len(holders) != 2 {
		t.Errorf("the token that two brought is held by %v", holders)
	}

	reader := startReader(t, ctx, c, first, "/user/alice/stage/a1")
	java := javaUser{t: t, c: c, dir: "/user/alice/stage/a2", file: brought}
	java.works(ctx)
	renewals := d.logged("token-renewed")
	if err := eventually(ctx, func() bool { return d.logged("token-replaced") > 0 }); err != nil {
		t.Fatal("no token was replaced")
	}
	if n := d.logged("token-renewed") - renewals; n < 3 {
		t.Errorf("%d renewals before the first replacement, want 3 at least", n)
	}
	java.works(ctx)
	d.kill()
	d.start()
	for time.Now().Before(maxDate(t, first).Add(time.Second)) {
		java.works(ctx)
	}
	if login(ctx, c, first) == nil {
		t.Error("the first token outlived its max date")
	}
	seen := reader.stop()
	if len(seen) < 2 || !seen[0].Equal(first) {
		t.Errorf("the reader got %d sets, want the first token's and its successor's", len(seen))
	}
	if n := d.logged("token-lost"); n > 0 {
		t.Errorf("%d tokens lost", n)
	}

	successor := onlyToken(t, java.file)
	if !slices.ContainsFunc(seen, successor.Equal) {
		t.Error("the applications that shared a token do not share its successor")
	}
	d.do("app", "unregister", "a1")
	java.works(ctx)
	java.works(ctx) // longer than a replaced token's grace, so that a cancel on its way would have arrived
	if current := onlyToken(t, java.file); !current.Equal(successor) {
		t.Fatal("the next replacement came while the applications left: the machine is too slow for these lifetimes")
	}
	d.do("app", "unregister", "a2")
	if err := eventually(within(t, 15*time.Second), func() bool { return login(ctx, c, successor) != nil }); err != nil {
		t.Error("the token lived on after its last holder had left")
	}
	if _, err := c.FsShell(ctx, cluster.Identity{TokenFile: java.file}, "-ls", "/user/alice"); err == nil {
		t.Error("Java logged in with a cancelled token")
	}
	if apps := d.apps(); len(apps) != 1 || apps[0].ID != "b" || !apps[0].Ready || apps[0].Generation < 2 {
		t.Errorf("what remains is %+v, want b, past its first generation", apps)
	}
}

// onlyToken reads a token file of one token.
func onlyToken(t *testing.T, file string) plugins.Token {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	creds, err := hadooptoken.Unmarshal(text, hadooptoken.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return only(t, creds)
}

func only(t *testing.T, creds plugins.Credentials) plugins.Token {
	t.Helper()
	for _, token := range creds.Tokens {
		if len(creds.Tokens) == 1 {
			return token
		}
	}
	t.Fatalf("got %v, want one token", creds)
	return plugins.Token{}
}

func maxDate(t *testing.T, token plugins.Token) time.Time {
	t.Helper()
	id, err := hadooptoken.ParseIdentifier(token.Kind, token.Identifier)
	if err != nil {
		t.Fatal(err)
	}
	return id.Max
}

// login logs in with a token and no more.
func login(ctx context.Context, c *cluster.Cluster, token plugins.Token) error {
	conn, err := hrpc.Dial(ctx, withToken(token), c.NameNodeAddr)
	if err == nil {
		err = conn.Close()
	}
	return err
}

// javaUser is a job of alice's that knows Java's own client only.
type javaUser struct {
	t    *testing.T
	c    *cluster.Cluster
	dir  string // where its credentials are staged
	file string // the token file it uses now
}

// works lists the staged files, changes to the newest and writes a file with it.
func (j *javaUser) works(ctx context.Context) {
	j.t.Helper()
	listed, err := j.c.FsShell(ctx, cluster.Identity{TokenFile: j.file}, "-ls", j.dir)
	if err != nil {
		j.t.Fatalf("Java lists with the token it has: %v", err)
	}
	var newest fsstaging.Name
	for file := range lsFields(listed) {
		if n, ok := fsstaging.ParseName("", path.Base(file)); ok && n.N > newest.N {
			newest = n
		}
	}
	if newest.N == 0 {
		j.t.Fatalf("nothing is staged in\n%s", listed)
	}
	local := filepath.Join(j.t.TempDir(), newest.String())
	if _, err := j.c.FsShell(ctx, cluster.Identity{TokenFile: j.file}, "-get", j.dir+"/"+newest.String(), local); err != nil {
		j.t.Fatalf("Java fetches the newest file with the token it has: %v", err)
	}
	j.file = local
	written := path.Join("/user/alice", "put-"+time.Now().Format("150405.000"))
	if _, err := j.c.FsShell(ctx, cluster.Identity{TokenFile: j.file}, "-put", j.c.Krb5Conf, written); err != nil {
		j.t.Fatalf("Java writes with the newest staged file: %v", err)
	}
}

// reader picks credentials up with nothing but a first token, and works with the newest all the time.
type reader struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	seen   []plugins.Token // belongs to its goroutine until done
}

func startReader(t *testing.T, ctx context.Context, c *cluster.Cluster, first plugins.Token, dir string) *reader {
	t.Helper()
	h := dialHDFS(t, fsstaging.HDFSConfig{ConfDir: c.ConfDir, Credentials: credentials(first)})
	ctx, cancel := context.WithCancel(ctx)
	r := &reader{cancel: cancel}
	t.Cleanup(func() { r.stop() })
	sets := make(chan plugins.Credentials)
	r.done.Go(func() {
		pickup := fsstaging.NewPickup(h, dir)
		pickup.MaxPoll = 2 * time.Second
		for {
			creds, err := pickup.Next(ctx)
			if err != nil {
				if ctx.Err() == nil {
					t.Errorf("pick up: %v", err)
				}
				return
			}
			select {
			case sets <- creds:
			case <-ctx.Done():
				return
			}
		}
	})
	r.done.Go(func() {
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case creds := <-sets:
				r.seen = append(r.seen, only(t, creds))
			case <-tick.C:
				r.login(t, ctx, c)
			case <-ctx.Done():
				return
			}
		}
	})
	return r
}

func (r *reader) login(t *testing.T, ctx context.Context, c *cluster.Cluster) {
	if len(r.seen) == 0 {
		return
	}
	if err := login(ctx, c, r.seen[len(r.seen)-1]); err != nil && ctx.Err() == nil {
		t.Errorf("the reader's newest token: %v", err)
	}
}

// stop ends the reader and returns the tokens it got, in order.
func (r *reader) stop() []plugins.Token {
	r.cancel()
	r.done.Wait()
	return r.seen
}
