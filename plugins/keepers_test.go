package plugins_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestT20_KeepersOfSecretsHaveAFormat reads the sources around the contract: a
// struct with a secret in an unexported field would show it at a mere %v, since
// package fmt calls no method there.
// Shows: W11.
func TestT20_KeepersOfSecretsHaveAFormat(t *testing.T) {
	for _, dir := range []string{".", "../internal/pluginwire", "../examples"} {
		for folder, files := range sources(t, dir) {
			formats := typesWithFormat(files)
			for name, field := range keepers(files) {
				if !slices.Contains(formats, name) {
					t.Errorf("%s: struct %s keeps a secret in field %s and has no Format method", folder, name, field)
				}
			}
		}
	}
}

// sources parses the files below dir, tests left out, by folder.
func sources(t *testing.T, dir string) map[string][]*ast.File {
	t.Helper()
	found := map[string][]*ast.File{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		found[filepath.Dir(path)] = append(found[filepath.Dir(path)], file)
		return err
	})
	if err != nil || len(found) == 0 {
		t.Fatalf("sources below %s: %d folders, %v", dir, len(found), err)
	}
	return found
}

// keepers names the structs with a secret in an unexported field, and the field.
func keepers(files []*ast.File) map[string]string {
	found := map[string]string{}
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok {
				for _, field := range s.Fields.List {
					if len(field.Names) > 0 && !field.Names[0].IsExported() && holdsSecret(field.Type) {
						found[spec.Name.Name] = field.Names[0].Name
					}
				}
			}
			return false
		})
	}
	return found
}

// holdsSecret follows a field's type as package fmt does: into slices and maps,
// not behind pointers, functions and channels.
func holdsSecret(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.ArrayType:
		return holdsSecret(e.Elt)
	case *ast.MapType:
		return holdsSecret(e.Key) || holdsSecret(e.Value)
	case *ast.SelectorExpr:
		pkg, ok := e.X.(*ast.Ident)
		secrets := []string{"plugins.Token", "plugins.Secret", "plugins.Credentials", "plugins.Grant"}
		return ok && slices.Contains(secrets, pkg.Name+"."+e.Sel.Name)
	}
	return false
}

func typesWithFormat(files []*ast.File) []string {
	var names []string
	for _, file := range files {
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv == nil || f.Name.Name != "Format" {
				continue
			}
			receiver := f.Recv.List[0].Type
			if star, ok := receiver.(*ast.StarExpr); ok {
				receiver = star.X
			}
			if name, ok := receiver.(*ast.Ident); ok {
				names = append(names, name.Name)
			}
		}
	}
	return names
}
