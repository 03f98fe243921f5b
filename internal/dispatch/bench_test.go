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
	q.Start(now, func(call) {})
	for i := 0; b.Loop(); i++ {
		now += time.Millisecond
		c := crowded(i)
		c.Before += now
		q.Add(c)
		q.Done(now, c.Service, dispatch.OK)
		q.Start(now, func(call) {})
	}
}

func BenchmarkQueue_MillionThroughAndThrough(b *testing.B) {
	for b.Loop() {
		q := of(dispatch.Limits{Share: 4})
		crowd(q)
		for q.Len() > 0 {
			var begun []string
			q.Start(0, func(c call) { begun = append(begun, c.Service) })
			for _, s := range begun {
				q.Done(0, s, dispatch.OK)
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

// Memory of a flood is given back when it is over.
func TestQueue_GivesMemoryBack(t *testing.T) {
	q := of(dispatch.Limits{Share: 1, Rate: 1e6})
	before := heapInUse()
	for i := range million / 10 {
		q.Add(call{Service: "ns", Tenant: strconv.Itoa(i % 5000), Before: time.Duration(i), Value: "x"})
	}
	full := heapInUse() - before
	for now := time.Duration(0); q.Len() > 0; now += time.Second {
		q.Start(now, func(call) {})
		q.Done(now, "ns", dispatch.OK)
	}
	if left := int64(heapInUse() - before); left > int64(full/20) {
		t.Errorf("%d bytes are left of %d", left, full)
	}
	runtime.KeepAlive(q)
}
