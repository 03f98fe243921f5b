package hdfs

import (
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwheel/tokenwheel/internal/hrpc"
	"github.com/tokenwheel/tokenwheel/plugins"
)

var update = flag.Bool("update", false, "write the generated part of docs/errors.md anew")

// What a NameNode says is judged by its class alone, at any depth of an error, and
// its own word about protection goes along. Shows: C-H03, C-H06, C-H21, N32.
func TestCV06_EveryRowOfTheTableIsProduced(t *testing.T) {
	for _, row := range answers {
		for _, protected := range []bool{true, false} {
			err := row.failure
			if row.class != "" {
				err = &hrpc.RemoteError{Class: row.class, Message: "some text of some release", Protected: protected}
			}
			got := serviceError(fmt.Errorf("renew: %w", err))
			e, ok := errors.AsType[*plugins.Error](got)
			if !ok || e.Kind != row.kind || e.Code != row.code || e.Protected != (protected && row.class != "") {
				t.Errorf("%v: %#v, want kind %v and code %q", err, e, row.kind, row.code)
			}
			if !errors.Is(got, err) || !strings.HasSuffix(got.Error(), row.next) {
				t.Errorf("%v: %q, want the cause and the next step %q", err, got, row.next)
			}
		}
		if row.code == "" || row.meaning == "" || (row.kind == plugins.KindDenied && row.next == "") {
			t.Errorf("row %q lacks a column", row.code)
		}
	}
}

// No text, and no class that nobody knows, is a verdict. Shows: C-V06.
func TestCV06_UnknownAnswersAreTriedAgain(t *testing.T) {
	for _, err := range []error{
		&hrpc.RemoteError{Class: "com.example.Unheard", Message: "SecretManager$InvalidToken: token can't be found in cache", Protected: true},
		&hrpc.RemoteError{Class: "", Message: "AccessControlException"},
		&hrpc.TransportError{Op: "connect to", Addr: "nn:8020", Err: errors.New("connection refused")},
		errors.New("org.apache.hadoop.security.token.SecretManager$InvalidToken"),
	} {
		if got := serviceError(err); plugins.KindOf(got) != plugins.KindRetry {
			t.Errorf("%v is %v, want retry", err, plugins.KindOf(got))
		}
	}
}

// Every class that hrpc has a name for has a row.
func TestEveryNamedClassHasARow(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../internal/hrpc/errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !ast.IsExported(spec.Names[0].Name) {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); !ok || typ.Name != "Class" {
			return true
		}
		class, _ := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if n++; answerTo(&hrpc.RemoteError{Class: hrpc.Class(class)}) == nil {
			t.Errorf("%s (%s) has no row", spec.Names[0].Name, class)
		}
		return true
	})
	if n < 10 {
		t.Errorf("found %d classes only", n)
	}
}

func errorsPage() string {
	var b strings.Builder
	b.WriteString("| service | answer | kind | code | what it means | what you do |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, a := range answers {
		what := string(a.class)
		if a.class == "" {
			what = a.failure.Error()
		}
		next := a.next
		if next == "" {
			next = "nothing"
		}
		fmt.Fprintf(&b, "| hdfs | %s | %v | `%s` | %s | %s |\n", strings.ReplaceAll(what, "$", "\\$"), a.kind, a.code, a.meaning, next)
	}
	return b.String()
}

func TestErrorsPageIsUpToDate(t *testing.T) {
	const path, begin, end = "../../docs/errors.md", "<!-- generated: go test ./plugins/hdfs -run ErrorsPage -update -->\n", "<!-- end of the generated part -->\n"
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(raw), begin)
	got, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no generated part", path)
	}
	if want := errorsPage(); *update {
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s is not what the provider goes by; run with -update (-provider +page):\n%s", path, diff)
	}
}

// A full call queue is said by class; the engine slows down by the code. A standby,
// or one in safe mode, is not too busy.
func TestB29_BusyNameNodeIsToldByItsClass(t *testing.T) {
	for class, busy := range map[hrpc.Class]bool{hrpc.Retriable: true, hrpc.Standby: false, hrpc.SafeMode: false, hrpc.JavaIO: false} {
		err := serviceError(errors.Join(errors.New("nn1"), &hrpc.RemoteError{Class: class, Message: "Server too busy"}))
		if got := plugins.CodeOf(err) == plugins.CodeBusy; got != busy {
			t.Errorf("%s is code %q; busy: want %v", class, plugins.CodeOf(err), busy)
		}
	}
}
