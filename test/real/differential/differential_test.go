// Package differential asks the test kit's NameNode and the real one the same questions, by the same client, and holds
// their answers beside each other.
package differential_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/test/real/cluster"
)

var (
	scripts = flag.Int("scripts", 1000, "how many `scripts` are run")
	seed    = flag.Uint64("seed", 0, "`seed` of the scripts; 0: one by chance")
	only    = flag.Int("only", -1, "the one `script` to run, and to tell step by step")
)

// atOnce is how many scripts share the starts of the services: more would make steps late.
const atOnce = 1000

const allProtections = "authentication,integrity,privacy"

// Shows: N31, C-H05, C-H08, C-H17, C-H53, C-H54.
func TestM16_TheKitAnswersAsTheRealNameNode(t *testing.T) {
	if *seed == 0 {
		*seed = 1 + rand.Uint64N(1<<32)
	}
	t.Logf("scripts of seed %d; one of them alone: -seed %d -only N", *seed, *seed)
	todo := make([]int, *scripts)
	for i := range todo {
		todo[i] = i
	}
	if *only >= 0 {
		todo = []int{*only}
	}
	kit, real := theKit(t), theRealOne(t)
	report := report{scripts: len(todo)}
	// Scripts that were asked at the wrong moment are run again, and then fewer at a time have a better chance.
	for range 3 {
		var again []int
		for part := range slices.Chunk(todo, atOnce) {
			again = append(again, runScripts(t, kit, real, part, &report)...)
		}
		if todo = again; !report.tooMany(todo) {
			break
		}
	}
	report.judge(t, todo)
}

// runScripts runs some scripts, and returns those that were not told to their end.
func runScripts(t *testing.T, kit, real *side, numbers []int, report *report) (again []int) {
	t.Helper()
	run := make([]*pair, len(numbers))
	for i, n := range numbers {
		s := newScript(*seed, n)
		run[i] = &pair{kit: &story{script: s}, real: &story{script: s}}
	}
	for n := range boots {
		liveThrough(t, n, kit, real, run)
	}
	for _, p := range run {
		if !report.add(p) {
			again = append(again, p.kit.script.n)
		}
	}
	t.Logf("%d scripts run, %d of them not to their end; %d steps compared so far", len(numbers), len(again), report.steps)
	return again
}

// pair is one script on both sides.
type pair struct{ kit, real *story }

// liveThrough starts both services and asks all questions of that boot.
func liveThrough(t *testing.T, n int, kit, real *side, run []*pair) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), boots[n].long+2*time.Minute)
	defer cancel()
	stopped := time.Now()
	if n > 0 { // the last boot of one lot of scripts, whose lifetimes are the same, is the first of the next
		for _, s := range []*side{real, kit} {
			if err := s.begin(ctx, boots[n].life); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, s := range []*side{real, kit} {
		if err := s.connect(ctx); err != nil {
			t.Fatal(err)
		}
	}
	// The remover of the real one is a thread that may come a little later.
	start := time.Now().Add(500 * time.Millisecond)
	var all sync.WaitGroup
	for _, p := range run {
		for s, st := range map[*side]*story{kit: p.kit, real: p.real} {
			all.Go(func() { st.live(ctx, s, n, stopped, start) })
		}
	}
	all.Wait()
}

// live asks the questions of one boot, each at its instant. When the token came late, so does all that is asked about
// it: its own dates count from there.
func (st *story) live(ctx context.Context, s *side, boot int, stopped, start time.Time) {
	scanned := st.dates.phase(stopped, start, 0) // when the remover's first scan came, which is at some time in between
	late := time.Duration(0)
	for _, q := range st.script.steps {
		if q.boot != boot {
			continue
		}
		if !waitUntil(ctx, start.Add(q.at+late)) {
			return
		}
		st.ask(ctx, s, q, scanned)
		if q.op == obtain && q.by != byToken {
			late = time.Since(start.Add(q.at))
		}
	}
}

func waitUntil(ctx context.Context, at time.Time) bool {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// theKit starts the kit with the real tier's names.
func theKit(t *testing.T) *side {
	c := hadooptest.NewCluster(t, hadooptest.Config{
		Realm: realm, Protection: strings.Split(allProtections, ","),
		Principals: []string{servicePrincipal, ownerPrincipal, strangerPrincipal, superPrincipal},
		ProxyUsers: map[string][]string{"tokenwheel": {"*"}},
		Lifetimes:  boots[0].life,
	})
	s := &side{name: "kit", addr: c.Addr, nameNode: "nn/127.0.0.1@" + realm, life: boots[0].life}
	s.restart = func(_ context.Context, l hadooptest.Lifetimes) error {
		c.NameNode.Restart(l)
		return nil
	}
	return newSide(t, s, c.Krb5Conf, func(principal string) string {
		path, err := c.Keytab(principal)
		if err != nil {
			t.Fatal(err)
		}
		return path
	})
}

// theRealOne starts a cluster with the lifetimes of the first boot.
func theRealOne(t *testing.T) *side {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	c, err := cluster.Start(ctx, cluster.Options{
		Protection: allProtections, RenewInterval: boots[0].life.RenewInterval, MaxLifetime: boots[0].life.MaxLifetime,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Stop()
		if t.Failed() {
			t.Logf("%s(kept in %s)", c.Logs(), c.Dir)
			return
		}
		if err := c.Remove(); err != nil {
			t.Error(err)
		}
	})
	s := &side{name: "real NameNode", addr: c.NameNodeAddr, nameNode: cluster.NameNodePrincipal, life: boots[0].life}
	s.restart = func(ctx context.Context, l hadooptest.Lifetimes) error {
		c.StopNameNode()
		if err := setLifetimes(c.ConfDir, l); err != nil {
			return err
		}
		return c.StartNameNode(ctx)
	}
	return newSide(t, s, c.Krb5Conf, c.Keytab)
}

// setLifetimes changes the configuration that the NameNode reads at its next start: of a key that is there twice the
// later value counts.
func setLifetimes(confDir string, l hadooptest.Lifetimes) error {
	path := filepath.Join(confDir, "hdfs-site.xml")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	const end = "</configuration>"
	var more strings.Builder
	for key, d := range map[string]time.Duration{"renew-interval": l.RenewInterval, "max-lifetime": l.MaxLifetime} {
		fmt.Fprintf(&more, "<property><name>dfs.namenode.delegation.token.%s</name><value>%d</value></property>\n", key, d.Milliseconds())
	}
	return os.WriteFile(path, []byte(strings.Replace(string(text), end, more.String()+end, 1)), 0o600)
}
