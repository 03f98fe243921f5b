package hadooptest_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/hadooptest"
)

// Image and edits hold identifiers and renew dates; the password is computed anew
// from the key, and after a restart the same token logs in and is renewed.
func TestN19_RestartKeepsTokensByIdentifierAndDateAlone(t *testing.T) {
	m := newManager()
	first, second := issue(t, m, t0, "renewer"), issue(t, m, t0, "renewer")
	image := m.Save()
	if len(image.Tokens) != 2 || !bytes.Equal(image.Tokens[1].Identifier, second.Identifier) || !image.Tokens[1].RenewDate.Equal(t0.Add(24*time.Hour)) {
		t.Errorf("the image holds %+v", image.Tokens)
	}
	restarted := newManager()
	if warnings, err := restarted.Restore(image); err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	now := t0.Add(time.Hour)
	if password, err := restarted.Password(now, first.Identifier); err != nil || !bytes.Equal(password, first.Password) {
		t.Errorf("login after the restart: %v", err)
	}
	if _, err := restarted.Renew(now, service, second.Identifier, second.Password); err != nil {
		t.Errorf("renewal after the restart: %v", err)
	}
}

// Numbers go on after the highest that was seen, so that no token collides:
// whether a token has it, or the image counted one that is gone.
func TestN23_NumbersGoOn(t *testing.T) {
	m := newManager()
	issue(t, m, t0, "renewer")
	edited := m.Save()
	gone := issue(t, m, t0, "renewer")
	edited.Tokens = m.Save().Tokens
	if err := m.Cancel(t0, service, gone.Identifier); err != nil {
		t.Fatal(err)
	}
	for name, image := range map[string]hadooptest.Image{"edits after the image": edited, "the highest is cancelled": m.Save()} {
		restarted := newManager()
		if _, err := restarted.Restore(image); err != nil {
			t.Fatal(err)
		}
		if next := parse(t, issue(t, restarted, t0, "renewer")); next.Sequence != 3 {
			t.Errorf("%s: the next token has number %d, want 3", name, next.Sequence)
		}
	}
}

func TestN20_RestoreIntoARunningManagerFails(t *testing.T) {
	m := newManager()
	issue(t, m, t0, "renewer")
	image := m.Save()
	_, err := m.Restore(image)
	if classOf(err) != hadooptest.ClassIO || err.(*hadooptest.JavaError).Message != "Can't add persisted delegation token to a running SecretManager." { //nolint:errorlint // itself
		t.Errorf("got %v", err)
	}
	if _, err := m.Reload(image); err != nil {
		t.Errorf("after a stop: %v", err)
	}
}

func TestN21_TokenOfAnUnknownKeyIsSkipped(t *testing.T) {
	m := newManager()
	token := issue(t, m, t0, "renewer")
	image := m.Save()
	image.ForgetKeys()
	warnings, err := m.Reload(image)
	if want := []string{"No KEY found for persisted identifier " + parse(t, token).String()}; err != nil || !slices.Equal(warnings, want) {
		t.Errorf("got %q, %v, want %q and a start that goes on", warnings, err, want)
	}
	if _, err := m.Password(t0, token.Identifier); classOf(err) != hadooptest.ClassInvalidToken {
		t.Errorf("login with the token that was skipped: %v", err)
	}
	if _, err := m.Renew(t0, service, token.Identifier, token.Password); classOf(err) != hadooptest.ClassInvalidToken {
		t.Errorf("renewal of the token that was skipped: %v", err)
	}
}

func TestN22_SameTokenTwiceFails(t *testing.T) {
	m := newManager()
	issue(t, m, t0, "renewer")
	image := m.Save()
	image.Tokens = append(image.Tokens, image.Tokens[0])
	_, err := m.Reload(image)
	if want := "java.io.IOException: Same delegation token being added twice; invalid entry in fsimage or editlogs"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestImagePrintsNoKey(t *testing.T) {
	m := newManager()
	issue(t, m, t0, "renewer")
	for _, verb := range []string{"%v", "%+v", "%#v"} {
		if got := fmt.Sprintf(verb, m.Save()); got != "image of 1 tokens" {
			t.Errorf("%s prints %q", verb, got)
		}
	}
}
