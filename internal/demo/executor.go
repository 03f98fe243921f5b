package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/tokenwheel/tokenwheel/fsstaging"
	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/internal/hrpc"
	"github.com/tokenwheel/tokenwheel/internal/namenode"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// proof is what an executor reports of one set, a line of JSON each.
type proof struct {
	Generation uint32 `json:"generation"`
	Token      string `json:"token"` // fingerprint of the HDFS token
	Error      string `json:"error,omitempty"`
}

// executor runs an executor of an application as a process and tells what it
// reports, until ctx ends.
func (s *stage) executor(ctx context.Context, app string) error {
	cmd := exec.CommandContext(ctx, s.o.Program, ExecutorArg, s.path("stage", app), s.cluster.ConfDir, s.cluster.Addr)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 2 * time.Second
	// It ends when the other end of its input does, however this process ends.
	if _, err := cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the executor of %s: %w", app, err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var p proof
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			return fmt.Errorf("executor of %s: %w", app, err)
		}
		s.report(app, p)
	}
	if err := cmd.Wait(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("executor of %s: %w", app, err)
	}
	return nil
}

func (s *stage) report(app string, p proof) {
	if p.Error != "" {
		s.say.line("executor", "of %s could not log in with generation %d: %s", app, p.Generation, p.Error)
		return
	}
	s.say.line("executor", "of %s picked up generation %d and logged in with token %s (DIGEST-MD5, no ticket)", app, p.Generation, p.Token)
	s.seen.proved(app, p.Generation)
}

// Executor is the executor's side: it has no keytab, waits for each new set in
// dir and proves it by a login at the NameNode, until ctx or its input ends.
func Executor(ctx context.Context, dir, confDir, addr string, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	cluster, err := namenode.Open(namenode.Config{ConfDir: confDir})
	if err != nil {
		return err
	}
	pickup := fsstaging.NewPickup(fsstaging.Local{}, dir)
	pickup.MaxPoll = time.Second
	for report := json.NewEncoder(out); ; {
		creds, err := pickup.Next(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		p := prove(ctx, cluster, addr, creds)
		p.Generation = pickup.Held().N
		if err := report.Encode(p); err != nil {
			return err
		}
	}
}

// prove logs in with the HDFS token of a set.
func prove(ctx context.Context, cluster *namenode.Cluster, addr string, creds plugins.Credentials) (p proof) {
	for _, token := range creds.Tokens {
		if token.Kind != hadooptoken.KindHDFS {
			continue
		}
		p.Token = token.Fingerprint()
		conn, err := hrpc.Dial(ctx, cluster.TokenRPC(token.Identifier, token.Password), addr)
		if err != nil {
			p.Error = err.Error()
			return p
		}
		if err := conn.Close(); err != nil && !errors.Is(err, hrpc.ErrClosed) {
			p.Error = err.Error()
		}
		return p
	}
	p.Error = "no HDFS token among them"
	return p
}
