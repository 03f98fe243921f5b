package appregistry

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// Holds reports whether the condition is met by the fence key's present value,
// nil where there is none.
func (f Fence) Holds(value []byte) bool {
	return (f.Want == nil) == (value == nil) && bytes.Equal(f.Want, value)
}

// Validate reports what no store can take: an empty key or value, or a key that
// stands in the batch twice. Stores call it before they change anything.
func (b Batch) Validate() error {
	if b.Fence != nil && len(b.Fence.Key) == 0 {
		return errors.New("fence: empty key")
	}
	keys := make([][]byte, 0, len(b.Put)+len(b.Delete))
	for _, r := range b.Put {
		if len(r.Value) == 0 {
			return fmt.Errorf("batch: empty value of key %q", r.Key)
		}
		keys = append(keys, r.Key)
	}
	keys = append(keys, b.Delete...)
	if !slices.IsSortedFunc(keys, bytes.Compare) { // those of the registry are, mostly
		slices.SortFunc(keys, bytes.Compare)
	}
	for i, key := range keys {
		switch {
		case len(key) == 0:
			return errors.New("batch: empty key")
		case i > 0 && bytes.Equal(key, keys[i-1]):
			return fmt.Errorf("batch: key %q stands in it twice", key)
		}
	}
	return nil
}
