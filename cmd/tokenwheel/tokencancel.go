package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tokenwheel/tokenwheel/internal/control"
)

func newTokenCancel() *cobra.Command {
	var sel control.Selection
	var yes bool
	c := &cobra.Command{
		Use:   "cancel TOKEN | [--app APP] [--service SERVICE] [--kind KIND] [--owner USER]",
		Short: "End tokens at their services",
		Long: `End a token at its service. TOKEN is its number or its fingerprint; the command
returns when the service has answered.

Without TOKEN end all tokens that have everything the flags name, as far as you see
them. --dry-run lists them, with what would be said against each, and does nothing. More than one is ended with --yes only.
The command returns when it is recorded that they are to be cancelled, with --wait
when the services have answered. Each token is subject to the same rules as one
alone: without --force none that an application holds, and never one whose password
nothing has proved. What could not be done is listed, and the command fails. An
application that loses a token which can be obtained gets a new one.`,
		Args: cobra.MaximumNArgs(1),
	}
	d, output := addressFlags(c), outputFlag(c)
	f := c.Flags()
	f.StringVar(&sel.App, "app", "", "tokens that an application holds: NAME, or OWNER/NAME as it is listed")
	f.StringVar(&sel.Service, "service", "", "tokens of a service, or of an authority such as hdfs:ns1")
	f.StringVar(&sel.Kind, "kind", "", "tokens of a kind")
	f.StringVar(&sel.Owner, "owner", "", "tokens of an owner")
	f.BoolVar(&sel.DryRun, "dry-run", false, "only list what would be cancelled")
	f.BoolVar(&sel.Force, "force", false, "cancel although applications hold it (operators only)")
	f.BoolVar(&sel.Wait, "wait", false, "return when the services have answered")
	f.BoolVar(&yes, "yes", false, "more than one token may be cancelled")
	c.RunE = func(c *cobra.Command, args []string) error {
		selects := sel.App+sel.Service+sel.Kind+sel.Owner != ""
		if selects == (len(args) == 1) || len(args) == 1 && sel.DryRun {
			return advise(errors.New("cancel: want either one token or a selection"), "name a token, or one of --app, --service, --kind and --owner")
		}
		for _, name := range []string{"app", "service", "kind", "owner"} {
			if f := c.Flags().Lookup(name); f.Changed && f.Value.String() == "" { // as of a variable that is not set
				return advise(fmt.Errorf("cancel: --%s is empty", name), "leave it out, or say which")
			}
		}
		sel.Many = yes
		return d.ask(c.Context(), func(ctx context.Context, daemon *control.Client) error {
			if selects {
				return cancelSelected(ctx, daemon, sel, c.OutOrStdout(), *output)
			}
			v, err := daemon.CancelToken(ctx, args[0], sel.Force)
			if err != nil {
				return fmt.Errorf("cancel token %s: %w", args[0], err)
			}
			return output.write(c.OutOrStdout(), v, func(t *table) { describeToken(t, v) })
		})
	}
	return c
}

func cancelSelected(ctx context.Context, daemon *control.Client, sel control.Selection, out io.Writer, output outputFormat) error {
	list, err := daemon.CancelTokens(ctx, sel)
	p, ok := errors.AsType[*control.Problem](err)
	many := ok && p.Code == control.CodeMany
	if many {
		sel.DryRun = true
		list, err = daemon.CancelTokens(ctx, sel)
	}
	if err != nil {
		return fmt.Errorf("cancel tokens: %w", err)
	}
	if err := output.write(out, list, func(t *table) { showCancelled(t, list) }); err != nil {
		return err
	}
	if many {
		return advise(fmt.Errorf("cancel tokens: %d are hit, and none was cancelled", len(list)), "say --yes if you mean all of them")
	}
	failed, first := 0, error(nil)
	for _, v := range list {
		if sel.DryRun {
			break // it was only asked what would be
		}
		if v.Problem != nil {
			if failed++; first == nil {
				first = v.Problem
			}
		}
	}
	if failed > 0 {
		return fmt.Errorf("cancel tokens: %d of %d are not cancelled: %w", failed, len(list), first)
	}
	return nil
}

func showCancelled(t *table, list []control.CancelledToken) {
	if len(list) == 0 {
		t.line("no token is hit")
		return
	}
	t.row("TOKEN", "SERVICE", "KIND", "OWNER", "HOLDERS", "STATE", "PROBLEM")
	for _, v := range list {
		problem := ""
		if v.Problem != nil {
			problem = eachOnce(v.Problem.Error())
		}
		t.row(strconv.FormatUint(v.ID, 10), v.Service, v.Kind, v.Owner, strings.Join(v.Holders, ","), v.State, problem)
	}
}
