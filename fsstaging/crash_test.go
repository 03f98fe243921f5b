package fsstaging_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/fsstaging"
	"github.com/tokenwheel/tokenwheel/fsstaging/stagetest"
)

// dieAt makes every operation from the k-th on fail, as a killed process does.
// The k-th itself is not begun, is left half done, or is done without an answer.
func dieAt(k int, how failure) func(op, name string) *failure {
	n := 0
	return func(string, string) *failure {
		n++
		switch {
		case n < k:
			return nil
		case n == k:
			return &how
		}
		return &failure{err: errCut}
	}
}

// TestKP06_ToKP11_WriterDiesAnywhere kills the writer at each of its operations, in
// each way, with a version staged before. At any moment a reader finds that
// version or the new one; a writer of the next epoch goes on; no generation ever
// has two files, and in the end nothing is left but files.
// Shows: KP06, KP07, KP08, KP09, KP10, KP11, S15, S20.
func TestKP06_ToKP11_WriterDiesAnywhere(t *testing.T) {
	ways := map[string]failure{
		"before": {err: errCut}, "half": {err: errCut, half: true}, "answer lost": {err: errCut, done: true},
	}
	for form, label := range map[fsstaging.Form]string{fsstaging.FormChecked: "checked", fsstaging.FormPlain: "plain"} {
		for way, how := range ways {
			t.Run(label+" "+way, func(t *testing.T) {
				survived := 0
				for k := 1; survived == 0; k++ {
					synctest.Test(t, func(t *testing.T) {
						if dieAndGoOn(t, form, k, how) {
							survived = k
						}
					})
				}
				if survived < 8 {
					t.Errorf("only %d operations were reached", survived-1)
				}
			})
		}
	}
}

// dieAndGoOn reports whether the writer finished before its k-th operation.
func dieAndGoOn(t *testing.T, form fsstaging.Form, k int, how failure) bool {
	m := stagetest.NewMemory()
	f := &faulty{FS: m}
	s := fsstaging.NewStager(f)
	s.Form = form
	mustStage(t, s, set(1, 1))
	f.ops = nil
	f.fault = dieAt(k, how)
	_, err := s.Stage(t.Context(), set(1, 2))
	f.fault = nil

	where := fmt.Sprintf("killed at operation %d", k)
	if len(f.ops) >= k {
		where += ", " + f.ops[k-1]
	}
	got := pick(t, m, dir)
	if got.N != 2 && (err == nil || got.N != 1) {
		t.Errorf("%s: a reader finds %d, Stage said %v", where, got.N, err)
	}
	wantOneFileEach(t, m, where)

	time.Sleep(2 * time.Hour)
	goOn(t, f, form, where)
	wantOneFileEach(t, m, where)
	for _, name := range names(m) {
		if strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".tmp") {
			t.Errorf("%s: %s is left for ever", where, name)
		}
	}
	return len(f.ops) < k
}

// goOn is the engine after a restart: the next epoch, and beyond whatever the
// target holds.
func goOn(t *testing.T, f *faulty, form fsstaging.Form, where string) {
	ops := f.ops
	s := fsstaging.NewStager(f)
	s.Form = form
	n := uint32(2)
	for range 3 {
		_, err := s.Stage(t.Context(), set(2, n))
		if err == nil {
			if got := pick(t, f, dir); got != (appregistry.Receipt{Epoch: 2, N: n}) {
				t.Errorf("%s: after the restart a reader finds %+v, want generation %d", where, got, n)
			}
			f.ops = ops
			return
		}
		b, ok := errors.AsType[*appregistry.Behind](err)
		if !ok {
			t.Fatalf("%s: after the restart: %v", where, err)
		}
		n = b.N + 1
	}
	t.Errorf("%s: never staged again", where)
}

func wantOneFileEach(t *testing.T, m *stagetest.Memory, where string) {
	t.Helper()
	last := uint32(0)
	for _, n := range numbers(m) {
		if n == last {
			t.Errorf("%s: generation %d has two files: %q", where, n, names(m))
		}
		last = n
	}
}

// TestKP10_ContextEndsAnywhere: a writer whose context ends leaves the directory
// as a writer that died does, or tidier.
func TestKP10_ContextEndsAnywhere(t *testing.T) {
	for k := 1; ; k++ {
		m := stagetest.NewMemory()
		f := &faulty{FS: m}
		s := fsstaging.NewStager(f)
		mustStage(t, s, set(1, 1))
		ctx, cancel := context.WithCancel(t.Context())
		f.ops = nil
		f.fault = func(string, string) *failure {
			if len(f.ops) == k {
				cancel()
			}
			return nil
		}
		_, err := s.Stage(ctx, set(1, 2))
		cancel()
		f.fault = nil
		if got := pick(t, m, dir); got.N != 2 && (err == nil || got.N != 1) {
			t.Errorf("ended at operation %d: a reader finds %d, Stage said %v", k, got.N, err)
		}
		if len(f.ops) < k {
			return
		}
	}
}
