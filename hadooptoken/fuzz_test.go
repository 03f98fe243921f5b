package hadooptoken_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/plugins"
)

func FuzzFileVersion0(f *testing.F) { fuzzFile(f, hadooptoken.FormatJava) }
func FuzzFileVersion1(f *testing.F) { fuzzFile(f, hadooptoken.FormatProtobuf) }

// fuzzFile: what is read can be written and read again, unchanged.
func fuzzFile(f *testing.F, format hadooptoken.Format) {
	for name := range javaCredentials(f) {
		f.Add(golden(f, "hdts/creds-"+name+"-"+fileNames[format]+".bin")[5:])
	}
	for _, h := range hostileFiles() {
		if len(h.file) < 1<<10 && h.file[4] == byte(format) {
			f.Add(h.file[5:])
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		in := append([]byte{'H', 'D', 'T', 'S', byte(format)}, body...)
		c, err := hadooptoken.Unmarshal(in, hadooptoken.Limits{})
		if err != nil {
			return
		}
		again := marshalled(t, c, format)
		back, err := hadooptoken.Unmarshal(again, hadooptoken.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(plain(c), plain(back)); diff != "" {
			t.Error(diff)
		}
		if format == hadooptoken.FormatProtobuf && len(in) < 1<<10 {
			diffCredentials(t, c, readWithRuntime(t, again))
		}
	})
}

func marshalled(t testing.TB, c plugins.Credentials, format hadooptoken.Format) []byte {
	t.Helper()
	b, err := hadooptoken.Marshal(c, format)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// FuzzIdentifier: whatever can be read can be printed on one line, and the
// common form can be written and read again.
func FuzzIdentifier(f *testing.F) {
	for _, j := range javaTokens(f) {
		f.Add(j.Kind, j.Identifier)
	}
	f.Fuzz(func(t *testing.T, kind string, b []byte) {
		id, err := hadooptoken.ParseIdentifier(kind, b)
		if err != nil {
			return
		}
		if strings.Contains(id.String(), "\n") {
			t.Errorf("printed on several lines: %q", id.String())
		}
		again, err := hadooptoken.MarshalIdentifier(id)
		if err != nil {
			return // of a form that is only read
		}
		back, err := hadooptoken.ParseIdentifier(kind, again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(id, back); diff != "" {
			t.Error(diff)
		}
	})
}

func FuzzURLString(f *testing.F) {
	for _, j := range javaTokens(f) {
		f.Add(j.url)
	}
	f.Fuzz(func(t *testing.T, s string) {
		token, err := hadooptoken.DecodeURL(s)
		if err != nil {
			return
		}
		again, err := hadooptoken.EncodeURL(token)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := hadooptoken.DecodeURL(again); err != nil || !back.Equal(token) {
			t.Errorf("got %v, error %v, want %v", back, err, token)
		}
	})
}
