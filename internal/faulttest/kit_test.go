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

// The real tier runs the same suites on a real KDC and NameNode.

// Shows: B15.
func TestB14_ResetsOnTheKit(t *testing.T) { faulttest.Resets(t, kit) }

// Shows: B12, B16.
func TestB13_SilenceOnTheKit(t *testing.T) { faulttest.Silence(t, kit) }

// Shows: B17, B18, T-13, T-14, T-15.
func TestB34_LiesOnTheKit(t *testing.T) { faulttest.Lies(t, kit) }

// Shows: B04.
func TestB02_KDCsOnTheKit(t *testing.T) { faulttest.KDCs(t, kit) }

const self = "tokenwheel/127.0.0.1"

func kit(t *testing.T, protection string) faulttest.Cluster {
	lifetimes := hadooptest.Lifetimes{RenewInterval: 24 * time.Hour, MaxLifetime: 7 * 24 * time.Hour}
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
}
