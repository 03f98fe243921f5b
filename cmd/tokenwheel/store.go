package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tokenwheel/tokenwheel/appregistry/boltstore"
	"github.com/tokenwheel/tokenwheel/appregistry/sealedstore"
)

func newStore() *cobra.Command {
	c := &cobra.Command{Use: "store", Short: "See to the daemon's store: check it, back it up, compact it, seal it"}
	c.AddCommand(newStoreCheck(), newStoreBackup(), newStoreCompact(), newStoreKey(), newStoreRekey())
	return c
}

// storeFlags name a store, by a configuration or outright.
type storeFlags struct{ config, path, keyFile *string }

func addStoreFlags(c *cobra.Command) storeFlags {
	return storeFlags{
		config:  configFlag(c),
		path:    c.Flags().String("store", "", "the store's file, instead of the one that the configuration names"),
		keyFile: c.Flags().String("store-key", "", "with --store: the file of the keys that it is sealed with"),
	}
}

// find returns the store's file, and that of its keys, "" for none.
func (f storeFlags) find() (path, keyFile string, err error) {
	if *f.path != "" {
		return strings.TrimPrefix(*f.path, "bolt://"), *f.keyFile, nil
	}
	if *f.keyFile != "" {
		return "", "", advise(errors.New("--store-key without --store"), "name both, or leave them to the configuration")
	}
	l, err := loadConfig(*f.config)
	if err != nil {
		return "", "", err
	}
	if err := l.err(); err != nil { // a key that was mistyped could be just this one
		return "", "", advise(err, "mend the configuration, or name the store with --store")
	}
	if path, err = l.storePath(); err == nil && path == "" {
		err = fmt.Errorf("%s: the store is in memory; there is no file to see to", *f.config)
	}
	return path, l.StoreKey, advise(err, "name the store with --store")
}

// adviseStore adds the next step to an error about a store.
func adviseStore(err error) error {
	for _, c := range []struct {
		is   error
		next string
	}{
		{boltstore.ErrCorrupt, "tokenwheel store check says what is lost. With the daemon stopped copy a backup to the file's place, mode 0600; without one move the file away: the daemon then begins with no applications"},
		{boltstore.ErrLocked, "stop that process first: one at a time has the store open"},
		{boltstore.ErrNewerSchema, "use the release that wrote it, or a later one"},
		{sealedstore.ErrSealed, "name its key file: store-key in the configuration, or --store-key"},
		{sealedstore.ErrNotSealed, "with the daemon stopped, tokenwheel store rekey seals it; or take store-key out of the configuration"},
		{sealedstore.ErrUnknownKey, "put that key back into the key file, from where it is kept a second time"},
		{sealedstore.ErrForged, "tokenwheel store check says which values; restore a backup if somebody else could write to the file"},
		{boltstore.ErrInsecure, "see who owns the file and its directory, and run this as the daemon's user"},
		{os.ErrExist, "name a file that is not there yet"},
		{os.ErrNotExist, "check the path: neither the store nor a directory is made here"},
	} {
		if errors.Is(err, c.is) {
			return advise(err, "%s", c.next)
		}
	}
	return advise(err, "see that no other daemon runs, and who owns the file and its directory")
}

// readKeys reads a key file; nil for none.
func readKeys(path string) (*sealedstore.Keys, error) {
	if path == "" {
		return nil, nil
	}
	return sealedstore.ReadKeys(path)
}

func newStoreBackup() *cobra.Command {
	c := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a verified copy of the store",
		Long: `Write a copy of a stopped daemon's store to FILE, which must not be there yet, with
mode 0600. The copy is verified, and appears whole or not at all. It holds what the
store holds and nothing of what was deleted; where the store is sealed, so is it,
and the key file is needed to read it. Keep that elsewhere.

To go back, stop the daemon and copy the file to the store's place.`,
		Args: cobra.ExactArgs(1),
	}
	flags := addStoreFlags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		path, _, err := flags.find()
		if err != nil {
			return err
		}
		if err := boltstore.Backup(path, args[0], boltstore.Options{}); err != nil {
			return adviseStore(err)
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s: copied to %s and verified\n", printable(path), printable(args[0]))
		return err
	}
	return c
}

func newStoreCompact() *cobra.Command {
	c := &cobra.Command{
		Use:   "compact",
		Short: "Write the store's file anew, without free pages",
		Long: `Write a stopped daemon's store into a new file and put that in its place, with the
same mode and owner. The old file is there until the new one is verified and on the
disk. The daemon does so itself when it starts and less than half of the file is used.`,
		Args: cobra.NoArgs,
	}
	flags := addStoreFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		path, _, err := flags.find()
		if err != nil {
			return err
		}
		before, after, err := boltstore.Compact(path, boltstore.Options{})
		if err != nil {
			return adviseStore(err)
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %d bytes, now %d\n", printable(path), before, after)
		return err
	}
	return c
}

func newStoreKey() *cobra.Command {
	return &cobra.Command{
		Use:   "key FILE",
		Short: "Make a key for the store",
		Long: `Make a key and put it into FILE, in front of those that are there; a new file gets
mode 0600. The configuration names the file as store-key. The first key of the file
seals what the daemon writes from its next start on, the others still open. Keep a
copy of the file away from the store and its backups: without it they are lost.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := sealedstore.AddKey(args[0])
			if err != nil {
				return advise(err, "name a file in a directory that is writable by its owner alone, and see that the daemon's user owns both")
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: key %s is the first now\n", printable(args[0]), id)
			return err
		},
	}
}

func newStoreRekey() *cobra.Command {
	c := &cobra.Command{
		Use:   "rekey",
		Short: "Seal every value of the store with the first key",
		Long: `Seal every value of a stopped daemon's store with the first key of the key file:
those of older keys, which may then be taken out of the file, and all of a store that
was not sealed before. Such a store is compacted too, so that nothing in clear stays
in its file; what the disk keeps of deleted files is another matter.

Cut short, it leaves values of both kinds. Run it again.`,
		Args: cobra.NoArgs,
	}
	flags := addStoreFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		path, keyFile, err := flags.find()
		if err != nil {
			return err
		}
		if keyFile == "" {
			return advise(fmt.Errorf("store %s: no key file", path), "name one as store-key in the configuration; tokenwheel store key makes it")
		}
		n, err := rekey(c.Context(), path, keyFile)
		if err != nil {
			return adviseStore(err)
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %d values sealed with the first key of %s\n", printable(path), n, printable(keyFile))
		return err
	}
	return c
}

// rekey opens a store that is there, seals its values, and leaves nothing of the
// old ones in its file.
func rekey(ctx context.Context, path, keyFile string) (n int, err error) {
	keys, err := sealedstore.ReadKeys(keyFile)
	if err != nil {
		return 0, err
	}
	if _, err := os.Lstat(path); err != nil {
		return 0, err // Open would make it
	}
	s, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		return 0, err
	}
	n, err = sealedstore.Rekey(ctx, s, keys)
	if err := errors.Join(err, s.Close()); err != nil {
		return n, err
	}
	_, _, err = boltstore.Compact(path, boltstore.Options{})
	return n, err
}
