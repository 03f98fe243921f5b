package main

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/tokenwheel/tokenwheel/test/real/cluster"
)

const peerClass = "tokenwheel.beside.Peer"

// nothing is the figure of a side that has none.
var nothing = math.NaN()

// figures are what a side printed, by name: a line "name value unit" each, several of a name for several rounds.
type figures map[string][]float64

func (f figures) one(name string) (float64, error) {
	if len(f[name]) == 0 {
		return 0, fmt.Errorf("no figure %q", name)
	}
	return median(f[name]), nil
}

func parseFigures(text string) (figures, error) {
	f := figures{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			return nil, fmt.Errorf("figure %q: want name, value and unit", strings.TrimSpace(line))
		}
		v, err := strconv.ParseFloat(fields[1], 64)
		if err != nil {
			return nil, fmt.Errorf("figure %q: %w", strings.TrimSpace(line), err)
		}
		f[fields[0]] = append(f[fields[0]], v)
	}
	return f, nil
}

// yarn runs YARN's side of a row. C is nil where it needs no NameNode.
func (b *bench) yarn(ctx context.Context, c *cluster.Cluster, row string, args ...string) (figures, error) {
	out, err := b.peer.Run(ctx, c, peerClass, append([]string{row}, args...)...)
	if err != nil {
		return nil, err
	}
	return parseFigures(out)
}

func arg(name string, value int) string { return name + "=" + strconv.Itoa(value) }
