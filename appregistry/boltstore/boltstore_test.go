package boltstore_test

import (
	"path/filepath"
	"testing"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/appregistry/boltstore"
	"github.com/tokenwheel/tokenwheel/appregistry/storetest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if childMain() {
		return
	}
	goleak.VerifyTestMain(m)
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Opener {
		path := filepath.Join(privateDir(t), "apps.db")
		return func() (appregistry.Store, error) { return boltstore.Open(path, boltstore.Options{}) }
	})
}
