package real_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/fsstaging"
	"github.com/tokenwheel/tokenwheel/hadooptoken"
)

// executorEnv asks TestMain to be an executor: a token file, a configuration and a directory, one a line.
const executorEnv = "REAL_TEST_EXECUTOR"

// executorPicksUp runs this test binary as a process whose environment names no ticket and no keytab, and returns
// the listing of what it picked up.
func executorPicksUp(t *testing.T, bootstrap, dir string) []string {
	t.Helper()
	cmd := exec.CommandContext(within(t, time.Minute), os.Args[0])
	cmd.Dir = t.TempDir()
	cmd.Env = []string{
		executorEnv + "=" + strings.Join([]string{bootstrap, clientConf(t, shared, "privacy"), dir}, "\n"),
		"KRB5_CONFIG=/nonexistent", "KRB5CCNAME=FILE:/nonexistent",
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("executor: %v\n%s", err, exitText(err))
	}
	return sortedLines(string(out))
}

func exitText(err error) []byte {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.Stderr
	}
	return nil
}

// runExecutor is the process of executorPicksUp.
func runExecutor(args string) int {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := executor(ctx, args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func executor(ctx context.Context, args string) error {
	f := strings.Split(args, "\n")
	text, err := os.ReadFile(f[0])
	if err != nil {
		return err
	}
	first, err := hadooptoken.Unmarshal(text, hadooptoken.Limits{})
	if err != nil {
		return err
	}
	h, err := fsstaging.DialHDFS(ctx, fsstaging.HDFSConfig{ConfDir: f[1], Credentials: first})
	if err != nil {
		return err
	}
	defer h.Close()
	creds, err := fsstaging.NewPickup(h, f[2]).Next(ctx)
	if err != nil {
		return err
	}
	fmt.Println(strings.Join(listing(creds), "\n"))
	return nil
}
