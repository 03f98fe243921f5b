package renewer

import (
	"context"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/internal/core"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// hasty makes its dates of time.Now, monotonic readings and all.
type hasty struct{ plugins.Provider }

func (hasty) Kinds() []string { return []string{"HASTY"} }

func (hasty) Renew(context.Context, plugins.Token) (time.Time, error) {
	return time.Now().Add(time.Hour), nil
}

func (hasty) Obtain(context.Context, plugins.ObtainRequest) ([]plugins.Grant, error) {
	soon := time.Now().Add(time.Hour)
	return []plugins.Grant{{Token: plugins.Token{Kind: "HASTY"}, Expires: soon, Max: soon}}, nil
}

func (hasty) Identify(context.Context, plugins.Token) (plugins.Identity, error) {
	return plugins.Identity{Issued: time.Now(), Max: time.Now().Add(time.Hour)}, nil
}

// Dates of the world outside are dates alone. Where both sides of a comparison
// have a monotonic reading it goes by that, and what the wall clock was set by in
// between would not count. Shows: P11.
func TestP11_DatesComeWithoutAMonotonicReading(t *testing.T) {
	r, err := New(Config{Providers: map[string]plugins.Provider{"hasty": hasty{}}})
	if err != nil {
		t.Fatal(err)
	}
	at := appregistry.Authority{Instance: "hasty"}
	renewed, _ := r.do(t.Context(), core.Renew{Authority: at}).(core.Renewed)
	obtained, _ := r.do(t.Context(), core.Obtain{Authority: at}).(core.Obtained)
	if renewed.Err != nil || obtained.Err != nil || len(obtained.Grants) != 1 {
		t.Fatalf("%v, %v, %d grants", renewed.Err, obtained.Err, len(obtained.Grants))
	}
	g := obtained.Grants[0]
	for what, date := range map[string]time.Time{
		"renewed until": renewed.Expires, "granted until": g.Expires, "granted to the most": g.Max,
		"issued": g.Identity.Issued, "identified to the most": g.Identity.Max,
	} {
		if date.IsZero() || date != date.Round(0) {
			t.Errorf("%s: %v", what, date)
		}
	}
}
