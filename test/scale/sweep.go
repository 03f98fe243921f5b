package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/tokenwheel/tokenwheel/internal/scale"
)

const tokensPerApp = 10

// sweep runs this program once for each size and mode, since one process would
// show the memory of the largest in all.
func sweep(list string, durable int, svg string) error {
	var sizes []int
	var measured []map[string]float64
	for _, text := range strings.Split(list, ",") {
		size, err := strconv.Atoi(text)
		if err != nil || size < tokensPerApp {
			return fmt.Errorf("size %q: want a number of tokens, %d or more", text, tokensPerApp)
		}
		all := map[string]float64{}
		for _, mode := range []string{"memory", "none", "durable"} {
			if mode == "durable" && size > durable {
				continue
			}
			figures, err := child(mode, size)
			if err != nil {
				return fmt.Errorf("measure %d tokens, %s: %w", size, mode, err)
			}
			maps.Copy(all, figures)
		}
		sizes, measured = append(sizes, size), append(measured, all)
	}
	fmt.Print(scale.Table(sizes, tokensPerApp, measured))
	if svg == "" {
		return nil
	}
	f, err := os.Create(svg)
	if err != nil {
		return err
	}
	if err := scale.Plot(f, "What the engine costs as tokens grow, ten an application", scale.Lines(sizes, tokensPerApp, measured)); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

func child(mode string, size int) (map[string]float64, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "-mode", mode, "-apps", strconv.Itoa(size/tokensPerApp), "-tokens", strconv.Itoa(tokensPerApp), "-quiet", "15s")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	_, _ = os.Stderr.Write(out)
	return scale.Parse(out)
}
