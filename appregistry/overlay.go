package appregistry

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxOverlay is the most bytes that keys and values of an overlay may have
// together. YARN's limit for the same thing.
const MaxOverlay = 12_800

// OverlayType is what the value of an overlay key must be.
type OverlayType uint8

// The types of overlay values.
const (
	OverlayWord     OverlayType = iota // a name of the operator's: a-z, 0-9, '.', '_', '-'
	OverlayBool                        // true or false
	OverlayRatio                       // a number from 0.1 to 0.95
	OverlayDuration                    // from 1s to 720h, as time.ParseDuration reads it
)

// OverlayKeys returns the settings that an application may have for itself.
// None is an address, a principal, a quality of protection or a path: those are
// the operator's alone.
func OverlayKeys() map[string]OverlayType {
	return map[string]OverlayType{
		"renewal.ratio":    OverlayRatio,
		"renewal.min-lead": OverlayDuration,
		"policy":           OverlayWord,
		"cancel-at-end":    OverlayBool,
		"linger":           OverlayDuration,
		"lease":            OverlayDuration,
		"cluster":          OverlayWord,
		"call-timeout":     OverlayDuration,
	}
}

// ValidateOverlay reports the first key, in alphabetical order, that is not
// allowed or whose value is not of its type.
func ValidateOverlay(overlay map[string]string) error {
	if len(overlay) == 0 {
		return nil
	}
	keys, size := OverlayKeys(), 0
	for k, v := range overlay {
		size += len(k) + len(v)
	}
	if size > MaxOverlay {
		return fmt.Errorf("overlay of %d bytes: at most %d are allowed", size, MaxOverlay)
	}
	for _, key := range slices.Sorted(maps.Keys(overlay)) {
		typ, ok := keys[key]
		if !ok {
			return fmt.Errorf("overlay key %q: not one an application may set; those are %s", key, strings.Join(slices.Sorted(maps.Keys(keys)), ", "))
		}
		if err := typ.check(overlay[key]); err != nil {
			return fmt.Errorf("overlay key %q: %w", key, err)
		}
	}
	return nil
}

func (t OverlayType) check(v string) error {
	switch t {
	case OverlayBool:
		if v != "true" && v != "false" {
			return fmt.Errorf("%q: want true or false", v)
		}
	case OverlayRatio:
		if f, err := strconv.ParseFloat(v, 64); err != nil || !(f >= 0.1 && f <= 0.95) {
			return fmt.Errorf("%q: want a number from 0.1 to 0.95", v)
		}
	case OverlayDuration:
		if d, err := time.ParseDuration(v); err != nil || d < time.Second || d > 720*time.Hour {
			return fmt.Errorf("%q: want a duration from 1s to 720h", v)
		}
	default:
		if !isWord(v) {
			return fmt.Errorf("%q: want 1 to 128 of a-z, 0-9, '.', '_', '-'", v)
		}
	}
	return nil
}

// Duration is the overlay's value of a duration key; 0 where it is not set.
func (a App) Duration(key string) time.Duration { return Overlay(a.Overlay).Duration(key) }

// Overlay is an application's settings, as in [App].
type Overlay map[string]string

// Duration is as [App.Duration].
func (o Overlay) Duration(key string) time.Duration {
	text, ok := o[key]
	if !ok {
		return 0 // nearly always: an error would cost more than all the rest
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0
	}
	return d
}

// Ending is what happens to the application's tokens at its end: AtEnd, unless
// the overlay key cancel-at-end says otherwise.
func (a App) Ending() AtEnd {
	switch a.Overlay["cancel-at-end"] {
	case "true":
		return CancelAll
	case "false":
		return KeepAll
	}
	return a.AtEnd
}
