package krb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	maxProfile      = 1 << 20 // bytes of one krb5.conf
	maxIncludeDepth = 10
	maxNesting      = 16
)

// profile collects the relations of krb5.conf files: MIT's profile format, in
// file order. Its grammar is that of MIT's "krb5.conf" manual page and
// profile library.
type profile struct {
	relations []relation
	files     int
}

// relation is one "tag = value" with the section and blocks it stands in.
type relation struct {
	path  []string
	value string
	file  string
	line  int
}

func (r *relation) is(section string, depth int) bool {
	return len(r.path) == depth && r.path[0] == section
}

func (p *profile) readFile(path string, depth int) error {
	if p.files++; depth > maxIncludeDepth || p.files > 1000 {
		return &ConfigError{File: path, Err: errors.New("too many files included, or a file includes itself")}
	}
	b, err := readCapped(path, maxProfile)
	if err != nil {
		return &ConfigError{File: path, Err: err}
	}
	return p.readText(path, string(b), depth)
}

func (p *profile) readText(name, text string, depth int) error {
	s := scan{profile: p, file: name, depth: depth}
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		s.line++
		if err := s.read(strings.TrimRight(line, "\r\n")); err != nil {
			var inner *ConfigError
			if errors.As(err, &inner) {
				return err
			}
			return &ConfigError{File: name, Line: s.line, Err: err}
		}
	}
	if len(s.path) > 1 {
		return &ConfigError{File: name, Line: s.line, Err: fmt.Errorf("block %q is not closed", s.path[len(s.path)-1])}
	}
	return nil
}

// scan is the state of reading one file.
type scan struct {
	profile *profile
	file    string
	line    int
	depth   int      // of includes
	path    []string // section and open blocks
	skip    bool     // a block was announced and its brace stands on the next line
}

func (s *scan) read(line string) error {
	if directive, arg, ok := strings.Cut(line, " "); ok {
		switch directive { // only at the very start of a line, as MIT has it
		case "include":
			return s.include(strings.TrimSpace(arg))
		case "includedir":
			return s.includeDir(strings.TrimSpace(arg))
		case "module": // a plugin of MIT's library; nothing of ours is in there
			return nil
		}
	}
	line = strings.TrimSpace(line)
	switch {
	case line == "" || line[0] == ';' || line[0] == '#':
		return nil
	case line[0] == '[':
		return s.section(line)
	case line[0] == '}':
		if len(s.path) < 2 {
			return errors.New("} without a block")
		}
		s.path = s.path[:len(s.path)-1]
		return nil
	case line == "{" && s.skip:
		s.skip = false
		return nil
	}
	return s.relation(line)
}

func (s *scan) section(line string) error {
	name, rest, ok := strings.Cut(line[1:], "]")
	if !ok || strings.TrimSpace(name) == "" {
		return fmt.Errorf("section header %q is not closed", line)
	}
	if rest = strings.TrimSpace(rest); rest != "" && rest != "*" {
		return fmt.Errorf("text after section header [%s]", name)
	}
	if len(s.path) > 1 {
		return fmt.Errorf("section [%s] starts inside block %q", name, s.path[len(s.path)-1])
	}
	s.path = []string{strings.TrimSpace(name)}
	return nil
}

func (s *scan) relation(line string) error {
	if len(s.path) == 0 {
		return fmt.Errorf("%q stands before the first section", line)
	}
	tag, value, ok := strings.Cut(line, "=")
	if !ok {
		return fmt.Errorf("%q is no \"tag = value\"", line)
	}
	// A final mark tells MIT to ignore later files; the first value wins here anyway.
	tag = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(tag), "*"))
	if tag == "" {
		return errors.New("empty tag")
	}
	value = strings.TrimSpace(value)
	path := append(append([]string(nil), s.path...), tag)
	if value == "{" || value == "" {
		if len(path) > maxNesting {
			return errors.New("blocks are nested too deep")
		}
		s.path, s.skip = path, value == ""
		return nil
	}
	if s.skip {
		return fmt.Errorf("block %q has no opening brace", s.path[len(s.path)-1])
	}
	value, err := unquote(value)
	if err != nil {
		return err
	}
	s.profile.relations = append(s.profile.relations, relation{path: path, value: value, file: s.file, line: s.line})
	return nil
}

// unquote reads MIT's double-quoted values with \n, \t, \b, \" and \\.
func unquote(value string) (string, error) {
	inner, quoted := strings.CutPrefix(value, `"`)
	if !quoted {
		return value, nil
	}
	var b strings.Builder
	for i := 0; i < len(inner); i++ {
		switch c := inner[i]; {
		case c == '"':
			return b.String(), nil
		case c == '\\' && i+1 < len(inner):
			i++
			if at := strings.IndexByte("ntb", inner[i]); at >= 0 {
				b.WriteByte("\n\t\b"[at])
			} else {
				b.WriteByte(inner[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", errors.New("quoted value is not closed")
}

func (s *scan) include(path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("include %q: the path must be absolute", path)
	}
	return s.profile.readFile(path, s.depth+1)
}

// includeDir takes files whose names are letters, digits, dashes and
// underscores, or end in .conf and have no dot at the start: MIT's rule, which
// keeps editors' and packagers' leavings out.
func (s *scan) includeDir(dir string) error {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("includedir %q: the path must be absolute", dir)
	}
	files, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return fmt.Errorf("includedir: %w", err)
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || !includable(f.Name()) {
			continue
		}
		if err := s.profile.readFile(path, s.depth+1); err != nil {
			return err
		}
	}
	return nil
}

func includable(name string) bool {
	if strings.HasSuffix(name, ".conf") && name[0] != '.' {
		return true
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return !(r == '-' || r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z')
	})
}
