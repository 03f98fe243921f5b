package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/internal/control"
)

func newApp() *cobra.Command {
	c := &cobra.Command{Use: "app", Short: "Register applications with the daemon, and see to them"}
	c.AddCommand(newAppRegister(), newAppList(), newAppDescribe(), newAppKeepAlive(), newAppUnregister())
	return c
}

func newAppRegister() *cobra.Command {
	var r control.Registration
	var tokenFilePath, prefix string
	var stageTo []string
	c := &cobra.Command{
		Use:   "register NAME [--user USER] [--token-file FILE] [--obtain hdfs,...] [--stage-to DIR]",
		Short: "Register an application with what it brought, what to obtain for it, or both",
		Long: `Register an application: the daemon keeps its tokens alive and stages its
credentials files. The same name again with equal content changes nothing; with
other content it replaces the application.

The command returns when the registration is durable, with --wait when the first
credentials are staged. Without --wait nothing was asked of a service yet: when
the first answer is a denial, the application is let go, and the daemon's log
says why. A --wait that times out lets nothing go.`,
		Args: cobra.ExactArgs(1),
	}
	d, output := addressFlags(c), outputFlag(c)
	f := c.Flags()
	f.StringVar(&r.User, "user", "", "short name of the user it runs as (default: yours)")
	f.StringVar(&r.Owner, "owner", "", "for whom to register it (operators only; default: you)")
	f.StringVar(&tokenFilePath, "token-file", "", "Hadoop token file that it brings")
	f.StringSliceVar(&r.Obtain, "obtain", nil, "providers to obtain tokens from: NAME or NAME:SERVICE")
	f.StringSliceVar(&stageTo, "stage-to", nil, "where its credentials files go: /DIR, or TARGET:/DIR for a configured target")
	f.StringVar(&prefix, "stage-prefix", "", "prefix of the files' names (default: credentials-UUID)")
	f.StringVar(&r.AtEnd, "at-end", "cancel-obtained", "what becomes of its tokens: cancel-obtained, cancel or keep")
	f.StringVar(&r.Verify, "verify", "renew", "how tokens it brings are checked: renew, describe or none")
	f.StringVar(&r.Share, "share", "none", "share obtained tokens with the user's other applications: none or user")
	f.StringVar(&r.Group, "group", "", "name for applications that belong together: tokens of one are cancelled when the last has left")
	f.BoolVar(&r.Tolerate, "tolerate", false, "register it although some of the tokens it brings are bad")
	f.StringToStringVar(&r.Overlay, "set", nil, "settings of this application: KEY=VALUE, of the keys "+settingKeys())
	f.BoolVar(&r.Wait, "wait", false, "return when the first credentials are staged")
	c.RunE = func(c *cobra.Command, args []string) error {
		r.ID = args[0]
		if r.ID == "" {
			return advise(errors.New("register: the name is empty"), "name the application")
		}
		for _, text := range stageTo {
			r.StageTo = append(r.StageTo, parseTarget(text, prefix))
		}
		if r.User == "" {
			me, err := user.Current()
			if err != nil {
				return advise(err, "name the user with --user")
			}
			r.User = me.Username
		}
		if tokenFilePath != "" {
			creds, err := readTokenFile(tokenFilePath)
			if err != nil {
				return err
			}
			if r.Credentials, err = hadooptoken.Marshal(creds, hadooptoken.FormatJava); err != nil {
				return err
			}
		}
		return d.ask(c.Context(), func(ctx context.Context, daemon *control.Client) error {
			a, err := daemon.Register(ctx, r)
			if err != nil {
				return fmt.Errorf("register: %w", err) // the daemon names the application
			}
			return output.write(c.OutOrStdout(), a, func(t *table) { showRegistered(t, a) })
		})
	}
	return c
}

// settingKeys are the keys of --set.
func settingKeys() string {
	return strings.Join(slices.Sorted(maps.Keys(appregistry.OverlayKeys())), ", ")
}

// parseTarget reads FS:/DIR or /DIR.
func parseTarget(text, prefix string) control.Target {
	if fs, dir, ok := strings.Cut(text, ":"); ok && !strings.HasPrefix(text, "/") {
		return control.Target{FS: fs, Dir: dir, Prefix: prefix}
	}
	return control.Target{Dir: text, Prefix: prefix}
}

func showRegistered(t *table, a control.App) {
	showApps(t, []control.App{a})
	if !a.Ready {
		t.line("registered; not ready yet: tokenwheel app describe %s says how it goes; if it is not found, its first answer was a no. --wait waits, and says why", appName(a))
	}
}

func showApps(t *table, apps []control.App) {
	t.row("APP", "USER", "TOKENS", "GENERATION", "STAGED", "MISSING", "NEXT STAGING", "TROUBLE")
	for _, a := range apps {
		t.row(appName(a), a.User, strconv.Itoa(len(a.Aliases)), strconv.FormatUint(uint64(a.Generation), 10),
			strconv.FormatBool(a.Ready), strings.Join(slices.Sorted(maps.Keys(a.Missing)), ","), date(a.NextStage), a.Trouble)
	}
}

func appName(a control.App) string {
	return appregistry.AppKey{Owner: a.Owner, ID: appregistry.AppID(a.ID)}.String()
}

func newAppList() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List your applications; operators see all", Args: cobra.NoArgs,
		Long: `List your applications; operators see all. STAGED says that all its credentials
were there and staged once; MISSING names what it lacks now, TROUBLE says why the
last staging failed.`,
	}
	d, output := addressFlags(c), outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return d.ask(c.Context(), func(ctx context.Context, daemon *control.Client) error {
			apps, err := daemon.Apps(ctx)
			if err != nil {
				return fmt.Errorf("list applications: %w", err)
			}
			return output.write(c.OutOrStdout(), apps, func(t *table) { showApps(t, apps) })
		})
	}
	return c
}

func newAppDescribe() *cobra.Command {
	c := &cobra.Command{Use: "describe NAME", Short: "Show an application and its tokens", Args: cobra.ExactArgs(1)}
	d, output := addressFlags(c), outputFlag(c)
	owner := ownerFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return d.ask(c.Context(), func(ctx context.Context, daemon *control.Client) error {
			of, id := named(*owner, args[0])
			a, err := daemon.App(ctx, of, id)
			if err != nil {
				return fmt.Errorf("describe %s: %w", args[0], err)
			}
			return output.write(c.OutOrStdout(), a, func(t *table) { describeApp(t, a) })
		})
	}
	return c
}

func ownerFlag(c *cobra.Command) *string {
	return c.Flags().String("owner", "", "whose application it is (default: yours); OWNER/NAME says it too")
}

// named splits OWNER/NAME, as applications are listed, where no flag says the owner.
func named(owner, name string) (_, id string) {
	if before, after, ok := strings.Cut(name, "/"); ok && owner == "" {
		return before, after
	}
	return owner, name
}

func describeApp(t *table, a control.App) {
	for _, row := range [][2]string{
		{"App", appName(a)},
		{"User", a.User},
		{"Group", a.Group},
		{"Leaves", date(a.LeavesAt)},
		{"Files", "credentials-" + a.UUID + "-…, or as --stage-prefix named them"},
		{"Generation", strconv.FormatUint(uint64(a.Generation), 10)},
		{"Staged", strconv.FormatBool(a.Ready)},
		{"Next staging", date(a.NextStage)},
	} {
		t.row(row[0]+":", row[1])
	}
	if a.Trouble != "" {
		t.row("Trouble:", a.Trouble)
	}
	for _, what := range slices.Sorted(maps.Keys(a.Missing)) {
		t.row("Missing:", what+": "+a.Missing[what])
	}
	t.line("")
	showTokens(t, a.Tokens)
}

func newAppUnregister() *cobra.Command {
	c := &cobra.Command{
		Use: "unregister NAME", Short: "Let an application go; what nobody else holds is cancelled as it asked", Args: cobra.ExactArgs(1),
	}
	d, owner := addressFlags(c), ownerFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return d.ask(c.Context(), func(ctx context.Context, daemon *control.Client) error {
			of, id := named(*owner, args[0])
			if err := daemon.Unregister(ctx, of, id); err != nil {
				return fmt.Errorf("unregister %s: %w", args[0], err)
			}
			return say(c.OutOrStdout(), "unregistered %s", args[0])
		})
	}
	return c
}

func newAppKeepAlive() *cobra.Command {
	c := &cobra.Command{
		Use: "keepalive NAME", Short: "Put off an application's leaving", Args: cobra.ExactArgs(1),
		Long: `Put off an application's leaving: the time of its setting "lease" begins anew and,
where it was unregistered, that of "linger".`,
	}
	d, owner, output := addressFlags(c), ownerFlag(c), outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return d.ask(c.Context(), func(ctx context.Context, daemon *control.Client) error {
			of, id := named(*owner, args[0])
			a, err := daemon.KeepAlive(ctx, of, id)
			if err != nil {
				return fmt.Errorf("keep alive %s: %w", args[0], err)
			}
			return output.write(c.OutOrStdout(), a, func(t *table) {
				if a.LeavesAt.IsZero() {
					t.line("%s stays until it is unregistered", args[0])
				} else {
					t.line("%s stays until %s", args[0], date(a.LeavesAt))
				}
			})
		})
	}
	return c
}

// say prints one line, escaped.
func say(w io.Writer, format string, args ...any) error {
	_, err := fmt.Fprintln(w, printable(fmt.Sprintf(format, args...)))
	return err
}
