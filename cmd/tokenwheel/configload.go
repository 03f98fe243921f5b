package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// problem is one thing that is wrong with a configuration.
type problem struct {
	key  string      // path of the key, such as renewal.jitter; "" where text says it
	text string      // what is wrong and what to do
	at   token.Token // the place; zero: nowhere in the file
}

// problems are all that was found in one file. As an error it shows each with
// its line and a caret.
type problems struct {
	file   string
	source []string
	list   []problem
}

// Error lists the problems in the order of the file.
func (p *problems) Error() string {
	var b strings.Builder
	list := slices.Clone(p.list)
	slices.SortStableFunc(list, func(a, b problem) int { return cmp.Or(lineOf(a)-lineOf(b), columnOf(a)-columnOf(b)) })
	for _, one := range list {
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		p.write(&b, one)
	}
	return b.String()
}

func lineOf(p problem) int {
	if p.at.Position == nil {
		return 0
	}
	return p.at.Position.Line
}

func columnOf(p problem) int {
	if p.at.Position == nil {
		return 0
	}
	return p.at.Position.Column
}

func (p *problems) write(b *strings.Builder, one problem) {
	b.WriteString(p.file)
	line := lineOf(one)
	if line > 0 {
		fmt.Fprintf(b, ":%d:%d", line, columnOf(one))
	}
	b.WriteString(": ")
	if one.key != "" {
		b.WriteString(one.key + ": ")
	}
	b.WriteString(one.text)
	if line == 0 || line > len(p.source) {
		return
	}
	for n := max(1, line-1); n <= line; n++ {
		fmt.Fprintf(b, "\n%5d | %s", n, strings.ReplaceAll(p.source[n-1], "\t", " "))
	}
	fmt.Fprintf(b, "\n      | %s^", strings.Repeat(" ", max(0, columnOf(one)-1)))
}

func (p *problems) add(one problem) { p.list = append(p.list, one) }

// loaded is a configuration and what is needed to say where in it something is.
type loaded struct {
	config
	root     ast.Node // nil: an empty file
	broken   bool     // it is no mapping, so that nothing else can be said of it
	wrong    []string // keys whose values could not be read
	problems problems
}

// report notes a problem with the value of a key. Where the value could not be
// read, that was said already.
func (l *loaded) report(key, format string, args ...any) {
	if slices.ContainsFunc(l.wrong, func(w string) bool { return key == w || strings.HasPrefix(key, w+".") }) {
		return
	}
	one := problem{key: key, text: fmt.Sprintf(format, args...)}
	if tok := find(l.root, key); tok != nil {
		one.at = *tok
	}
	l.problems.add(one)
}

// err is what was found, nil if nothing.
func (l *loaded) err() error {
	if len(l.problems.list) == 0 {
		return nil
	}
	return &l.problems
}

// maxConfig bounds the size of a configuration file.
const maxConfig = 1 << 20

// loadConfig reads a configuration file. The error is of the file itself; what is
// wrong in it is in problems.
func loadConfig(path string) (*loaded, error) {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a directory", path)
	}
	if err == nil && info.Size() > maxConfig {
		return nil, advise(fmt.Errorf("configuration: %s: %d bytes; the limit is %d", path, info.Size(), maxConfig), "see that it is a configuration, and shorten it")
	}
	if err != nil {
		return nil, advise(fmt.Errorf("configuration: %w", err), "name the file with --config; tokenwheel config default prints one to begin with")
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, advise(fmt.Errorf("configuration: %w", err), "check who may read the file")
	}
	return parseConfig(path, raw), nil
}

func parseConfig(name string, raw []byte) *loaded {
	l := &loaded{problems: problems{file: name, source: strings.Split(string(raw), "\n")}}
	if err := yaml.UnmarshalWithOptions(fullYAML, &l.config, yaml.Strict()); err != nil {
		panic(err) // a test holds full.yaml to the type
	}
	file, err := parser.ParseBytes(raw, 0)
	if err != nil {
		l.decodeError(err)
		l.broken = true
		return l
	}
	for i, doc := range file.Docs {
		if i == 0 {
			l.root = doc.Body
		} else if doc.Body != nil {
			l.problems.add(problem{text: "a second document: one file holds one configuration", at: *doc.Body.GetToken()})
		}
	}
	if l.root != nil {
		l.decode()
	}
	l.complete()
	return l
}

func (l *loaded) decode() {
	if m, ok := mapping(l.root); ok {
		l.sift(m, reflect.TypeFor[config](), "")
	}
	if find(l.root, "providers") != nil {
		l.Providers = nil
	}
	if err := yaml.NodeToValue(l.root, &l.config); err != nil {
		l.decodeError(err)
		l.broken = true
	}
}

// decodeError keeps message and place of an error of the YAML library.
func (l *loaded) decodeError(err error) {
	one := problem{text: err.Error()}
	if positioned, ok := errors.AsType[yaml.Error](err); ok {
		one.text = positioned.GetMessage()
		if tok := positioned.GetToken(); tok != nil {
			one.at = *tok
		}
	}
	l.problems.add(one)
}

// sift notes every key that the type has no place for and every value that is
// not of its key's type. It takes such values out: the library would stop at the
// first of them, and their defaults let the check go on.
func (l *loaded) sift(m *ast.MappingNode, typ reflect.Type, path string) {
	m.Values = slices.DeleteFunc(m.Values, func(v *ast.MappingValueNode) bool {
		key := join(path, keyOf(v))
		field, ok := fieldOf(typ, keyOf(v))
		if !ok {
			l.problems.add(problem{text: fmt.Sprintf("unknown key %q%s", key, suggestion(path, keyOf(v))), at: *v.Key.GetToken()})
			return false
		}
		if inner, ok := mapping(v.Value); ok && (field.Kind() == reflect.Struct || field.Kind() == reflect.Map) {
			l.sift(inner, field, key)
			return false
		}
		if v.Value.Type() == ast.NullType || len(ast.Filter(ast.AliasType, v.Value)) > 0 {
			return false // left empty, or told by another place of the file
		}
		err := yaml.NodeToValue(v.Value, reflect.New(field).Interface())
		if v.Value.Type() == ast.FloatType && field.Kind() == reflect.Int {
			err = strconv.ErrSyntax // the library would cut it off
		}
		if err == nil {
			return false
		}
		l.problems.add(problem{key: key, text: wrongValue(err, v.Value, field), at: *v.Value.GetToken()})
		l.wrong = append(l.wrong, key)
		return true
	})
}

func mapping(n ast.Node) (*ast.MappingNode, bool) {
	if anchor, ok := n.(*ast.AnchorNode); ok {
		n = anchor.Value
	}
	m, ok := n.(*ast.MappingNode)
	return m, ok
}

// fieldOf is the type of what stands under a key of a section.
func fieldOf(typ reflect.Type, key string) (reflect.Type, bool) {
	if typ.Kind() == reflect.Map {
		return typ.Elem(), true
	}
	if typ.Kind() == reflect.Struct {
		field, ok := keysOf(typ)[key]
		return field, ok
	}
	return typ, true // any
}

// wrongValue says what is wrong with a value; our own types say it themselves.
func wrongValue(err error, n ast.Node, want reflect.Type) string {
	if own, ok := errors.AsType[*yaml.SyntaxError](err); ok {
		return own.Message
	}
	word := "keys with values"
	switch want.Kind() {
	case reflect.Float64:
		word = "a number"
	case reflect.Int:
		word = "a whole number"
	case reflect.Bool:
		word = "true or false"
	case reflect.String:
		word = "a text"
	case reflect.Slice:
		word = "a list"
	}
	if scalar, ok := n.(ast.ScalarNode); ok {
		return fmt.Sprintf("%q: want %s", scalar.GetToken().Value, word)
	}
	return "want " + word
}

func keyOf(v *ast.MappingValueNode) string { return v.Key.GetToken().Value }

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// keysOf are the keys of a section.
func keysOf(typ reflect.Type) map[string]reflect.Type {
	keys := map[string]reflect.Type{}
	for f := range typ.Fields() {
		keys[f.Tag.Get("yaml")] = f.Type
	}
	return keys
}

// allKeys are the paths of all keys of a type; an entry of a map stands as "*".
func allKeys(typ reflect.Type, path string) []string {
	switch typ.Kind() {
	case reflect.Struct:
		var all []string
		for key, field := range keysOf(typ) {
			all = append(all, join(path, key))
			all = append(all, allKeys(field, join(path, key))...)
		}
		slices.Sort(all)
		return all
	case reflect.Map:
		return allKeys(typ.Elem(), join(path, "*"))
	}
	return nil
}

// suggestion is the known key that an unknown one was most likely meant to be:
// the same word elsewhere, or a similar one.
func suggestion(path, key string) string {
	best, distance := "", 3
	for _, known := range allKeys(reflect.TypeFor[config](), "") {
		section, word := "", known
		if i := strings.LastIndexByte(known, '.'); i >= 0 {
			section, word = known[:i], known[i+1:]
		}
		if name, inProviders := strings.CutPrefix(path, "providers."); inProviders && section == "providers.*" {
			section = "providers." + name
			known = section + "." + word
		}
		d := editDistance(key, word)
		if section != path {
			d++ // one's own section first
		}
		if d < distance {
			best, distance = known, d
		}
	}
	if best == "" {
		return "; tokenwheel config default prints all keys"
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// editDistance counts the letters to change, add or remove (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// find is the token of the deepest key of a path that is in the file. Names may
// have dots.
func find(n ast.Node, path string) *token.Token {
	m, ok := mapping(n)
	if !ok {
		return nil
	}
	for _, v := range m.Values {
		if keyOf(v) == path && v.Value.GetToken() != nil {
			return v.Value.GetToken()
		}
		if rest, ok := strings.CutPrefix(path+".", keyOf(v)+"."); ok {
			if deeper := find(v.Value, strings.TrimSuffix(rest, ".")); deeper != nil {
				return deeper
			}
			return v.Key.GetToken()
		}
	}
	return nil
}
