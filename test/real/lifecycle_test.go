package real_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

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

// A second cluster beside the shared one, with lifetimes of seconds and privacy alone.
//
// Shows: N14, the part before the remover, as Java's own client sees it.
func TestTokensDieWithinSeconds(t *testing.T) {
	c := startCluster(t, cluster.Options{RenewInterval: 6 * time.Second, MaxLifetime: 20 * time.Second, Protection: "privacy"})
	token := cluster.Identity{TokenFile: javaToken(t, c, "tokenwheel", "java")}
	ctx := within(t, time.Minute)
	if _, err := c.FsShell(ctx, token, "-ls", "/user/alice"); err != nil {
		t.Fatalf("token login before the token's renew date: %v", err)
	}
	var refused *cluster.CommandError
	err := eventually(ctx, func() bool {
		_, err := c.FsShell(ctx, token, "-ls", "/user/alice")
		return errors.As(err, &refused)
	})
	if err != nil {
		t.Fatalf("the token outlived its renew date: %v", err)
	}
	if !strings.Contains(refused.Stderr, " has expired, current time: ") {
		t.Errorf("the login was refused with another answer than expected:\n%s", refused.Stderr)
	}
}
