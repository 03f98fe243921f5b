package appregistry_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// fold has a registry fold what it will.
func fold(r *appregistry.Registry) {
	for range 5 {
		r.Tidy(r.Turn()+1, 0)
	}
}

// What a holder says is the same whether its record is open or folded, nothing
// of one is left in the next, and nothing is opened for it.
func TestHolder_SaysWhatTheRecordHas(t *testing.T) {
	r := appregistry.NewRegistry()
	r.Volatile()
	overlays := []map[string]string{{"call-timeout": "5s", "policy": "yarn"}, nil, {"renewal.ratio": "0.5"}, nil}
	want := map[uint64]appregistry.Holder{}
	for i, overlay := range overlays {
		seq := uint64(1 + i)
		h := appregistry.Holder{User: fmt.Sprint("user-", i), Overlay: overlay}
		if i%2 == 0 {
			h.Owner = fmt.Sprint("owner-", i)
		}
		for k := range i {
			h.Holdings = append(h.Holdings, appregistry.Holding{
				Alias: fmt.Sprint("a", k), Kind: "K", Service: "s", Entry: appregistry.EntryID(50 + k), Token: 9, Lent: k == 1, Carried: k == 2,
			})
		}
		want[seq] = h
		app := appregistry.App{Owner: h.Owner, User: h.User, Overlay: overlay}
		app.ID, app.Obtain, app.StageTo = appregistry.AppID(fmt.Sprint("app-", i)), []string{"hdfs"}, []appregistry.Target{{Dir: "/d"}}
		app.Credentials.Secrets = map[string]plugins.Secret{"s": plugins.Secret("secret")}
		r.PutApp(&appregistry.AppRecord{Seq: seq, App: app, UUID: "u", Content: []byte("c"), Holdings: h.Holdings})
	}
	check := func(when string) {
		t.Helper()
		open := r.Open()
		for seq, h := range want {
			got := r.Holder(seq)
			if diff := cmp.Diff(&h, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s: application %d: %s", when, seq, diff)
			}
		}
		if r.Open() != open {
			t.Errorf("%s: %d records are open, %d before", when, r.Open(), open)
		}
		if r.Holder(50) != nil || r.Holder(1000) != nil {
			t.Errorf("%s: what is no application says something", when)
		}
	}
	check("open")
	fold(r)
	if r.Open() != 0 {
		t.Fatalf("%d records are open", r.Open())
	}
	check("folded")
}

// out is a session of which a call is out, or is not.
type out struct{ is *bool }

func (s out) Fold(b []byte) ([]byte, bool) { return b, !*s.is }
func (s out) Awaits() bool                 { return *s.is }

// The entry of a token stays open for the answer that will ask for it.
func TestTidy_LeavesTheEntryOfATokenThatIsAwaited(t *testing.T) {
	r := appregistry.NewRegistry()
	r.Volatile()
	calls := true
	for i := range appregistry.TokenID(3) {
		rec := &appregistry.TokenRecord{ID: 100 + i, Entry: appregistry.EntryID(50 + i), Authority: ns1}
		r.PutToken(rec)
		r.PutEntry(&appregistry.EntryRecord{ID: rec.Entry, Authority: ns1, Current: rec.ID})
		if i == 1 {
			rec.Attach(out{&calls})
		}
	}
	fold(r)
	if r.Open() != 2 {
		t.Errorf("%d records are open, want a token and its entry", r.Open())
	}
	calls = false
	fold(r)
	if r.Open() != 0 {
		t.Errorf("%d records are open once the answer was there", r.Open())
	}
}
