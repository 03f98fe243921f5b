package hadoopconf

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

const (
	maxFileSize     = 4 << 20
	maxFiles        = 64 // with all that is included
	maxIncludeDepth = 8
	maxNesting      = 16 // of configuration elements
	xinclude        = "http://www.w3.org/2001/XInclude"
)

// loader reads files into a Conf and counts them.
type loader struct {
	conf  *Conf
	files int
}

// file reads one file. Its error is that of os.Open when the file is missing.
func (l *loader) file(path string, depth int) error {
	b, err := readCapped(path)
	if err != nil {
		return err
	}
	if l.files++; l.files > maxFiles {
		return fmt.Errorf("%s: more than %d files", path, maxFiles)
	}
	d := document{loader: l, decoder: xml.NewDecoder(bytes.NewReader(b)), path: path, depth: depth}
	if err := d.read(); err != nil {
		if _, ok := errors.AsType[*placedError](err); ok {
			return err // of an included file, which has its own place
		}
		return d.placed(err)
	}
	return nil
}

func readCapped(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // nothing was written
	b, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err == nil && len(b) > maxFileSize {
		err = fmt.Errorf("%s: over the limit of %d bytes", path, maxFileSize)
	}
	return b, err
}

// placedError is an error that names file and line.
type placedError struct {
	path string
	line int
	err  error
}

func (e *placedError) Error() string { return fmt.Sprintf("%s:%d: %v", e.path, e.line, e.err) }
func (e *placedError) Unwrap() error { return e.err }

// document is one file on its way into a Conf.
type document struct {
	*loader
	decoder *xml.Decoder
	path    string
	depth   int // of includes around it
	nesting int // of elements being read
}

func (d *document) line() int {
	line, _ := d.decoder.InputPos()
	return line
}

func (d *document) placed(err error) error {
	if syntax, ok := errors.AsType[*xml.SyntaxError](err); ok {
		return &placedError{d.path, syntax.Line, errors.New(syntax.Msg)}
	}
	return &placedError{d.path, d.line(), err}
}

// read finds the root element and reads what is in it.
func (d *document) read() error {
	for {
		token, err := d.decoder.Token()
		if errors.Is(err, io.EOF) {
			return errors.New("no configuration element")
		}
		if err != nil {
			return err
		}
		switch token := token.(type) {
		case xml.Directive:
			if bytes.Contains(bytes.ToUpper(token), []byte("ENTITY")) {
				return errors.New("entity declarations are refused")
			}
		case xml.StartElement:
			if token.Name.Local != "configuration" {
				return fmt.Errorf("root element is %q, want configuration", token.Name.Local)
			}
			return d.elements()
		}
	}
}

// elements reads the children of an element, to its end.
func (d *document) elements() error {
	if d.nesting == maxNesting {
		return fmt.Errorf("over %d elements deep", maxNesting)
	}
	d.nesting++
	defer func() { d.nesting-- }()
	for {
		token, err := d.decoder.Token()
		if err != nil {
			return err
		}
		switch token := token.(type) {
		case xml.EndElement:
			return nil
		case xml.StartElement:
			if err := d.element(token); err != nil {
				return err
			}
		}
	}
}

func (d *document) element(start xml.StartElement) error {
	switch {
	case start.Name.Local == "property":
		return d.property(start)
	case start.Name.Local == "configuration":
		return d.elements()
	case start.Name.Local == "include" && start.Name.Space == xinclude:
		return d.include(start)
	}
	return d.decoder.Skip()
}

// property reads <property>; Hadoop 3 takes its parts as attributes too.
func (d *document) property(start xml.StartElement) error {
	line := d.line()
	var p struct {
		Name      string  `xml:"name"`
		Value     *string `xml:"value"`
		Final     string  `xml:"final"`
		NameAttr  string  `xml:"name,attr"`
		ValueAttr *string `xml:"value,attr"`
		FinalAttr string  `xml:"final,attr"`
	}
	if err := d.decoder.DecodeElement(&p, &start); err != nil {
		return err
	}
	name, value := strings.TrimSpace(p.Name+p.NameAttr), p.Value
	if value == nil {
		value = p.ValueAttr
	}
	if name == "" || value == nil {
		return nil // as Java, which skips it
	}
	d.set(canonical(name), property{
		value:  *value,
		origin: fmt.Sprintf("%s:%d", d.path, line),
		final:  strings.EqualFold(strings.TrimSpace(p.Final+p.FinalAttr), "true"),
	})
	return nil
}

// set keeps a final property against all that come after it.
func (l *loader) set(key string, p property) {
	if !l.conf.properties[key].final {
		l.conf.properties[key] = p
	}
}

// include reads <xi:include href="…">, whose path is relative to this file, and
// the xi:fallback in it only where that file is missing.
func (d *document) include(start xml.StartElement) error {
	path, err := d.target(start)
	if err != nil {
		return err
	}
	if d.depth == maxIncludeDepth {
		return fmt.Errorf("include %s: over %d includes deep", path, maxIncludeDepth)
	}
	err = d.file(path, d.depth+1)
	if err == nil {
		return d.decoder.Skip()
	}
	if !isMissing(err, path) {
		return err
	}
	found, fallbackErr := d.fallback()
	if !found && fallbackErr == nil {
		return fmt.Errorf("include: %w", err)
	}
	return fallbackErr
}

// isMissing tells that path itself is missing, not a file that it includes.
func isMissing(err error, path string) bool {
	missing, ok := errors.AsType[*os.PathError](err)
	return ok && errors.Is(err, os.ErrNotExist) && missing.Path == path
}

// target is the file that an include names. URLs, absolute paths and included
// text are refused.
func (d *document) target(start xml.StartElement) (string, error) {
	var href string
	for _, a := range start.Attr {
		switch {
		case a.Name.Local == "href":
			href = a.Value
		case a.Name.Local == "parse" && a.Value != "xml":
			return "", fmt.Errorf("include of %q is refused: want xml", a.Value)
		}
	}
	u, err := url.Parse(href)
	if err != nil || href == "" || u.Scheme != "" || u.Host != "" || u.Fragment != "" || filepath.IsAbs(u.Path) {
		return "", fmt.Errorf("include of %q is refused: want a relative path", href)
	}
	return filepath.Join(filepath.Dir(d.path), filepath.FromSlash(u.Path)), nil
}

// fallback reads the xi:fallback in an include, to the include's end, and tells
// whether there was one.
func (d *document) fallback() (found bool, err error) {
	for {
		token, err := d.decoder.Token()
		if err != nil {
			return found, err
		}
		switch token := token.(type) {
		case xml.EndElement:
			return found, nil
		case xml.StartElement:
			if token.Name.Local != "fallback" || token.Name.Space != xinclude {
				err = d.decoder.Skip()
			} else {
				found, err = true, d.elements()
			}
			if err != nil {
				return found, err
			}
		}
	}
}
