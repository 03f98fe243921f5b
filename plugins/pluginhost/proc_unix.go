//go:build unix && !linux

package pluginhost

import (
	"os/exec"
	"syscall"
)

// prepare has the child lead a group of its own. There is no death signal here:
// the program watches the host's pipe. Nor can an open file be executed.
func prepare(cmd *exec.Cmd, _ int) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// awaitExit could not wait without reaping, and reports so.
func awaitExit(int) bool { return false }

// killGroup ends every process of the group that pid leads.
func killGroup(pid int) error { return syscall.Kill(-pid, syscall.SIGKILL) }
