package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/appregistry/boltstore"
	"github.com/tokenwheel/tokenwheel/appregistry/sealedstore"
)

// storeReport is what a check of a store found.
type storeReport struct {
	Store   string         `json:"store"`
	Schema  uint32         `json:"schema"`
	Size    int64          `json:"size"`
	Used    int64          `json:"used"`
	Records map[string]int `json:"records"` // that are well, by kind
	Lost    uint64         `json:"lost"`    // records that should be there and cannot be read
	// Keys counts the sealed values by the id of their key, values in clear under
	// "none".
	Keys     map[string]int `json:"keys,omitempty"`
	Backup   string         `json:"backup,omitempty"`  // the last verified one
	BackupOf time.Time      `json:"backupOf,omitzero"` // when it was made
	Warnings []string       `json:"warnings,omitempty"`
	Problems []string       `json:"problems,omitempty"`

	sealed bool
	keys   *sealedstore.Keys
}

func newStoreCheck() *cobra.Command {
	c := &cobra.Command{
		Use:   "check",
		Short: "Read the whole store and say whether all is well",
		Long: `Read all pages and records of a stopped daemon's store, without changing it, and
say what is in it: of a sealed one too, if its key file is named. Of a damaged one say
what is lost and which backup there is. Exit code 4 when something is wrong.

One damaged meta page of the two is a warning only: a loss of power during a commit
leaves that, and then nothing that was acknowledged is missing. A page that went bad
later looks the same, and then the last commit is.`,
		Args: cobra.NoArgs,
	}
	flags, output := addStoreFlags(c), outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		path, keyFile, err := flags.find()
		if err != nil {
			return err
		}
		keys, err := readKeys(keyFile)
		if err != nil {
			return advise(err, "see that this is the daemon's key file, and run this as the daemon's user")
		}
		r, err := checkStore(path, keys)
		if err != nil {
			return adviseStore(err)
		}
		if err := output.write(c.OutOrStdout(), r, r.show); err != nil {
			return err
		}
		return r.err()
	}
	return c
}

// checkStore inspects a file twice: whether it is sealed is known from one of its
// records, wherever that is.
func checkStore(path string, keys *sealedstore.Keys) (*storeReport, error) {
	r := &storeReport{Store: path, Records: map[string]int{}, Keys: map[string]int{}, keys: keys}
	if _, err := boltstore.Inspect(path, boltstore.Options{}, func(key, _ []byte) error {
		r.sealed = r.sealed || sealedstore.IsMarker(key)
		return nil
	}); err != nil {
		return nil, err
	}
	file, err := boltstore.Inspect(path, boltstore.Options{}, func(key, stored []byte) error {
		r.record(key, stored)
		return nil
	})
	if err != nil {
		return nil, err
	}
	r.Schema, r.Size, r.Used = file.Schema, file.Size, file.Used
	if file.Known && file.Expected > file.Records {
		r.Lost = file.Expected - file.Records
	}
	for _, damage := range file.Damage {
		r.Problems = append(r.Problems, damage.Error())
	}
	if file.BadMeta {
		r.Warnings = append(r.Warnings, "one of two meta pages is damaged: unless the power went during a commit, the last commit is missing")
	}
	if len(file.Damage) > 0 && !file.Known {
		r.Warnings = append(r.Warnings, "how many records there should be is not known")
	}
	if r.sealed && keys == nil {
		r.Warnings = append(r.Warnings, "it is sealed and no key file is named: its values were not opened")
	}
	if !r.sealed && keys != nil {
		r.Problems = append(r.Problems, "it is not sealed, and there is a key file: the daemon does not open it")
	}
	if to, at := boltstore.LastBackup(path); to != "" {
		r.Backup, r.BackupOf = to, at
	}
	return r, nil
}

// maxProblems is how many problems of records are told.
const maxProblems = 100

// record counts one record and notes what is wrong with it.
func (r *storeReport) record(key, stored []byte) {
	if sealedstore.IsMarker(key) {
		return
	}
	value, err := stored, error(nil)
	id := ""
	if r.sealed {
		id = sealedstore.KeyOf(stored)
		if r.keys == nil {
			r.Keys[id]++
			r.Records["sealed"]++
			return
		}
		value, err = r.keys.Unseal(key, stored)
		r.Keys[id]++
	}
	kind := "header"
	if err == nil && string(key) != kind {
		kind, err = appregistry.Inspect(key, value)
	}
	if err == nil {
		if kind == "" {
			kind = "other"
		}
		r.Records[kind]++
	} else if len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, err.Error())
	}
}

func (r *storeReport) show(t *table) {
	t.row("Store:", r.Store)
	t.row("Schema:", strconv.FormatUint(uint64(r.Schema), 10))
	t.row("Size:", fmt.Sprintf("%d bytes, %d of them used", r.Size, r.Used))
	for _, kind := range slices.Sorted(maps.Keys(r.Records)) {
		t.row("Records "+kind+":", strconv.Itoa(r.Records[kind]))
	}
	if r.Lost > 0 {
		t.row("Records lost:", strconv.FormatUint(r.Lost, 10))
	}
	for _, id := range slices.Sorted(maps.Keys(r.Keys)) {
		if id == "" {
			t.row("In clear:", strconv.Itoa(r.Keys[id]))
			continue
		}
		t.row("Key "+id+":", strconv.Itoa(r.Keys[id]))
	}
	if r.Backup != "" {
		t.row("Last backup:", r.Backup+" of "+date(r.BackupOf))
	}
	for _, w := range r.Warnings {
		t.line("warning: %s", w)
	}
	for _, p := range r.Problems {
		t.line("problem: %s", p)
	}
}

func (r *storeReport) err() error {
	if len(r.Problems) == 0 {
		return nil
	}
	err := fmt.Errorf("%w: store %s has %d problems, %d records lost; %s", errFound, r.Store, len(r.Problems), r.Lost, r.Problems[0])
	switch {
	case !r.sealed && r.keys != nil:
		return advise(err, "tokenwheel store rekey seals it; or take store-key out of the configuration")
	case r.Backup != "":
		return advise(err, "with the daemon stopped, move the file away and copy %s, made %s, to its place, mode 0600", r.Backup, date(r.BackupOf))
	}
	return advise(err, "no backup made by tokenwheel store backup is known; restore the file from where you keep copies, or move it away: the daemon then begins with no applications")
}
