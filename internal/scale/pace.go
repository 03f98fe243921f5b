package scale

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// quantiles tells how long things took, if any did.
func (m *measurement) quantiles(what string, took []time.Duration) {
	if len(took) == 0 {
		return
	}
	took = slices.Sorted(slices.Values(took))
	for _, q := range []struct {
		name string
		part float64
	}{{"p50", 0.5}, {"p99", 0.99}, {"most", 1}} {
		at := min(int(q.part*float64(len(took))), len(took)-1)
		m.add(what+"."+q.name, took[at].Seconds()*1e3, "ms")
	}
}

// syncs is how many writes plainSyncs measures.
const syncs = 200

// plainSyncs tells what the disk under the store gives a loop that writes a page
// and syncs it: no durable registration can be faster. Only where they are paced.
func (m *measurement) plainSyncs() error {
	if m.load.Pace == 0 || m.load.Store == "" {
		return nil
	}
	f, err := os.Create(filepath.Join(filepath.Dir(m.load.Store), "plain"))
	if err != nil {
		return err
	}
	took, page := make([]time.Duration, syncs), make([]byte, 4096)
	for i := range took {
		begun := time.Now()
		_, err := f.WriteAt(page, int64(i*len(page)))
		if err == nil {
			err = f.Sync()
		}
		if err != nil {
			_ = f.Close()
			return fmt.Errorf("plain sync: %w", err)
		}
		took[i] = time.Since(begun)
	}
	m.quantiles("sync", took)
	return f.Close()
}
