package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/plugins/hdfs"
)

func newCredsCancel() *cobra.Command {
	var alias string
	c := &cobra.Command{
		Use:   "cancel -alias ALIAS [FILE]",
		Short: "End a token at its service and take it out of a token file",
		Long: `End a token at its service and take it out of a token file.

A NameNode cancels for a token's owner and renewer without looking at the password,
so that a forged or damaged file could end somebody's good token. Therefore the
token is renewed first, which does show that it is genuine. Only a renewer can do
that: who is the owner alone, by the name that he logs in with, cancels without.
A token that is dead already is just taken out of the file.`,
		Args: cobra.MaximumNArgs(1),
	}
	id, timeout, format := identityFlags(c), timeoutFlag(c), formatFlag(c)
	c.Flags().StringVar(&alias, "alias", "", "the token to cancel (required)")
	c.RunE = func(c *cobra.Command, args []string) error {
		if alias == "" {
			return advise(errors.New("cancel: no -alias is given"), "name the token; tokenwheel creds print shows the aliases")
		}
		path, creds, _, err := hdfsTokens(args, alias)
		if err != nil {
			return err
		}
		t := creds.Tokens[alias]
		err = id.withLogin(c.Context(), *timeout, func(ctx context.Context, p *hdfs.Provider) error {
			return id.cancel(ctx, p, t)
		})
		if err != nil {
			return fmt.Errorf("cancel %q of %s: %w", alias, path, err)
		}
		delete(creds.Tokens, alias)
		if err := writeTokenFile(path, creds, *format); err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "cancelled %s\n", printable(t.String()))
		return err
	}
	return c
}

// cancel ends a token that is proved genuine, or that is our own by its identifier
// and not ours to prove.
func (id *identity) cancel(ctx context.Context, p *hdfs.Provider, t plugins.Token) error {
	_, err := p.Renew(ctx, t)
	switch {
	case err == nil:
	case plugins.KindOf(err) == plugins.KindReplace:
		return nil // dead already
	case plugins.KindOf(err) != plugins.KindDenied:
		return remote(err)
	default:
		who, unread := p.Identify(ctx, t)
		if unread != nil || who.Ours || who.Owner != id.principal {
			return remote(err)
		}
	}
	return remote(p.Cancel(ctx, t))
}
