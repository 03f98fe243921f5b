package scale

import (
	"bytes"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"syscall"
	"time"
)

// spending is what the process has used so far, or between two readings.
type spending struct {
	at          time.Time
	wall, cpu   time.Duration
	allocations uint64
	allocated   uint64
}

func usage() spending {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(samples)
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r) // fails for a bad argument only
	return spending{
		at:          time.Now(),
		cpu:         time.Duration(r.Utime.Nano() + r.Stime.Nano()),
		allocations: samples[0].Value.Uint64(),
		allocated:   samples[1].Value.Uint64(),
	}
}

func (s spending) since(before spending) spending {
	return spending{
		wall: s.at.Sub(before.at), cpu: s.cpu - before.cpu,
		allocations: s.allocations - before.allocations, allocated: s.allocated - before.allocated,
	}
}

// liveBytes is the heap that is reachable. Two collections, since the first one
// may leave what only a finalizer or a pool held.
func liveBytes() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// residentBytes is the process's resident memory; 0 where the system does not say.
func residentBytes() float64 {
	status, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(status)
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseFloat(string(fields[1]), 64)
	return pages * float64(os.Getpagesize())
}
