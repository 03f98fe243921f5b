package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/tokenwheel/tokenwheel/internal/control"
)

func newStatus() *cobra.Command {
	var failOn time.Duration
	c := &cobra.Command{
		Use:   "status [--fail-on DURATION]",
		Short: "Show the daemon at a glance",
		Long: `Show the daemon at a glance, as far as you may see. An entry is a token and what takes
its place, however many applications hold it. With --fail-on exit
with code 4 if an application lacks a token, holds one that ends within that time, is
not ready or cannot be staged, and name application, service, time to death and reason.

After a start operators are told how much of what was stored waits to be planned yet,
as "restoring": what ends soon goes first.`,
		Args: cobra.NoArgs,
	}
	d, output := addressFlags(c), outputFlag(c)
	c.Flags().DurationVar(&failOn, "fail-on", 0, "fail if a token ends within this time")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return d.ask(c.Context(), func(ctx context.Context, daemon *control.Client) error {
			s, err := daemon.Status(ctx, failOn)
			if err != nil {
				return fmt.Errorf("status: %w", err)
			}
			if err := output.write(c.OutOrStdout(), s, func(t *table) { showStatus(t, s) }); err != nil {
				return err
			}
			if c.Flags().Changed("fail-on") && len(s.Troubles) > 0 {
				return advise(fmt.Errorf("%w: %d in trouble; %s", errFound, len(s.Troubles), troubleText(s.Troubles[0])),
					"tokenwheel app describe says what was tried; the daemon's log says why it failed")
			}
			return nil
		})
	}
	return c
}

func showStatus(t *table, s control.Status) {
	t.row("Daemon:", "process "+strconv.Itoa(s.PID)+", since "+date(s.Started))
	t.row("Applications:", fmt.Sprintf("%d, of them ready %d", s.Apps, s.Ready))
	t.row("Entries:", strconv.Itoa(s.Entries))
	if s.Restoring > 0 {
		t.row("Restoring:", fmt.Sprintf("%d stored applications and tokens are not planned yet", s.Restoring))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Providers)) {
		t.row("Policy of "+name+":", s.Providers[name])
	}
	for _, state := range slices.Sorted(maps.Keys(s.Tokens)) {
		t.row("Tokens "+state+":", strconv.Itoa(s.Tokens[state]))
	}
	if len(s.Troubles) == 0 {
		return
	}
	t.line("")
	t.row("APP", "SERVICE", "TOKEN", "TIME TO DEATH", "STATE", "REASON")
	for _, tr := range s.Troubles {
		t.row(tr.App, tr.Service, strconv.FormatUint(tr.Token, 10), death(tr), tr.State, tr.Reason)
	}
}

func troubleText(tr control.Trouble) string {
	text := tr.App
	if tr.Service != "" {
		text += " at " + tr.Service + ": " + death(tr)
	} else {
		text += ": " + tr.State
	}
	if tr.Reason != "" {
		text += ": " + tr.Reason
	}
	return text
}

// death is how long a token still lives; "" where the trouble is not of a token.
func death(tr control.Trouble) string {
	switch {
	case tr.Service == "":
		return ""
	case tr.Ends.IsZero():
		return "no token"
	}
	left := time.Until(tr.Ends).Truncate(time.Second)
	if left <= 0 {
		return "dead"
	}
	return left.String()
}
