package scale

import (
	"bufio"
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Parse reads figures as programs print them: name, value and unit in a line.
func Parse(text []byte) (map[string]float64, error) {
	figures := map[string]float64{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) != 3 {
			return nil, fmt.Errorf("figure %q: want name, value and unit", lines.Text())
		}
		value, err := strconv.ParseFloat(fields[1], 64)
		if err != nil {
			return nil, fmt.Errorf("figure %q: %w", fields[0], err)
		}
		figures[fields[0]] = value
	}
	return figures, nil
}

// row is a figure of the table of costs.
type row struct {
	What, Figure string
	Unit         string
	PerToken     bool // the figure is one of an application
	Plotted      bool
}

// rows are the figures that a sweep tells of, in the order of the table.
var rows = []row{
	{What: "register in memory, first renewal included", Figure: "memory.register.time", Unit: "s"},
	{What: "CPU of registering", Figure: "memory.register.cpu", Unit: "µs a token", PerToken: true, Plotted: true},
	{What: "the engine's live heap, token bytes not counted", Figure: "memory.registered.engine.token", Unit: "B a token", Plotted: true},
	{What: "resident memory, all in", Figure: "memory.registered.rss", Unit: "MB", Plotted: true},
	{What: "goroutines", Figure: "memory.registered.goroutines", Unit: ""},
	{What: "renewals while quiet", Figure: "memory.quiet.renewals", Unit: "a second"},
	{What: "CPU while quiet, these renewals included", Figure: "memory.quiet.cpu", Unit: "% of a core", Plotted: true},
	{What: "CPU with nothing due", Figure: "none.quiet.cpu", Unit: "% of a core"},
	{What: "CPU of registering durably", Figure: "durable.register.cpu", Unit: "µs a token", PerToken: true},
	{What: "restart from the store until all timers are set", Figure: "durable.restart.armed", Unit: "s"},
	{What: "CPU of that", Figure: "durable.restart.cpu", Unit: "s", Plotted: true},
	{What: "the engine's live heap then", Figure: "durable.restarted.engine.token", Unit: "B a token"},
}

// Table writes what was measured at each size as Markdown.
func Table(sizes []int, perApp int, measured []map[string]float64) string {
	var b strings.Builder
	b.WriteString("| |")
	for _, n := range sizes {
		fmt.Fprintf(&b, " %s tokens |", grouped(n))
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(sizes)) + "\n")
	for _, r := range rows {
		b.WriteString("| " + r.What + " |")
		for _, m := range measured {
			v, ok := r.value(m, perApp)
			if !ok {
				b.WriteString(" – |")
				continue
			}
			fmt.Fprintf(&b, " %s |", strings.TrimSpace(short(v)+" "+r.Unit))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// Lines are the rows that are plotted.
func Lines(sizes []int, perApp int, measured []map[string]float64) []Line {
	var lines []Line
	for _, r := range rows {
		if !r.Plotted {
			continue
		}
		l := Line{Name: fmt.Sprintf("%s (%s)", strings.TrimSuffix(strings.TrimPrefix(r.Figure, "memory."), ".token"), r.Unit)}
		for i, m := range measured {
			if v, ok := r.value(m, perApp); ok && v > 0 {
				l.Points = append(l.Points, [2]float64{float64(sizes[i]), v})
			}
		}
		lines = append(lines, l)
	}
	return lines
}

func (r row) value(m map[string]float64, perApp int) (float64, bool) {
	v, ok := m[r.Figure]
	if r.PerToken {
		v /= float64(perApp)
	}
	return v, ok
}

// short is a value in three digits or so.
func short(v float64) string {
	if v >= 100 {
		return grouped(int(v + 0.5))
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

// grouped is a number with commas.
func grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
