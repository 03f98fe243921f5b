package fsstaging_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/fsstaging"
	"github.com/tokenwheel/tokenwheel/fsstaging/stagetest"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// plant puts a sound file of a version into the directory and returns its name.
func plant(t *testing.T, m *stagetest.Memory, form fsstaging.Form, epoch, n uint32, next time.Time) string {
	t.Helper()
	data := encoded(t, epoch, n)
	name := fsstaging.Name{
		Prefix: prefix, Form: form, N: n, Epoch: epoch, NextUpdate: next,
		Length: int64(len(data)), CRC: crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)),
	}.String()
	m.Plant(dir, name, stagetest.File{Info: fsstaging.Info{Mode: 0o600, Owner: alice, ModTime: time.Now()}, Data: data})
	return name
}

func newPickup(m fsstaging.FS) *fsstaging.Pickup {
	p := fsstaging.NewPickup(m, dir)
	p.Owner = alice
	return p
}

// next is Next with the version that it returned.
func next(t *testing.T, p *fsstaging.Pickup) appregistry.Receipt {
	t.Helper()
	creds, err := p.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	v, err := stagetest.Version(creds)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Held(); got.N != v.N {
		t.Errorf("Held: got %+v, want %+v", got, v)
	}
	return v
}

// wantWaiting is an error if Next returns within d.
func wantWaiting(t *testing.T, p *fsstaging.Pickup, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if _, err := p.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %+v, %v, want it to wait", p.Held(), err)
	}
}

// TestS24_SuffixNotTime: the larger number wins over the later time.
// Shows: S50, B108, P5.
func TestS24_SuffixNotTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := stagetest.NewMemory()
		plant(t, m, fsstaging.FormTimed, 1, 100001, time.Time{})
		time.Sleep(time.Hour)
		plant(t, m, fsstaging.FormTimed, 1, 9, time.Time{})
		plant(t, m, fsstaging.FormPlain, 1, 10, time.Time{})
		p := newPickup(m)
		if got := next(t, p); got.N != 100001 {
			t.Errorf("got %d, want 100001", got.N)
		}
		wantWaiting(t, p, time.Hour)
	})
}

// TestP5_OrderIsEpochThenVersion: files of a deposed writer are dropped and
// counted, whatever their numbers, those without an epoch are ordered by number.
func TestP5_OrderIsEpochThenVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := stagetest.NewMemory()
		plant(t, m, fsstaging.FormChecked, 1, 100, time.Time{})
		p := newPickup(m)
		if got := next(t, p); got.N != 100 {
			t.Fatalf("got %+v, want generation 100", got)
		}
		plant(t, m, fsstaging.FormChecked, 2, 50, time.Time{})
		plant(t, m, fsstaging.FormChecked, 1, 101, time.Time{})
		if got, want := next(t, p), (appregistry.Receipt{Epoch: 2, N: 50}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if got := p.Census().Deposed; got != 2 {
			t.Errorf("deposed: got %d, want 2", got)
		}
		wantWaiting(t, p, time.Hour)
		plant(t, m, fsstaging.FormPlain, 7, 51, time.Time{})
		if got := next(t, p); got.N != 51 || p.Held().Epoch != 2 {
			t.Errorf("got %+v held as %+v, want generation 51 at epoch 2", got, p.Held())
		}
	})
}

// TestS26_PickupIgnoresForeignNames, and counts them.
// Shows: C-S34.
func TestS26_PickupIgnoresForeignNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := stagetest.NewMemory()
		for _, name := range foreign {
			m.Plant(dir, name, stagetest.File{Info: fsstaging.Info{Mode: 0o777, Owner: alice}})
		}
		plant(t, m, fsstaging.FormChecked, 1, 3, time.Time{})
		p := newPickup(m)
		if got := next(t, p); got.N != 3 {
			t.Errorf("got %+v, want generation 3", got)
		}
		if p.Census().Foreign == 0 {
			t.Error("no foreign names were counted")
		}
	})
}

// TestF42_CorruptFilesArePassedOver: bit flips, truncation, zero length, a file
// that is not a token file, of the newest epoch or not.
func TestF42_CorruptFilesArePassedOver(t *testing.T) {
	tests := []struct {
		name  string
		form  fsstaging.Form
		epoch uint32
		spoil func([]byte) []byte
	}{
		{"a bit", fsstaging.FormChecked, 1, func(b []byte) []byte { b[len(b)-1] ^= 1; return b }},
		{"the end missing", fsstaging.FormChecked, 1, func(b []byte) []byte { return b[:len(b)-1] }},
		{"something after the end", fsstaging.FormChecked, 1, func(b []byte) []byte { return append(b, 0) }},
		{"nothing in it", fsstaging.FormChecked, 1, func([]byte) []byte { return nil }},
		{"a new writer's first", fsstaging.FormChecked, 2, func(b []byte) []byte { return b[:len(b)/2] }},
		{"no checksum, the end missing", fsstaging.FormPlain, 1, func(b []byte) []byte { return b[:len(b)-1] }},
		{"no checksum, another format", fsstaging.FormTimed, 1, func([]byte) []byte { return []byte("PAR1") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := stagetest.NewMemory()
				plant(t, m, fsstaging.FormChecked, 1, 3, time.Time{})
				bad := plant(t, m, tt.form, tt.epoch, 4, time.Time{})
				whole := m.Files(dir)[bad]
				spoilt := whole
				spoilt.Data = tt.spoil([]byte(string(whole.Data)))
				m.Plant(dir, bad, spoilt)

				var heard []string
				p := newPickup(m)
				p.Skipped = func(name string, _ error) { heard = append(heard, name) }
				if got := next(t, p); got.N != 3 {
					t.Fatalf("got %+v, want generation 3", got)
				}
				wantWaiting(t, p, time.Hour)
				if diff := cmp.Diff([]string{bad}, heard); diff != "" {
					t.Errorf("skipped (-want +got):\n%s", diff)
				}
				m.Plant(dir, bad, whole) // remembered, and looked at again
				if got := next(t, p); got.N != 4 {
					t.Errorf("got %+v, want generation 4", got)
				}
			})
		})
	}
}

// TestF43_UnsafeFilesAreRefused: at the start by an error that names them, later
// by keeping what is held.
// Shows: T-30.
func TestF43_UnsafeFilesAreRefused(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(m *stagetest.Memory, file string)
		part  string
	}{
		{"others read the file", func(m *stagetest.Memory, file string) { m.Chmod(dir, file, 0o604) }, prefix},
		{"group writes the file", func(m *stagetest.Memory, file string) { m.Chmod(dir, file, 0o620) }, prefix},
		{"the file is a link", func(m *stagetest.Memory, file string) { m.Chmod(dir, file, fs.ModeSymlink|0o777) }, "link"},
		{"another owner's file", func(m *stagetest.Memory, file string) {
			f := m.Files(dir)[file]
			f.Owner = "mallory"
			m.Plant(dir, file, f)
		}, "mallory"},
		{"others read the directory", func(m *stagetest.Memory, _ string) { m.Chmod(dir, ".", 0o755) }, dir},
		{"others write the directory", func(m *stagetest.Memory, _ string) { m.Chmod(dir, ".", 0o1777) }, dir},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := stagetest.NewMemory()
				tt.spoil(m, plant(t, m, fsstaging.FormChecked, 1, 1, time.Time{}))
				_, err := newPickup(m).Next(t.Context())
				wantUnsafe(t, err, tt.part)

				m = stagetest.NewMemory()
				plant(t, m, fsstaging.FormChecked, 1, 1, time.Time{})
				var heard error
				p := newPickup(m)
				p.Skipped = func(_ string, err error) { heard = err }
				next(t, p)
				tt.spoil(m, plant(t, m, fsstaging.FormChecked, 1, 2, time.Time{}))
				wantWaiting(t, p, time.Hour)
				wantUnsafe(t, heard, tt.part)
			})
		})
	}
}

// TestF41_UnreachableIsWaitedFor: no directory, no file, no connection; at the
// start and after a set was returned.
// Shows: S30, S31, S35.
func TestF41_UnreachableIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := stagetest.NewMemory()
		f := &faulty{FS: m}
		p := newPickup(f)
		wantWaiting(t, p, time.Minute) // no directory
		for n, op := range []string{"open", "stat", "list", "read"} {
			n := uint32(n + 1)
			f.fault = func(got, _ string) *failure {
				if got == op {
					return &failure{err: errCut}
				}
				return nil
			}
			plant(t, m, fsstaging.FormChecked, 1, n, time.Time{})
			wantWaiting(t, p, 30*time.Minute)
			f.fault = nil
			start := time.Now()
			if got := next(t, p); got.N != n {
				t.Errorf("%s back: got %+v, want generation %d", op, got, n)
			}
			if took := time.Since(start); took > time.Minute {
				t.Errorf("%s back: noticed after %v, want a minute at most", op, took)
			}
		}
	})
}

// TestCS35_PausesFollowWhatIsDue measures the pauses between listings.
// Shows: S28, S29, S30.
func TestCS35_PausesFollowWhatIsDue(t *testing.T) {
	tests := []struct {
		name       string
		due        time.Duration // 0: not told
		after      time.Duration // from the first set
		atLeast    time.Duration
		atMost     time.Duration
		minP, maxP time.Duration
	}{
		{name: "far away", due: 16 * time.Hour, after: time.Hour, atLeast: 4 * time.Minute, atMost: 5 * time.Minute},
		{name: "in ten minutes", due: 10 * time.Minute, after: time.Second, atLeast: 40 * time.Second, atMost: time.Minute},
		{name: "any moment", due: 10 * time.Minute, after: 10*time.Minute - 2*time.Second, atLeast: 800 * time.Millisecond, atMost: time.Second},
		{name: "overdue for hours", due: time.Minute, after: 5 * time.Hour, atLeast: 48 * time.Second, atMost: time.Minute},
		{name: "never told", after: 5 * time.Hour, atLeast: 48 * time.Second, atMost: time.Minute},
		{name: "bounded by the caller", due: 16 * time.Hour, after: time.Hour, atLeast: 8 * time.Second, atMost: 10 * time.Second, maxP: 10 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := stagetest.NewMemory()
				due := time.Time{}
				if tt.due > 0 {
					due = time.Now().Add(tt.due)
				}
				plant(t, m, fsstaging.FormTimed, 1, 1, due)
				var last time.Time
				var pause time.Duration
				start := time.Now()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				f := &faulty{FS: m, fault: func(op, _ string) *failure {
					if op == "list" {
						pause = time.Since(last)
						if time.Since(start) > tt.after && last.After(start) {
							cancel()
						}
						last = time.Now()
					}
					return nil
				}}
				p := newPickup(f)
				p.MinPoll, p.MaxPoll = tt.minP, tt.maxP
				next(t, p)
				if _, err := p.Next(ctx); !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				if pause < tt.atLeast || pause > tt.atMost {
					t.Errorf("paused %v, want %v to %v", pause, tt.atLeast, tt.atMost)
				}
			})
		})
	}
}

// login is a file system that logs in with what it is given.
type login struct {
	fsstaging.FS
	used []plugins.Credentials
}

func (l *login) UseCredentials(c plugins.Credentials) { l.used = append(l.used, c) }

// TestNextHandsCredentialsToTheFileSystem before it returns them.
// Shows: C-H40.
func TestNextHandsCredentialsToTheFileSystem(t *testing.T) {
	m := stagetest.NewMemory()
	l := &login{FS: m}
	p := fsstaging.NewPickup(l, dir)
	for n := uint32(1); n <= 3; n++ {
		plant(t, m, fsstaging.FormChecked, 1, n, time.Now())
		creds, err := p.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(l.used) != int(n) || !l.used[n-1].Equal(creds) {
			t.Fatalf("generation %d: the file system was given %d sets", n, len(l.used))
		}
	}
}

// TestSeveralPrefixesAreAnError unless one is named or already followed.
func TestSeveralPrefixesAreAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := stagetest.NewMemory()
		plant(t, m, fsstaging.FormChecked, 1, 1, time.Time{})
		follower := newPickup(m)
		next(t, follower)
		other := "credentials-" + digits
		m.Plant(dir, other+"-9", stagetest.File{Info: fsstaging.Info{Mode: 0o600, Owner: alice}, Data: encoded(t, 1, 9)})

		_, err := newPickup(m).Next(t.Context())
		several, ok := errors.AsType[*fsstaging.SeveralPrefixes](err)
		if !ok {
			t.Fatalf("got %v, want several prefixes", err)
		}
		if diff := cmp.Diff([]string{other, prefix}, several.Prefixes); diff != "" {
			t.Errorf("prefixes (-want +got):\n%s", diff)
		}
		named := newPickup(m)
		named.Prefix = other
		if got := next(t, named); got.N != 9 {
			t.Errorf("named: got %+v, want generation 9", got)
		}
		wantWaiting(t, follower, time.Hour)
	})
}

// TestPickupErrorsHoldNoSecret: what is said of a torn file is not what is in it.
func TestPickupErrorsHoldNoSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := stagetest.NewMemory()
		name := plant(t, m, fsstaging.FormPlain, 1, 1, time.Time{})
		f := m.Files(dir)[name]
		f.Data = append([]byte("HDTS\x00\x01\x05alias"), "hunter2hunter2"...)
		m.Plant(dir, name, f)
		var heard string
		p := newPickup(m)
		p.Skipped = func(_ string, err error) { heard = fmt.Sprintf("%+v %#v", err, err) }
		wantWaiting(t, p, time.Minute)
		if heard == "" || strings.Contains(heard, "hunter2") {
			t.Errorf("heard %q", heard)
		}
	})
}
