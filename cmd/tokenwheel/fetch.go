package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tokenwheel/tokenwheel/fsstaging"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// fetch is what the command of that name was asked for.
type fetch struct {
	dir, prefix, out string
	tokenFile        string
	watch            bool
	timeout          time.Duration
	format           *formatValue
	identity         *identity
}

func newFetch() *cobra.Command {
	var f fetch
	var once bool
	c := &cobra.Command{
		Use:   "fetch --dir DIR [--once|--watch] [--out FILE]",
		Short: "Pick up staged credentials, on the executor's side",
		Long: `Wait for the newest credentials file in DIR and write it to FILE as a Hadoop token
file, in one step and with mode 0600. DIR is a local directory or
hdfs://NAMESERVICE/PATH; there the login is by --keytab, or by the tokens of
--token-file, which the picked-up ones succeed.

With --watch it goes on and rewrites FILE with each newer set. FILE is
$HADOOP_TOKEN_FILE_LOCATION unless --out names it.`,
		Args: cobra.NoArgs,
	}
	f.identity, f.format = identityFlags(c), formatFlag(c)
	c.Flags().StringVar(&f.dir, "dir", "", "where the credentials files are staged (required)")
	c.Flags().StringVar(&f.prefix, "prefix", "", "their names' prefix (default: the only credentials-UUID there is)")
	c.Flags().StringVar(&f.out, "out", "", "the token file to write")
	c.Flags().StringVar(&f.tokenFile, "token-file", "", "log in to HDFS with the tokens of this file")
	c.Flags().BoolVar(&once, "once", true, "end after the first set")
	c.Flags().BoolVar(&f.watch, "watch", false, "go on and write each newer set")
	c.Flags().DurationVar(&f.timeout, "timeout", 0, "give up when no set came after this time (default: never)")
	c.MarkFlagsMutuallyExclusive("once", "watch")
	c.RunE = func(c *cobra.Command, args []string) error {
		if f.dir == "" {
			return advise(errors.New("fetch: no directory is given"), "name it with --dir")
		}
		if f.out == "" {
			out, err := tokenFile(nil)
			if err != nil {
				return advise(errors.New("fetch: no file to write is given"), "name it with --out, or set HADOOP_TOKEN_FILE_LOCATION")
			}
			f.out = out
		}
		if f.watch {
			signal.Ignore(syscall.SIGPIPE) // the file is kept up to date, whoever reads what is said of it
		}
		return f.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
	}
	return c
}

func (f fetch) run(ctx context.Context, out, problems io.Writer) error {
	source, dir, err := f.open(ctx)
	if err != nil {
		return err
	}
	if h, ok := source.(io.Closer); ok {
		defer h.Close()
	}
	p := fsstaging.NewPickup(source, dir)
	p.Prefix = f.prefix
	p.Skipped = func(name string, err error) {
		_, _ = fmt.Fprintf(problems, "passed over %s: %s\n", printable(name), printable(err.Error()))
	}
	for {
		creds, err := f.next(ctx, p)
		if errors.Is(err, context.Canceled) && f.watch {
			return nil // asked to end
		}
		if err != nil {
			return f.failed(source, dir, err)
		}
		if err := writeTokenFile(f.out, creds, *f.format); err != nil {
			return err
		}
		_, _ = fmt.Fprintf(out, "generation %d: %v in %s\n", p.Held().N, creds, printable(f.out))
		if !f.watch {
			return nil
		}
		f.timeout = 0 // it bounds the first set only
	}
}

// failed says of a wait that ended without credentials what was not there.
func (f fetch) failed(source fsstaging.FS, dir string, err error) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("fetch from %s: %w", f.dir, err)
	}
	what := "no usable credentials file is there"
	if f.prefix != "" {
		what = fmt.Sprintf("no usable credentials file with prefix %q is there", f.prefix)
	}
	if _, local := source.(fsstaging.Local); local {
		if _, e := os.Stat(dir); errors.Is(e, fs.ErrNotExist) {
			what = "the directory does not exist"
		}
	}
	return advise(fmt.Errorf("fetch from %s: %s: %w", f.dir, what, err), "see that it is the directory that the application was registered with (--stage-to); tokenwheel app describe NAME says whether its sets are staged. Or wait longer with --timeout")
}

func (f fetch) next(ctx context.Context, p *fsstaging.Pickup) (plugins.Credentials, error) {
	if f.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.timeout)
		defer cancel()
	}
	return p.Next(ctx)
}

// open finds the file system of the directory and its path there.
func (f fetch) open(ctx context.Context) (fsstaging.FS, string, error) {
	if !strings.Contains(f.dir, "://") {
		dir, err := filepath.Abs(f.dir)
		return fsstaging.Local{}, dir, err
	}
	u, err := parseHDFS(f.dir)
	if err == nil && !path.IsAbs(u.Path) {
		err = fmt.Errorf("%q names no directory", f.dir)
	}
	if err != nil {
		return nil, "", advise(err, "write hdfs://NAMESERVICE/PATH, or the path of a local directory")
	}
	c := fsstaging.HDFSConfig{Nameservice: u.Host}
	if f.tokenFile == "" {
		err = f.identity.complete()
	} else if err = f.identity.completePaths(); err == nil {
		c.Credentials, err = readTokenFile(f.tokenFile)
	}
	if err != nil {
		return nil, "", err
	}
	id := f.identity
	c.ConfDir, c.Krb5Conf, c.Principal, c.Keytab, c.CCache = id.confDir, id.krb5Conf, id.principal, id.keytab, id.ccache
	dfs, err := fsstaging.DialHDFS(ctx, c)
	if err != nil {
		return nil, "", missingFile(err)
	}
	return dfs, path.Clean(u.Path), nil
}
