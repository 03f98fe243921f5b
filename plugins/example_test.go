package plugins_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tokenwheel/tokenwheel/plugins"
)

// provider lends tokens of the ACME store. In a program of its own, main is one
// line: pluginmain.Serve(&provider{}).
type provider struct{ api *acmeClient }

func (p *provider) Kinds() []string { return []string{"ACME_TOKEN"} }

func (p *provider) Configure(ctx context.Context, raw json.RawMessage) (err error) {
	var c struct{ Endpoint string }
	if err = json.Unmarshal(raw, &c); err == nil {
		p.api, err = dialACME(ctx, c.Endpoint)
	}
	return err
}

func (p *provider) Obtain(ctx context.Context, req plugins.ObtainRequest) ([]plugins.Grant, error) {
	t, err := p.api.Issue(ctx, req.User) // an error of no known kind is retried
	if err != nil {
		return nil, err
	}
	tok := plugins.Token{Kind: "ACME_TOKEN", Service: "acme", Identifier: t.ID, Password: t.Secret}
	return []plugins.Grant{{Token: tok, Expires: t.Expires}}, nil
}

func (p *provider) Renew(ctx context.Context, t plugins.Token) (time.Time, error) {
	expires, err := p.api.Extend(ctx, t.Identifier)
	if errors.Is(err, errACMEUnknown) {
		err = plugins.Replace(err) // no retry: obtain a new one
	}
	return expires, err
}

func (p *provider) Cancel(ctx context.Context, t plugins.Token) error {
	return p.api.Revoke(ctx, t.Identifier)
}

// Example is a provider as its author writes it.
func Example() {
	ctx := context.Background()
	p := &provider{}
	if err := p.Configure(ctx, json.RawMessage(`{"endpoint": "https://sts.acme.example"}`)); err != nil {
		fmt.Println(err)
		return
	}
	grants, err := p.Obtain(ctx, plugins.ObtainRequest{User: "alice"})
	if err != nil {
		fmt.Println(err)
		return
	}
	token := grants[0].Token
	fmt.Println(token)
	fmt.Println("cancel:", p.Cancel(ctx, token))
	_, err = p.Renew(ctx, token)
	fmt.Println("renew:", plugins.KindOf(err), "since", err)
	// Output:
	// token b0313534172e of kind "ACME_TOKEN" for "acme"
	// cancel: <nil>
	// renew: replace since no such token
}

// What follows stands in for the client of a service.

var errACMEUnknown = errors.New("no such token")

type acmeToken struct {
	ID, Secret []byte
	Expires    time.Time
}

type acmeClient struct{ known map[string]bool }

func dialACME(context.Context, string) (*acmeClient, error) {
	return &acmeClient{known: map[string]bool{}}, nil
}

func (c *acmeClient) Issue(_ context.Context, user string) (acmeToken, error) {
	c.known[user] = true
	return acmeToken{ID: []byte(user), Secret: []byte("known to ACME alone"), Expires: time.Now().Add(time.Hour)}, nil
}

func (c *acmeClient) Extend(_ context.Context, id []byte) (time.Time, error) {
	if !c.known[string(id)] {
		return time.Time{}, errACMEUnknown
	}
	return time.Now().Add(time.Hour), nil
}

func (c *acmeClient) Revoke(_ context.Context, id []byte) error {
	delete(c.known, string(id))
	return nil
}
