// Package conformance keeps docs/conformance.md honest: the page lists every
// statement the project was built from, and its test compares what the page says
// with the tests that are there. It holds no product code.
package conformance

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Row is one statement.
type Row struct {
	ID, Statement, Status, Note string
	Tests                       []string // sorted
}

// Page is the parsed document: its lines, and the rows among them by line.
type Page struct {
	lines []string
	rows  map[int]*Row
	byID  map[string]*Row // by id without dash
}

var rowPattern = regexp.MustCompile(`^\| ([A-Z]+-?[A-Z]*[0-9]+) \| (.*) \| (\w+) \| (.*) \| ?(.*) ?\|$`)

// Parse reads the document. A line that begins like a row but is not one, a
// status that does not exist and a second row of one id are errors.
func Parse(text string) (*Page, error) {
	p := &Page{lines: strings.Split(text, "\n"), rows: map[int]*Row{}, byID: map[string]*Row{}}
	for n, line := range p.lines {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| id ") {
			continue
		}
		m := rowPattern.FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf("line %d is no row: %q", n+1, line)
		}
		r := &Row{ID: m[1], Statement: m[2], Status: m[3], Note: strings.TrimSpace(m[5])}
		if t := strings.TrimSpace(m[4]); t != "" {
			r.Tests = strings.Split(t, ", ")
		}
		if !slices.Contains([]string{"shown", "open", "refused"}, r.Status) {
			return nil, fmt.Errorf("line %d: %s has status %q; want shown, open or refused", n+1, r.ID, r.Status)
		}
		if r.Status == "refused" && r.Note == "" {
			return nil, fmt.Errorf("line %d: %s is refused without a reason", n+1, r.ID)
		}
		key := Normal(r.ID)
		if p.byID[key] != nil {
			return nil, fmt.Errorf("line %d: a second row of %s", n+1, r.ID)
		}
		p.rows[n], p.byID[key] = r, r
	}
	return p, nil
}

// Normal is an id as tests carry it: without dashes.
func Normal(id string) string { return strings.ReplaceAll(id, "-", "") }

// Apply sets status and tests of every row by what the tests show, and returns
// the ids that tests claim but the page does not list. Refused rows stay refused.
func (p *Page) Apply(shown map[string][]string) (unknown []string) {
	for id := range shown {
		if p.byID[id] == nil {
			unknown = append(unknown, id)
		}
	}
	slices.Sort(unknown)
	for id, r := range p.byID {
		r.Tests = shown[id]
		switch {
		case r.Status == "refused":
		case len(r.Tests) > 0:
			r.Status = "shown"
		default:
			r.Status = "open"
		}
	}
	return unknown
}

// String is the document with its rows as they are now.
func (p *Page) String() string {
	out := slices.Clone(p.lines)
	for n, r := range p.rows {
		out[n] = fmt.Sprintf("| %s | %s | %s | %s | %s |", r.ID, r.Statement, r.Status, strings.Join(r.Tests, ", "), r.Note)
	}
	return strings.Join(out, "\n")
}

// Count tells how many rows have a status.
func (p *Page) Count(status string) (n int) {
	for _, r := range p.rows {
		if r.Status == status {
			n++
		}
	}
	return n
}
