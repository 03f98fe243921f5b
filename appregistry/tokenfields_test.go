package appregistry_test

import (
	"encoding/binary"
	"testing"

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
