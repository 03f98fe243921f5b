package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// table is what is printed: YARN and us, and how many times better ours is.
type table []row

type row struct {
	what       string
	yarn, ours float64 // NaN, written by none, where a side has nothing of the kind
	unit       string
	less       bool   // the smaller figure is the better one
	aim        string // what the row should come to
}

// add adds a row and shows it at once, since a run takes minutes.
func (t *table) add(r row) {
	*t = append(*t, r)
	fmt.Fprintf(os.Stderr, "%s: %s, %s (%s)\n", r.what, cell(r.yarn, r.unit), cell(r.ours, r.unit), r.ratio())
}

// String is the table in Markdown.
func (t table) String() string {
	var s strings.Builder
	w := tabwriter.NewWriter(&s, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "| what\t| YARN 3.4.2\t| tokenwheel\t| ratio\t| aim\t|")
	fmt.Fprintln(w, "|---\t|---\t|---\t|---\t|---\t|")
	for _, r := range t {
		fmt.Fprintf(w, "| %s\t| %s\t| %s\t| %s\t| %s\t|\n", r.what, cell(r.yarn, r.unit), cell(r.ours, r.unit), r.ratio(), r.aim)
	}
	_ = w.Flush() // a strings.Builder takes everything
	return s.String()
}

func cell(v float64, unit string) string {
	if v != v {
		return "–"
	}
	digits := 0
	if v < 10 && v != float64(int(v)) {
		digits = 2
	}
	return strconv.FormatFloat(v, 'f', digits, 64) + " " + unit
}

// ratio tells how many times better ours is, or worse where it is below 1.
func (r row) ratio() string {
	better, worse := r.ours, r.yarn
	if r.less {
		better, worse = worse, better
	}
	if better != better || worse != worse || worse == 0 {
		return "–"
	}
	return strconv.FormatFloat(better/worse, 'f', 2, 64)
}

// median of a list that is not empty; the list is sorted.
func median(v []float64) float64 {
	slices.Sort(v)
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}
