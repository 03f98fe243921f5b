package fsstaging_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/fsstaging"
	"github.com/tokenwheel/tokenwheel/fsstaging/stagetest"
	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// TestB104_WritersMeetAtTheClaim: two writers of one epoch with the same number,
// in the form whose names do not tell them apart, at each moment at which the
// second can come by, where renames would overwrite. One file appears, with the
// bytes of whoever was told so.
func TestB104_WritersMeetAtTheClaim(t *testing.T) {
	theirs := set(1, 3)
	theirs.Credentials = plugins.Credentials{Secrets: map[string]plugins.Secret{"their": []byte("bytes")}}
	for at := 1; ; at++ {
		m := stagetest.NewMemory()
		f := &faulty{FS: m, overwrites: true}
		n, theirErr := 0, errCut
		f.fault = func(string, string) *failure {
			if n++; n == at {
				other := fsstaging.NewStager(&faulty{FS: m, overwrites: true})
				other.Form = fsstaging.FormPlain
				_, theirErr = other.Stage(t.Context(), theirs)
			}
			return nil
		}
		s := fsstaging.NewStager(f)
		s.Form = fsstaging.FormPlain
		_, ourErr := s.Stage(t.Context(), set(1, 3))
		if n < at {
			return // we were done before they came
		}
		if (ourErr == nil) == (theirErr == nil) {
			t.Errorf("they came at operation %d, %s: ours %v, theirs %v; want one of them behind", at, f.ops[at-1], ourErr, theirErr)
		}
		data, err := hadooptoken.Marshal(theirs.Credentials, hadooptoken.FormatJava)
		if err != nil {
			t.Fatal(err)
		}
		name := fsstaging.Name{Prefix: prefix, Form: fsstaging.FormPlain, N: 3}.String()
		if isTheirs := bytes.Equal(m.Files(dir)[name].Data, data); isTheirs != (theirErr == nil) {
			t.Errorf("they came at operation %d, %s: the file is theirs: %v, they were told %v", at, f.ops[at-1], isTheirs, theirErr)
		}
	}
}

// TestB104_ClaimIsExclusive: both writers have looked, neither has claimed; the
// first to claim stops before it writes, until the second has ended.
func TestB104_ClaimIsExclusive(t *testing.T) {
	m := stagetest.NewMemory()
	claimed, ended := make(chan struct{}), make(chan struct{})
	slow := &faulty{FS: m, overwrites: true, fault: func(op, name string) *failure {
		if op == "create" && strings.HasSuffix(name, ".tmp") {
			close(claimed)
			<-ended
		}
		return nil
	}}
	slowErr := make(chan error, 1)
	late := &faulty{FS: m, overwrites: true, fault: func(op, name string) *failure {
		if op == "create" && strings.HasSuffix(name, ".claim") {
			go func() { _, err := fsstaging.NewStager(slow).Stage(t.Context(), set(1, 3)); slowErr <- err }()
			<-claimed
		}
		return nil
	}}
	x := set(1, 3)
	x.Credentials = plugins.Credentials{}
	_, err := fsstaging.NewStager(late).Stage(t.Context(), x)
	close(ended)
	wantBehind(t, err, appregistry.Behind{Epoch: 1, N: 3})
	if err := <-slowErr; err != nil {
		t.Error(err)
	}
	if got := numbers(m); len(got) != 1 {
		t.Errorf("generations: got %d, want one", got)
	}
}
