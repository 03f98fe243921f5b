package real_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/test/real/cluster"
)

// shared is the cluster of all tests that change nothing for others: long lifetimes, and all three
// protections of calls on offer, so that each client's own configuration chooses, and file contents private.
var shared *cluster.Cluster

// privateTransfer keeps file contents private. Without AES they would go through SASL's own layer, which the HDFS library
// reads wrongly where a read spans two of its frames.
var privateTransfer = map[string]string{
	"dfs.data.transfer.protection":            "privacy",
	"dfs.encrypt.data.transfer.cipher.suites": "AES/CTR/NoPadding",
}

func TestMain(m *testing.M) {
	if args := os.Getenv(executorEnv); args != "" {
		os.Exit(runExecutor(args))
	}
	os.Exit(runMain(m))
}

func runMain(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	c, err := cluster.Start(ctx, cluster.Options{
		Protection: allProtections,
		HDFS:       privateTransfer,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	shared = c
	code := m.Run()
	c.Stop()
	if code != 0 {
		fmt.Fprintf(os.Stderr, "%s(kept in %s)\n", c.Logs(), c.Dir)
		return code
	}
	if err := c.Remove(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return code
}

// within returns a context that bounds a test, its Java programs included.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
