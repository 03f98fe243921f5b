package real_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Two users of this machine, neither of them an operator, at a socket that is open to all: each has his own
// applications, and for the other they do not exist.
//
// Shows: T-03, T-04, T-05.
func TestT04_TwoUsersAtAnOpenSocket(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("real tier needs root to act as two users of this machine")
	}
	d := newDaemon(t, shared, "")
	openToAll(t, d)
	d.start()
	owner, other := d.as(t, "nobody"), d.as(t, "daemon")

	if code, out := owner("app", "register", "mine", "--user", "nobody", "--obtain", "hdfs", "--wait"); code != 0 {
		t.Fatalf("the owner cannot register: exit %d\n%s", code, out)
	}
	token := strings.Fields(strings.Split(d.do("token", "list"), "\n")[1])[0]
	const notFound, notAllowed = 3, 6
	for _, c := range []struct {
		exit int
		args []string
	}{
		{notFound, []string{"app", "describe", "mine"}},
		{notFound, []string{"app", "describe", "mine", "--owner", "nobody"}},
		{notFound, []string{"app", "unregister", "mine", "--owner", "nobody"}},
		{notFound, []string{"token", "describe", token}},
		{notFound, []string{"token", "renew", token}},
		{notFound, []string{"token", "cancel", token, "--force"}},
		{notAllowed, []string{"app", "register", "theirs", "--user", "nobody", "--obtain", "hdfs"}},
		{notAllowed, []string{"app", "register", "theirs", "--user", "hdfs", "--obtain", "hdfs"}},
		{notAllowed, []string{"app", "register", "mine", "--owner", "nobody", "--user", "daemon", "--obtain", "hdfs"}},
	} {
		if code, out := other(c.args...); code != c.exit {
			t.Errorf("another user's tokenwheel %s: exit %d, want %d\n%s", strings.Join(c.args, " "), code, c.exit, out)
		}
	}
	for _, list := range [][]string{{"app", "list"}, {"token", "list"}} {
		code, out := other(list...)
		if code != 0 || strings.Contains(out, "mine") || strings.Contains(out, "HDFS_DELEGATION_TOKEN") {
			t.Errorf("another user's %v: exit %d\n%s", list, code, out)
		}
	}
	if code, out := owner("token", "renew", token); code != 0 {
		t.Errorf("the owner cannot renew: exit %d\n%s", code, out)
	}
	if code, out := owner("app", "unregister", "mine"); code != 0 {
		t.Errorf("the owner cannot unregister: exit %d\n%s", code, out)
	}
}

// openToAll lets every user of the machine open the daemon's socket.
func openToAll(t *testing.T, d *daemon) {
	t.Helper()
	path := filepath.Join(d.dir, "tokenwheel.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	socket := "unix://" + d.dir + "/control.sock"
	open := strings.Replace(string(text), "control: "+socket, `control: {address: "`+socket+`", mode: "0666"}`, 1)
	if err := errors.Join(os.WriteFile(path, []byte(open), 0o600), os.Chmod(d.dir, 0o711)); err != nil {
		t.Fatal(err)
	}
}

// as returns a way to run the program as a user of this machine.
func (d *daemon) as(t *testing.T, name string) func(args ...string) (exit int, out string) {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	program := filepath.Join(d.dir, "tokenwheel")
	if err := errors.Join(err1, err2, copyProgram(d.path, program)); err != nil {
		t.Fatal(err)
	}
	return func(args ...string) (int, string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Dir, cmd.Env = "/", []string{"TOKENWHEEL_ADDRESS=unix://" + d.dir + "/control.sock"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
		out, err := cmd.CombinedOutput()
		if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode(), string(out)
	}
}

// copyProgram puts the program where every user may run it.
func copyProgram(from, to string) error {
	if _, err := os.Stat(to); err == nil {
		return nil
	}
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o755)
}
