package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/tokenwheel/tokenwheel/internal/control"
)

const defaultAddress = "unix:///run/tokenwheel/control.sock"

// daemonFlags says where the daemon is and how long to wait for it.
type daemonFlags struct {
	address string
	timeout *time.Duration
}

func addressFlags(c *cobra.Command) *daemonFlags {
	d := &daemonFlags{timeout: timeoutFlag(c)}
	c.Flags().StringVar(&d.address, "address", "", "the daemon's control socket (default $TOKENWHEEL_ADDRESS, "+defaultAddress+")")
	return d
}

// ask calls f with a client of the daemon.
func (d *daemonFlags) ask(ctx context.Context, f func(context.Context, *control.Client) error) error {
	address := d.address
	if address == "" {
		address = os.Getenv("TOKENWHEEL_ADDRESS")
	}
	if address == "" {
		address = defaultAddress
	}
	path := socketPath(address)
	if path == "" {
		return advise(fmt.Errorf("address %q is no control socket", address), "write unix:///ABSOLUTE/PATH")
	}
	ctx, cancel := context.WithTimeout(ctx, *d.timeout)
	defer cancel()
	return f(ctx, control.NewClient(path))
}
