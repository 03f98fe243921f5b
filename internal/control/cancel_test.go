package control_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/control"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/renewer"
)

const vaultKind = "VAULT_TOKEN"

// vault is a second service, with a kind of its own. It cancels when the test
// lets it, and never for bob.
type vault struct {
	lender
	open chan struct{}
}

func (*vault) Kinds() []string { return []string{vaultKind} }

func (v *vault) Obtain(ctx context.Context, r plugins.ObtainRequest) ([]plugins.Grant, error) {
	grants, err := v.lender.Obtain(ctx, r)
	grants[0].Token.Kind, grants[0].Token.Service = vaultKind, "vault:2"
	return grants, err
}

func (v *vault) Cancel(ctx context.Context, tok plugins.Token) error {
	select {
	case <-v.open:
	case <-ctx.Done():
		return ctx.Err()
	}
	if strings.HasPrefix(string(tok.Identifier), "bob ") {
		return plugins.Denied(errors.New("not yours"))
	}
	return nil
}

func (*vault) Authorities(context.Context) ([]plugins.Authority, error) {
	return []plugins.Authority{{Name: "safe", Kinds: []string{vaultKind}, Services: []string{"vault:2"}, Obtains: true}}, nil
}

// crowded has alice's a1 and a2 and bob's b1. Each has a token of the bank, and
// all but a1 one of the vault.
func crowded(t *testing.T) (*world, *vault) {
	v := &vault{lender: lender{new(atomic.Int64)}, open: make(chan struct{})}
	w := newWorldWith(t, olgaUID, map[string]plugins.Provider{"test": lender{new(atomic.Int64)}, "vault": v})
	for _, key := range []appregistry.AppKey{{Owner: "alice", ID: "a2"}, {Owner: "bob", ID: "b1"}} {
		app := appregistry.App{Owner: key.Owner, ID: key.ID, User: key.Owner, Obtain: []string{"test", "vault"}}
		if err := w.r.As(renewer.Caller{Name: key.Owner}).Register(t.Context(), app); err != nil {
			t.Fatal(err)
		}
	}
	return w, v
}

// namesOf are a selection's tokens, by holder and service.
func namesOf(list []control.CancelledToken) []string {
	out := []string{}
	for _, v := range list {
		out = append(out, fmt.Sprint(strings.Join(v.Holders, ","), " ", v.Service))
	}
	slices.Sort(out)
	return out
}

// All tokens of an application, a service, a kind or an owner, and what has all
// that is asked for; and never any that is not the caller's.
func TestCV04_SelectionHitsWhatItNames(t *testing.T) {
	w, _ := crowded(t)
	before := w.state(t)
	for name, c := range map[string]struct {
		uid  uint32
		sel  control.Selection
		want []string
	}{
		"an application":     {olgaUID, control.Selection{App: "alice/a2"}, []string{"alice/a2 bank:1", "alice/a2 vault:2"}},
		"a service":          {olgaUID, control.Selection{Service: "bank:1"}, []string{"alice/a1 bank:1", "alice/a2 bank:1", "bob/b1 bank:1"}},
		"an authority":       {olgaUID, control.Selection{Service: "vault:safe"}, []string{"alice/a2 vault:2", "bob/b1 vault:2"}},
		"a kind":             {olgaUID, control.Selection{Kind: vaultKind}, []string{"alice/a2 vault:2", "bob/b1 vault:2"}},
		"an owner":           {olgaUID, control.Selection{Owner: "bob"}, []string{"bob/b1 bank:1", "bob/b1 vault:2"}},
		"owner and kind":     {olgaUID, control.Selection{Owner: "alice", Kind: vaultKind}, []string{"alice/a2 vault:2"}},
		"all four":           {olgaUID, control.Selection{App: "alice/a2", Owner: "alice", Kind: vaultKind, Service: "vault:2"}, []string{"alice/a2 vault:2"}},
		"none that has both": {olgaUID, control.Selection{App: "alice/a1", Kind: vaultKind}, []string{}},
		"one's own app":      {aliceUID, control.Selection{App: "a2"}, []string{"alice/a2 bank:1", "alice/a2 vault:2"}},
		"of one's own only":  {aliceUID, control.Selection{Kind: vaultKind}, []string{"alice/a2 vault:2"}},
		"somebody else's":    {malloryUID, control.Selection{Owner: "alice"}, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			w.uid.Store(c.uid)
			c.sel.DryRun = true
			list, err := w.client().CancelTokens(t.Context(), c.sel)
			if diff := cmp.Diff(c.want, namesOf(list)); diff != "" || err != nil {
				t.Errorf("%v, hit (-want +got):\n%s", err, diff)
			}
		})
	}
	for uid, app := range map[uint32]string{olgaUID: "a2", malloryUID: "alice/a2"} { // a name of his own, and one that he may not know
		w.uid.Store(uid)
		if _, err := w.client().CancelTokens(t.Context(), control.Selection{App: app, DryRun: true}); codeOf(err) != "not-found" {
			t.Errorf("tokens of %s, who is not there: %v", app, err)
		}
	}
	w.uid.Store(olgaUID)
	if _, err := w.client().CancelTokens(t.Context(), control.Selection{Many: true, Force: true}); codeOf(err) != "bad-request" {
		t.Errorf("without any name: %v", err)
	}
	if _, err := w.client().CancelTokens(t.Context(), control.Selection{Owner: "alice", Force: true}); codeOf(err) != "many-tokens" {
		t.Errorf("three tokens, and nobody said that many are meant: %v", err)
	}
	if after := w.state(t); after != before {
		t.Errorf("before\n%safter\n%s", before, after)
	}
}

// Held tokens need force, and force an operator; each refusal is its token's own, and
// a dry run foretells it.
func TestCV04_SelectionKeepsTheRulesOfOne(t *testing.T) {
	w, _ := crowded(t)
	before := w.state(t)
	for code, c := range map[string]struct {
		uid   uint32
		force bool
	}{"token-held": {olgaUID, false}, "not-allowed": {aliceUID, true}} {
		w.uid.Store(c.uid)
		for _, dry := range []bool{true, false} {
			list, err := w.client().CancelTokens(t.Context(), control.Selection{Owner: "alice", Many: true, Force: c.force, DryRun: dry})
			if err != nil || len(list) != 3 {
				t.Fatalf("%d tokens, %v; want alice's three", len(list), err)
			}
			for _, v := range list {
				if v.Problem == nil || v.Problem.Code != code || v.State != "live" {
					t.Errorf("token %d is %s, dry run %v: %v, want %s", v.ID, v.State, dry, v.Problem, code)
				}
			}
		}
	}
	if after := w.state(t); after != before {
		t.Errorf("before\n%safter\n%s", before, after)
	}
}

// Without waiting the answer comes while the service hangs; who waits hears of
// each token what became of it, and of time that is up.
func TestCV04_SelectionWaitsOrNot(t *testing.T) {
	w, v := crowded(t)
	all := control.Selection{Kind: vaultKind, Many: true, Force: true}
	list, err := w.client().CancelTokens(t.Context(), all)
	if err != nil || len(list) != 2 {
		t.Fatalf("%d tokens, %v; want two", len(list), err)
	}
	for _, got := range list {
		if got.Problem != nil || got.State != "cancel-pending" && got.State != "cancelling" {
			t.Errorf("token %d is %s: %v; want it on its way", got.ID, got.State, got.Problem)
		}
	}
	// Their successors, which the service has not been asked to cancel yet.
	waits := control.Selection{App: "bob/b1", Kind: vaultKind, Many: true, Force: true, Wait: true}
	short, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if list, err = w.client().CancelTokens(short, waits); err != nil || len(list) == 0 {
		t.Fatalf("%d tokens, %v; want an answer in time", len(list), err)
	}
	for _, got := range list {
		if got.Problem == nil || got.Problem.Code != "timed-out" {
			t.Errorf("token %d: %v, and its service has not answered", got.ID, got.Problem)
		}
	}
	close(v.open)
	waits.App = ""
	if list, err = w.client().CancelTokens(t.Context(), waits); err != nil {
		t.Fatal(err)
	}
	for _, got := range list {
		switch {
		case got.Owner == "bob" && (got.Problem == nil || got.State != "cancel-pending" || !strings.Contains(got.Problem.Detail, "not yours")):
			t.Errorf("bob's token %d is %s: %v; want the service's refusal", got.ID, got.State, got.Problem)
		case got.Owner == "alice" && (got.Problem != nil || got.State != "cancelled"):
			t.Errorf("alice's token %d is %s: %v", got.ID, got.State, got.Problem)
		}
	}
}
