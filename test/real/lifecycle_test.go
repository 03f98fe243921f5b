package real_test

import (
	"context"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/internal/hrpc"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/test/real/cluster"
)

// startCluster starts a cluster of the test's own and stops it at the test's end.
func startCluster(t *testing.T, opts cluster.Options) *cluster.Cluster {
	t.Helper()
	c, err := cluster.Start(within(t, 3*time.Minute), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Stop()
		if t.Failed() {
			t.Logf("%s(kept in %s)", c.Logs(), c.Dir)
			return
		}
		if err := c.Remove(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// eventually asks until ask answers true or ctx ends.
func eventually(ctx context.Context, ask func() bool) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for !ask() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// One token from its issue to its max date, on a cluster whose tokens live for seconds and which offers privacy alone:
// refused after its renew date, revived by a renewal, renewed to its max date and no further.
//
// Shows: N1 (intervals), N7, N13, N14 (before the remover), N16.
func TestATokensLifeInSeconds(t *testing.T) {
	const interval, life = 5 * time.Second, 20 * time.Second
	c := startCluster(t, cluster.Options{RenewInterval: interval, MaxLifetime: life, Protection: "privacy"})
	ctx := within(t, time.Minute)
	token := get(t, c)
	id, err := hadooptoken.ParseIdentifier(token.Kind, token.Identifier)
	if err != nil {
		t.Fatal(err)
	}
	if got := id.Max.Sub(id.Issued); got != life {
		t.Errorf("the token may live %v, want %v", got, life)
	}
	login := func() error {
		conn, err := hrpc.Dial(ctx, withToken(token), c.NameNodeAddr)
		if err == nil {
			err = conn.Close()
		}
		return err
	}
	if err := login(); err != nil {
		t.Fatalf("before the renew date: %v", err)
	}
	var refused error
	if err := eventually(ctx, func() bool { refused = login(); return refused != nil }); err != nil {
		t.Fatalf("the token outlived its renew date: %v", err)
	}
	refusedAs(t, refused, hrpc.InvalidToken, " has expired, current time: ")

	self := dial(t, c, withKerberos(t, c, cluster.TokenwheelPrincipal, ""))
	expiry := renewFor(t, self, token, interval)
	if err := login(); err != nil {
		t.Errorf("after the renewal: %v", err)
	}
	err = eventually(ctx, func() bool {
		expiry, refused = self.renew(ctx, token)
		return refused != nil || expiry.Equal(id.Max)
	})
	if err != nil || refused != nil {
		t.Fatalf("renew until the max date %v: %v, last answer %v %v", id.Max, err, expiry, refused)
	}
	if err := eventually(ctx, func() bool { expiry, refused = self.renew(ctx, token); return refused != nil }); err != nil {
		t.Fatalf("the token outlived its max date: %v", err)
	}
	refusedAs(t, refused, hrpc.InvalidToken, "tried to renew an expired token")

	file := tokenFile(t, token, hadooptoken.FormatJava)
	if _, err := c.FsShell(ctx, cluster.Identity{TokenFile: file}, "-ls", "/user/alice"); err == nil {
		t.Error("Java logged in with a dead token")
	}
}

// renewFor renews a token that is far from its max date and expects the server to have done so for the interval.
func renewFor(t *testing.T, n nameNode, token plugins.Token, interval time.Duration) (expiry time.Time) {
	t.Helper()
	before := time.Now().Truncate(time.Millisecond) // as the server counts
	expiry, err := n.renew(t.Context(), token)
	if err != nil {
		t.Fatalf("renew: %v", err)
	}
	if expiry.Before(before.Add(interval)) || expiry.After(time.Now().Add(interval)) {
		t.Errorf("renewed to %v, want %v from %v or a little later", expiry, interval, before)
	}
	return expiry
}
