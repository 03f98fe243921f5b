package hdfs_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// Renewals of 1, 16 and 64 goroutines on the in-process NameNode: what the whole client costs, beside calls of
// internal/hrpc alone.
func BenchmarkRenew(b *testing.B) {
	for _, protection := range []string{"authentication", "privacy"} {
		for _, inFlight := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("%s/%d in flight", protection, inFlight), func(b *testing.B) {
				p := provider(b, start(b, hadooptest.Config{Protection: []string{protection}}))
				grants, err := p.Obtain(b.Context(), plugins.ObtainRequest{User: "alice"})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := p.Renew(b.Context(), grants[0].Token); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				var next atomic.Int64
				var group sync.WaitGroup
				b.ResetTimer()
				for range inFlight {
					group.Go(func() {
						for next.Add(1) <= int64(b.N) {
							if _, err := p.Renew(context.Background(), grants[0].Token); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				group.Wait()
			})
		}
	}
}
