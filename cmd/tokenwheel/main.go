// Command tokenwheel keeps Hadoop delegation tokens alive: as a daemon, as the
// daemon's client, and as a tool for token files that needs neither daemon nor
// JVM. It wires the packages of this module together and decides nothing itself.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program but for the process around it. It returns the exit
// code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	args = longFlags(root, args)
	root.SetArgs(args)
	asked := root
	err := unknownCommand(root, args)
	if err == nil {
		asked, err = root.ExecuteContextC(ctx)
	}
	if err != nil {
		report(stderr, err, asked.CommandPath())
	}
	return exitCode(err)
}

// version is the module's, as the go command wrote it into the program.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(unknown)"
	}
	return info.Main.Version
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "tokenwheel",
		Short:         "Keep Hadoop delegation tokens alive",
		Long:          "Keep Hadoop delegation tokens alive: renew, replace and deliver them.\n\n" + exitCodesText,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(
		newRun(),
		newApp(),
		newToken(),
		newStatus(),
		newStore(),
		newConfig(),
		newCreds(),
		newFetch(),
		newSimulate(),
		newDemo(),
		newDemoExecutor(),
		newDemoProvider(),
	)
	root.SetHelpCommand(newHelp())
	nameArguments(root)
	return root
}
