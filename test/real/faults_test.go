package real_test

import (
	"testing"

	"github.com/tokenwheel/tokenwheel/internal/faulttest"
)

// The suites that the kit passes, between a bad network or a man in the middle and a real KDC and NameNode.

// Shows: B15.
func TestB14_ResetsOnTheRealNameNode(t *testing.T) { faulttest.Resets(t, behindFaults) }

// Shows: B12, B16.
func TestB13_SilenceOnTheRealNameNode(t *testing.T) { faulttest.Silence(t, behindFaults) }

// Shows: B17, B18, T-13, T-14, T-15.
func TestB34_LiesOnTheRealNameNode(t *testing.T) { faulttest.Lies(t, behindFaults) }

// Shows: B04.
func TestB02_KDCsOnTheRealOne(t *testing.T) { faulttest.KDCs(t, behindFaults) }

func behindFaults(t *testing.T, protection string) faulttest.Cluster {
	return faulttest.Cluster{Cluster: asSuitesSeeIt(t, protection), NameNode: shared.NameNodeAddr, KDC: shared.KDCAddr}
}
