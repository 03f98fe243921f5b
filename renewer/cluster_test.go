package renewer_test

import (
	"context"
	"maps"
	"strings"
	"testing"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// noting remembers the requests that a lender had.
type noting struct {
	*lender
	asked []plugins.ObtainRequest
}

func (n *noting) Obtain(ctx context.Context, req plugins.ObtainRequest) ([]plugins.Grant, error) {
	n.mu.Lock()
	req.Conf = maps.Clone(req.Conf)
	n.asked = append(n.asked, req)
	n.mu.Unlock()
	return n.lender.Obtain(ctx, req)
}

// Several clusters in one process: an application's own settings say which one
// its names mean, and reach the provider of that one; a cluster that is not
// configured is refused, and one that is only watched gives nothing.
func TestY11_SettingsOfAnApplicationNameItsCluster(t *testing.T) {
	here, there, watched := &noting{lender: newLender(hadooptest.Lifetimes{})}, &noting{lender: newLender(hadooptest.Lifetimes{})}, newLender(hadooptest.Lifetimes{})
	c := renewer.Config{
		Providers: map[string]plugins.Provider{"hdfs": here, "hdfs@prod2": there, "hdfs@old": watched},
		Instances: map[string]renewer.InstancePolicy{"hdfs@old": {Mode: renewer.ModeWatch}},
	}
	running(t, c, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		for _, a := range []struct {
			id, obtain, cluster, code string
			at                        *noting
		}{
			{id: "a", obtain: "hdfs", at: here},
			{id: "b", obtain: "hdfs", cluster: "prod2", at: there},
			{id: "c", obtain: "hdfs:ns", cluster: "prod2", at: there},
			{id: "d", obtain: "hdfs@prod2", at: there},
			{id: "e", obtain: "hdfs", cluster: "prod3", code: "no-cluster"},
			{id: "f", obtain: "hdfs", cluster: "old", code: "not-obtainable"},
		} {
			app := appregistry.App{ID: appregistry.AppID(a.id), User: "alice", Obtain: []string{a.obtain}, Overlay: map[string]string{"call-timeout": "7s"}}
			if a.cluster != "" {
				app.Overlay["cluster"] = a.cluster
			}
			err := r.Register(ctx, app)
			if got := plugins.CodeOf(err); got != a.code || (err == nil) != (a.code == "") {
				t.Errorf("%s: %v", a.id, err)
			}
			if a.at == nil {
				continue
			}
			if last := a.at.asked[len(a.at.asked)-1]; last.App != a.id || last.Conf["call-timeout"] != "7s" {
				t.Errorf("%s: the provider was asked %+v", a.id, last)
			}
		}
		if len(here.asked) != 1 || len(there.asked) != 3 || watched.count("obtain") != 0 {
			t.Errorf("%d, %d and %d obtains, want 1, 3 and 0", len(here.asked), len(there.asked), watched.count("obtain"))
		}
	})
}

// Shows: C-Y18.
func TestY11_SettingsHaveALimitAndAListOfKeys(t *testing.T) {
	c := renewer.Config{Providers: providers(newLender(hadooptest.Lifetimes{}))}
	running(t, c, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		for _, a := range []struct {
			overlay map[string]string
			says    []string
		}{
			{map[string]string{"policy": strings.Repeat("x", 12_795)}, []string{"overlay", "12801", "12800"}},
			{map[string]string{"dfs.namenode.rpc-address.ns1": "evil:8020"}, []string{"dfs.namenode.rpc-address.ns1"}},
			{map[string]string{"renewal.ratio": "2"}, []string{"renewal.ratio", "0.1 to 0.95"}},
		} {
			err := r.Register(ctx, appregistry.App{ID: "a", User: "alice", Obtain: []string{"hdfs"}, Overlay: a.overlay})
			if plugins.CodeOf(err) != "overlay" {
				t.Errorf("%.40v: %v", a.overlay, err)
				continue
			}
			for _, word := range a.says {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q does not name %q", err, word)
				}
			}
		}
	})
}

func TestNew_PolicyNamesAProvider(t *testing.T) {
	_, err := renewer.New(renewer.Config{
		Providers: providers(newLender(hadooptest.Lifetimes{})),
		Instances: map[string]renewer.InstancePolicy{"hdfs@typo": {Mode: renewer.ModeWatch}},
	})
	if err == nil || !strings.Contains(err.Error(), "hdfs@typo") {
		t.Errorf("a policy for nobody: %v", err)
	}
	if _, err := renewer.ParseMode("drop"); err == nil {
		t.Error("a mode that there is not")
	}
	for _, word := range []string{"renew", "replace", "watch", "ignore"} {
		if m, err := renewer.ParseMode(word); err != nil || m.String() != word {
			t.Errorf("%s is %v, %v", word, m, err)
		}
	}
}

// A demand before the renewer runs, or after it, does nothing.
func TestCF26_DemandWithoutASessionDoesNothing(t *testing.T) {
	l := newLender(hadooptest.Lifetimes{})
	r, err := renewer.New(renewer.Config{Providers: providers(l)})
	if err != nil {
		t.Fatal(err)
	}
	ask := func() {
		t.Helper()
		c := r.As(renewer.Caller{Trusted: true})
		for _, err := range []error{c.RenewToken(t.Context(), 1), c.ReplaceToken(t.Context(), 1)} {
			if err == nil || !strings.Contains(err.Error(), renewer.ErrNotRunning.Error()) {
				t.Errorf("without a session: %v", err)
			}
		}
	}
	ask()
	if err := r.Run(t.Context(), func(context.Context) error { return nil }); err != nil {
		t.Fatal(err)
	}
	ask()
	if l.count("renew")+l.count("obtain") != 0 {
		t.Error("the service was called")
	}
}
