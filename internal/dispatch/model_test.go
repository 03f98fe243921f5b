package dispatch_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tokenwheel/tokenwheel/internal/dispatch"
)

var tenants = []string{"x", "y", "z"}

// model is one service told plainly: a list that is searched for each call.
type model struct {
	limits  dispatch.Limits
	waiting []call // in order of arrival
	turns   [3]map[string]int
	tenants map[string]*modelTenant
	stalled string
	well    time.Duration
	turn    int
	passed  int
	running int
	hung    int
	rate    float64
	share   float64
	halved  time.Duration
	earned  time.Duration
	out     []begun
}

type modelTenant struct {
	running, hung int
	taken, halved time.Duration
	share         float64
}

// begun is a call under way, or one that hangs and was answered for.
type begun struct {
	call
	at   time.Duration
	hung bool
}

func newModel(l dispatch.Limits) *model {
	m := &model{limits: l, tenants: map[string]*modelTenant{}, rate: l.Rate, share: float64(l.Share), halved: -time.Hour, well: -1, earned: -time.Hour}
	for c := range m.turns {
		m.turns[c] = map[string]int{}
	}
	for _, name := range tenants {
		m.tenants[name] = &modelTenant{halved: -time.Hour, share: float64(l.Share)}
	}
	return m
}

func (m *model) add(c call) {
	m.arrive(c.Class, c.Tenant)
	m.waiting = append(m.waiting, c)
}

// arrive puts a tenant behind all others, where it has nothing of the class waiting.
func (m *model) arrive(class dispatch.Class, tenant string) {
	for _, w := range m.waiting {
		if w.Class == class && w.Tenant == tenant {
			return
		}
	}
	m.turn++
	m.turns[class][tenant] = m.turn
}

// first is the place of the call of a class that goes next; -1: there is none.
func (m *model) first(class dispatch.Class) int {
	ahead := map[string]int{} // each tenant's nearest
	for i, w := range m.waiting {
		n := m.tenants[w.Tenant]
		if w.Class != class || n.running-n.hung >= int(n.share) || n.hung >= max(1, m.limits.Share-1) {
			continue
		}
		if have, ok := ahead[w.Tenant]; !ok || w.Before < m.waiting[have].Before {
			ahead[w.Tenant] = i
		}
	}
	best := -1
	for tenant, i := range ahead {
		if best < 0 {
			best = i
			continue
		}
		a, b := m.rank(i), m.rank(best)
		if a < b || a == b && m.turns[class][tenant] < m.turns[class][m.waiting[best].Tenant] {
			best = i
		}
	}
	return best
}

func (m *model) rank(i int) time.Duration {
	w := m.waiting[i]
	n := m.tenants[w.Tenant]
	switch {
	case w.Class == dispatch.Due:
		return max(w.Before, n.taken)
	case 2*n.running >= m.limits.Share:
		return 1
	}
	return 0
}

func (m *model) next(now time.Duration) (c call, ok bool) {
	burst := time.Duration(0)
	pace := time.Duration(0)
	if m.limits.Rate > 0 {
		burst = time.Duration(float64(m.limits.Burst-1) / m.limits.Rate * float64(time.Second))
		pace = time.Duration(float64(time.Second) / m.rate)
	}
	if m.first(dispatch.Due)+m.first(dispatch.First)+m.first(dispatch.Last) == -3 || m.running >= m.limits.Share || m.running-m.hung >= int(m.share) || m.earned-burst > now {
		return call{}, false
	}
	due := m.first(dispatch.Due)
	for due >= 0 && m.waiting[due].Before <= now {
		late := m.waiting[due]
		m.arrive(dispatch.First, late.Tenant)
		m.waiting[due].Class = dispatch.First
		due = m.first(dispatch.Due)
	}
	i, first := due, m.first(dispatch.First)
	switch {
	case due < 0 && first < 0:
		i = m.first(dispatch.Last)
	case first < 0:
	case due < 0, m.passed >= 7 && m.rank(due)-now > time.Hour:
		i, m.passed = first, 0
	default:
		m.passed++
	}
	c = m.waiting[i]
	m.earned = max(m.earned, now) + pace
	n := m.tenants[c.Tenant]
	m.turn++
	m.turns[c.Class][c.Tenant] = m.turn
	if c.Class == dispatch.Due {
		n.charge(now, pace)
	}
	m.waiting = append(m.waiting[:i], m.waiting[i+1:]...)
	m.running++
	if n.running == 0 && now-n.halved > 5*time.Minute {
		n.share = float64(m.limits.Share)
	}
	n.running++
	return c, true
}

func (n *modelTenant) charge(now, price time.Duration) {
	n.taken = min(max(n.taken, now)+2*price, now+5*time.Minute)
}

// end is the return of the call at i.
func (m *model) end(now time.Duration, i int, o dispatch.Outcome) {
	b := m.out[i]
	m.out = append(m.out[:i], m.out[i+1:]...)
	n := m.tenants[b.Tenant]
	m.running--
	n.running--
	if b.hung {
		m.hung--
		n.hung--
	}
	if b.Class == dispatch.Due {
		n.charge(now, (now-b.at)/time.Duration(int(m.share)))
	}
	m.learn(now, b.at, b.Tenant, o)
}

func (m *model) learn(now, began time.Duration, tenant string, o dispatch.Outcome) {
	n := m.tenants[tenant]
	if o == dispatch.TimedOut {
		if now-n.halved >= time.Second {
			n.halved = now
			n.share = max(1, min(n.share, m.share)/2)
		}
		if m.stalled != "" && m.stalled != tenant && m.well < began {
			o = dispatch.Overloaded
		}
		m.stalled = tenant
	}
	switch {
	case o == dispatch.OK:
		m.well = now
		n.share = min(float64(m.limits.Share), n.share+1/n.share)
		m.share = min(float64(m.limits.Share), m.share+1/m.share)
		if m.rate > 0 {
			m.rate = min(m.limits.Rate, m.rate+m.limits.Rate/100/m.rate)
		}
	case o == dispatch.Overloaded && now-m.halved >= time.Second:
		m.halved = now
		m.share = max(1, m.share/2)
		m.rate = max(m.limits.Rate/100, min(m.limits.Rate, 0.1), m.rate/2)
	}
}

// Shows: C-V08.
func TestQueue_IsTheSameAsAListThatIsSearched(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := map[string]dispatch.Limits{}
		models := map[string]*model{}
		for _, s := range []string{"a", "b"} {
			l := dispatch.Limits{Share: rapid.IntRange(1, 6).Draw(t, "share"), Burst: rapid.IntRange(1, 8).Draw(t, "burst")}
			l.Rate = rapid.SampledFrom([]float64{0, 0.5, 3, 100}).Draw(t, "rate")
			limits[s], models[s] = l, newModel(l)
		}
		q := dispatch.New[string](func(s string) dispatch.Limits { return limits[s] })
		now := time.Duration(rapid.Int64Range(0, 1e12).Draw(t, "boot"))
		n := 0
		began := map[string][]time.Duration{}
		service := rapid.SampledFrom([]string{"a", "b"})
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				for range rapid.IntRange(1, 20).Draw(t, "n") {
					n++
					c := call{Service: service.Draw(t, "service"), Tenant: rapid.SampledFrom(tenants).Draw(t, "tenant"), Value: fmt.Sprint(n)}
					c.Class = dispatch.Class(rapid.IntRange(0, 2).Draw(t, "class"))
					c.Before = rapid.SampledFrom([]time.Duration{-time.Second, 0, time.Second, time.Minute, 3 * time.Hour, math.MaxInt64 - now}).Draw(t, "before") + now
					q.Add(c)
					models[c.Service].add(c)
				}
			},
			"start": func(t *rapid.T) {
				got := map[string][]string{}
				q.Start(now, func(c call) {
					got[c.Service] = append(got[c.Service], c.Value)
					models[c.Service].out = append(models[c.Service].out, begun{call: c, at: now})
					began[c.Service] = append(began[c.Service], now)
				})
				for s, m := range models {
					for i := 0; ; i++ {
						want, ok := m.next(now)
						if !ok {
							if i < len(got[s]) {
								t.Fatalf("%s: %q begun, want no more than %d", s, got[s], i)
							}
							break
						}
						if i >= len(got[s]) || got[s][i] != want.Value {
							t.Fatalf("%s: %q begun, want %q at %d (%+v)", s, got[s], want.Value, i, want)
						}
					}
				}
			},
			"done": func(t *rapid.T) {
				s := service.Draw(t, "service")
				m := models[s]
				if len(m.out) == 0 {
					return
				}
				i := rapid.IntRange(0, len(m.out)-1).Draw(t, "call")
				c, o := m.out[i].call, dispatch.GivenUp
				if !m.out[i].hung {
					o = rapid.SampledFrom([]dispatch.Outcome{dispatch.OK, dispatch.Failed, dispatch.Overloaded, dispatch.TimedOut}).Draw(t, "outcome")
				}
				m.end(now, i, o)
				q.Done(now, c, o)
			},
			"give up": func(t *rapid.T) {
				m := models[service.Draw(t, "service")]
				for i, b := range m.out {
					if b.hung {
						continue
					}
					m.out[i].hung = true
					m.hung++
					m.tenants[b.Tenant].hung++
					m.learn(now, b.at, b.Tenant, dispatch.TimedOut)
					q.GiveUp(now, b.call)
					return
				}
			},
			"time": func(t *rapid.T) {
				now += time.Duration(rapid.SampledFrom([]int64{1, 1e6, 1e8, 1e9, 6e10, 4e12}).Draw(t, "passes"))
			},
			"": func(t *rapid.T) {
				waiting := 0
				for s, m := range models {
					waiting += len(m.waiting)
					checkBudget(t, s, m.limits, began[s])
				}
				if waiting != q.Len() {
					t.Fatalf("%d wait, want %d", q.Len(), waiting)
				}
			},
		})
	})
}

// checkBudget holds the calls of every window against the law of the bucket.
func checkBudget(t *rapid.T, service string, l dispatch.Limits, at []time.Duration) {
	if l.Rate == 0 || len(at) == 0 {
		return
	}
	for from := range at {
		passed := (at[len(at)-1] - at[from]).Seconds()
		if n := len(at) - from; float64(n) > float64(l.Burst)+l.Rate*passed+1e-6*float64(n) {
			t.Fatalf("%s: %d calls in %v s, with %v", service, n, passed, l)
		}
	}
}

// What is next may be known before it begins: Next never names a time at which
// nothing begins, nor one before which something could.
func TestNext_IsWhenTheNextCallBegins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := of(dispatch.Limits{Share: rapid.IntRange(1, 3).Draw(t, "share"), Rate: rapid.Float64Range(0.1, 1000).Draw(t, "rate"), Burst: rapid.IntRange(1, 3).Draw(t, "burst")})
		flood(q, "alice", dispatch.Due, never, 20)
		now := time.Duration(0)
		for q.Len() > 0 {
			at, ok := q.Next()
			if !ok {
				t.Fatal("nothing is next, though calls and places are there")
			}
			if at > now {
				if got := started(q, at-1); len(got) > 0 {
					t.Fatalf("%q begun before %v", got, at)
				}
				now = at
			}
			got := started(q, now)
			if len(got) == 0 {
				t.Fatalf("nothing begins at %v", now)
			}
			for range got {
				done(q, now, rapid.SampledFrom([]dispatch.Outcome{dispatch.OK, dispatch.Failed, dispatch.Overloaded}).Draw(t, "outcome"))
			}
		}
	})
}
