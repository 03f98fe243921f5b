package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/internal/hadoopconf"
	"github.com/tokenwheel/tokenwheel/internal/krb"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/plugins/hdfs"
)

// defaultTimeout bounds what a command does over the network.
const defaultTimeout = 30 * time.Second

func timeoutFlag(c *cobra.Command) *time.Duration {
	return c.Flags().Duration("timeout", defaultTimeout, "give up after this time")
}

// login makes the provider that speaks for an identity.
func (id *identity) login(ctx context.Context) (*hdfs.Provider, error) {
	if err := id.complete(); err != nil {
		return nil, err
	}
	if err := id.prove(ctx); err != nil {
		return nil, missingFile(err)
	}
	p, err := hdfs.New(hdfs.Config{
		ConfDir: id.confDir, Krb5Conf: id.krb5Conf, Principal: id.principal, Keytab: id.keytab, CCache: id.ccache,
	})
	return p, missingFile(err)
}

// missingFile says how to name configuration files that are not there.
func missingFile(err error) error {
	if _, ok := errors.AsType[*krb.Error](err); !ok && errors.Is(err, fs.ErrNotExist) {
		return advise(err, "set HADOOP_CONF_DIR and KRB5_CONFIG, or give --hadoop-conf and --krb5-conf")
	}
	return err
}

// withLogin calls do with the provider that speaks for an identity, and bounds
// login and calls by timeout.
func (id *identity) withLogin(ctx context.Context, timeout time.Duration, do func(context.Context, *hdfs.Provider) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	p, err := id.login(ctx)
	if err != nil {
		return err
	}
	defer p.Close()
	return do(ctx, p)
}

func newCredsGet() *cobra.Command {
	var alias, service, renewer, doAs string
	c := &cobra.Command{
		Use:   "get [hdfs://HOST:PORT|hdfs://NAMESERVICE] FILE",
		Short: "Obtain a token and put it into a token file",
		Long: `Obtain a delegation token from a NameNode of the Hadoop configuration and put it
into FILE, beside what the file holds already. Without URL and -service it is
the default file system.`,
		Args: cobra.RangeArgs(1, 2),
	}
	id, timeout, format := identityFlags(c), timeoutFlag(c), formatFlag(c)
	c.Flags().StringVar(&alias, "alias", "", "where to put it in the file (default: the token's service)")
	c.Flags().StringVar(&service, "service", "", "nameservice or host:port, instead of a URL")
	c.Flags().StringVar(&renewer, "renewer", "", "who may renew it (default: ourselves)")
	c.Flags().StringVar(&doAs, "doas", "", "short name of the user to obtain it for, as his proxy")
	c.RunE = func(c *cobra.Command, args []string) error {
		path := args[len(args)-1]
		if len(args) == 2 {
			service = args[0]
		}
		creds, err := readTokenFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		var grants []plugins.Grant
		err = id.withLogin(c.Context(), *timeout, func(ctx context.Context, p *hdfs.Provider) error {
			authority, err := id.authority(ctx, p, service)
			if err != nil {
				return err
			}
			grants, err = p.Obtain(ctx, plugins.ObtainRequest{App: "creds get", User: doAs, Renewer: renewer, Services: []string{authority}})
			return remote(err)
		})
		if err != nil {
			return err
		}
		got := plugins.Credentials{Tokens: map[string]plugins.Token{}}
		for _, g := range grants {
			if alias == "" {
				alias = g.Alias
			}
			got.Tokens[alias] = g.Token
		}
		if err := writeTokenFile(path, hadooptoken.Merge(creds, got), *format); err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s under alias %s in %s\n", printable(got.Tokens[alias].String()), printable(alias), printable(path))
		return err
	}
	return c
}

// authority finds the configured service that a URL or name means. A text of the
// user's is only a key: nothing is dialled that is not configured.
func (id *identity) authority(ctx context.Context, p *hdfs.Provider, text string) (string, error) {
	if text == "" {
		conf, err := hadoopconf.Load(id.confDir)
		if err != nil {
			return "", err
		}
		text = conf.DefaultFS()
	}
	host := text
	if strings.Contains(text, "://") {
		u, err := parseHDFS(text)
		if err != nil {
			return "", advise(err, "write hdfs://HOST:PORT or hdfs://NAMESERVICE")
		}
		host = u.Host
	}
	list, err := p.Authorities(ctx)
	if err != nil {
		return "", err
	}
	wanted := []string{host, host + ":8020", "ha-hdfs:" + host} // 8020: DFS_NAMENODE_RPC_PORT_DEFAULT
	var names []string
	for _, a := range list {
		if slices.ContainsFunc(wanted, func(w string) bool { return w == a.Name || slices.Contains(a.Services, w) }) {
			return a.Name, nil
		}
		names = append(names, a.Name)
	}
	return "", advise(fmt.Errorf("%q is not in the Hadoop configuration %s", text, id.confDir), "it has %q; name one of them, or add yours there", names)
}

// parseHDFS reads a URL of a Hadoop file system.
func parseHDFS(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "hdfs" || u.User != nil {
		return nil, fmt.Errorf("%q is no address of a Hadoop file system", text)
	}
	return u, nil
}

// renewalView is what is shown of one renewal.
type renewalView struct {
	Alias   string    `json:"alias"`
	Service string    `json:"service"`
	Expires time.Time `json:"expires"`
}

func newCredsRenew() *cobra.Command {
	var alias string
	c := &cobra.Command{
		Use:   "renew [FILE]",
		Short: "Renew the tokens of a token file",
		Long: `Ask the issuing NameNodes to extend the tokens of FILE: the one of -alias, or all
HDFS delegation tokens. The file itself does not change by that.`,
		Args: cobra.MaximumNArgs(1),
	}
	id, timeout, output := identityFlags(c), timeoutFlag(c), outputFlag(c)
	c.Flags().StringVar(&alias, "alias", "", "renew this token only")
	c.RunE = func(c *cobra.Command, args []string) error {
		path, creds, aliases, err := hdfsTokens(args, alias)
		if err != nil {
			return err
		}
		views, errs := []renewalView{}, []error{}
		err = id.withLogin(c.Context(), *timeout, func(ctx context.Context, p *hdfs.Provider) error {
			for _, a := range aliases {
				expires, err := p.Renew(ctx, creds.Tokens[a])
				if err != nil {
					errs = append(errs, fmt.Errorf("renew %q of %s: %w", a, path, remote(err)))
					continue
				}
				views = append(views, renewalView{a, creds.Tokens[a].Service, expires})
			}
			return nil
		})
		if err != nil {
			return err
		}
		err = output.write(c.OutOrStdout(), views, func(t *table) {
			t.row("ALIAS", "SERVICE", "EXPIRES")
			for _, v := range views {
				t.row(v.Alias, v.Service, date(v.Expires))
			}
		})
		return errors.Join(append(errs, err)...)
	}
	return c
}

// hdfsTokens reads a file and picks the tokens that can be renewed and cancelled.
func hdfsTokens(args []string, alias string) (path string, creds plugins.Credentials, aliases []string, err error) {
	if path, err = tokenFile(args); err != nil {
		return
	}
	if creds, err = readTokenFile(path); err != nil {
		return
	}
	if aliases, err = selected(creds, alias, path); err != nil {
		return
	}
	hdfsOnly := slices.DeleteFunc(slices.Clone(aliases), func(a string) bool { return creds.Tokens[a].Kind != hadooptoken.KindHDFS })
	if len(hdfsOnly) > 0 {
		return path, creds, hdfsOnly, nil
	}
	if alias != "" {
		return path, creds, nil, advise(fmt.Errorf("alias %q in %s: kind %q cannot be renewed or cancelled", alias, path, creds.Tokens[alias].Kind),
			"only tokens of kind %s can", hadooptoken.KindHDFS)
	}
	return path, creds, nil, advise(fmt.Errorf("token file %s: no token of kind %s: %w", path, hadooptoken.KindHDFS, errNoSuch), "see what it holds with: tokenwheel creds print")
}
