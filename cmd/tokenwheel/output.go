package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
)

// outputFormat is the value of -o.
type outputFormat string

const (
	asTable outputFormat = "table"
	asJSON  outputFormat = "json"
	asYAML  outputFormat = "yaml"
)

func (f *outputFormat) String() string { return string(*f) }

// Set implements pflag.Value.
func (f *outputFormat) Set(s string) error {
	switch v := outputFormat(s); v {
	case asTable, asJSON, asYAML:
		*f = v
		return nil
	}
	return fmt.Errorf("want table, json or yaml")
}

// Type implements pflag.Value.
func (f *outputFormat) Type() string { return "table|json|yaml" }

func outputFlag(c *cobra.Command) *outputFormat {
	f := asTable
	c.Flags().VarP(&f, "output", "o", "how to print")
	return &f
}

// write prints v as JSON or YAML, or calls show for the table.
func (f outputFormat) write(w io.Writer, v any, show func(*table)) error {
	switch f {
	case asJSON:
		b, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s\n", printableJSON(b))
		return err
	case asYAML:
		return writeYAML(w, v)
	}
	t := &table{tw: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	show(t)
	return t.tw.Flush()
}

// writeYAML goes through JSON, so that both show the same keys in the same order.
func writeYAML(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	tree, err := printableTree(dec)
	if err != nil {
		return err
	}
	out, err := yaml.Marshal(tree)
	if err != nil {
		return err
	}
	_, err = w.Write(out)
	return err
}

// printableTree reads one JSON value, keeps the order of keys and escapes texts:
// the YAML library passes control characters through.
func printableTree(dec *json.Decoder) (any, error) {
	tok, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch v := tok.(type) {
	case json.Delim:
		if v == '{' {
			return printableMap(dec)
		}
		list := []any{}
		for dec.More() {
			item, err := printableTree(dec)
			if err != nil {
				return nil, err
			}
			list = append(list, item)
		}
		_, err = dec.Token()
		return list, err
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n, nil
		}
		return v.Float64()
	case string:
		return printable(v), nil
	}
	return tok, nil
}

func printableMap(dec *json.Decoder) (any, error) {
	m := yaml.MapSlice{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		value, err := printableTree(dec)
		if err != nil {
			return nil, err
		}
		m = append(m, yaml.MapItem{Key: printable(key.(string)), Value: value})
	}
	_, err := dec.Token()
	return m, err
}

// table writes aligned columns. Cells come from outside and are escaped.
type table struct{ tw *tabwriter.Writer }

func (t *table) row(cells ...string) {
	for i, c := range cells {
		if c == "" {
			c = "-"
		}
		cells[i] = printable(c)
	}
	_, _ = fmt.Fprintln(t.tw, strings.Join(cells, "\t"))
}

// line writes one line outside the columns.
func (t *table) line(format string, args ...any) {
	_ = t.tw.Flush()
	_, _ = fmt.Fprintln(t.tw, printable(fmt.Sprintf(format, args...)))
}

// printable escapes everything that is no visible character or space, such as
// terminal sequences and marks that change the direction of writing.
func printable(s string) string {
	if !strings.ContainsFunc(s, invisible) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if invisible(r) {
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func invisible(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsGraphic(r) }

// printableLines is printable for a text of several lines.
func printableLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = printable(l)
	}
	return strings.Join(lines, "\n")
}

// printableJSON writes what encoding/json leaves as it is, and a terminal would
// obey, in JSON's own escapes.
func printableJSON(b []byte) []byte {
	var out bytes.Buffer
	for _, r := range string(b) {
		if r < unicode.MaxASCII || unicode.IsGraphic(r) {
			out.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			_, _ = fmt.Fprintf(&out, `\u%04x`, unit)
		}
	}
	return out.Bytes()
}

// date is an instant for people, in UTC; "" for none.
func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}
