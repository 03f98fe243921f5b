//go:build !linux

package main

// clearDeathSignal has nothing to undo.
func clearDeathSignal() {}
