package clock

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootTime panics where CLOCK_BOOTTIME is missing: every Linux that Go runs on
// has it, and falling back silently would mix two time lines in one process.
func bootTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("clock: CLOCK_BOOTTIME: " + err.Error())
	}
	return time.Duration(ts.Nano())
}
