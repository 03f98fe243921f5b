package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tokenwheel/tokenwheel/internal/control"
)

func newToken() *cobra.Command {
	c := &cobra.Command{Use: "token", Short: "See to the tokens that the daemon keeps alive"}
	c.AddCommand(
		newTokenList(),
		newTokenCommand("describe", "Show a token", (*control.Client).Token),
		newTokenRenew(),
		newTokenCancel(),
		newResumeCancels(),
	)
	return c
}

func newTokenList() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List the tokens of your applications; operators see all", Args: cobra.NoArgs,
		Long: `List the tokens of your applications. Operators see all, also those that nobody
holds any more: tokens that wait for their cancel, and those of which only the
name is kept.`,
	}
	d, output := addressFlags(c), outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return d.ask(c.Context(), func(ctx context.Context, daemon *control.Client) error {
			tokens, err := daemon.Tokens(ctx)
			if err != nil {
				return fmt.Errorf("list tokens: %w", err)
			}
			return output.write(c.OutOrStdout(), tokens, func(t *table) { showTokens(t, tokens) })
		})
	}
	return c
}

func showTokens(t *table, tokens []control.Token) {
	t.row("TOKEN", "SERVICE", "KIND", "OWNER", "STATE", "EXPIRES", "RENEW UNTIL", "NEXT", "HOLDERS", "WHAT TO DO")
	for _, v := range tokens {
		t.row(strconv.FormatUint(v.ID, 10), v.Service, v.Kind, v.Owner, v.State, date(v.Expires), date(v.Max), date(v.Next), strings.Join(v.Holders, ","), v.Action)
	}
}

func describeToken(t *table, v control.Token) {
	for _, row := range [][2]string{
		{"Token", strconv.FormatUint(v.ID, 10)},
		{"Fingerprint", v.Fingerprint},
		{"Kind", v.Kind},
		{"Service", v.Service},
		{"Authority", v.Authority},
		{"Owner", v.Owner},
		{"Holders", strings.Join(v.Holders, ", ")},
		{"State", v.State},
		{"Reason", v.Reason},
		{"What to do", v.Action},
		{"Current", strconv.FormatBool(v.Current)},
		{"Obtained by us", strconv.FormatBool(v.Obtained)},
		{"Proof of password", v.Proof},
		{"Kept at end", strconv.FormatBool(v.Keep)},
		{"Issued", date(v.Issued)},
		{"Expires", date(v.Expires)},
		{"Renew until", date(v.Max)},
		{"Next attempt", date(v.Next)},
		{"Failed attempts", strconv.Itoa(v.Attempts)},
	} {
		t.row(row[0]+":", row[1])
	}
}

// newTokenCommand makes a command about one token, by number or fingerprint.
func newTokenCommand(verb, short string, do func(*control.Client, context.Context, string) (control.Token, error)) *cobra.Command {
	c := &cobra.Command{Use: verb + " TOKEN", Short: short, Long: short + ". TOKEN is its number or its fingerprint.", Args: cobra.ExactArgs(1)}
	d, output := addressFlags(c), outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return d.ask(c.Context(), func(ctx context.Context, daemon *control.Client) error {
			v, err := do(daemon, ctx, args[0])
			if err != nil {
				return fmt.Errorf("%s token %s: %w", verb, args[0], err)
			}
			return output.write(c.OutOrStdout(), v, func(t *table) { describeToken(t, v) })
		})
	}
	return c
}

func newTokenRenew() *cobra.Command {
	var fresh bool
	c := newTokenCommand("renew", "Renew a token now, whatever its plan", func(daemon *control.Client, ctx context.Context, name string) (control.Token, error) {
		if fresh {
			return daemon.ReplaceToken(ctx, name)
		}
		return daemon.RenewToken(ctx, name)
	})
	c.Long += ` Who asks
while a call is out gets its answer; who asks again within renewal.cooldown waits
for the rest of it.`
	c.Flags().BoolVar(&fresh, "new", false, "obtain its successor instead")
	return c
}

func newResumeCancels() *cobra.Command {
	c := &cobra.Command{
		Use: "resume-cancels", Short: "Let cancels flow again after a burst of them was paused (operators only)", Args: cobra.NoArgs,
	}
	d := addressFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return d.ask(c.Context(), func(ctx context.Context, daemon *control.Client) error {
			if err := daemon.ResumeCancels(ctx); err != nil {
				return fmt.Errorf("resume cancels: %w", err)
			}
			return say(c.OutOrStdout(), "cancels flow again")
		})
	}
	return c
}
