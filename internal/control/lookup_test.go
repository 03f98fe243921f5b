package control_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/control"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// lookups is an engine with one application and one token, which can be looked up
// and not listed: a listing panics.
type lookups struct{ control.Engine }

var (
	lookedUp = appregistry.AppKey{Owner: "root", ID: "a"}
	itsEntry = appregistry.Entry{ID: 5, Holders: []appregistry.AppKey{lookedUp}, Tokens: []appregistry.TokenStatus{{ID: 8}, {ID: 7}}}
)

func (lookups) Admit(context.Context, appregistry.App) error { return nil }
func (lookups) KeepAlive(context.Context, appregistry.AppKey) (time.Time, error) {
	return time.Time{}, nil
}
func (lookups) RenewToken(context.Context, appregistry.TokenID) error { return nil }

func (lookups) App(_ context.Context, key appregistry.AppKey) (renewer.AppStatus, error) {
	if key.ID != lookedUp.ID {
		return renewer.AppStatus{}, appregistry.ErrNotFound
	}
	return renewer.AppStatus{Key: key}, nil
}

func (lookups) EntriesOf(context.Context, appregistry.AppKey) ([]appregistry.Entry, error) {
	return []appregistry.Entry{itsEntry}, nil
}

func (lookups) EntryOf(_ context.Context, id appregistry.TokenID) (appregistry.Entry, error) {
	if !slices.ContainsFunc(itsEntry.Tokens, func(t appregistry.TokenStatus) bool { return t.ID == id }) {
		return appregistry.Entry{}, appregistry.ErrNotFound
	}
	return itsEntry, nil
}

// Who asks about one thing does not pay for all that there is.
func TestRequest_AboutOneThingListsNothing(t *testing.T) {
	c, ctx := serve(t, lookups{}), t.Context()
	if a, err := c.Register(ctx, control.Registration{ID: "a", User: "u"}); err != nil || a.ID != "a" {
		t.Errorf("registered %+v, %v", a, err)
	}
	if a, err := c.KeepAlive(ctx, "", "a"); err != nil || a.ID != "a" {
		t.Errorf("kept alive %+v, %v", a, err)
	}
	if a, err := c.App(ctx, "", "a"); err != nil || len(a.Tokens) != 2 || a.Tokens[1].ID != 7 {
		t.Errorf("described %+v, %v; want it with its tokens", a, err)
	}
	if tok, err := c.Token(ctx, "7"); err != nil || tok.ID != 7 || tok.Current || tok.Entry != 5 {
		t.Errorf("described %+v, %v; want the retiring token of entry 5", tok, err)
	}
	if tok, err := c.RenewToken(ctx, "8"); err != nil || tok.ID != 8 || !tok.Current {
		t.Errorf("renewed %+v, %v; want the current token", tok, err)
	}
	for _, name := range []string{"9", "08", "x"} {
		if tok, err := c.Token(ctx, name); codeOf(err) != "not-found" {
			t.Errorf("token %s: %+v, %v; want it not found", name, tok, err)
		}
	}
	if a, err := c.App(ctx, "", "b"); codeOf(err) != "not-found" {
		t.Errorf("application b: %+v, %v; want it not found", a, err)
	}
}
