// Package demo runs the project's main job where everybody can see it: a Kerberos
// realm and a NameNode in this process, lifetimes of seconds, three
// applications, a provider program and two executors as processes of their own.
//
// Nothing in it is staged: events are what the renewer, the NameNode's journal
// and the executors say, and Check reports what was not seen.
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tokenwheel/tokenwheel/appregistry/boltstore"
	"github.com/tokenwheel/tokenwheel/fsstaging"
	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/plugins/hdfs"
	"github.com/tokenwheel/tokenwheel/plugins/pluginhost"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// Lifetimes short enough to see a token renewed, replaced and cancelled within a
// minute.
const (
	renewInterval = 8 * time.Second
	maxLifetime   = 20 * time.Second
	principal     = "tokenwheel/127.0.0.1"
)

// Arguments with which the demo starts this program again, as an executor and as
// a provider.
const (
	ExecutorArg = "demo-executor"
	ProviderArg = "demo-provider"
)

// Options of one run.
type Options struct {
	For   time.Duration // 0: until ctx ends
	Check bool          // end as soon as everything was seen
	Out   io.Writer     // one line an event
	Log   *slog.Logger  // the renewer's own log

	Owner   string // of the applications: whoever runs the demo
	Program string // absolute path of this program
	// Command is how the user called it, for the commands to try.
	Command string
	// Control serves the daemon's socket while the demo runs; nil: nobody does.
	Control func(ctx context.Context, r *renewer.Renewer, socket string) error
}

// Run runs the demo. It returns what was not seen, by name: nothing, when the
// whole story was told.
func Run(ctx context.Context, o Options) (missing []string, err error) {
	dir, err := os.MkdirTemp("", "tokenwheel-demo-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	cluster, err := hadooptest.Start(hadooptest.Config{
		Dir:        dir,
		Lifetimes:  hadooptest.Lifetimes{RenewInterval: renewInterval, MaxLifetime: maxLifetime},
		Principals: []string{principal, "alice", "bob"},
		ProxyUsers: map[string][]string{"tokenwheel": {"alice", "bob"}},
	})
	if err != nil {
		return nil, err
	}
	defer cluster.Close()
	if o.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.For)
		defer cancel()
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	s := newStage(o, dir, cluster)
	s.say = &teller{start: time.Now(), end: end, out: o.Out}
	err = s.play(ctx)
	if errors.Is(err, errAllSeen) || ctx.Err() != nil {
		err = nil
	}
	return s.seen.missing(), err
}

// stage is one run: its cluster, its folder and what was seen so far.
type stage struct {
	o       Options
	dir     string
	cluster *hadooptest.Cluster
	seen    *seen
	say     *teller
}

func newStage(o Options, dir string, c *hadooptest.Cluster) *stage {
	return &stage{o: o, dir: dir, cluster: c, seen: newSeen()}
}

func (s *stage) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// play sets everything up, tells the user where to look, and runs the story.
func (s *stage) play(ctx context.Context) error {
	nn, err := s.hdfsProvider()
	if err != nil {
		return err
	}
	defer nn.Close()
	gate, err := s.gateProvider(ctx)
	if err != nil {
		return err
	}
	defer gate.Close()
	store, err := boltstore.Open(s.path("apps.db"), boltstore.Options{})
	if err != nil {
		return err
	}
	defer store.Close()
	r, err := renewer.New(renewer.Config{
		Providers: map[string]plugins.Provider{"hdfs": nn, "gatepass": gate},
		Stager:    fsstaging.NewStager(fsstaging.Local{OneUser: true}),
		Store:     store, Hooks: s.hooks(), Logger: s.o.Log,
	})
	if err != nil {
		return err
	}
	s.introduce()
	return r.Run(ctx, func(ctx context.Context) error {
		g, ctx := errgroup.WithContext(ctx)
		if s.o.Control != nil {
			g.Go(func() error { return s.o.Control(ctx, r, s.path("control.sock")) })
		}
		g.Go(func() error { return s.watchLogins(ctx) })
		g.Go(func() error { return s.executor(ctx, "orders") })
		g.Go(func() error { return s.executor(ctx, "clicks") })
		g.Go(func() error { return s.story(ctx, r, nn) })
		return g.Wait()
	})
}

func (s *stage) hdfsProvider() (*hdfs.Provider, error) {
	keytab, err := s.cluster.Keytab(principal)
	if err != nil {
		return nil, err
	}
	return hdfs.New(hdfs.Config{
		ConfDir: s.cluster.ConfDir, Krb5Conf: s.cluster.Krb5Conf,
		Principal: principal + "@" + s.cluster.Realm, Keytab: keytab,
	})
}

// gateProvider starts this program again as a provider of gate passes.
func (s *stage) gateProvider(ctx context.Context) (*pluginhost.Process, error) {
	program := s.path("gatepass")
	if err := copyProgram(program, s.o.Program); err != nil {
		return nil, err
	}
	sum, err := pluginhost.Sum(program)
	if err != nil {
		return nil, err
	}
	p, err := pluginhost.Launch(ctx, pluginhost.Command{Path: program, SHA256: sum, Args: []string{ProviderArg}, Logger: s.o.Log})
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(map[string]string{"life": "12s", "max": "1h"})
	if err == nil {
		err = p.Configure(ctx, raw)
	}
	if err != nil {
		_ = p.Close()
		return nil, err
	}
	s.say.line("plugin", "provider gatepass runs as a process of its own, over mutual TLS")
	return p, nil
}

// copyProgram makes a copy that nobody else may write: with many a desktop's umask
// the group may write what one builds, and a host starts no such program.
func copyProgram(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, in)
	return err
}

func (s *stage) introduce() {
	s.say.text(fmt.Sprintf(`
A KDC, a NameNode and two executors run on this machine; tokens must be renewed
every %v and cannot live longer than %v. Files are in %s

Try in another terminal meanwhile:
  %[4]s app list --address unix://%[3]s/control.sock
  %[4]s token list --address unix://%[3]s/control.sock
  %[4]s creds print %[3]s/stage/orders/credentials-*
`, renewInterval, maxLifetime, s.dir, s.o.Command))
}
