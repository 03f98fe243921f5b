//go:build !linux

package clock

import "time"

// processStart anchors boot time where only Go's monotonic clock exists.
var processStart = time.Now()

func bootTime() time.Duration { return time.Since(processStart) }
