package appregistry

import (
	"bytes"
	"errors"
	"fmt"
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
	seen := make(map[string]struct{}, len(b.Put)+len(b.Delete))
	add := func(key []byte) error {
		if len(key) == 0 {
			return errors.New("batch: empty key")
		}
		if _, twice := seen[string(key)]; twice {
			return fmt.Errorf("batch: key %q stands in it twice", key)
		}
		seen[string(key)] = struct{}{}
		return nil
	}
	for _, r := range b.Put {
		if err := add(r.Key); err != nil {
			return err
		}
		if len(r.Value) == 0 {
			return fmt.Errorf("batch: empty value of key %q", r.Key)
		}
	}
	for _, key := range b.Delete {
		if err := add(key); err != nil {
			return err
		}
	}
	return nil
}
