package real_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/fsstaging"
	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// The daemon is killed again and again after it has acknowledged something, a little later each time, while it obtains,
// stages and cancels. One application changes each time; some leave.
//
// Shows: S15.
func TestP1_KilledDaemonLosesNothingAcknowledged(t *testing.T) {
	const rounds = 10
	ctx := within(t, 3*time.Minute)
	files := stagedFiles{t: t, as: asAlice(t), seen: map[string]map[uint32]stagedFile{}}
	d := newDaemon(t, shared, "")
	d.start()
	var changing plugins.Token
	acknowledged := map[string]bool{"changing": true}
	for round := range rounds {
		name := fmt.Sprintf("app-%d", round)
		d.do("app", "register", name, "--user", "alice", "--obtain", "hdfs", "--stage-to", files.dir(name))
		acknowledged[name] = true
		changing = get(t, shared)
		d.do("app", "register", "changing", "--user", "alice", "--stage-to", files.dir("changing"),
			"--token-file", tokenFile(t, changing, hadooptoken.FormatJava))
		if round%3 == 2 {
			gone := fmt.Sprintf("app-%d", round-1)
			d.do("app", "unregister", gone)
			delete(acknowledged, gone)
		}
		time.Sleep(time.Duration(round) * 20 * time.Millisecond) // where in its work the daemon dies
		d.kill()
		files.look(ctx, acknowledged)
		d.start()
	}

	var listed []string
	for _, a := range d.apps() {
		listed = append(listed, a.ID)
	}
	slices.Sort(listed)
	want := slices.Sorted(maps.Keys(acknowledged))
	if !slices.Equal(listed, want) {
		t.Fatalf("applications are %v, want %v", listed, want)
	}
	settled := func() bool {
		files.look(ctx, acknowledged)
		return !slices.ContainsFunc(want, func(name string) bool {
			a := d.app(name)
			return !a.Ready || a.Generation != files.newest(name).N
		})
	}
	if err := eventually(within(t, time.Minute), settled); err != nil {
		t.Fatalf("what is staged and what the daemon says never agreed: %+v", d.apps())
	}
	for _, name := range want {
		token := only(t, files.newest(name).creds)
		if err := login(ctx, shared, token); err != nil {
			t.Errorf("%s: its newest file does not log in: %v", name, err)
		}
		if name == "changing" && !token.Equal(changing) {
			t.Error("the last acknowledged change is not what is staged")
		}
	}
	if n := len(files.seen["changing"]); n < 3 {
		t.Errorf("%d generations of the changing application were seen in %d rounds", n, rounds)
	}
}

func asAlice(t *testing.T) fsstaging.FS {
	t.Helper()
	as, err := dialHDFS(t, byKeytab(t)).As(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	return as
}

// stagedFiles remembers every generation that was ever staged.
type stagedFiles struct {
	t    *testing.T
	as   fsstaging.FS
	seen map[string]map[uint32]stagedFile // by application and number
}

type stagedFile struct {
	fsstaging.Name
	data  []byte
	creds plugins.Credentials
}

func (s *stagedFiles) dir(app string) string { return "/user/alice/killed/" + app }

// look reads what is staged now. Every file must be whole, and a number must mean one file with the same bytes, always.
func (s *stagedFiles) look(ctx context.Context, apps map[string]bool) {
	s.t.Helper()
	for app := range apps {
		d, err := s.as.OpenDir(ctx, s.dir(app), false)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			s.t.Fatal(err)
		}
		var names []fsstaging.Name
		err = d.List(ctx, func(name string) {
			if n, ok := fsstaging.ParseName("", name); ok {
				names = append(names, n)
			}
		})
		before := s.newest(app).N
		for _, n := range names {
			s.keep(ctx, d, app, n, before)
		}
		if err = errors.Join(err, d.Close()); err != nil {
			s.t.Fatal(err)
		}
	}
}

// keep remembers one file. What is new must have a number above all that were there before.
func (s *stagedFiles) keep(ctx context.Context, d fsstaging.Dir, app string, n fsstaging.Name, before uint32) {
	s.t.Helper()
	data, _, err := d.Read(ctx, n.String())
	if errors.Is(err, fs.ErrNotExist) {
		return // removed as superfluous since it was listed
	}
	creds, bad := hadooptoken.Unmarshal(data, hadooptoken.Limits{})
	if err != nil || bad != nil || !n.Matches(data) {
		s.t.Errorf("%s of %s is not whole: %v, %v", n, app, err, bad)
		return
	}
	if s.seen[app] == nil {
		s.seen[app] = map[uint32]stagedFile{}
	}
	earlier, known := s.seen[app][n.N]
	switch {
	case known && (earlier.Name != n || !bytes.Equal(earlier.data, data)):
		s.t.Errorf("generation %d of %s is %s, and was %s", n.N, app, n, earlier.Name)
	case !known && n.N < before:
		s.t.Errorf("%s of %s came after generation %d", n, app, before)
	}
	s.seen[app][n.N] = stagedFile{n, data, creds}
}

// newest is the file with the highest number; its N is 0 if there is none.
func (s *stagedFiles) newest(app string) (f stagedFile) {
	for _, other := range s.seen[app] {
		if other.N > f.N {
			f = other
		}
	}
	return f
}
