package pluginhost

import (
	"errors"
	"os/exec"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// prepare has the child lead a group of its own, die with the thread that started
// it, and be executed from the open file that it inherits under number fd.
func prepare(cmd *exec.Cmd, fd int) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Path = "/proc/self/fd/" + strconv.Itoa(fd)
}

// awaitExit waits until the process has ended and leaves it unreaped, so that its
// id stays its own. It reports whether it could.
func awaitExit(pid int) bool {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err == nil
		}
	}
}

// killGroup ends every process of the group that pid leads.
func killGroup(pid int) error { return syscall.Kill(-pid, syscall.SIGKILL) }
