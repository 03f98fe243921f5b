package sim_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/plugins/hdfs"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// readers are all applications' directories: the newest set of each.
type readers struct {
	mu  sync.Mutex
	set map[appregistry.AppID]appregistry.Set
}

func (r *readers) Stage(_ context.Context, s appregistry.Set) (appregistry.Receipt, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if have := r.set[s.App.ID]; s.Generation <= have.Generation {
		return appregistry.Receipt{}, &appregistry.Behind{Epoch: have.Epoch, N: have.Generation}
	}
	r.set[s.App.ID] = s
	return appregistry.Receipt{Epoch: s.Epoch, N: s.Generation}, nil
}

func (r *readers) token(id appregistry.AppID) (plugins.Token, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, tok := range r.set[id].Credentials.Tokens {
		return tok, true
	}
	return plugins.Token{}, false
}

// month is 100 applications on the whole of the program but for the daemon: the
// renewer with its goroutines, the HDFS provider, Kerberos, SASL and Hadoop RPC,
// over pipes to the kit's KDC and two NameNodes.
type month struct {
	t       *testing.T
	cluster *hadooptest.Cluster
	readers *readers
	ends    map[appregistry.AppID]time.Time // of the last good token that its readers had
	gone    map[appregistry.AppID]bool
	calls   int // of the journal, seen
	lost    int
	began   time.Time
}

const monthApps = 100

// Shows: P2, P3, N24.
func TestRPC_AMonthOverTheWire(t *testing.T) {
	length := 30 * day
	if testing.Short() {
		length = 3 * day
	}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		cluster := hadooptest.NewCluster(t, hadooptest.Config{
			InMemory: true, Now: time.Now, Nameservice: "prod",
			Principals: []string{"tokenwheel/127.0.0.1"}, ProxyUsers: map[string][]string{"tokenwheel": {"*"}},
		})
		keytab, err := cluster.Keytab("tokenwheel/127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		clock := func() (time.Duration, time.Time) { return time.Since(began), time.Now() }
		provider, err := hdfs.New(hdfs.Config{
			ConfDir: cluster.ConfDir, Krb5Conf: cluster.Krb5Conf, Principal: "tokenwheel/127.0.0.1@" + cluster.Realm, Keytab: keytab,
			Dial: cluster.Dial, Clock: clock,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer provider.Close()
		m := &month{
			t: t, cluster: cluster, readers: &readers{set: map[appregistry.AppID]appregistry.Set{}},
			ends: map[appregistry.AppID]time.Time{}, gone: map[appregistry.AppID]bool{}, began: began,
		}
		r, err := renewer.New(renewer.Config{Providers: map[string]plugins.Provider{"hdfs": provider}, Stager: m.readers, Clock: clock})
		if err != nil {
			t.Fatal(err)
		}
		err = r.Run(t.Context(), func(ctx context.Context) error { return m.live(ctx, r, length) })
		if err != nil {
			t.Error(err)
		}
		m.report()
	})
}

// live lets the month pass in steps of five minutes.
func (m *month) live(ctx context.Context, r *renewer.Renewer, length time.Duration) error {
	random := rand.New(rand.NewPCG(1, 1))
	for i := range monthApps {
		if err := m.register(ctx, r, i); err != nil {
			return err
		}
	}
	const step = 5 * time.Minute
	for n := range int(length / step) {
		m.faults(n, random)
		if n == int(15*day/step) {
			m.forgetAll()
		}
		if n%int(day/step) == 100 { // each day one leaves, and another comes
			old := appregistry.AppID(fmt.Sprintf("app%d", n/int(day/step)))
			if err := r.Unregister(ctx, appregistry.AppKey{ID: old}); err != nil {
				return fmt.Errorf("unregister %s: %w", old, err)
			}
			m.gone[old] = true
			if err := m.register(ctx, r, monthApps+n/int(day/step)); err != nil {
				return err
			}
		}
		time.Sleep(step)
		m.judge()
	}
	return nil
}

func (m *month) register(ctx context.Context, r *renewer.Renewer, i int) error {
	id := appregistry.AppID(fmt.Sprintf("app%d", i))
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := r.Register(ctx, appregistry.App{
		ID: id, User: fmt.Sprintf("user%d", i%20), Obtain: []string{"hdfs"}, StageTo: []appregistry.Target{{Dir: "/apps/" + string(id)}},
	})
	if err != nil && !errors.Is(err, appregistry.ErrNotReady) {
		return fmt.Errorf("register %s: %w", id, err)
	}
	return nil
}

// faults is the mix of M01, in steps: 5 % of calls are refused, 0.1 % are done and
// cut, in one step of a hundred calls hang; two hours of outage each week, a
// failover and half an hour without KDC each day.
func (m *month) faults(n int, random *rand.Rand) {
	const hour, dayOf, week = 12, 288, 2016
	var mu sync.Mutex // calls are answered concurrently
	draw := func(p float64) bool {
		mu.Lock()
		defer mu.Unlock()
		return random.Float64() < p
	}
	f := hadooptest.Fault{
		Hang: draw(0.01),
		Lose: func(hadooptest.Op, hadooptest.Caller) bool { return draw(0.001) },
		Refuse: func(op hadooptest.Op, _ hadooptest.Caller) error {
			if op != hadooptest.OpLogin && draw(0.05) {
				return &hadooptest.JavaError{Class: hadooptest.ClassRetriable, Message: "queue is full"}
			}
			return nil
		},
	}
	f.Down = n%week >= 700 && n%week < 700+2*hour
	for _, nn := range m.cluster.NameNodes {
		nn.SetFault(f)
	}
	m.cluster.KDC.SetDown(n%dayOf >= 200 && n%dayOf < 206)
	if n%dayOf == 50 {
		m.cluster.Failover(n / dayOf % 2)
	}
}

func (m *month) forgetAll() {
	m.readers.mu.Lock()
	defer m.readers.mu.Unlock()
	for _, s := range m.readers.set {
		for _, tok := range s.Credentials.Tokens {
			m.cluster.NameNode.Secrets.Forget(tok.Identifier)
		}
	}
}

// judge looks at what readers hold and at the journal since the last look.
func (m *month) judge() {
	now := time.Now()
	held := map[string]appregistry.AppID{}
	for i := range monthApps + 31 {
		id := appregistry.AppID(fmt.Sprintf("app%d", i))
		tok, ok := m.readers.token(id)
		if !ok || m.gone[id] {
			continue
		}
		held[tok.Fingerprint()] = id
		if end, ok := m.cluster.NameNode.Secrets.RenewDate(tok.Identifier); ok && end.After(now) {
			m.ends[id] = end
		} else if now.After(m.ends[id]) {
			m.t.Errorf("%v: the token of %s ended at %v, and its readers have no other", now.Sub(m.began), id, m.ends[id].Sub(m.began))
			m.ends[id] = now.Add(day) // once is enough
			m.lost++
		}
	}
	calls := m.cluster.NameNode.Journal.Calls()
	for _, c := range calls[m.calls:] {
		if app, ok := held[c.Token]; ok && c.Op == hadooptest.OpCancel && c.Err == nil {
			m.t.Errorf("%v: the token that the readers of %s hold was cancelled", c.At.Sub(m.began), app)
		}
	}
	m.calls = len(calls)
}

// report sees to it that the month was one.
func (m *month) report() {
	j := m.cluster.NameNode.Journal
	failed := 0
	for _, c := range j.Calls() {
		if c.Err != nil {
			failed++
		}
	}
	days := int(time.Since(m.began) / day)
	m.t.Logf("%d days: %d issues, %d renewals, %d cancels accepted, %d calls declined; %d logins at the KDC; %d lost",
		days, j.Count(hadooptest.OpIssue), j.Count(hadooptest.OpRenew), j.Count(hadooptest.OpCancel), failed, m.cluster.KDC.Logins(), m.lost)
	if len(m.ends) < monthApps+days-1 || j.Count(hadooptest.OpRenew) < days*monthApps || failed < days*monthApps/20 || j.Count(hadooptest.OpCancel) < days-1 {
		m.t.Errorf("too little happened: %d applications had a token", len(m.ends))
	}
}
