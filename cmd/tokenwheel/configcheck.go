package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/tokenwheel/tokenwheel/appregistry/boltstore"
	"github.com/tokenwheel/tokenwheel/appregistry/sealedstore"
	"github.com/tokenwheel/tokenwheel/internal/hadoopconf"
	"github.com/tokenwheel/tokenwheel/internal/krb"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/plugins/pluginhost"
)

func newConfig() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Check a configuration, or print the default one"}
	c.AddCommand(newConfigCheck(), &cobra.Command{
		Use: "default", Short: "Print every key with its default and its meaning", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := c.OutOrStdout().Write(fullYAML)
			return err
		},
	})
	return c
}

func configFlag(c *cobra.Command) *string {
	return c.Flags().String("config", "/etc/tokenwheel/tokenwheel.yaml", "the daemon's configuration file")
}

func newConfigCheck() *cobra.Command {
	var connect bool
	c := &cobra.Command{
		Use:   "check [--config FILE] [--connect]",
		Short: "Say everything that is wrong with a configuration",
		Long: `Check a configuration file and the files it names, and say all that is wrong, not
only the first. With --connect also log in, ask the NameNodes for an answer, open
the store and start the provider programs. Exit code 4 when something is found.`,
		Args: cobra.NoArgs,
	}
	path, timeout := configFlag(c), timeoutFlag(c)
	c.Flags().BoolVar(&connect, "connect", false, "try the login, the services, the store and the programs too")
	c.RunE = func(c *cobra.Command, _ []string) error {
		l, err := loadConfig(*path)
		if err != nil {
			return err
		}
		l.check()
		if connect && l.err() == nil {
			l.connect(c.Context(), *timeout)
		}
		if err := l.err(); err != nil {
			return advise(fmt.Errorf("%w\n%w: %d to mend", err, errFound, len(l.problems.list)), "mend these, then check again")
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s: nothing wrong\n", printable(*path))
		return err
	}
	return c
}

// check notes what can be told without network.
func (l *loaded) check() {
	if l.broken {
		return
	}
	l.checkHadoop()
	l.checkKerberos()
	l.checkControl()
	l.checkStore()
	l.checkRenewal()
	l.checkStaging()
	l.checkProviders()
	l.checkAccess()
	l.oneOf("log.level", l.Log.Level, "debug", "info", "warn", "error")
	l.oneOf("log.format", l.Log.Format, "text", "json")
}

func (l *loaded) oneOf(key, value string, words ...string) {
	if !slices.Contains(words, value) {
		l.report(key, "%q: want one of %q", value, words)
	}
}

func (l *loaded) checkHadoop() {
	conf, err := hadoopconf.Load(l.HadoopConf)
	if err != nil {
		l.report("hadoop_conf", "%v; name the directory with core-site.xml, or set HADOOP_CONF_DIR", err)
		return
	}
	if secure, err := conf.SecurityEnabled(); err != nil {
		l.report("hadoop_conf", "%v", err)
	} else if !secure {
		l.report("hadoop_conf", "%s: hadoop.security.authentication is not kerberos; only secure clusters have delegation tokens", l.HadoopConf)
	}
	if nodes, err := conf.Namenodes(); err != nil {
		l.report("hadoop_conf", "%v", err)
	} else if len(nodes) == 0 {
		l.report("hadoop_conf", "%s: no NameNode; set fs.defaultFS or dfs.nameservices", l.HadoopConf)
	}
}

func (l *loaded) checkKerberos() {
	k := l.Kerberos
	conf, err := krb.LoadConfig(k.Krb5Conf)
	if err != nil {
		l.report("kerberos.krb5_conf", "%v", err)
	}
	switch {
	case k.Keytab == "" && k.CCache == "":
		l.report("kerberos.keytab", "neither a keytab nor a ccache: the daemon could not log in")
	case k.Keytab != "" && k.CCache != "":
		l.report("kerberos.ccache", "both a keytab and a ccache: choose one")
	case k.CCache != "":
		l.private("kerberos.ccache", k.CCache)
	default:
		l.checkKeytab(conf)
	}
}

func (l *loaded) checkKeytab(conf *krb.Config) {
	k := l.Kerberos
	var self krb.Principal
	if k.Principal == "" {
		l.report("kerberos.principal", "a keytab needs it; klist -kt %s shows which it has", k.Keytab)
	} else if conf != nil {
		var err error
		if self, err = krb.ParsePrincipal(k.Principal, conf.DefaultRealm); err != nil {
			l.report("kerberos.principal", "%v", err)
		}
	}
	if !l.private("kerberos.keytab", k.Keytab) {
		return
	}
	keys, err := krb.LoadKeytab(k.Keytab)
	if err != nil {
		l.report("kerberos.keytab", "%v", err)
	} else if self.Components != nil && !slices.ContainsFunc(keys.Principals(), func(p krb.Principal) bool { return isSelf(self, p) }) {
		l.report("kerberos.keytab", "%s has no key for %v; it has those of %v", k.Keytab, self, keys.Principals())
	}
}

// isSelf reports whether a keytab's principal is the configured one, on whatever
// host: only the network knows what this machine is called in full.
func isSelf(self, p krb.Principal) bool {
	if len(self.Components) == 2 && self.Components[1] == "_HOST" && len(p.Components) == 2 {
		p.Components = []string{p.Components[0], "_HOST"}
	}
	return self.String() == p.String()
}

// private notes a secret file that is not there or that others may read.
func (l *loaded) private(key, path string) bool {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		l.report(key, "%v", err)
	case info.Mode().Perm()&0o077 != 0:
		l.report(key, "%s has mode %04o: others may read it; chmod 0600 it", path, info.Mode().Perm())
	default:
		return true
	}
	return false
}

// guarded notes a directory that is not there or in which others could replace
// what is ours.
func (l *loaded) guarded(key, dir string) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.report(key, "directory %s does not exist; make it with mode 0700%s", dir, map[string]string{"control": ", or 0755 for a socket that others use"}[key])
	case err != nil:
		l.report(key, "%v", err)
	case !info.IsDir():
		l.report(key, "%s is no directory", dir)
	case info.Mode().Perm()&0o022 != 0:
		l.report(key, "directory %s has mode %04o: others may replace what is in it; chmod go-w it", dir, info.Mode().Perm())
	}
}

// longestSocket is what an address of a unix socket has room for, less its end.
const longestSocket = 107

func (l *loaded) checkControl() {
	path := l.socketPath()
	switch {
	case path == "":
		l.report("control", "%q: want unix:///ABSOLUTE/PATH", l.Control.Address)
	case len(path) > longestSocket:
		l.report("control", "the path has %d bytes; a socket's can have %d", len(path), longestSocket)
	default:
		l.guarded("control", filepath.Dir(path))
	}
	if _, err := l.socketMode(); err != nil {
		l.report("control.mode", "%v", err)
	}
	if g := l.Control.Group; g != "" {
		if _, err := user.LookupGroup(g); err != nil {
			l.report("control.group", "%v", err)
		}
	}
}

func (l *loaded) checkStore() {
	path, err := l.storePath()
	if err != nil {
		l.report("store", "%v", err)
	} else if path != "" {
		l.guarded("store", filepath.Dir(path))
	}
	if l.StoreKey == "" {
		return
	}
	if err == nil && path == "" {
		l.report("store-key", "the store is in memory: there is nothing to seal")
	}
	if _, err := sealedstore.ReadKeys(l.StoreKey); err != nil {
		l.report("store-key", "%v", err)
	}
}

func (l *loaded) checkRenewal() {
	if r := l.Renewal.TimeRatio; !(r >= 0.1 && r <= 0.95) {
		l.report("renewal.time-ratio", "%v: want 0.1 to 0.95", r)
	}
	if j := l.Renewal.Jitter; !(j >= 0 && j <= 0.5) {
		l.report("renewal.jitter", "%v: want 0 to 0.5", j)
	}
	if n := l.Renewal.CallsPerSecond; !(n >= 0.1 && n <= 100_000) {
		l.report("renewal.calls-per-second", "%v: want 0.1 to 100000", n)
	}
	for key, n := range map[string]int{
		"renewal.per-service": l.Renewal.PerService,
		"staging.keep":        l.Staging.Keep, "staging.per-target": l.Staging.PerTarget,
	} {
		if n < 1 || n > 10_000 {
			l.report(key, "%d: want 1 to 10000", n)
		}
	}
	for key, d := range map[string]duration{
		"renewal.min-lead": l.Renewal.MinLead, "renewal.default-validity": l.Renewal.DefaultValidity, "renewal.call-timeout": l.Renewal.CallTimeout,
		"renewal.grace": l.Renewal.Grace, "renewal.coalesce": l.Renewal.Coalesce,
		"retry.initial-backoff": l.Retry.InitialBackoff, "retry.max-backoff": l.Retry.MaxBackoff,
	} {
		if d == 0 {
			l.report(key, "0: want more than 0")
		}
	}
	if l.Retry.MaxBackoff < l.Retry.InitialBackoff {
		l.report("retry.max-backoff", "%v is less than initial-backoff, %v", time.Duration(l.Retry.MaxBackoff), time.Duration(l.Retry.InitialBackoff))
	}
}

func (l *loaded) checkStaging() {
	l.oneOf("staging.default", l.Staging.Default, stageHDFS, stageLocal, stageNowhere)
	for name, kind := range l.Staging.Targets {
		l.oneOf("staging.targets."+name, kind, stageHDFS, stageLocal)
	}
}

func (l *loaded) checkProviders() {
	if len(l.Providers) == 0 {
		l.report("providers", "none is configured")
	}
	for name, p := range l.Providers {
		key := "providers." + name
		if p.Policy != "" {
			l.oneOf(key+".policy", p.Policy, "renew", "replace", "watch", "ignore")
		}
		if r := p.Renewal.TimeRatio; r != 0 && !(r >= 0.1 && r <= 0.95) {
			l.report(key+".renewal.time-ratio", "%v: want 0.1 to 0.95", r)
		}
		if j := p.Renewal.Jitter; j != nil && !(*j >= 0 && *j <= 0.5) {
			l.report(key+".renewal.jitter", "%v: want 0 to 0.5", *j)
		}
		switch {
		case p.Command == "":
			l.checkBuiltin(key, p)
		case p.Builtin != "":
			l.report(key, "both builtin and command: choose one")
		default:
			l.checkProgram(key, p)
		}
	}
}

// checkAccess notes names that are nobody's here, and so without effect: who asks is
// known by the account that he has on this machine.
func (l *loaded) checkAccess() {
	known := func(key, name string) {
		if _, err := user.Lookup(name); err != nil {
			l.report(key, "%q has no account on this machine, and can never ask", name)
		}
	}
	for _, name := range l.Access.Operators {
		known("access.operators", name)
	}
	for _, name := range slices.Sorted(maps.Keys(l.Access.ActsFor)) {
		known("access.acts-for."+name, name)
	}
}

func (l *loaded) checkBuiltin(key string, p providerConfig) {
	b, ok := builtins[p.Builtin]
	if !ok {
		l.report(key, "no provider %q is built in; give its program's path as command", p.Builtin)
		return
	}
	for _, err := range b.check(p.Config) {
		l.report(key+".config", "%v", err)
	}
}

func (l *loaded) checkProgram(key string, p providerConfig) {
	switch err := pluginhost.Check(p.program(nil)); {
	case err == nil:
	case plugins.CodeOf(err) == "relative-path":
		l.report(key+".command", "%q: want an absolute path", p.Command)
	case plugins.CodeOf(err) == "wrong-checksum":
		l.report(key+".sha256", "%v; take it over if you trust the file", err)
	default:
		l.report(key+".command", "%v", err)
	}
}

// connect notes what only a try can tell. Each try has the same time, so that one
// that hangs takes none from the others.
func (l *loaded) connect(ctx context.Context, timeout time.Duration) {
	try := func(key string, probe func(context.Context) error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		if err := probe(ctx); err != nil {
			l.report(key, "%v", err)
		}
	}
	try("store", l.tryStore)
	for _, name := range slices.Sorted(maps.Keys(l.Providers)) {
		try("providers."+name, func(ctx context.Context) error { return l.tryProvider(ctx, l.Providers[name]) })
	}
	try("staging", l.tryStaging)
}

func (l *loaded) tryProvider(ctx context.Context, section providerConfig) error {
	p, err := l.openProvider(ctx, section, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	if closer, ok := p.(io.Closer); ok {
		defer closer.Close()
	}
	if c, ok := p.(checker); ok {
		return c.Check(ctx)
	}
	return nil
}

// checker is a provider that can say whether its services answer.
type checker interface {
	Check(ctx context.Context) error
}

// tryStore opens the store. One that a running daemon has open is well.
func (l *loaded) tryStore(ctx context.Context) error {
	s, err := l.openStore(ctx, boltstore.Options{LockWait: 100 * time.Millisecond})
	if errors.Is(err, boltstore.ErrLocked) {
		return nil
	}
	return errors.Join(err, s.close())
}

func (l *loaded) tryStaging(ctx context.Context) error {
	s, err := l.openStaging(ctx)
	s.close()
	return err
}
