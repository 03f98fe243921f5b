package dispatch_test

import (
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/dispatch"
)

const million = 1_000_000

// crowd is a million calls of a thousand tenants at ten services.
func crowd(q *queue) {
	for i := range million {
		q.Add(crowded(i))
	}
}

func crowded(i int) call {
	return call{
		Service: "service " + strconv.Itoa(i%10), Tenant: "tenant " + strconv.Itoa(i/10%1000),
		Class: dispatch.Class(i % 7 / 3), Before: time.Duration(i*7919%million) * time.Millisecond * 20,
	}
}

// One more call, and one that begins, while a million wait.
func BenchmarkQueue_AddStartDoneBesideAMillion(b *testing.B) {
	q := of(dispatch.Limits{Share: 1})
	crowd(q)
	now := time.Duration(0)
	out := map[string]call{}
	start := func() { q.Start(now, func(c call) { out[c.Service] = c }) }
	start()
	for i := 0; b.Loop(); i++ {
		now += time.Millisecond
		c := crowded(i)
		c.Before += now
		q.Add(c)
		q.Done(now, out[c.Service], dispatch.OK)
		start()
	}
}

func BenchmarkQueue_MillionThroughAndThrough(b *testing.B) {
	for b.Loop() {
		q := of(dispatch.Limits{Share: 4})
		crowd(q)
		for q.Len() > 0 {
			var begun []call
			q.Start(0, func(c call) { begun = append(begun, c) })
			for _, c := range begun {
				q.Done(0, c, dispatch.OK)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/million, "ns/call")
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Memory of a flood is given back while it ebbs, and all of it when it is over.
func TestQueue_GivesMemoryBack(t *testing.T) {
	for name, tenants := range map[string]int{"one tenant": 1, "many": 5000} {
		t.Run(name, func(t *testing.T) {
			q := of(dispatch.Limits{Share: 1, Rate: 1e6})
			before := heapInUse()
			for i := range million / 10 {
				q.Add(call{Service: "ns", Tenant: strconv.Itoa(i % tenants), Before: time.Duration(i), Value: "x"})
			}
			full := heapInUse() - before
			now := time.Duration(0)
			drain := func(to int) (left float64) {
				for ; q.Len() > to; now += time.Second {
					var begun call
					q.Start(now, func(c call) { begun = c })
					q.Done(now, begun, dispatch.OK)
				}
				return float64(int64(heapInUse()-before)) / float64(full)
			}
			if left := drain(million / 200); left > 0.5 {
				t.Errorf("%.2f of it is left when 0.05 of the calls are", left)
			}
			if left := drain(0); left > 0.05 {
				t.Errorf("%.2f of it is left", left)
			}
			runtime.KeepAlive(q)
		})
	}
}
