package fsstaging_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/fsstaging"
	"github.com/tokenwheel/tokenwheel/fsstaging/stagetest"
	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/plugins"
)

const (
	alice = "alice"
	dir   = "/user/alice/.stage/stream-42"
)

func set(epoch, n uint32) appregistry.Set { return stagetest.Set(alice, dir, epoch, n) }

func mustStage(t *testing.T, s *fsstaging.Stager, x appregistry.Set) {
	t.Helper()
	got, err := s.Stage(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	if want := (appregistry.Receipt{Epoch: x.Epoch, N: x.Generation}); got != want {
		t.Fatalf("receipt: got %+v, want %+v", got, want)
	}
}

// pick returns the version that a new reader finds, without waiting.
func pick(t *testing.T, f fsstaging.FS, dir string) appregistry.Receipt {
	t.Helper()
	p := fsstaging.NewPickup(f, dir)
	p.Owner = alice
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	creds, err := p.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	v, err := stagetest.Version(creds)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func names(m *stagetest.Memory) []string { return slices.Sorted(maps.Keys(m.Files(dir))) }

// numbers are the generations of the credentials files there are.
func numbers(m *stagetest.Memory) []uint32 {
	var ns []uint32
	for _, name := range names(m) {
		if n, ok := fsstaging.ParseName("", name); ok {
			ns = append(ns, n.N)
		}
	}
	slices.Sort(ns)
	return ns
}

func wantBehind(t *testing.T, err error, want appregistry.Behind) {
	t.Helper()
	b, ok := errors.AsType[*appregistry.Behind](err)
	if !ok {
		t.Fatalf("got %v, want to be behind", err)
	}
	if diff := cmp.Diff(&want, b); diff != "" {
		t.Errorf("behind (-want +got):\n%s", diff)
	}
}

// TestS34_NumbersSortAsNumbers stages across a new digit: the file of Hadoop's
// own format, its private mode, its owner, the last five kept.
// Shows: S14, S22.
func TestS34_NumbersSortAsNumbers(t *testing.T) {
	m := stagetest.NewMemory()
	s := fsstaging.NewStager(m)
	for n := uint32(5); n <= 11; n++ {
		mustStage(t, s, set(1, n))
		if got := pick(t, m, dir); got.N != n {
			t.Fatalf("a reader finds %d, want %d", got.N, n)
		}
	}
	if diff := cmp.Diff([]uint32{7, 8, 9, 10, 11}, numbers(m)); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	for name, f := range m.Files(dir) {
		if strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".tmp") {
			t.Errorf("%s is left behind", name)
		}
		if f.Mode != 0o600 || f.Owner != alice {
			t.Errorf("%s: mode %v, owner %q", name, f.Mode, f.Owner)
		}
		if _, err := hadooptoken.Unmarshal(f.Data, hadooptoken.Limits{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestS15_NumbersGoOnAfterARestart: the target knows best, whatever times say.
// Shows: S50, C-S33, KP11.
func TestS15_NumbersGoOnAfterARestart(t *testing.T) {
	m := stagetest.NewMemory()
	mustStage(t, fsstaging.NewStager(m), set(1, 3))
	other := fsstaging.Name{Prefix: prefix, Form: fsstaging.FormTimed, NextUpdate: time.UnixMilli(1547643753335), N: 100001}
	m.Plant(dir, other.String(), stagetest.File{Info: fsstaging.Info{Mode: 0o600, Owner: alice, ModTime: time.Unix(1, 0)}, Data: encoded(t, 1, 100001)})
	before := names(m)

	again := fsstaging.NewStager(m)
	_, err := again.Stage(t.Context(), set(2, 4))
	wantBehind(t, err, appregistry.Behind{Epoch: 1, N: 100001})
	if diff := cmp.Diff(before, names(m)); diff != "" {
		t.Errorf("being behind wrote something (-before +after):\n%s", diff)
	}
	mustStage(t, again, set(2, 100002))
	if got := pick(t, m, dir); got.N != 100002 {
		t.Errorf("a reader finds %d, want 100002", got.N)
	}
}

// encoded is a whole file of the test's credentials.
func encoded(t *testing.T, epoch, n uint32) []byte {
	t.Helper()
	data, err := hadooptoken.Marshal(set(epoch, n).Credentials, hadooptoken.FormatJava)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func decoded(t *testing.T, data []byte) appregistry.Receipt {
	t.Helper()
	creds, err := hadooptoken.Unmarshal(data, hadooptoken.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	v, err := stagetest.Version(creds)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestB104_LowerEpochGivesWay: a deposed writer writes nothing, not even with a
// higher number.
func TestB104_LowerEpochGivesWay(t *testing.T) {
	m := stagetest.NewMemory()
	s := fsstaging.NewStager(m)
	mustStage(t, s, set(2, 7))
	before := names(m)
	_, err := s.Stage(t.Context(), set(1, 8))
	wantBehind(t, err, appregistry.Behind{Epoch: 2, N: 7})
	if diff := cmp.Diff(before, names(m)); diff != "" {
		t.Errorf("it wrote something (-before +after):\n%s", diff)
	}
}

// TestK11_StagingTwiceIsStagingOnce, in each form of names; other bytes under the
// same number are refused.
func TestKP11_StagingTwiceIsStagingOnce(t *testing.T) {
	for _, form := range []fsstaging.Form{fsstaging.FormChecked, fsstaging.FormTimed, fsstaging.FormPlain} {
		m := stagetest.NewMemory()
		s := fsstaging.NewStager(m)
		s.Form = form
		x := set(1, 4)
		mustStage(t, s, x)
		before := m.Files(dir)
		mustStage(t, s, x)
		if diff := cmp.Diff(before, m.Files(dir)); diff != "" {
			t.Errorf("form %d: the second time changed something (-before +after):\n%s", form, diff)
		}
		x.Credentials = plugins.Credentials{Secrets: map[string]plugins.Secret{"other": []byte("bytes")}}
		_, err := s.Stage(t.Context(), x)
		if b, ok := errors.AsType[*appregistry.Behind](err); !ok || b.N != 4 {
			t.Errorf("form %d: other bytes under one number: got %v, want to be behind 4", form, err)
		}
		if diff := cmp.Diff(before, m.Files(dir)); diff != "" {
			t.Errorf("form %d: other bytes changed something (-before +after):\n%s", form, diff)
		}
	}
}

// TestS16_TakenNameIsAnError: what appears between listing and renaming is not
// overwritten, and the number is given up.
func TestS16_TakenNameIsAnError(t *testing.T) {
	m := stagetest.NewMemory()
	f := &faulty{FS: m}
	name := fsstaging.Name{Prefix: prefix, Form: fsstaging.FormPlain, N: 3}.String()
	f.fault = func(op, _ string) *failure {
		if op == "rename" { // another writer that knows no claims
			m.Plant(dir, name, stagetest.File{Info: fsstaging.Info{Mode: 0o600, Owner: alice}, Data: []byte("theirs")})
		}
		return nil
	}
	s := fsstaging.NewStager(f)
	s.Form = fsstaging.FormPlain
	_, err := s.Stage(t.Context(), set(1, 3))
	wantBehind(t, err, appregistry.Behind{Epoch: 1, N: 3})
	if got := m.Files(dir)[name].Data; !bytes.Equal(got, []byte("theirs")) {
		t.Errorf("the other writer's file was overwritten")
	}
	f.fault = nil
	mustStage(t, s, set(1, 4))
}

// TestB103_RenameWithoutAnswer: done if the file is there, else in doubt, and the
// next number is used; there is never a second file of one number.
func TestB103_RenameWithoutAnswer(t *testing.T) {
	for _, done := range []bool{true, false} {
		m := stagetest.NewMemory()
		f := &faulty{FS: m, fault: func(op, _ string) *failure {
			if op == "rename" {
				return &failure{err: errCut, done: done}
			}
			return nil
		}}
		s := fsstaging.NewStager(f)
		_, err := s.Stage(t.Context(), set(1, 3))
		if done != (err == nil) {
			t.Fatalf("rename done %v: got %v", done, err)
		}
		if done {
			continue
		}
		if plugins.KindOf(err) != plugins.KindRetry {
			t.Errorf("kind: got %v, want retry", plugins.KindOf(err))
		}
		f.fault = nil
		_, err = s.Stage(t.Context(), set(1, 3))
		wantBehind(t, err, appregistry.Behind{Epoch: 1, N: 3})
		mustStage(t, s, set(1, 4))
		if diff := cmp.Diff([]uint32{4}, numbers(m)); diff != "" {
			t.Errorf("files (-want +got):\n%s", diff)
		}
	}
}

// TestS22_WideModesAreRefused before the first byte, by name.
// Shows: F43, T-30.
func TestS22_WideModesAreRefused(t *testing.T) {
	tests := []struct {
		name string
		mode fs.FileMode
	}{
		{"others read", 0o704},
		{"group reads", 0o740},
		{"others write", 0o702},
		{"all", 0o777},
		{"sticky", 0o700 | fs.ModeSticky},
		{"set-gid", 0o700 | fs.ModeSetgid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := stagetest.NewMemory()
			s := fsstaging.NewStager(m)
			mustStage(t, s, set(1, 1))
			m.Chmod(dir, ".", tt.mode)
			before := names(m)
			_, err := s.Stage(t.Context(), set(1, 2))
			wantUnsafe(t, err, dir)
			if diff := cmp.Diff(before, names(m)); diff != "" {
				t.Errorf("something was written (-before +after):\n%s", diff)
			}
		})
	}
	t.Run("another owner", func(t *testing.T) {
		m := stagetest.NewMemory()
		m.Plant(dir, "x", stagetest.File{Info: fsstaging.Info{Owner: "mallory"}})
		_, err := fsstaging.NewStager(m).Stage(t.Context(), set(1, 1))
		wantUnsafe(t, err, "mallory")
	})
	t.Run("files come out wide", func(t *testing.T) {
		m := stagetest.NewMemory()
		f := &faulty{FS: m, fault: func(op, name string) *failure {
			if op == "stat" && strings.HasSuffix(name, ".claim") {
				m.Chmod(dir, name, 0o644)
			}
			return nil
		}}
		_, err := fsstaging.NewStager(f).Stage(t.Context(), set(1, 1))
		wantUnsafe(t, err, "0600")
		if got := names(m); len(got) != 0 {
			t.Errorf("left behind: %q", got)
		}
	})
}

func wantUnsafe(t *testing.T, err error, part string) {
	t.Helper()
	if plugins.KindOf(err) != plugins.KindRefused || plugins.CodeOf(err) != fsstaging.CodeUnsafePath || err == nil {
		t.Fatalf("got %v, want it refused as %s", err, fsstaging.CodeUnsafePath)
	}
	if part == "0600" {
		part = "-rw-------"
	}
	if !strings.Contains(err.Error(), part) {
		t.Errorf("%q does not tell of %s", err, part)
	}
}

// TestB115_RemainsOfDeadWriters: only what is old and of a lower epoch goes.
// Shows: S20, KP07, KP08.
func TestB115_RemainsOfDeadWriters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := stagetest.NewMemory()
		temp := func(epoch uint32, age time.Duration) string {
			n := fsstaging.Name{Prefix: prefix, Epoch: epoch, Length: 9, CRC: uint32(age.Seconds()), N: 2}
			name := n.String() + ".tmp"
			m.Plant(dir, name, stagetest.File{Info: fsstaging.Info{Mode: 0o600, Owner: alice, ModTime: time.Now().Add(-age)}})
			return name
		}
		claim := func(n string, age time.Duration) string {
			name := "." + prefix + "-" + n + ".claim"
			m.Plant(dir, name, stagetest.File{Info: fsstaging.Info{Mode: 0o600, Owner: alice, ModTime: time.Now().Add(-age)}})
			return name
		}
		gone := []string{temp(1, 2*time.Hour), claim("2", 2*time.Hour)}
		stay := []string{temp(1, 59*time.Minute), temp(3, 2*time.Hour), claim("1", time.Minute), "." + prefix + "-2.sig"}
		m.Plant(dir, stay[3], stagetest.File{})
		mustStage(t, fsstaging.NewStager(m), set(3, 5))
		files := m.Files(dir)
		for _, name := range gone {
			if _, ok := files[name]; ok {
				t.Errorf("%s is still there", name)
			}
		}
		for _, name := range stay {
			if _, ok := files[name]; !ok {
				t.Errorf("%s was removed", name)
			}
		}
	})
}

// TestF45_EachTroubleHasItsKind: sets that cannot be staged, rights that are
// missing, targets that are not configured.
// Shows: T-19.
func TestF45_EachTroubleHasItsKind(t *testing.T) {
	m := stagetest.NewMemory()
	fails := func(err error) fsstaging.FS {
		return &faulty{FS: m, fault: func(op, _ string) *failure {
			if op == "create" {
				return &failure{err: err}
			}
			return nil
		}}
	}
	tests := []struct {
		name string
		fs   fsstaging.FS
		edit func(*appregistry.Set)
		kind plugins.Kind
		code string
	}{
		{"generation 0", m, func(s *appregistry.Set) { s.Generation = 0 }, plugins.KindRefused, "bad-set"},
		{"generation beyond 31 bits", m, func(s *appregistry.Set) { s.Generation = 1 << 31 }, plugins.KindRefused, "bad-set"},
		{"epoch 0", m, func(s *appregistry.Set) { s.Epoch = 0 }, plugins.KindRefused, "bad-set"},
		{"no user", m, func(s *appregistry.Set) { s.User = "" }, plugins.KindRefused, "bad-set"},
		{"a relative directory", m, func(s *appregistry.Set) { s.Target.Dir = "stage" }, plugins.KindRefused, "bad-set"},
		{"a directory that climbs", m, func(s *appregistry.Set) { s.Target.Dir = "/user/../etc" }, plugins.KindRefused, "bad-set"},
		{"a directory with NUL", m, func(s *appregistry.Set) { s.Target.Dir = "/user/a\x00b" }, plugins.KindRefused, "bad-set"},
		{"the root", m, func(s *appregistry.Set) { s.Target.Dir = "/" }, plugins.KindRefused, "bad-set"},
		{"a prefix that climbs", m, func(s *appregistry.Set) { s.Target.Prefix = "../x" }, plugins.KindRefused, "bad-set"},
		{"an upper-case UUID", m, func(s *appregistry.Set) { s.UUID = strings.ToUpper(uuid) }, plugins.KindRefused, "bad-set"},
		{"too large", m, func(s *appregistry.Set) {
			s.Credentials.Secrets["large"] = make([]byte, fsstaging.MaxFile)
		}, plugins.KindRefused, "too-large"},
		{"an unknown file system", m, func(s *appregistry.Set) { s.Target.FS = "other" }, plugins.KindRefused, "unknown-target"},
		{"no default file system", nil, func(*appregistry.Set) {}, plugins.KindRefused, "unknown-target"},
		{"no permission", fails(fs.ErrPermission), func(*appregistry.Set) {}, plugins.KindDenied, ""},
		{"anything else", fails(errCut), func(*appregistry.Set) {}, plugins.KindRetry, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			x := set(1, 1)
			tt.edit(&x)
			_, err := fsstaging.NewStager(tt.fs).Stage(t.Context(), x)
			if err == nil || plugins.KindOf(err) != tt.kind || plugins.CodeOf(err) != tt.code {
				t.Errorf("got %v (%v, %q), want %v, %q", err, plugins.KindOf(err), plugins.CodeOf(err), tt.kind, tt.code)
			}
			if got := names(m); len(got) != 0 {
				t.Errorf("left behind: %q", got)
			}
		})
	}
}

// TestNamedTargetsAndPrefixes: a target's file system and prefix are used, an
// application without a UUID keeps to what the directory knows.
func TestNamedTargetsAndPrefixes(t *testing.T) {
	def, prod := stagetest.NewMemory(), stagetest.NewMemory()
	s := fsstaging.NewStager(def, fsstaging.NamedFS{Name: "prod", FS: prod})
	x := set(1, 1)
	x.Target.FS, x.Target.Prefix = "prod", "credentials-mine"
	mustStage(t, s, x)
	if got := names(prod); len(got) != 1 || !strings.HasPrefix(got[0], "credentials-mine-e1.") || len(names(def)) != 0 {
		t.Errorf("got %q on prod, %q by default", got, names(def))
	}
	x = set(1, 1)
	x.UUID = ""
	mustStage(t, s, x)
	made := names(def)[0]
	if n, ok := fsstaging.ParseName("", made); !ok || n.Prefix[len("credentials-xxxxxxxx-xxxx-")] != '5' {
		t.Errorf("%q is not named by a UUID of version 5", made)
	}
	x.App.ID, x.Generation = "renamed", 2
	mustStage(t, s, x)
	first, _ := fsstaging.ParseName("", names(def)[0])
	second, _ := fsstaging.ParseName("", names(def)[1])
	if first.Prefix != second.Prefix {
		t.Errorf("the only prefix %s was not adopted: %s", first.Prefix, second.Prefix)
	}
}
