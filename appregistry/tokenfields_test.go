package appregistry_test

import (
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
)

// Fields that only records in memory have are damage in a store: kept as unknown,
// they would be read as our own when the record is folded.
func TestLoad_RefusesFieldsOfMemory(t *testing.T) {
	for field := byte(56); field <= 60; field++ {
		for kind := range byte(2) {
			r := appregistry.NewRegistry()
			key := binary.BigEndian.AppendUint64([]byte("token/"), 5)
			value := []byte{appregistry.RecordVersion, field<<1 | kind, 0, 0}
			if _, err := r.Load(key, value); err == nil {
				r.TidyMany(r.Turn()+1, 100)
				t.Errorf("field %d of kind %d was taken: %v", field, kind, r.Token(5))
			}
		}
	}
}

// A date so far off that it means never is not read back as one that has passed.
func TestLoad_KeepsFarDatesFar(t *testing.T) {
	for _, ms := range []int64{1 << 61, 1 << 62, math.MaxInt64, -1 << 62, math.MinInt64} {
		r, again := appregistry.NewRegistry(), appregistry.NewRegistry()
		r.PutToken(&appregistry.TokenRecord{ID: 1, Max: time.UnixMilli(ms)})
		for _, put := range r.TakeBatch().Put {
			if _, err := again.Load(put.Key, put.Value); err != nil {
				t.Fatal(err)
			}
		}
		if got := again.Token(1).Max; (got.Year() > 1_000_000) != (ms > 0) || (got.Year() < -1_000_000) != (ms < 0) {
			t.Errorf("%d ms: read back as %v", ms, got.UnixMilli())
		}
	}
}
