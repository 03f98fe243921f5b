// Command beside measures YARN's own token renewer and ours side by side: the same machine, the same run, the same
// NameNode. It prints one table with the ratio of each row. The peer is YARN's class DelegationTokenRenewer, unchanged,
// in a JVM (java/); nothing of it runs with the real tier.
//
//	go run ./beside                # all rows, about ten minutes on 2 cores
//	go run ./beside -rows losses   # one of memory, namenode, lateness, losses
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/tokenwheel/tokenwheel/test/real/cluster"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "beside:", err)
		os.Exit(1)
	}
}

// bench is what the rows share.
type bench struct {
	peer  *cluster.Program
	dir   string
	quick bool
	table table

	profile string // file for a CPU profile of the engine at the NameNode; "": none
}

// groups are the rows that are measured together, in the order of the table.
var groups = []struct {
	name    string
	measure func(*bench, context.Context) error
}{
	{"memory", (*bench).memory},
	{"namenode", (*bench).nameNode},
	{"lateness", (*bench).lateness},
	{"losses", (*bench).losses},
}

func run() (err error) {
	var names []string
	for _, g := range groups {
		names = append(names, g.name)
	}
	rows := flag.String("rows", strings.Join(names, ","), "comma list of the groups of rows to measure")
	quick := flag.Bool("quick", false, "a tenth of the sizes: shows that the command works, and no figures worth keeping")
	profile := flag.String("cpuprofile", "", "write a CPU profile of one burst of scheduled renewals at the NameNode to this file")
	flag.Parse()
	chosen := strings.Split(*rows, ",")
	for _, name := range chosen {
		if !slices.Contains(names, name) {
			return fmt.Errorf("no row %q; there are %q", name, names)
		}
	}
	ctx, stop := context.WithTimeout(context.Background(), 30*time.Minute)
	defer stop()

	b := &bench{quick: *quick, profile: *profile}
	if b.dir, err = os.MkdirTemp("", "tokenwheel-beside-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	source, err := sourceDir()
	if err != nil {
		return err
	}
	b.peer, err = cluster.Compile(ctx, filepath.Join(source, "pom.xml"), filepath.Join(source, "java"), b.dir)
	if err != nil {
		return err
	}
	for _, g := range groups {
		if !slices.Contains(chosen, g.name) {
			continue
		}
		began := time.Now()
		if err := g.measure(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
		fmt.Fprintf(os.Stderr, "%s measured in %.0f s\n", g.name, time.Since(began).Seconds())
	}
	fmt.Printf("%s, %d cores, %s\n\n%s", runtime.GOARCH, runtime.NumCPU(), runtime.Version(), b.table)
	return nil
}

func sourceDir() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(file) {
		return "", errors.New("the sources of the peer cannot be found (built with -trimpath?)")
	}
	return filepath.Dir(file), nil
}

// size is n, or a tenth of it in a quick run.
func (b *bench) size(n int) int {
	if b.quick {
		return n / 10
	}
	return n
}
