package appregistry_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// fill draws a registry: shared entries, successors, and references that lead nowhere.
func fill(t *rapid.T, r *appregistry.Registry) {
	number := func(what string, most int) uint64 { return uint64(rapid.IntRange(0, most).Draw(t, what)) }
	ids := func(what string) (ids []appregistry.TokenID) {
		for range rapid.IntRange(0, 3).Draw(t, what) {
			ids = append(ids, appregistry.TokenID(100+number(what, 12)))
		}
		return ids
	}
	for id := range appregistry.TokenID(12) {
		if rapid.Bool().Draw(t, "token") {
			tok := plugins.Token{Kind: "K", Service: "s", Identifier: fmt.Appendf(nil, "token %d", id%8), Password: plugins.Secret{byte(id)}}
			rec := &appregistry.TokenRecord{ID: 100 + id, Entry: appregistry.EntryID(50 + number("its entry", 6)), Authority: ns1, Token: tok}
			if rapid.Bool().Draw(t, "forgotten") {
				rec.Forget()
			}
			r.PutToken(rec)
		}
	}
	for id := range appregistry.EntryID(6) {
		if rapid.Bool().Draw(t, "entry") {
			e := &appregistry.EntryRecord{ID: 50 + id, Authority: ns1, Alias: "a", Current: appregistry.TokenID(100 + number("current", 12))}
			if rapid.Bool().Draw(t, "supplied") {
				e.Supply = appregistry.Supply{Authority: ns1, User: "u"}
			}
			r.PutEntry(e)
		}
	}
	for seq := range uint64(5) {
		if !rapid.Bool().Draw(t, "application") {
			continue
		}
		a := &appregistry.AppRecord{Seq: 1 + seq, App: appregistry.App{ID: appregistry.AppID(fmt.Sprintf("app-%d", seq)), Owner: "o"}, Offered: ids("offered")}
		a.Published.Tokens = ids("published")
		for range rapid.IntRange(0, 3).Draw(t, "holdings") {
			a.Holdings = append(a.Holdings, appregistry.Holding{
				Entry: appregistry.EntryID(50 + number("holds", 6)), Token: appregistry.TokenID(100 + number("brought", 12)), Lent: rapid.Bool().Draw(t, "lent"),
			})
		}
		r.PutApp(a)
	}
}

// view is all that a registry answers about the numbers that fill gives.
func view(r *appregistry.Registry) string {
	var b strings.Builder
	fmt.Fprintln(&b, r.AppSeqs(), r.AppsOf("o"), r.EntryIDs(), r.TokenIDs(), r.SuppliedEntries(appregistry.Supply{Authority: ns1, User: "u"}))
	for i := range appregistry.EntryID(7) {
		fmt.Fprintln(&b, r.Holders(50+i), r.TokensOf(50+i), r.Followed(50+i))
	}
	for i := range appregistry.TokenID(13) {
		fmt.Fprintln(&b, r.IsPublished(100+i), r.Referenced(100+i), r.MayCancel(100+i))
		if t := r.Token(100 + i); t != nil {
			fmt.Fprintln(&b, r.TokenByKey(t.Digests()) != nil, r.TokensByName(t.Digests().Name))
		}
	}
	for seq := range 5 {
		a := r.AppByKey(appregistry.AppKey{Owner: "o", ID: appregistry.AppID(fmt.Sprintf("app-%d", seq))})
		fmt.Fprintln(&b, a != nil)
	}
	return b.String()
}

// What a store has makes the same registry as the changes did that were stored,
// whatever the records are and in whatever order they come, and stays it when
// what was read is gone over.
func TestLoader_MakesTheSameRegistry(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := appregistry.NewRegistry()
		fill(t, want)
		records := want.TakeBatch().Put
		if seed := rapid.Uint64Range(0, 3).Draw(t, "disorder"); seed > 0 { // a store's order else
			rand.New(rand.NewPCG(seed, 0)).Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
		}
		got := appregistry.NewRegistry()
		apps, tokens := 0, 0
		l := got.Loader(func(*appregistry.AppRecord) { apps++ }, func(*appregistry.TokenRecord) { tokens++ })
		for _, rec := range records {
			value := bytes.Clone(rec.Value)
			if ok, err := l.Load(rec.Key, value); !ok || err != nil {
				t.Fatal(ok, err)
			}
			clear(value)
		}
		l.Done()
		if d := cmp.Diff(view(want), view(got)); d != "" {
			t.Fatalf("-want +got:\n%s", d)
		}
		if got.Dirty() || apps != len(want.AppSeqs()) || tokens != want.Tokens() {
			t.Fatalf("%v changed; %d applications and %d tokens were shown", got.Dirty(), apps, tokens)
		}
		// And all are written as they were read.
		got.Redo(appregistry.Batch{Put: records})
		for _, again := range got.TakeBatch().Put {
			i := slices.IndexFunc(records, func(r appregistry.Record) bool { return bytes.Equal(r.Key, again.Key) })
			if !bytes.Equal(records[i].Value, again.Value) {
				t.Fatalf("%q is written as %q, was %q", again.Key, again.Value, records[i].Value)
			}
		}
	})
}

// One application with one token of its own: three records.
func BenchmarkLoader(b *testing.B) {
	r := appregistry.NewRegistry()
	const apps = 20_000
	for i := range uint64(apps) {
		tok := plugins.Token{Kind: "K", Service: "ns1.example:8020", Identifier: fmt.Appendf(nil, "%096d", i), Password: make(plugins.Secret, 20)}
		app, entry, token := 3*i+1, appregistry.EntryID(3*i+2), appregistry.TokenID(3*i+3)
		r.PutToken(&appregistry.TokenRecord{ID: token, Entry: entry, Authority: ns1, Token: tok, State: appregistry.Live, Owner: "alice", Ours: true})
		r.PutEntry(&appregistry.EntryRecord{ID: entry, Authority: ns1, Alias: "ns1", Current: token})
		r.PutApp(&appregistry.AppRecord{
			Seq: app, App: appregistry.App{ID: appregistry.AppID(fmt.Sprintf("application-%08d", i)), User: "alice"},
			UUID: fmt.Sprintf("%08x-0000-4000-8000-000000000001", i), Content: make([]byte, 16), Ready: true,
			Holdings: []appregistry.Holding{{Alias: "ns1", Kind: "K", Service: "ns1.example:8020", Entry: entry, Token: token}},
		})
	}
	records := r.TakeBatch().Put
	b.ReportAllocs()
	for b.Loop() {
		l := appregistry.NewRegistry().Loader(nil, nil)
		for _, rec := range records {
			if _, err := l.Load(rec.Key, rec.Value); err != nil {
				b.Fatal(err)
			}
		}
		l.Done()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*apps), "ns/app")
}
