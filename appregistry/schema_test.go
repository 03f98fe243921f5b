package appregistry_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/appregistry/boltstore"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/renewer"
)

var newFixture = flag.Bool("new-fixture", false, "write the newest of the fixtures, which must not be there yet")

// fixtures are the store files of every schema there was, by number, oldest
// first. Each was written by the code of its time and is never written again.
//
// Who changes what a record looks like adds a line here and the file that belongs
// to it, with go test ./appregistry -run Schema -new-fixture. Where older files
// lack something that [full] has, undo takes it out of what they are expected to
// hold.
var fixtures = []struct {
	file string
	undo func(*appregistry.Registry)
}{
	{"v1.db", withoutGroups},                  // JSON
	{"v2.db", withoutGroups},                  // fields by number
	{"v3.db", withoutOrders},                  // groups
	{"v4.db", withoutLeases},                  // cancels that an operator ordered
	{"v5.db", withoutTenants},                 // ends of leases
	{"v6.db", withoutLeft},                    // cancels on a tenant's account
	{"v7.db", func(*appregistry.Registry) {}}, // what members leave behind in a group
}

// withoutLeft takes out what came with records that carry for a group: a member did.
func withoutLeft(r *appregistry.Registry) {
	for _, seq := range r.AppSeqs() {
		r.App(seq).Left = false
	}
}

// withoutTenants takes out what came with pauses of one tenant's cancels: before,
// there were only those of all.
func withoutTenants(r *appregistry.Registry) {
	withoutLeft(r)
	*r.Pause() = appregistry.Pause{All: true}
	for _, id := range r.TokenIDs() {
		r.Token(id).Tenant = ""
	}
}

// withoutLeases takes out what came with leases that outlive a restart.
func withoutLeases(r *appregistry.Registry) {
	withoutTenants(r)
	for _, seq := range r.AppSeqs() {
		r.App(seq).LeaseEnd = time.Time{}
	}
}

// withoutOrders takes out what came with cancels that are ordered.
func withoutOrders(r *appregistry.Registry) {
	withoutLeases(r)
	for _, id := range r.TokenIDs() {
		r.Token(id).Ordered = false
	}
}

// withoutGroups takes out what came with groups of applications.
func withoutGroups(r *appregistry.Registry) {
	withoutOrders(r)
	for _, seq := range r.AppSeqs() {
		a := r.App(seq)
		a.App.Group, a.App.Tolerate = "", false
		for i := range a.Holdings {
			a.Holdings[i].Carried = false
		}
	}
}

const fixtureDir = "../testdata/store"

// header is the record that the engine writes beside the registry's own.
const header = `{"v":1,"epoch":3,"instance":"node-1.example.com","session":77}`

// full is a registry with one record of each kind in which every field is set.
func full() *appregistry.Registry {
	r := appregistry.NewRegistry()
	first := r.NewID() // so that the sequence record is there
	when := time.Date(2026, 3, 1, 12, 0, 0, 987654321, time.UTC)
	ns1 := appregistry.Authority{Instance: "hdfs", Name: "ns1"}
	tok := plugins.Token{Kind: "HDFS_DELEGATION_TOKEN", Service: "ha-hdfs:ns1", Identifier: []byte{0, 5, 'a', 'l', 'i', 'c', 'e', 0xff}, Password: plugins.Secret("password of nobody")}
	token, entry := appregistry.TokenID(first+1), appregistry.EntryID(first+2)
	r.PutToken(&appregistry.TokenRecord{
		ID: token, Entry: entry, Authority: ns1, Token: tok, Known: appregistry.DigestsOf(ns1, tok),
		State: appregistry.Live, Reason: "renewed", Proof: appregistry.ProofRenewed, ProvedAt: when, Obtained: true, Keep: true, Owner: "alice", Ours: true,
		Issued: when.Add(-time.Hour), Expires: when.Add(24 * time.Hour), Max: when.Add(7 * 24 * time.Hour),
		Skew: -1500 * time.Millisecond, ReadUntil: when.Add(time.Minute), Ordered: true, Tenant: "etl",
	})
	app := appregistry.AppKey{Owner: "etl", ID: "orders"}
	r.PutEntry(&appregistry.EntryRecord{
		ID: entry, Authority: ns1, Alias: "ha-hdfs:ns1", Current: token,
		Supply: appregistry.Supply{Authority: ns1, User: "alice", App: app, Entry: entry},
	})
	r.PutApp(&appregistry.AppRecord{
		Seq: first + 3, App: appregistry.App{
			ID: app.ID, Owner: app.Owner, User: "alice", Obtain: []string{"hdfs:ns1"},
			Credentials: plugins.Credentials{Secrets: map[string]plugins.Secret{"job.secret": plugins.Secret("secret of nobody")}},
			StageTo:     []appregistry.Target{{FS: "scratch", Dir: "/user/alice/.stage", Prefix: "credentials-x"}},
			AtEnd:       appregistry.KeepAll, Verify: appregistry.VerifyDescribe, Share: appregistry.ShareUser,
			Group: "nightly", Tolerate: true,
			Overlay: map[string]string{"renewal.ratio": "0.5"},
		},
		Content: []byte{9, 8, 7}, UUID: "0b5c1e9e-0000-4000-8000-000000000001", Plan: []appregistry.Authority{ns1},
		Holdings: []appregistry.Holding{{Alias: "nn", Kind: tok.Kind, Service: "nn1:8020", Entry: entry, Token: token, Lent: true, Carried: true}},
		Replaces: first, Generation: 12, EpochFloor: 2, Ready: true,
		Published: appregistry.Published{Generation: 12, Digest: []byte{6, 5}, Tokens: []appregistry.TokenID{token}, NextUpdate: when.Add(time.Hour)},
		Offered:   []appregistry.TokenID{token}, LeaveAt: when.Add(2 * time.Hour), LeaseEnd: when.Add(3 * time.Hour), Left: true,
	})
	r.Pause().Add("etl")
	r.Pause().Add("") // an embedding program's
	r.PutPause()
	return r
}

// TestSchema_FullIsFull: a field that full leaves empty could change unnoticed.
func TestSchema_FullIsFull(t *testing.T) {
	r := full()
	for _, seq := range r.AppSeqs() {
		requireFull(t, "app", reflect.ValueOf(*r.App(seq)))
	}
	for _, id := range r.EntryIDs() {
		requireFull(t, "entry", reflect.ValueOf(*r.Entry(id)))
	}
	for _, id := range r.TokenIDs() {
		requireFull(t, "token", reflect.ValueOf(*r.Token(id)))
	}
}

func requireFull(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	switch {
	case path == "app.App.Credentials.Tokens": // they have records of their own
	case v.IsZero():
		t.Errorf("%s is not set", path)
	case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]():
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				requireFull(t, path+"."+f.Name, v.Field(i))
			}
		}
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			if v.Index(i).Kind() == reflect.Struct {
				requireFull(t, fmt.Sprintf("%s[%d]", path, i), v.Index(i))
			}
		}
	}
}

// TestB65_SchemaOfTheRecordsHasItsFixture: what the present code writes is what
// the newest fixture has, byte for byte. It fails when records change their
// looks: the file of the release before is then to be readable still, which only
// a fixture of it shows.
func TestB65_SchemaOfTheRecordsHasItsFixture(t *testing.T) {
	want := full().TakeBatch()
	newest := fixtures[len(fixtures)-1].file
	if *newFixture {
		writeFixture(t, filepath.Join(fixtureDir, newest), want)
	}
	got := map[string]string{}
	if err := openFixture(t, newest).Load(t.Context(), func(key, value []byte) error {
		got[string(key)] = string(value)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	written := map[string]string{"header": header}
	for _, r := range want.Put {
		written[string(r.Key)] = string(r.Value)
	}
	if d := cmp.Diff(got, written); d != "" {
		t.Errorf("records are not those of %s any more: add a fixture of what they are now, see fixtures in this file (-%s +this code):\n%s", newest, newest, d)
	}
}

// TestB65_EverySchemaIsRead loads the file of each release and finds all that it
// was given.
// Shows: C-V07.
func TestB65_EverySchemaIsRead(t *testing.T) {
	for _, f := range fixtures {
		t.Run(f.file, func(t *testing.T) {
			want, got := full(), appregistry.NewRegistry()
			f.undo(want)
			l := got.Loader(nil, nil)
			err := openFixture(t, f.file).Load(t.Context(), func(key, value []byte) error {
				if string(key) == "header" {
					return nil
				}
				ours, err := l.Load(key, value)
				if err == nil && !ours {
					err = fmt.Errorf("the registry does not know the key %q", key)
				}
				return err
			})
			l.Done()
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(recordsOf(want), recordsOf(got), sameRecords); d != "" {
				t.Errorf("records (-given +read):\n%s", d)
			}
			if d := cmp.Diff(want.Pause(), got.Pause(), cmpopts.IgnoreUnexported(appregistry.Pause{})); d != "" {
				t.Errorf("whose cancels are paused (-given +read):\n%s", d)
			}
			if next := got.NewID(); next <= want.AppSeqs()[0] {
				t.Errorf("number %d is given again", next)
			}
		})
	}
}

// TestB65_EngineStartsFromEverySchema: what a release left is taken up by a whole
// engine of today, under the next epoch.
func TestB65_EngineStartsFromEverySchema(t *testing.T) {
	for _, f := range fixtures {
		t.Run(f.file, func(t *testing.T) {
			s := openFixture(t, f.file)
			r, err := renewer.New(renewer.Config{
				Providers: map[string]plugins.Provider{"hdfs": unreachable{}}, Store: s, Instance: "node-1.example.com",
			})
			if err != nil {
				t.Fatal(err)
			}
			want := full()
			err = r.Run(t.Context(), func(ctx context.Context) error {
				entries, err := r.Entries(ctx)
				if err == nil && (len(entries) != 1 || entries[0].ID != want.EntryIDs()[0] || entries[0].Owner != "alice") {
					t.Errorf("entries %+v", entries)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			head, err := s.Get(t.Context(), []byte("header"))
			if err != nil || !bytes.Contains(head, []byte(`"epoch":4,`)) {
				t.Errorf("the header is %s, %v; want epoch 4", head, err)
			}
		})
	}
}

// unreachable is a provider whose service is down.
type unreachable struct{}

var errDown = errors.New("down")

func (unreachable) Kinds() []string { return []string{"HDFS_DELEGATION_TOKEN"} }

func (unreachable) Obtain(context.Context, plugins.ObtainRequest) ([]plugins.Grant, error) {
	return nil, errDown
}

func (unreachable) Renew(context.Context, plugins.Token) (time.Time, error) {
	return time.Time{}, errDown
}

func (unreachable) Cancel(context.Context, plugins.Token) error { return errDown }

// recordsOf lists all records of a registry.
func recordsOf(r *appregistry.Registry) (all []any) {
	for _, seq := range r.AppSeqs() {
		all = append(all, r.App(seq))
	}
	for _, id := range r.EntryIDs() {
		all = append(all, r.Entry(id))
	}
	for _, id := range r.TokenIDs() {
		r.Token(id).Digests()
		all = append(all, r.Token(id))
	}
	return all
}

// sameRecords compares records with all their secrets.
var sameRecords = cmp.Options{
	cmpopts.IgnoreUnexported(appregistry.AppRecord{}, appregistry.EntryRecord{}, appregistry.TokenRecord{}),
	cmp.Comparer(func(a, b plugins.Token) bool { return a.Equal(b) }),
	cmp.Comparer(func(a, b plugins.Credentials) bool { return a.Equal(b) }),
}

// openFixture opens a copy of a fixture.
func openFixture(t *testing.T, name string) appregistry.Store {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(fixtureDir, name))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(privateDir(t), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// privateDir is a directory as boltstore wants it, whatever the umask.
func privateDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// writeFixture makes the file beside its place and puts it there only where there
// is none: a fixture is what some release wrote.
func writeFixture(t *testing.T, path string, b appregistry.Batch) {
	t.Helper()
	if _, err := os.Stat(path); err == nil {
		t.Fatalf("%s is there: fixtures do not change; name a new one", path)
	}
	made := filepath.Join(privateDir(t), "made.db")
	s, err := boltstore.Open(made, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b.Put = append(b.Put, appregistry.Record{Key: []byte("header"), Value: []byte(header)})
	if err := s.Commit(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(made)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}
