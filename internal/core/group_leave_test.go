package core_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
)

// leavingGroup is a group of members that leave one after the other, each with a token
// of its own, and what that costs.
type leavingGroup struct {
	*world
	n              int
	first          bool // the oldest leaves first
	records, bytes int  // written, by the leaving that wrote most
	allocated      uint64
}

func newLeavingGroup(t *testing.T, n int, first bool) *leavingGroup {
	w := newWorld(t, day, 7*day)
	w.cfg.Policy.CancelBurst = 2 * n
	w.crash()
	w.run(time.Second)
	for i := range n {
		w.step(w.event(registration{app: grouped(fmt.Sprint(i), "g"), bring: bring(w.svc.issue("alice"))}))
		for len(w.out) > 0 {
			w.answer(0)
		}
	}
	return &leavingGroup{world: w, n: n, first: first}
}

// leave has those members leave that are in their turn, and looks at the commits.
func (g *leavingGroup) leave(from, to int) {
	for i := from; i < to; i++ {
		if !g.first {
			i = g.n - 1 - i
		}
		r := g.ask()
		records, bytes := 0, 0
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		g.step(core.Unregister{Request: r, Caller: alice, App: keyOf(appregistry.AppID(fmt.Sprint(i)))})
		for len(g.out) > 0 {
			if c, ok := g.out[0].(core.Commit); ok {
				records += len(c.Batch.Put) + len(c.Batch.Delete)
				for _, put := range c.Batch.Put {
					bytes += len(put.Value)
				}
			}
			g.answer(0)
		}
		runtime.ReadMemStats(&after)
		g.records, g.bytes = max(g.records, records), max(g.bytes, bytes)
		g.allocated += after.TotalAlloc - before.TotalAlloc
		if !g.first {
			i = g.n - 1 - i
		}
	}
}

// stored counts the records of a kind.
func (w *world) stored(kind string) (n int) {
	for key := range w.store {
		if strings.HasPrefix(key, kind+"/") {
			n++
		}
	}
	return n
}

// Who leaves a group writes what he had, and nothing that others left before: in
// whatever order they leave, the last but one costs what the first did. All tokens
// are there until the last has left, over a restart too, and then all go.
// Shows: Y34.
func TestGroup_LeavingCostsWhatLeaves(t *testing.T) {
	for _, first := range []bool{true, false} {
		type cost struct{ records, bytes, allocated int }
		of := func(n int) cost {
			g := newLeavingGroup(t, n, first)
			g.leave(0, n/2)
			g.records, g.bytes, g.allocated = 0, 0, 0
			g.leave(n/2, n-1)
			perLeave := int(g.allocated) / (n/2 - 1)
			got := cost{g.records, g.bytes, perLeave}
			for _, restart := range []bool{false, true} {
				if restart {
					g.crash()
				}
				g.run(2 * day)
				if counts := g.core.Counts(); len(g.svc.cancels) != 0 || counts.Entries != n || counts.Apps != 1 || len(g.core.Apps()) != 1 {
					t.Fatalf("restart %v: %d cancels while one is left, %+v", restart, len(g.svc.cancels), counts)
				}
			}
			for _, e := range g.core.Entries() {
				if len(e.Holders) != 1 || len(e.Tokens) == 0 {
					t.Fatalf("entry %d has the holders %v, want the one that is there", e.ID, e.Holders)
				}
			}
			g.leave(n-1, n)
			g.run(2 * time.Minute)
			if counts := g.core.Counts(); len(g.svc.cancels) != n || counts.Entries != 0 || counts.Apps != 0 {
				t.Errorf("%d cancels after the last has left, want %d; %+v", len(g.svc.cancels), n, counts)
			}
			if left := g.stored("app") + g.stored("entry"); left != 0 || g.core.Sizes()["groups"] != 0 {
				t.Errorf("%d records are left of a group without members, %d groups", left, g.core.Sizes()["groups"])
			}
			return got
		}
		few, more := of(40), of(320)
		if more.records > few.records || more.bytes > few.bytes+16 || more.allocated > 2*few.allocated {
			t.Errorf("oldest first %v: to leave costs %+v among 320, %+v among 40", first, more, few)
		}
		t.Logf("oldest first %v: %+v among 320, %+v among 40", first, more, few)
	}
}

// What one carries others need not: a token that all of a group share leaves one
// record behind, and it is gone when the token has come to its end.
func TestGroup_SharedTokenIsCarriedOnce(t *testing.T) {
	w := newWorld(t, day, 7*day)
	tok := w.svc.issue("alice")
	w.mustDone(w.register(registration{app: grouped("stays", "g"), plan: plan(ns1)}))
	for i := range 20 {
		w.mustDone(w.register(registration{app: grouped(fmt.Sprint(i), "g"), bring: bring(tok)}))
	}
	for i := range 20 {
		w.mustDone(w.unregister(alice, appregistry.AppID(fmt.Sprint(i))))
		if i == 10 {
			w.crash()
		}
	}
	if w.run(day); w.stored("app") != 2 || len(w.svc.cancels) != 0 || !w.svc.tokens[string(tok.Identifier)].good(w.svc.now()) {
		t.Fatalf("%d records of applications, cancels %v; want 2 and none, and the token alive", w.stored("app"), w.svc.cancels)
	}
	if w.run(8 * day); w.stored("app") != 1 || w.core.Counts().Apps != 1 || w.core.Sizes()["carried"] > 0 {
		t.Errorf("%d records of applications, %+v: of a token that has ended nothing is to be carried", w.stored("app"), w.core.Counts())
	}
	w.mustDone(w.unregister(alice, "stays"))
	if w.run(2 * time.Minute); w.stored("app") != 0 {
		t.Errorf("%d records of applications after the last has left", w.stored("app"))
	}
}

// The name of who has left is free, and what comes under it has nothing of it.
func TestGroup_NameOfWhoLeftIsFree(t *testing.T) {
	for _, restart := range []bool{false, true} {
		w := newWorld(t, day, 7*day)
		first, second := w.svc.issue("alice"), w.svc.issue("alice")
		w.mustDone(w.register(registration{app: grouped("stays", "g"), bring: bring(w.svc.issue("alice"))}))
		w.mustDone(w.register(registration{app: grouped("a", "g"), bring: bring(first)}))
		w.mustDone(w.unregister(alice, "a"))
		if _, err := w.core.Current(keyOf("a")); err == nil {
			t.Error("who has left is there")
		}
		if held, err := w.core.HeldByApp(keyOf("stays")); err != nil || len(held) != 2 {
			t.Errorf("who stands for it is said to hold the entries %v, %v; want its own and the other", held, err)
		}
		if restart {
			w.crash()
			w.run(time.Minute)
		}
		r := w.ask()
		w.step(core.Unregister{Request: r, Caller: alice, App: keyOf("a")})
		if w.run(time.Second); w.done(r) == nil {
			t.Error("left twice")
		}
		w.mustDone(w.register(registration{app: grouped("a", "g"), bring: bring(second)}))
		if w.held("a", "ns1") != string(second.Identifier) || len(w.targets["/stage/a"].creds.Tokens) != 1 {
			t.Errorf("it was given %v", w.targets["/stage/a"].creds)
		}
		w.mustDone(w.unregister(alice, "a"))
		w.mustDone(w.unregister(alice, "stays"))
		if w.run(2 * time.Minute); len(w.svc.cancels) != 3 || w.stored("app") != 0 {
			t.Errorf("restart %v: cancels %v at the end of the group, %d records", restart, w.svc.cancels, w.stored("app"))
		}
	}
}
