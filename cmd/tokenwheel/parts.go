package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/goccy/go-yaml"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/appregistry/boltstore"
	"github.com/tokenwheel/tokenwheel/appregistry/sealedstore"
	"github.com/tokenwheel/tokenwheel/fsstaging"
	"github.com/tokenwheel/tokenwheel/internal/hadoopconf"
	"github.com/tokenwheel/tokenwheel/internal/krb"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/plugins/hdfs"
	"github.com/tokenwheel/tokenwheel/plugins/pluginhost"
)

// builtin is a provider that is part of this program. Both of its functions read
// its section of the configuration alike.
type builtin struct {
	check func(section map[string]any) []error
	open  func(c *config, section map[string]any, log *slog.Logger) (plugins.Provider, error)
}

var builtins = map[string]builtin{
	"hdfs": {checkHDFS, newHDFS},
}

// hdfsSection is the config of a provider "hdfs". What it leaves out is the
// daemon's own.
type hdfsSection struct {
	HadoopConf string `yaml:"hadoop_conf"`
	Principal  string `yaml:"principal"`
	Keytab     string `yaml:"keytab"`
	Renewer    string `yaml:"renewer"`
}

func (s *hdfsSection) read(section map[string]any) error {
	raw, err := yaml.Marshal(section)
	if err != nil {
		return err
	}
	err = yaml.UnmarshalWithOptions(raw, s, yaml.Strict())
	if positioned, ok := errors.AsType[yaml.Error](err); ok {
		return errors.New(positioned.GetMessage()) // its place is in a copy that nobody sees
	}
	return err
}

// checkHDFS says what is wrong with a section and the files it names.
func checkHDFS(section map[string]any) []error {
	var s hdfsSection
	if err := s.read(section); err != nil {
		return []error{err}
	}
	var errs []error
	if s.HadoopConf != "" {
		if _, err := hadoopconf.Load(s.HadoopConf); err != nil {
			errs = append(errs, fmt.Errorf("hadoop_conf: %w", err))
		}
	}
	if s.Keytab != "" {
		if _, err := krb.LoadKeytab(s.Keytab); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

func newHDFS(c *config, section map[string]any, log *slog.Logger) (plugins.Provider, error) {
	s := hdfsSection{HadoopConf: c.HadoopConf, Principal: c.Kerberos.Principal, Keytab: c.Kerberos.Keytab}
	if err := s.read(section); err != nil {
		return nil, err
	}
	ccache := c.Kerberos.CCache
	if s.Keytab != "" {
		ccache = ""
	}
	return hdfs.New(hdfs.Config{
		ConfDir: s.HadoopConf, Krb5Conf: c.Kerberos.Krb5Conf, Principal: s.Principal, Keytab: s.Keytab, CCache: ccache, Renewer: s.Renewer,
		Logger: log,
	})
}

// closers are parts that must be closed, in the order they were opened.
type closers []io.Closer

// close closes the parts, the last one first.
func (c closers) close() error {
	var errs []error
	for _, one := range slices.Backward(c) {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}

// openedProviders are the configured providers, ready for use.
type openedProviders struct {
	closers
	providers map[string]plugins.Provider
}

// openProviders makes the built-in providers and starts the programs. What was
// opened must be closed even after an error, which tells of all that failed.
func (c *config) openProviders(ctx context.Context, log *slog.Logger) (openedProviders, error) {
	out := openedProviders{providers: map[string]plugins.Provider{}}
	var errs []error
	for name, section := range c.Providers {
		p, err := c.openProvider(ctx, section, log.With("provider", name))
		if err != nil {
			errs = append(errs, fmt.Errorf("provider %s: %w", name, err))
			continue
		}
		out.providers[name] = p
		if closer, ok := p.(io.Closer); ok {
			out.closers = append(out.closers, closer)
		}
	}
	return out, errors.Join(errs...)
}

func (c *config) openProvider(ctx context.Context, section providerConfig, log *slog.Logger) (plugins.Provider, error) {
	if section.Command == "" {
		return builtins[section.Builtin].open(c, section.Config, log)
	}
	process, err := pluginhost.Launch(ctx, section.program(log))
	if err != nil {
		return nil, err
	}
	if plugins.AbilitiesOf(process).Configure {
		raw := []byte("{}")
		if len(section.Config) > 0 {
			raw, err = json.Marshal(section.Config)
		}
		if err == nil {
			err = process.Configure(ctx, raw)
		}
	}
	if err != nil {
		_ = process.Close()
		return nil, err
	}
	return process, nil
}

// program is what a provider's command says to run.
func (p providerConfig) program(log *slog.Logger) pluginhost.Command {
	return pluginhost.Command{Path: p.Command, SHA256: p.SHA256, Args: p.Args, PassEnv: p.PassEnv, Logger: log}
}

// openedStaging is the stager and what it stands on; the stager is nil where
// nothing is staged.
type openedStaging struct {
	closers
	stager *fsstaging.Stager
}

// openStaging makes the configured file systems. What was opened must be closed
// even after an error.
func (c *config) openStaging(ctx context.Context) (out openedStaging, err error) {
	var cluster fsstaging.FS
	open := func(kind string) (fsstaging.FS, error) {
		switch {
		case kind == stageLocal:
			return fsstaging.Local{}, nil
		case cluster != nil:
			return cluster, nil
		}
		dfs, err := fsstaging.DialHDFS(ctx, fsstaging.HDFSConfig{
			ConfDir: c.HadoopConf, Krb5Conf: c.Kerberos.Krb5Conf, Principal: c.Kerberos.Principal,
			Keytab: c.Kerberos.Keytab, CCache: c.Kerberos.CCache, ClearTransfer: c.Staging.ClearTransfer,
		})
		if err != nil {
			return nil, err
		}
		out.closers = append(out.closers, dfs)
		cluster = dfs
		return dfs, nil
	}
	var named []fsstaging.NamedFS
	for name, kind := range c.Staging.Targets {
		fs, err := open(kind)
		if err != nil {
			return out, fmt.Errorf("staging target %s: %w", name, err)
		}
		named = append(named, fsstaging.NamedFS{Name: name, FS: fs})
	}
	var def fsstaging.FS
	if c.Staging.Default != stageNowhere {
		if def, err = open(c.Staging.Default); err != nil {
			return out, fmt.Errorf("staging: %w", err)
		}
	}
	if def == nil && len(named) == 0 {
		return out, nil
	}
	out.stager = fsstaging.NewStager(def, named...)
	out.stager.Keep = c.Staging.Keep
	return out, nil
}

// openedStore is the store and what it stands on; the store is nil where
// everything is kept in memory.
type openedStore struct {
	closers
	store appregistry.Store
	file  *boltstore.Keeper
	keys  *sealedstore.Keys
}

// openStore opens the store. What was opened is closed after an error.
func (c *config) openStore(ctx context.Context, o boltstore.Options) (out openedStore, err error) {
	path, err := c.storePath()
	if err != nil || path == "" {
		return out, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("store %s: %w", path, err), out.close())
			out = openedStore{}
		}
	}()
	if out.keys, err = readKeys(c.StoreKey); err != nil {
		return out, err
	}
	if out.file, err = boltstore.Keep(path, o); err != nil {
		return out, err
	}
	out.closers = closers{out.file}
	out.store, err = sealedstore.Open(ctx, out.file, out.keys)
	return out, err
}

// sealAnew seals, beside whatever else is done with the store, the values that
// have another key than the first one. It returns at once where there is one key.
func (s openedStore) sealAnew(ctx context.Context, log *slog.Logger) {
	if s.keys == nil || len(s.keys.IDs()) < 2 {
		return
	}
	n, err := sealedstore.Rekey(ctx, s.file, s.keys)
	switch {
	case ctx.Err() != nil: // the next start goes on
	case err != nil:
		log.Error("store not sealed with its new key", "values", n, "error", err)
	case n > 0:
		log.Info("store sealed with its new key", "values", n, "key", s.keys.IDs()[0])
	}
}
