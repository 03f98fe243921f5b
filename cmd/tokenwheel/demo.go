package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tokenwheel/tokenwheel/examples/gatepass/pass"
	"github.com/tokenwheel/tokenwheel/internal/control"
	"github.com/tokenwheel/tokenwheel/internal/demo"
	"github.com/tokenwheel/tokenwheel/plugins/pluginmain"
	"github.com/tokenwheel/tokenwheel/renewer"
)

func newDemo() *cobra.Command {
	var length time.Duration
	var check, verbose bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the main job on an embedded KDC and NameNode",
		Long: `Start a KDC and a NameNode in this process, with tokens that live for seconds,
and keep three applications and two executors supplied: tokens are obtained,
renewed, fail to be renewed, are replaced, staged, picked up and cancelled.
Needs no Java, no root and no network but loopback.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if length < 0 {
				return fmt.Errorf("--for %v: want a time from now, or 0 for until interrupted", length)
			}
			// A reader that goes away ends the demo, which then cleans up.
			signal.Ignore(syscall.SIGPIPE)
			program, err := os.Executable()
			if err != nil {
				return err
			}
			me, err := user.Current()
			if err != nil {
				return err
			}
			missing, err := demo.Run(cmd.Context(), demo.Options{
				For: length, Check: check, Out: cmd.OutOrStdout(), Log: demoLog(cmd.ErrOrStderr(), verbose),
				Owner: me.Username, Program: program, Command: calledAs(program), Control: serveControl,
			})
			if err != nil {
				return err
			}
			if check && len(missing) > 0 {
				return fmt.Errorf("%w: the demo did not show %s", errFound, strings.Join(missing, "; "))
			}
			return nil
		},
	}
	cmd.Flags().DurationVar(&length, "for", 0, "end after this time (default: until interrupted)")
	cmd.Flags().BoolVar(&check, "check", false, "end as soon as everything was seen; exit 4 and name what was not")
	cmd.Flags().BoolVar(&verbose, "verbose", false, "write the renewer's own log too")
	return cmd
}

// serveControl answers the commands to try meanwhile.
func serveControl(ctx context.Context, r *renewer.Renewer, socket string) error {
	l, err := control.Listen(socket, 0o600, -1)
	if err != nil {
		return err
	}
	defer l.Close()
	return control.NewServer(control.Config{
		As:   func(caller renewer.Caller) control.Engine { return r.As(caller) },
		Self: uint32(os.Getuid()), PID: os.Getpid(),
	}).Serve(ctx, l)
}

func demoLog(w io.Writer, verbose bool) *slog.Logger {
	if !verbose {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(w, nil))
}

// calledAs is how the user started this program. A binary that the go command
// built and will remove cannot be called again.
func calledAs(program string) string {
	if strings.Contains(program, string(filepath.Separator)+"go-build") {
		return "go run ./cmd/tokenwheel"
	}
	return os.Args[0]
}

// newDemoExecutor is the executor that the demo starts as a process.
func newDemoExecutor() *cobra.Command {
	return &cobra.Command{
		Use:    demo.ExecutorArg + " DIR CONF_DIR ADDRESS",
		Hidden: true,
		Args:   cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			return demo.Executor(cmd.Context(), args[0], args[1], args[2], cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}

// newDemoProvider is the provider program that the demo starts as a process.
func newDemoProvider() *cobra.Command {
	return &cobra.Command{
		Use:    demo.ProviderArg,
		Hidden: true,
		Args:   cobra.NoArgs,
		Run:    func(*cobra.Command, []string) { pluginmain.Serve(&pass.Provider{}) },
	}
}
