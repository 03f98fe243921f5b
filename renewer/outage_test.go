package renewer_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// What an older client wrote into a file: the token of a nameservice and its
// clones for each NameNode, by name and by address. They are one token: renewed
// once, and replaced together in one set, each under its own alias and service
// text (SPARK-11182).
//
// Shows: C-H10.
func TestCH28_ClonesFollowTheirLogicalToken(t *testing.T) {
	l, s := newLender(hadooptest.Lifetimes{}), newShelf()
	running(t, renewer.Config{Providers: providers(l), Stager: s}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		services := map[string]string{
			"ha-hdfs:ns": "ha-hdfs:ns", "ha-hdfs://nn:8020": "nn:8020", "ha-hdfs://10.0.0.1:8020": "10.0.0.1:8020",
		}
		logical := issued(t, l, "alice")
		a := app("job")
		a.Credentials.Tokens = map[string]plugins.Token{}
		for alias, service := range services {
			clone := logical.Clone()
			clone.Service = service
			a.Credentials.Tokens[alias] = clone
		}
		alien := logical.Clone() // of another cluster: the same kind, and none of our services
		alien.Service = "ha-hdfs:elsewhere"
		a.Credentials.Tokens["alien"] = alien
		must(t, r.Register(ctx, a))

		time.Sleep(20 * time.Hour)
		if n := l.count("renew"); n != 2 {
			t.Errorf("%d renewals in 20 h for one token under three aliases, want the proof and one more", n)
		}
		time.Sleep(7 * 24 * time.Hour)
		s.mu.Lock()
		sets := s.sets[key("job")]
		s.mu.Unlock()
		if len(sets) < 2 {
			t.Fatalf("%d sets, want a successor's", len(sets))
		}
		for _, set := range sets {
			now := set.Credentials.Tokens["ha-hdfs:ns"]
			for alias, service := range services {
				if got := set.Credentials.Tokens[alias]; got.Service != service || string(got.Identifier) != string(now.Identifier) || string(got.Password) != string(now.Password) {
					t.Errorf("generation %d has %v under %s, want %v for service %s", set.Generation, got, alias, now, service)
				}
			}
			if got := set.Credentials.Tokens["alien"]; !got.Equal(alien) {
				t.Errorf("generation %d has %v as the alien token", set.Generation, got)
			}
		}
		last := sets[len(sets)-1].Credentials.Tokens["ha-hdfs:ns"]
		if last.Equal(sets[0].Credentials.Tokens["ha-hdfs:ns"]) {
			t.Error("the logical token was not replaced")
		}
		must(t, l.valid(last))
	})
}

// A NameNode was formatted: keys and tokens are gone. Once that is seen of the
// first token, everybody has a new one within minutes, not at the end of his own
// wait; no faster than the service is to be asked, and nobody is lost.
func TestB26_ServiceForgotEverything(t *testing.T) {
	const apps, perSecond = 300, 5
	l, s := newLender(hadooptest.Lifetimes{}), newShelf()
	var seen events
	running(t, renewer.Config{
		Providers: providers(l), Stager: s, Hooks: seen.hooks(), CallsPerSecond: perSecond,
	}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		for i := range apps {
			must(t, r.Register(ctx, app(fmt.Sprint("job", i), "hdfs")))
		}
		time.Sleep(time.Hour)
		if _, err := l.secrets.Reload(hadooptest.Image{}); err != nil {
			t.Fatal(err)
		}
		before := l.count("obtain")
		for l.count("obtain") == before { // until the first is seen
			time.Sleep(time.Second)
		}
		// Each needs a call that finds out, one that obtains and one that renews it.
		most, last := 0, l.count("obtain")+l.count("renew")
		for range 3*apps/perSecond + 60 {
			time.Sleep(time.Second)
			now := l.count("obtain") + l.count("renew")
			most, last = max(most, now-last), now
		}
		if got := l.count("obtain") - before; got != apps {
			t.Errorf("%d obtains, want one for each of %d applications", got, apps)
		}
		if most > 2*perSecond {
			t.Errorf("%d calls in a second, want the cap of %d, more or less", most, perSecond)
		}
		for i := range apps {
			set, _ := s.newest(key(fmt.Sprint("job", i)))
			if err := l.valid(only(t, set.Credentials)); err != nil {
				t.Errorf("job%d: %v", i, err)
			}
		}
		if n := seen.count("token-lost"); n > 0 {
			t.Errorf("%d tokens lost", n)
		}
	})
}
