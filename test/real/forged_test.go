package real_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/appregistry"
	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/plugins/hdfs"
	"github.com/tokenwheel/tokenwheel/renewer"
	"github.com/tokenwheel/tokenwheel/test/real/cluster"
)

// startRenewer runs an engine on the shared cluster until the test's end.
func startRenewer(t *testing.T) *renewer.Renewer {
	t.Helper()
	p, err := hdfs.New(hdfs.Config{
		ConfDir: clientConf(t, shared, "privacy"), Krb5Conf: shared.Krb5Conf,
		Principal: cluster.TokenwheelPrincipal, Keytab: shared.Keytab(cluster.TokenwheelPrincipal),
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := renewer.New(renewer.Config{Providers: map[string]plugins.Provider{"hdfs": p}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	running, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- r.Run(ctx, func(ctx context.Context) error {
			close(running)
			<-ctx.Done()
			return nil
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the renewer ended with %v", err)
		}
		_ = p.Close()
	})
	<-running
	return r
}

// cancels counts what the NameNode's audit log says of cancels.
func cancels(t *testing.T) int {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(shared.Dir, "namenode.log"))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(log, []byte("cmd=cancelDelegationToken"))
}

// Whoever knows a token's identifier, which is no secret, registers it with a made-up password and cancel-at-end, and
// leaves. The NameNode would take the cancel: it does not look at the password.
//
// Shows: P3, T-02.
func TestT01_ForgedTokensAreNeverCancelled(t *testing.T) {
	ctx := within(t, 3*time.Minute)
	r := startRenewer(t)
	mallory := renewer.Caller{Name: "mallory"}
	trusted := renewer.Caller{Name: "gateway", ActsFor: []string{"alice"}}

	known, unknown := get(t, shared), get(t, shared)
	err := r.Register(ctx, appregistry.App{ID: "real", User: "alice", Credentials: credentials(known), AtEnd: appregistry.CancelAll})
	if err != nil {
		t.Fatal(err)
	}
	before := cancels(t)
	const tries = 100
	accepted := 0
	for i := range tries {
		for _, tt := range []struct {
			name   string
			caller renewer.Caller
			user   string
			token  plugins.Token
			verify appregistry.Verify
			code   string // of the refusal; "": another error, or none
		}{
			{"a stranger's", mallory, "mallory", known, appregistry.VerifyRenew, "not-owner"},
			{"of a token that is proved", trusted, "alice", known, appregistry.VerifyRenew, "password-conflict"},
			{"of a token nobody proved, renewed first", trusted, "alice", unknown, appregistry.VerifyRenew, ""},
			{"of a token nobody proved, taken as it is", trusted, "alice", unknown, appregistry.VerifyNone, ""},
		} {
			app := appregistry.App{
				ID: "forged", User: tt.user, Credentials: credentials(forge(tt.token)),
				Verify: tt.verify, AtEnd: appregistry.CancelAll,
			}
			as := r.As(tt.caller)
			err := as.Register(ctx, app)
			if tt.code != "" && plugins.CodeOf(err) != tt.code {
				t.Fatalf("try %d, forged token %s: %v, want %s", i, tt.name, err, tt.code)
			}
			if tt.verify == appregistry.VerifyRenew && err == nil {
				t.Fatalf("try %d, forged token %s: it was accepted", i, tt.name)
			}
			if err == nil {
				accepted++
				if err := as.Unregister(ctx, appregistry.AppKey{Owner: tt.caller.Name, ID: app.ID}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if accepted != tries {
		t.Errorf("%d forged tokens were taken and left, want %d: the rest of this test shows too little", accepted, tries)
	}
	for name, token := range map[string]plugins.Token{"that an application holds": known, "that nobody brought": unknown} {
		if err := login(ctx, shared, token); err != nil {
			t.Errorf("the real token %s: %v", name, err)
		}
	}
	file := tokenFile(t, known, hadooptoken.FormatJava)
	if _, err := shared.FsShell(ctx, cluster.Identity{TokenFile: file}, "-ls", "/user/alice"); err != nil {
		t.Errorf("Java with the real token: %v", err)
	}
	if n := cancels(t) - before; n > 0 {
		t.Errorf("the NameNode was asked for %d cancels", n)
	}

	// The engine does cancel what it may, and the log would have shown it.
	if err := r.Unregister(ctx, appregistry.AppKey{ID: "real"}); err != nil {
		t.Fatal(err)
	}
	if err := eventually(within(t, 20*time.Second), func() bool { return cancels(t) > before }); err != nil {
		t.Errorf("the real token's cancel never showed: %v", err)
	}
}

// The same by the command line and the daemon, as an operator, whom nothing else would stop.
func TestT01_ForgedTokensThroughTheDaemonAreNeverCancelled(t *testing.T) {
	d := newDaemon(t, shared, "staging: {default: none}\n")
	d.start()
	ctx := within(t, time.Minute)
	known, unknown := get(t, shared), get(t, shared)
	register := func(name string, token plugins.Token, more ...string) error {
		file := tokenFile(t, token, hadooptoken.FormatJava)
		args := []string{"app", "register", name, "--user", "alice", "--token-file", file, "--at-end", "cancel", "--wait"}
		_, err := d.command(ctx, append(args, more...)...)
		return err
	}
	if err := register("real", known); err != nil {
		t.Fatal(err)
	}
	before := cancels(t)
	const tries = 10
	for range tries {
		if err := register("forged", forge(known)); err == nil || !strings.Contains(err.Error(), "password-conflict") {
			t.Fatalf("a forged token: %v, want it refused: password-conflict", err)
		}
		if err := register("forged", forge(unknown), "--verify", "none"); err != nil {
			t.Fatal(err)
		}
		d.do("app", "unregister", "forged")
	}
	for _, token := range []plugins.Token{known, unknown} {
		if err := login(ctx, shared, token); err != nil {
			t.Errorf("the real token: %v", err)
		}
	}
	if n := cancels(t) - before; n > 0 {
		t.Errorf("the NameNode was asked for %d cancels", n)
	}
}

// forge is a token of the same identifier with a password of chance.
func forge(token plugins.Token) plugins.Token {
	token = token.Clone()
	_, _ = rand.Read(token.Password) // never fails
	return token
}
