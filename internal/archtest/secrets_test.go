package archtest_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestT20_KeepersOfSecretsHaveAFormat reads all sources but tests: a struct with
// a secret in an unexported field would show it at a mere %v, since package fmt
// calls no method there.
// Shows: W11.
func TestT20_KeepersOfSecretsHaveAFormat(t *testing.T) {
	files := map[string]*ast.File{}
	for _, name := range tracked(t) {
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "test/") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("../..", name), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = file
	}
	d := declared(files)
	if _, ok := d.types[secretType]; !ok {
		t.Fatalf("there is no type %s any more", secretType)
	}
	for _, k := range d.keepers() {
		t.Errorf("%s keeps a secret in an unexported field and has no Format method", k)
	}
}

// TestKeepers_AreFound through other types and packages, and only there.
func TestKeepers_AreFound(t *testing.T) {
	files := map[string]*ast.File{}
	for name, text := range map[string]string{
		"plugins/token.go": `package plugins
			type Secret []byte
			type Token struct { Kind string; Password Secret }
			type Bag struct { Tokens map[string]Token }
			func (Bag) Format() {}`,
		"x/x.go": `package x
			import kit "` + module + `plugins"
			type Open struct { Token kit.Token; Bag kit.Bag }
			type direct struct { a int; token kit.Token }
			type listed struct { a map[string][]kit.Secret }
			type array struct { a [2]kit.Secret }
			type deep struct { open Open }
			type formatted struct { bag kit.Bag }
			type embeds struct { direct }
			type inline struct { in struct { T kit.Token } }
			type guarded struct { token kit.Token }
			func (*guarded) Format() {}
			type behind struct { token *kit.Token; f func(kit.Token); c chan kit.Token; d *direct }
			type outer struct { Guarded guarded }`,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), name, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = file
	}
	want := []string{"x.array", "x.deep", "x.direct", "x.embeds", "x.formatted", "x.inline", "x.listed"}
	if diff := cmp.Diff(want, declared(files).keepers()); diff != "" {
		t.Errorf("keepers (-want +got):\n%s", diff)
	}
}

// secretType is what every secret of the module is in the end.
const secretType = "plugins.Secret"

// declarations are the types of the module by folder and name, as in
// "internal/core.Core".
type declarations struct {
	types   map[string]declaration
	formats map[string]bool // those with a Format method
}

type declaration struct {
	folder  string
	imports map[string]string // folder of a package of ours, by its name in the file
	expr    ast.Expr
}

// declared collects the declarations of files, which are named by their path
// below the module.
func declared(files map[string]*ast.File) declarations {
	d := declarations{types: map[string]declaration{}, formats: map[string]bool{}}
	for name, file := range files {
		folder, imports := path.Dir(name), ourImports(file)
		for _, decl := range file.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				if decl.Recv != nil && decl.Name.Name == "Format" {
					d.formats[folder+"."+receiver(decl)] = true
				}
			case *ast.GenDecl:
				for _, spec := range decl.Specs {
					if spec, ok := spec.(*ast.TypeSpec); ok {
						d.types[folder+"."+spec.Name.Name] = declaration{folder, imports, spec.Type}
					}
				}
			}
		}
	}
	return d
}

func ourImports(file *ast.File) map[string]string {
	found := map[string]string{}
	for _, imp := range file.Imports {
		folder, ours := strings.CutPrefix(strings.Trim(imp.Path.Value, `"`), module)
		if !ours {
			continue
		}
		name := path.Base(folder)
		if imp.Name != nil {
			name = imp.Name.Name
		}
		found[name] = folder
	}
	return found
}

func receiver(f *ast.FuncDecl) string {
	e := f.Recv.List[0].Type
	if star, ok := e.(*ast.StarExpr); ok {
		e = star.X
	}
	if name, ok := e.(*ast.Ident); ok {
		return name.Name
	}
	return ""
}

// keepers names the structs that %v would show a secret of, sorted.
func (d declarations) keepers() []string {
	var found []string
	for _, name := range slices.Sorted(maps.Keys(d.types)) {
		decl := d.types[name]
		s, ok := decl.expr.(*ast.StructType)
		if !ok || d.formats[name] {
			continue
		}
		if slices.ContainsFunc(s.Fields.List, func(f *ast.Field) bool {
			return hidden(f) && d.carries(decl, f.Type, nil)
		}) {
			found = append(found, name)
		}
	}
	return found
}

// hidden tells whether fmt may not call methods of a field: it has, or is
// embedded by, a name that is not exported.
func hidden(f *ast.Field) bool {
	if len(f.Names) > 0 {
		return !f.Names[0].IsExported()
	}
	switch e := f.Type.(type) {
	case *ast.Ident:
		return !e.IsExported()
	case *ast.SelectorExpr:
		return !e.Sel.IsExported()
	}
	return false
}

// carries follows a type as package fmt does where it calls no methods: into
// structs, slices, arrays and maps, not behind pointers, functions and channels.
func (d declarations) carries(in declaration, e ast.Expr, seen []string) bool {
	switch e := e.(type) {
	case *ast.ArrayType:
		return d.carries(in, e.Elt, seen)
	case *ast.MapType:
		return d.carries(in, e.Key, seen) || d.carries(in, e.Value, seen)
	case *ast.StructType:
		return slices.ContainsFunc(e.Fields.List, func(f *ast.Field) bool { return d.carries(in, f.Type, seen) })
	case *ast.Ident:
		return d.named(in.folder+"."+e.Name, seen)
	case *ast.SelectorExpr:
		if pkg, ok := e.X.(*ast.Ident); ok {
			return d.named(in.imports[pkg.Name]+"."+e.Sel.Name, seen)
		}
	}
	return false
}

func (d declarations) named(name string, seen []string) bool {
	decl, ok := d.types[name]
	if !ok || slices.Contains(seen, name) {
		return false
	}
	return name == secretType || d.carries(decl, decl.expr, append(seen, name))
}
