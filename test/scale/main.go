// Command scale measures registrations, memory, restart and quiet work of the
// engine, one line of name, value and unit for each figure.
//
//	go run ./test/scale -mode memory -apps 200000
//	go run ./test/scale -mode durable -apps 30000 -pace 1000
//	go run ./test/scale -sweep 10000,100000,1000000,10000000 -svg docs/scale.svg
//
// A sweep measures each size in a process of its own, ten tokens an application,
// and prints a table.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/scale"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func run() error {
	mode := flag.String("mode", "memory", "memory: in memory, each token renewed once; none: the same without renewal; durable: as memory, with a store file")
	apps := flag.Int("apps", 200_000, "applications to register")
	tokens := flag.Int("tokens", 1, "tokens of each application")
	callers := flag.Int("callers", 1024, "goroutines that register")
	workers := flag.Int("workers", 16, "calls to the provider at a time")
	pace := flag.Int("pace", 0, "registrations that begin in a second, each timed; 0: as many as the callers can")
	quiet := flag.Duration("quiet", 0, "how long to watch once all is registered")
	dir := flag.String("dir", "", "directory for the store file; default: a temporary one")
	cpu := flag.String("cpuprofile", "", "write a CPU profile to this file")
	heap := flag.String("memprofile", "", "write a heap profile to this file, taken at the end")
	sizes := flag.String("sweep", "", "measure these numbers of tokens instead, and print a table")
	durable := flag.Int("durable-to", 1_000_000, "the largest number of tokens that a sweep stores in a file")
	svg := flag.String("svg", "", "write the sweep's plot to this file")
	flag.Parse()
	if *sizes != "" {
		return sweep(*sizes, *durable, *svg)
	}

	load := scale.Load{Apps: *apps, Tokens: *tokens, Callers: *callers, Workers: *workers, Pace: *pace, Quiet: *quiet}
	switch *mode {
	case "memory":
		load.Renew = true
	case "none":
	case "durable":
		load.Renew = true
		temporary, err := os.MkdirTemp(*dir, "scale-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(temporary) }()
		load.Store = filepath.Join(temporary, "apps.db")
	default:
		return fmt.Errorf("mode %q: want memory, none or durable", *mode)
	}
	if *cpu != "" {
		f, err := os.Create(*cpu)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	ctx, stop := context.WithTimeout(context.Background(), 30*time.Minute)
	defer stop()
	if *heap != "" {
		load.Registered = func() { _ = writeHeap(*heap) }
	}
	figures, err := scale.Measure(ctx, load)
	for _, f := range figures {
		fmt.Println(*mode + "." + f.String())
	}
	return err
}

func writeHeap(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	runtime.GC()
	return pprof.Lookup("heap").WriteTo(f, 0)
}
