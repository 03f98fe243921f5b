package pluginwire

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tokenwheel/tokenwheel/plugins"
)

// maxGrants is the most tokens that one answer may bring.
const maxGrants = 256

var errNotText = errors.New("text is not valid UTF-8")

// checkText reports whether protobuf can carry all the texts: its strings are
// UTF-8, ours come from files and servers.
func checkText(texts ...string) error {
	for _, s := range texts {
		if !utf8.ValidString(s) {
			return errNotText
		}
	}
	return nil
}

func tokenToWire(t plugins.Token) (*Token, error) {
	if err := checkText(t.Kind, t.Service); err != nil {
		return nil, fmt.Errorf("kind or service of %s: %w", t, err)
	}
	return &Token{Kind: t.Kind, Service: t.Service, Identifier: t.Identifier, Password: t.Password}, nil
}

func tokenFromWire(t *Token) plugins.Token {
	return plugins.Token{
		Kind: t.GetKind(), Service: t.GetService(),
		Identifier: t.GetIdentifier(), Password: t.GetPassword(),
	}
}

// timeToWire leaves the zero time unset. A date beyond the years 1 to 9999 cannot
// be written and is suspect.
func timeToWire(t time.Time) (*timestamppb.Timestamp, error) {
	if t.IsZero() {
		return nil, nil
	}
	ts := timestamppb.New(t)
	if err := ts.CheckValid(); err != nil {
		return nil, suspectDate(err)
	}
	return ts, nil
}

func timeFromWire(ts *timestamppb.Timestamp) (time.Time, error) {
	if ts == nil {
		return time.Time{}, nil
	}
	if err := ts.CheckValid(); err != nil {
		return time.Time{}, suspectDate(err)
	}
	return ts.AsTime(), nil
}

func suspectDate(err error) error {
	return &plugins.Error{Kind: plugins.KindSuspect, Code: "date-out-of-range", Err: err}
}

func requestToWire(r plugins.ObtainRequest) (*ObtainRequest, error) {
	err := checkText(append([]string{r.App, r.User, r.Renewer}, r.Services...)...)
	for k, v := range r.Conf {
		err = errors.Join(err, checkText(k, v))
	}
	if err != nil {
		return nil, plugins.Refused("not-text", fmt.Errorf("request for app %q: %w", r.App, errNotText))
	}
	return &ObtainRequest{App: r.App, User: r.User, Renewer: r.Renewer, Services: r.Services, Conf: r.Conf}, nil
}

func requestFromWire(r *ObtainRequest) plugins.ObtainRequest {
	return plugins.ObtainRequest{
		App: r.GetApp(), User: r.GetUser(), Renewer: r.GetRenewer(),
		Services: r.GetServices(), Conf: r.GetConf(),
	}
}

func grantToWire(g plugins.Grant) (*Grant, error) {
	token, err := tokenToWire(g.Token)
	if err == nil {
		err = checkText(g.Alias)
	}
	if err != nil {
		return nil, plugins.Suspect(err)
	}
	expires, err := timeToWire(g.Expires)
	if err != nil {
		return nil, err
	}
	maxDate, err := timeToWire(g.Max)
	if err != nil {
		return nil, err
	}
	return &Grant{Alias: g.Alias, Token: token, Expires: expires, Max: maxDate}, nil
}

func grantFromWire(g *Grant) (plugins.Grant, error) {
	if g.GetToken() == nil {
		return plugins.Grant{}, plugins.Suspect(fmt.Errorf("grant %q holds no token", g.GetAlias()))
	}
	expires, err := timeFromWire(g.GetExpires())
	if err != nil {
		return plugins.Grant{}, err
	}
	maxDate, err := timeFromWire(g.GetMax())
	if err != nil {
		return plugins.Grant{}, err
	}
	return plugins.Grant{Alias: g.GetAlias(), Token: tokenFromWire(g.GetToken()), Expires: expires, Max: maxDate}, nil
}

func authorityToWire(a plugins.Authority) (*Authority, error) {
	texts := append([]string{a.Name}, a.Kinds...)
	if err := checkText(append(texts, a.Services...)...); err != nil {
		return nil, plugins.Suspect(fmt.Errorf("authority %q: %w", a.Name, err))
	}
	return &Authority{Name: a.Name, Kinds: a.Kinds, Services: a.Services, Obtains: a.Obtains}, nil
}

func authorityFromWire(a *Authority) plugins.Authority {
	return plugins.Authority{Name: a.GetName(), Kinds: a.GetKinds(), Services: a.GetServices(), Obtains: a.GetObtains()}
}

func identityToWire(i plugins.Identity) (*IdentifyResponse, error) {
	if err := checkText(i.Owner, i.RealUser, i.Renewer, i.User, i.RealShort); err != nil {
		return nil, plugins.Refused("not-text", fmt.Errorf("names in the identifier: %w", err))
	}
	issued, err := timeToWire(i.Issued)
	if err != nil {
		return nil, err
	}
	maxDate, err := timeToWire(i.Max)
	if err != nil {
		return nil, err
	}
	return &IdentifyResponse{
		Owner: i.Owner, RealUser: i.RealUser, Renewer: i.Renewer, User: i.User, RealShort: i.RealShort,
		Ours: i.Ours, Issued: issued, Max: maxDate, Sequence: i.Sequence,
	}, nil
}

func identityFromWire(i *IdentifyResponse) (plugins.Identity, error) {
	issued, err := timeFromWire(i.GetIssued())
	if err != nil {
		return plugins.Identity{}, err
	}
	maxDate, err := timeFromWire(i.GetMax())
	if err != nil {
		return plugins.Identity{}, err
	}
	return plugins.Identity{
		Owner: i.GetOwner(), RealUser: i.GetRealUser(), Renewer: i.GetRenewer(), User: i.GetUser(), RealShort: i.GetRealShort(),
		Ours: i.GetOurs(), Issued: issued, Max: maxDate, Sequence: i.GetSequence(),
	}, nil
}
