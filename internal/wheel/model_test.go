package wheel_test

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/wheel"
)

// model is a wheel as a sorted list: slow, and plainly right. It counts due
// instants in ticks, as the wheel does.
type model struct {
	now     int64 // tick
	seq     int
	waiting []modelTimer // by due tick, then by the order of setting
}

type modelTimer struct {
	id  uint64
	due int64
	seq int
}

func newModel() *model { return &model{now: math.MinInt64} }

const resolution = int64(wheel.Resolution)

// ceilTick and floorTick are written unlike the wheel's own, on quotients that
// are floored whatever the sign, and end with the last whole tick that a
// time.Duration holds.
func ceilTick(d time.Duration) int64 {
	return inRange(floored(d) + min(1, mod(d)))
}

func floorTick(d time.Duration) int64 { return inRange(floored(d)) }

func inRange(tick int64) int64 {
	return min(max(tick, math.MinInt64/resolution), math.MaxInt64/resolution)
}

func floored(d time.Duration) int64 {
	if d < 0 && mod(d) != 0 {
		return int64(d)/resolution - 1
	}
	return int64(d) / resolution
}

func mod(d time.Duration) int64 {
	return (int64(d)%resolution + resolution) % resolution
}

func (m *model) set(id uint64, due time.Duration) {
	m.seq++
	x := modelTimer{id: id, due: max(ceilTick(due), m.now), seq: m.seq}
	at, _ := slices.BinarySearchFunc(m.waiting, x, func(a, b modelTimer) int {
		return cmp.Or(cmp.Compare(a.due, b.due), cmp.Compare(a.seq, b.seq))
	})
	m.waiting = slices.Insert(m.waiting, at, x)
}

func (m *model) cancel(id uint64) bool {
	at := slices.IndexFunc(m.waiting, func(x modelTimer) bool { return x.id == id })
	if at < 0 {
		return false
	}
	m.waiting = slices.Delete(m.waiting, at, at+1)
	return true
}

func (m *model) reschedule(id uint64, due time.Duration) bool {
	if !m.cancel(id) {
		return false
	}
	m.set(id, due)
	return true
}

// advance takes out what is due one by one, so that fire may cancel what is
// behind it.
func (m *model) advance(now time.Duration, fire func(id uint64)) {
	m.now = max(m.now, floorTick(now))
	limit, due := m.seq, m.now
	for {
		at := slices.IndexFunc(m.waiting, func(x modelTimer) bool { return x.due <= due && x.seq <= limit })
		if at < 0 {
			return
		}
		id := m.waiting[at].id
		m.waiting = slices.Delete(m.waiting, at, at+1)
		fire(id)
	}
}

// first is the due instant that Next must not be later than.
func (m *model) first() (due time.Duration, ok bool) {
	if len(m.waiting) == 0 {
		return 0, false
	}
	return time.Duration(m.waiting[0].due * resolution), true
}
