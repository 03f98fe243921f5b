package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/plugins"
)

func newCreds() *cobra.Command {
	c := &cobra.Command{
		Use:   "creds",
		Short: "Work on Hadoop token files, without daemon or JVM",
		Long: `Work on Hadoop token files as "hadoop dtutil" does, without daemon or JVM.

Flags may be written with one dash or two. Files are written with mode 0600, in
one step.`,
	}
	c.AddCommand(newCredsPrint(), newCredsGet(), newCredsRenew(), newCredsCancel())
	return c
}

// formatValue is the value of -format.
type formatValue hadooptoken.Format

// formatFlag adds -format; java is what every release of Hadoop reads.
func formatFlag(c *cobra.Command) *formatValue {
	f := formatValue(hadooptoken.FormatJava)
	c.Flags().Var(&f, "format", "format of the file to write")
	return &f
}

func (f *formatValue) String() string { return hadooptoken.Format(*f).String() }

// Set implements pflag.Value.
func (f *formatValue) Set(s string) error {
	v, err := hadooptoken.ParseFormat(s)
	*f = formatValue(v)
	return err
}

// Type implements pflag.Value.
func (f *formatValue) Type() string { return "java|protobuf" }

// tokenFile is the file to work on: the argument, or what Hadoop's own clients
// would read.
func tokenFile(args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	if path := os.Getenv("HADOOP_TOKEN_FILE_LOCATION"); path != "" {
		return path, nil
	}
	return "", advise(errors.New("no token file is given"), "name one, or set HADOOP_TOKEN_FILE_LOCATION")
}

func readTokenFile(path string) (plugins.Credentials, error) {
	creds, err := hadooptoken.ReadFile(path, hadooptoken.ReadOptions{})
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return creds, advise(fmt.Errorf("token file: %w", err), "check the path and who may read it")
	case isDirectory(path):
		return creds, advise(fmt.Errorf("token file %s is a directory", path), "name a file")
	case err != nil && isEmpty(path):
		return creds, advise(fmt.Errorf("token file %s: the file is empty", path), "get it again from whoever wrote it")
	case err != nil:
		return creds, advise(fmt.Errorf("token file %s: %w", path, err), "check that it is a Hadoop token file, whole and of a known version")
	}
	return creds, nil
}

func isDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func isEmpty(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Size() == 0
}

func writeTokenFile(path string, creds plugins.Credentials, f formatValue) error {
	if err := hadooptoken.WriteFile(path, creds, hadooptoken.Format(f)); err != nil {
		return advise(fmt.Errorf("token file %s: %w", path, err), "check that its directory exists and is yours to write")
	}
	return nil
}

// selected are the aliases to work on: all, or the one named.
func selected(creds plugins.Credentials, alias, path string) ([]string, error) {
	all := slices.Sorted(maps.Keys(creds.Tokens))
	if alias == "" {
		return all, nil
	}
	if _, ok := creds.Tokens[alias]; !ok {
		return nil, advise(fmt.Errorf("alias %q in token file %s: %w", alias, path, errNoSuch), "the file has tokens under %q", all)
	}
	return []string{alias}, nil
}
