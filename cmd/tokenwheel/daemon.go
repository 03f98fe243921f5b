package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"os/user"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tokenwheel/tokenwheel/appregistry/boltstore"
	"github.com/tokenwheel/tokenwheel/internal/control"
	"github.com/tokenwheel/tokenwheel/renewer"
)

func newRun() *cobra.Command {
	c := &cobra.Command{
		Use:   "run --config FILE",
		Short: "Run the daemon",
		Long: `Run the daemon until SIGTERM or SIGINT. Requests under way then finish; no token is
cancelled and no application unregistered by its end.`,
		Args: cobra.NoArgs,
	}
	path := configFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		l, err := loadConfig(*path)
		if err != nil {
			return err
		}
		l.check()
		if err := l.err(); err != nil {
			return advise(err, "mend the configuration; tokenwheel config check says whether all is well")
		}
		signal.Ignore(syscall.SIGPIPE) // who reads the log may end, and the daemon must not
		log, end := l.openLog(c.ErrOrStderr())
		defer end.Close()
		return l.run(c.Context(), log)
	}
	return c
}

// run opens the parts, in an order that finds another daemon before anything is
// asked of a service, and puts them together.
func (c *config) run(ctx context.Context, log *slog.Logger) (err error) {
	listener, err := c.listen()
	if err != nil {
		return err
	}
	defer listener.Close()
	store, err := c.openStore(ctx, boltstore.Options{Logger: log})
	if err != nil {
		return adviseStore(err)
	}
	defer func() { err = errors.Join(err, store.close()) }()
	providers, err := c.openProviders(ctx, log)
	defer providers.close()
	if err != nil {
		return err
	}
	staging, err := c.openStaging(ctx)
	defer staging.close()
	if err != nil {
		return err
	}
	cfg := renewer.Config{
		Providers: providers.providers, Store: store.store, Policy: c.policy(), Instances: c.instances(), Logger: log,
		PerAuthority: c.Renewal.PerService, PerTarget: c.Staging.PerTarget, CallsPerSecond: c.Renewal.CallsPerSecond,
		CallTimeout: time.Duration(c.Renewal.CallTimeout), Instance: instanceName(store.file),
	}
	if staging.stager != nil {
		cfg.Stager = staging.stager
	}
	r, err := renewer.New(cfg)
	if err != nil {
		return err
	}
	server := control.NewServer(control.Config{
		As:   func(caller renewer.Caller) control.Engine { return r.As(caller) },
		Self: uint32(os.Getuid()), PID: os.Getpid(), Operators: c.Access.Operators, ActsFor: c.Access.ActsFor, LocalFS: c.localFS, Logger: log,
		Policies: c.policyWords(),
	})
	log.Info("daemon started", "control", c.Control.Address, "store", c.Store, "pid", os.Getpid())
	var beside sync.WaitGroup
	err = r.Run(ctx, func(ctx context.Context) error {
		beside.Go(func() { store.sealAnew(ctx, log) })
		return server.Serve(ctx, listener)
	})
	beside.Wait()
	log.Info("daemon ended")
	return err
}

// listen makes the control socket.
func (c *config) listen() (net.Listener, error) {
	mode, err := c.socketMode()
	if err != nil {
		return nil, err
	}
	gid := -1
	if c.Control.Group != "" {
		g, err := user.LookupGroup(c.Control.Group)
		if err != nil {
			return nil, err
		}
		if gid, err = strconv.Atoi(g.Gid); err != nil {
			return nil, err
		}
	}
	l, err := control.Listen(c.socketPath(), mode, gid)
	if errors.Is(err, control.ErrInUse) {
		return nil, advise(err, "end it first, or choose another control address")
	}
	return l, err
}

// instanceName tells this installation from a copy of its store elsewhere, and from
// itself before a backup was restored: what either has proved is proved again.
func instanceName(file *boltstore.Keeper) string {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	if file == nil || file.ID() == "" {
		return host
	}
	return host + " " + file.ID()
}
