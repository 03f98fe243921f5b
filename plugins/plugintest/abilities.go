package plugintest

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/tokenwheel/tokenwheel/plugins"
)

// authorities is what the provider declares; nil where it has not the ability.
func (s *subject) authorities(ctx context.Context) ([]plugins.Authority, error) {
	if !plugins.AbilitiesOf(s.provider).Authorize {
		return nil, nil
	}
	list, err := s.provider.(plugins.Authorizer).Authorities(ctx)
	if err != nil {
		return nil, fmt.Errorf("authorities: %w", err)
	}
	return list, nil
}

// someAuthority names one that new tokens can be obtained from; "": none told.
func (s *subject) someAuthority(ctx context.Context) (string, error) {
	list, err := s.authorities(ctx)
	if i := slices.IndexFunc(list, func(a plugins.Authority) bool { return a.Obtains }); i >= 0 {
		return list[i].Name, err
	}
	return "", err
}

func checkAuthorities(ctx context.Context, s *subject) error {
	list, err := s.authorities(ctx)
	if err != nil || len(list) == 0 {
		return err
	}
	if err := consistent(list, s.provider.Kinds()); err != nil {
		return err
	}
	grants, err := s.obtain(ctx)
	if err != nil {
		return err
	}
	for _, g := range grants {
		if !slices.ContainsFunc(list, func(a plugins.Authority) bool {
			return slices.Contains(a.Kinds, g.Token.Kind) && slices.Contains(a.Services, g.Token.Service)
		}) {
			return fmt.Errorf("%s was obtained, and belongs to none of the authorities", g.Token)
		}
	}
	req := s.request()
	req.Services = []string{"no such authority"}
	if _, err := s.provider.Obtain(ctx, req); err == nil {
		return fmt.Errorf("obtain from %q: no error", req.Services)
	}
	return nil
}

// consistent checks that every (kind, service) leads to one authority.
func consistent(list []plugins.Authority, kinds []string) error {
	names, owner := map[string]bool{}, map[[2]string]string{}
	for _, a := range list {
		if a.Name == "" || names[a.Name] {
			return fmt.Errorf("authority name %q is empty or used twice", a.Name)
		}
		names[a.Name] = true
		if len(a.Services) == 0 || slices.Contains(a.Services, "") {
			return fmt.Errorf("authority %q: no service text, or an empty one", a.Name)
		}
		for _, kind := range a.Kinds {
			if !slices.Contains(kinds, kind) {
				return fmt.Errorf("authority %q: kind %q is none of the provider's", a.Name, kind)
			}
			for _, service := range a.Services {
				key := [2]string{kind, service}
				if other, taken := owner[key]; taken {
					return fmt.Errorf("service %q of kind %q belongs to %q and to %q", service, kind, other, a.Name)
				}
				owner[key] = a.Name
			}
		}
	}
	return nil
}

func checkIdentify(ctx context.Context, s *subject) error {
	if !plugins.AbilitiesOf(s.provider).Identify {
		return nil
	}
	identifier := s.provider.(plugins.Identifier)
	grants, err := s.obtain(ctx)
	if err != nil {
		return err
	}
	for _, g := range grants {
		given := g.Token.Clone()
		id, err := identifier.Identify(ctx, given)
		switch {
		case err != nil:
			return fmt.Errorf("identify %s, which was just obtained: %w", g.Token, err)
		case !given.Equal(g.Token):
			return fmt.Errorf("identify changed the bytes of %s", g.Token)
		case id.Owner == "":
			return fmt.Errorf("identify %s: no owner", g.Token)
		case s.expect.Renewer == "" && id.Renewer != "" && !id.Ours:
			return fmt.Errorf("identify %s: obtained for the provider's own name, yet its renewer %q is not ours", g.Token, id.Renewer)
		}
	}
	for _, bad := range [][]byte{nil, []byte("\x00"), []byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff"), []byte(strings.Repeat("\x7f", 1000))} {
		t := grants[0].Token.Clone()
		t.Identifier = bad
		if _, err := identifier.Identify(ctx, t); plugins.KindOf(err) != plugins.KindRefused {
			return fmt.Errorf("identify %d bytes that are no identifier: kind %s, want refused (%w)", len(bad), plugins.KindOf(err), orNoError(err))
		}
	}
	return nil
}

// writings is a secret in the forms in which secrets end up in texts.
func writings(secret []byte) [][]byte {
	forms := []string{
		string(secret), hex.EncodeToString(secret), strings.ToUpper(hex.EncodeToString(secret)),
		fmt.Sprint(secret), fmt.Sprintf("%q", secret), fmt.Sprintf("%#v", secret),
	}
	for offset := range 3 { // base64 looks different at each of three offsets
		padded := append(make([]byte, offset), secret...)
		whole := base64.RawStdEncoding.EncodeToString(padded)
		middle := whole[(offset*8+5)/6 : len(padded)*8/6]
		forms = append(forms, middle, strings.NewReplacer("+", "-", "/", "_").Replace(middle))
	}
	var list [][]byte
	for _, f := range forms {
		list = append(list, []byte(strings.Trim(f, `"[]`)))
	}
	return list
}
