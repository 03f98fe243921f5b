package faulttest_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/internal/faulttest"
	"github.com/tokenwheel/tokenwheel/plugins/hdfs/hdfstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The real tier runs the same suite on a real KDC and NameNode.
//
// Shows: B02, B04, B12, B13, B14, B15, B16, B17, B18, B34, T-15.
func TestOnTheKit(t *testing.T) {
	const self = "tokenwheel/127.0.0.1"
	lifetimes := hadooptest.Lifetimes{RenewInterval: 24 * time.Hour, MaxLifetime: 7 * 24 * time.Hour}
	faulttest.Run(t, func(t *testing.T, protection string) faulttest.Cluster {
		c := hadooptest.NewCluster(t, hadooptest.Config{
			Protection: []string{protection}, Lifetimes: lifetimes,
			Principals: []string{self}, ProxyUsers: map[string][]string{"tokenwheel": {"alice"}},
		})
		return faulttest.Cluster{
			Cluster: hdfstest.Cluster{
				ConfDir: c.ConfDir, Krb5Conf: c.Krb5Conf, Realm: c.Realm, Service: c.Addr, Self: self,
				Keytab:        func(principal string) (string, error) { return c.Keytab(principal) },
				RenewInterval: lifetimes.RenewInterval, MaxLifetime: lifetimes.MaxLifetime,
			},
			NameNode: c.Addr, KDC: c.KDCAddr,
		}
	})
}
