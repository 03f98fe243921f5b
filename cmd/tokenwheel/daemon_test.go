package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/internal/control"
)

// daemon is a running "tokenwheel run".
type daemon struct {
	stop func()
	log  *journal
	code chan int
}

// journal gathers what a daemon logs.
type journal struct {
	mu      sync.Mutex // guards text
	text    bytes.Buffer
	started chan struct{}
	once    sync.Once
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if bytes.Contains(b, []byte("daemon started")) {
		j.once.Do(func() { close(j.started) })
	}
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// startDaemon runs the daemon in this process until stop, or the test's end.
func startDaemon(t *testing.T, config string) *daemon {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	d := &daemon{stop: cancel, log: &journal{started: make(chan struct{})}, code: make(chan int, 1)}
	go func() {
		d.code <- run(ctx, []string{"run", "--config", config}, strings.NewReader(""), d.log, d.log)
	}()
	t.Cleanup(func() { d.end(t) })
	select {
	case <-d.log.started:
	case code := <-d.code:
		d.code <- code
		t.Fatalf("the daemon ended with %d:\n%s", code, d.log)
	case <-time.After(2 * time.Minute):
		t.Fatalf("the daemon did not start:\n%s", d.log)
	}
	return d
}

// end asks the daemon to end as SIGTERM does, and returns its exit code.
func (d *daemon) end(t *testing.T) int {
	t.Helper()
	d.stop()
	select {
	case code := <-d.code:
		d.code <- code
		return code
	case <-time.After(2 * time.Minute):
		t.Fatalf("the daemon did not end:\n%s", d.log)
		return -1
	}
}

func fromJSON[T any](t *testing.T, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return v
}

// Shows: P7, T-20.
func TestDaemon_AppsLiveAndDie(t *testing.T) {
	s := newSite(t, hadooptest.Config{Lifetimes: hadooptest.Lifetimes{RenewInterval: time.Hour, MaxLifetime: 24 * time.Hour}})
	config, staged, brought := s.config(t, "log: {level: debug}\n"), s.file("staged"), s.file("brought")
	t.Setenv("TOKENWHEEL_ADDRESS", "unix://"+s.file("control.sock"))
	user := me(t)
	ok(t, with(s.as(t, self), "creds", "get", brought, "-alias", "mine", "-doas", user)...)
	_, broughtToken := onlyToken(t, brought)

	d := startDaemon(t, config)
	if m := modeOf(t, s.file("control.sock")); m.Perm() != 0o600 {
		t.Errorf("the control socket has mode %v, want 0600", m)
	}
	var printed strings.Builder
	do := func(args ...string) string {
		t.Helper()
		out := ok(t, args...)
		printed.WriteString(out)
		return out
	}

	app := fromJSON[control.App](t, do("app", "register", "etl", "--token-file", brought, "--obtain", "hdfs", "--stage-to", staged, "--wait", "-o", "json"))
	if !app.Ready || app.Generation != 1 || len(app.Aliases) != 2 {
		t.Errorf("registered as %+v, want it ready, at generation 1, with two tokens", app)
	}
	do("app", "register", "etl", "--token-file", brought, "--obtain", "hdfs", "--stage-to", staged, "--wait") // no change
	if apps := fromJSON[[]control.App](t, do("app", "list", "-o", "json")); len(apps) != 1 || apps[0].Generation != 1 {
		t.Errorf("the same registration again made %+v", apps)
	}
	described := fromJSON[control.App](t, do("app", "describe", "etl", "-o", "json"))
	if len(described.Tokens) != 2 {
		t.Fatalf("it holds %+v, want two tokens", described.Tokens)
	}
	do("app", "describe", "etl")
	ok(t, "fetch", "--dir", staged, "--out", s.file("fetched"))
	creds, err := readTokenFile(s.file("fetched"))
	if err != nil || len(creds.Tokens) != 2 {
		t.Fatalf("fetched %v, %v; want two tokens", creds, err)
	}

	var obtained, mine control.Token
	for _, tok := range fromJSON[[]control.Token](t, do("token", "list", "-o", "json")) {
		if tok.Obtained {
			obtained = tok
		} else {
			mine = tok
		}
	}
	if mine.Fingerprint != broughtToken.Fingerprint() || mine.Proof != "renewed" {
		t.Errorf("the brought token is %+v, want it proved by a renewal", mine)
	}
	id := strconv.FormatUint(obtained.ID, 10)
	renewals := s.NameNode.Journal.Count(hadooptest.OpRenew)
	do("token", "renew", id)
	do("token", "describe", obtained.Fingerprint)
	if got := s.NameNode.Journal.Count(hadooptest.OpRenew); got != renewals+1 {
		t.Errorf("token renew made %d calls, want 1", got-renewals)
	}

	do("status", "--fail-on", "10m")
	r := fails(t, exitFound, []string{user + "/etl", s.Addr, "59m"}, "status", "--fail-on", "2h")
	printed.WriteString(r.out + r.errOut)

	r = fails(t, exitLocal, []string{"token-held"}, "token", "cancel", id)
	if strings.Count(r.errOut, "token-held") != 1 || strings.Count(r.errOut, "cancel token "+id) != 1 {
		t.Errorf("operation and code are not said once:\n%s", r.errOut)
	}
	fails(t, exitNotFound, []string{"nothing"}, "app", "describe", "nothing")
	fails(t, exitNotFound, []string{"nothing"}, "app", "unregister", "nothing")
	fails(t, exitNotFound, []string{"777"}, "token", "renew", "777")
	fails(t, exitLocal, []string{"bad-app"}, "app", "register", "empty")
	fails(t, exitLocal, []string{"nowhere"}, "app", "register", "x", "--obtain", "nowhere")
	fails(t, exitNotAllowed, []string{"carol"}, "app", "register", "x", "--obtain", "hdfs", "--user", "carol", "--wait")
	do("token", "resume-cancels")

	d.restartSecond(t, config)

	// The daemon's end unregisters nothing, and the next one goes on.
	if code := d.end(t); code != exitOK {
		t.Errorf("the daemon ended with %d:\n%s", code, d.log)
	}
	if n := s.NameNode.Journal.Count(hadooptest.OpCancel); n != 0 {
		t.Errorf("%d cancels at the daemon's end, want none", n)
	}
	fails(t, exitRemote, []string{"control.sock"}, "app", "list")
	second := startDaemon(t, config)
	if apps := fromJSON[[]control.App](t, do("app", "list", "-o", "json")); len(apps) != 1 || apps[0].UUID != app.UUID {
		t.Errorf("after a restart there are %+v, want the one", apps)
	}
	cancelled := s.NameNode.Journal.Changed()
	do("app", "unregister", "etl")
	for s.NameNode.Journal.Count(hadooptest.OpCancel) == 0 {
		select {
		case <-cancelled:
			cancelled = s.NameNode.Journal.Changed()
		case <-time.After(2 * time.Minute):
			t.Fatalf("the obtained token was not cancelled:\n%s", second.log)
		}
	}
	second.end(t)
	for alias, tok := range creds.Tokens {
		for where, text := range map[string]string{"the daemon's log": d.log.String() + second.log.String(), "what commands print": printed.String()} {
			if form := leaked(text, tok.Password); form != "" {
				t.Errorf("the password of %s stands in %s in %s", alias, where, form)
			}
		}
	}
}

// restartSecond tries to start a second daemon beside the first.
func (d *daemon) restartSecond(t *testing.T, config string) {
	t.Helper()
	fails(t, exitLocal, []string{"process " + strconv.Itoa(os.Getpid())}, "run", "--config", config)
	ok(t, "app", "list")
}

func TestDaemon_SocketOfADeadDaemonIsReplaced(t *testing.T) {
	s := newSite(t, hadooptest.Config{})
	config := s.config(t, "")
	left := s.file("control.sock")
	deadSocket(t, left)
	startDaemon(t, config)
	ok(t, "app", "list", "--address", "unix://"+left)
}

func TestDaemon_RefusesABadConfiguration(t *testing.T) {
	s := newSite(t, hadooptest.Config{})
	fails(t, exitLocal, []string{"renewal.jitter"}, "run", "--config", s.config(t, "renewal: {jiter: 1}\n"))
	damaged := write(t, s.file("apps.db"), "no database")
	fails(t, exitLocal, []string{damaged, "store check", "no backup"}, "run", "--config", s.config(t, ""))
	plain := write(t, s.file("control.sock"), "no socket")
	fails(t, exitLocal, []string{plain}, "run", "--config", s.config(t, ""))
}
