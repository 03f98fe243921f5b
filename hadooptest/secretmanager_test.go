package hadooptest_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/plugins"
)

var (
	t0      = time.UnixMilli(1_700_000_000_000).UTC()
	service = hadooptest.Caller{Principal: "renewer/host@REALM", Effective: "renewer/host@REALM"}
	forUser = hadooptest.Caller{Principal: "renewer/host@REALM", Effective: "alice"}
	byToken = hadooptest.Caller{Principal: "alice", Effective: "alice", ByToken: true}
)

func newManager() *hadooptest.SecretManager {
	return hadooptest.NewSecretManager(hadooptest.Lifetimes{})
}

func issue(t *testing.T, m *hadooptest.SecretManager, now time.Time, renewer string) plugins.Token {
	t.Helper()
	token, err := m.Issue(now, forUser, renewer)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func classOf(err error) string {
	if e, ok := errors.AsType[*hadooptest.JavaError](err); ok {
		return e.Class
	}
	return ""
}

func parse(t *testing.T, token plugins.Token) hadooptoken.Identifier {
	t.Helper()
	id, err := hadooptoken.ParseIdentifier(token.Kind, token.Identifier)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Shows: N2, N3.
func TestN1_IssueSetsTheNameNodesDates(t *testing.T) {
	m := newManager()
	first, second := issue(t, m, t0, "renewer/host@REALM"), issue(t, m, t0, "renewer")
	id := parse(t, first)
	if id.Owner != "alice" || id.RealUser != "renewer/host@REALM" || id.Renewer != "renewer" {
		t.Errorf("owner %q, real user %q, renewer %q", id.Owner, id.RealUser, id.Renewer)
	}
	if !id.Issued.Equal(t0) || id.Max.Sub(t0) != 604_800_000*time.Millisecond {
		t.Errorf("issued %v, max date %v", id.Issued, id.Max)
	}
	if next := parse(t, second).Sequence; id.Sequence != 1 || next != 2 {
		t.Errorf("sequence numbers %d and %d, want 1 and 2", id.Sequence, next)
	}
	if at, ok := m.RenewDate(first.Identifier); !ok || at.Sub(t0) != 86_400_000*time.Millisecond {
		t.Errorf("renew date %v", at)
	}
	password, err := m.Password(t0, first.Identifier)
	if err != nil || !bytes.Equal(password, first.Password) || len(password) != 20 {
		t.Errorf("password is no HMAC-SHA1 of the identifier: %d bytes, %v", len(password), err)
	}
}

// Shows: N5.
func TestN4_TokenLoginGetsNoToken(t *testing.T) {
	m := newManager()
	if _, err := m.Issue(t0, byToken, "renewer"); classOf(err) != hadooptest.ClassIO {
		t.Errorf("issue: %v", err)
	}
	token := issue(t, m, t0, "renewer")
	if _, err := m.Renew(t0, byToken, token.Identifier, token.Password); classOf(err) != hadooptest.ClassIO {
		t.Errorf("renew: %v", err)
	}
}

// The order of checks is the original's: each case breaks one rule and all those
// behind it.
//
// Shows: N7, N8, N9, N10, N11, N12.
func TestCH53_RenewChecksInTheOriginalOrder(t *testing.T) {
	other := hadooptest.Caller{Principal: "other@REALM", Effective: "other@REALM"}
	for _, c := range []struct {
		name    string
		renewer string
		caller  hadooptest.Caller
		after   time.Duration
		keys    bool // forgotten
		wrong   bool // password
		class   string
		says    string // two checks answer with one class, and only the text tells which it was
	}{
		{"past the max date", "", other, 8 * 24 * time.Hour, true, true, hadooptest.ClassInvalidToken, "tried to renew an expired token"},
		{"no renewer", "", other, 0, true, true, hadooptest.ClassAccessControl, "without a renewer"},
		{"no renewer, the key there", "", other, 0, false, true, hadooptest.ClassAccessControl, "without a renewer"},
		{"another renewer", "renewer", other, 0, true, true, hadooptest.ClassAccessControl, "with non-matching renewer"},
		{"another renewer, the key there", "renewer", other, 0, false, true, hadooptest.ClassAccessControl, "with non-matching renewer"},
		{"key gone", "renewer", service, 0, true, true, hadooptest.ClassInvalidToken, "Unable to find master key"},
		{"wrong password", "renewer", service, 0, false, true, hadooptest.ClassAccessControl, "with wrong password"},
		{"unknown", "renewer", service, 0, false, false, hadooptest.ClassInvalidToken, "Renewal request for unknown token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newManager()
			token := issue(t, m, t0, c.renewer)
			m.Forget(token.Identifier)
			if c.keys {
				m.ForgetKeys()
			}
			password := bytes.Clone(token.Password)
			if c.wrong {
				password[0] ^= 1
			}
			if _, err := m.Renew(t0.Add(c.after), c.caller, token.Identifier, password); classOf(err) != c.class || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want class %s and a text with %q", err, c.class, c.says)
			}
		})
	}
}

// Shows: C-H04.
func TestN13_RenewalEndsAtTheMaxDate(t *testing.T) {
	m := newManager()
	token := issue(t, m, t0, "renewer")
	max := parse(t, token).Max
	var last time.Time
	for now := t0; now.Before(max); now = now.Add(20 * time.Hour) {
		expires, err := m.Renew(now, service, token.Identifier, token.Password)
		if err != nil {
			t.Fatal(err)
		}
		if want := now.Add(24 * time.Hour); expires.After(max) || expires.Before(max) && !expires.Equal(want) {
			t.Errorf("renewed at %v until %v", now, expires)
		}
		last = expires
	}
	if !last.Equal(max) {
		t.Errorf("the last renewal was until %v, want the max date %v", last, max)
	}
	if _, err := m.Renew(max.Add(time.Second), service, token.Identifier, token.Password); classOf(err) != hadooptest.ClassInvalidToken {
		t.Errorf("past the max date: %v", err)
	}
}

// Shows: N14, N15, C-H05, C-H08.
func TestN16_ExpiredIsRevivedUntilTheScan(t *testing.T) {
	m := newManager()
	token := issue(t, m, t0, "renewer")
	late := t0.Add(24*time.Hour + 10*time.Minute)
	if _, err := m.Password(late, token.Identifier); classOf(err) != hadooptest.ClassInvalidToken {
		t.Errorf("login past the renew date: %v", err)
	}
	young := issue(t, m, late, "renewer")
	// The scan of the hour before has just run, so that the next is not due yet.
	m2 := newManager()
	old := issue(t, m2, t0, "renewer")
	if _, err := m2.Password(t0.Add(23*time.Hour+30*time.Minute), old.Identifier); err != nil {
		t.Fatal(err)
	}
	if _, err := m2.Renew(t0.Add(24*time.Hour+10*time.Minute), service, old.Identifier, old.Password); err != nil {
		t.Errorf("renewal ten minutes late: %v", err)
	}
	if _, ok := m.RenewDate(young.Identifier); !ok {
		t.Error("the scan took a token that is not expired")
	}
	if _, ok := m.RenewDate(token.Identifier); ok {
		t.Error("the scan left an expired token")
	}
}

// Shows: N17, N18, C-H17.
func TestCH54_CancelDoesNotLookAtThePassword(t *testing.T) {
	stranger := hadooptest.Caller{Principal: "mallory@REALM", Effective: "mallory@REALM"}
	m := newManager()
	token := issue(t, m, t0, "renewer")
	if err := m.Cancel(t0, stranger, token.Identifier); classOf(err) != hadooptest.ClassAccessControl {
		t.Errorf("a stranger's cancel: %v", err)
	}
	if err := m.Cancel(t0, service, token.Identifier); err != nil {
		t.Errorf("the renewer's cancel, with no password shown: %v", err)
	}
	if err := m.Cancel(t0, forUser, token.Identifier); classOf(err) != hadooptest.ClassInvalidToken {
		t.Errorf("a second cancel: %v", err)
	}
	if _, err := m.Renew(t0, service, token.Identifier, token.Password); classOf(err) != hadooptest.ClassInvalidToken {
		t.Errorf("renewing a cancelled token: %v", err)
	}
}

func TestCH09_TokensOutliveTheKeyThatSignedThem(t *testing.T) {
	m := newManager()
	token := issue(t, m, t0, "renewer")
	for day := 1; day <= 6; day++ {
		now := t0.Add(time.Duration(day)*24*time.Hour - time.Hour)
		if _, err := m.Renew(now, service, token.Identifier, token.Password); err != nil {
			t.Fatalf("day %d: %v", day, err)
		}
		if p, err := m.Password(now, token.Identifier); err != nil || !bytes.Equal(p, token.Password) {
			t.Errorf("day %d: it does not log in: %v", day, err)
		}
		if got, want := parse(t, issue(t, m, now, "renewer")).MasterKeyID, int32(day); got != want {
			t.Errorf("day %d: signed with key %d, want %d", day, got, want)
		}
	}
}

func TestForgetKeys_LeavesLoginsAndEndsRenewals(t *testing.T) {
	m := newManager()
	token := issue(t, m, t0, "renewer")
	m.ForgetKeys()
	if p, err := m.Password(t0, token.Identifier); err != nil || !bytes.Equal(p, token.Password) {
		t.Errorf("login: another password than was issued, %v", err)
	}
	if _, err := m.Renew(t0, service, token.Identifier, token.Password); classOf(err) != hadooptest.ClassInvalidToken {
		t.Errorf("renew: %v, want class %s", err, hadooptest.ClassInvalidToken)
	}
	if err := m.Cancel(t0, service, token.Identifier); err != nil {
		t.Errorf("cancel: %v", err)
	}
}

func TestCH11_ParallelObtainersGetDistinctTokens(t *testing.T) {
	m := newManager()
	var mu sync.Mutex
	seen := map[string]bool{}
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			for range 100 {
				token, err := m.Issue(t0, forUser, "renewer")
				if err != nil {
					t.Error(err)
					return
				}
				if p, err := m.Password(t0, token.Identifier); err != nil || !bytes.Equal(p, token.Password) {
					t.Errorf("not verifiable: %v", err)
				}
				mu.Lock()
				seen[string(token.Identifier)] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(seen) != 10_000 || m.Live() != 10_000 {
		t.Errorf("%d distinct tokens, %d in the table", len(seen), m.Live())
	}
}

func TestCH12_NoRenewerNoRenewal(t *testing.T) {
	m := newManager()
	token := issue(t, m, t0, "")
	if _, err := m.Renew(t0, service, token.Identifier, token.Password); classOf(err) != hadooptest.ClassAccessControl {
		t.Errorf("got %v", err)
	}
	if _, err := m.Password(t0, token.Identifier); err != nil {
		t.Errorf("login with it: %v", err)
	}
}

func TestT20_SecretManagerPrintsNoPassword(t *testing.T) {
	m := newManager()
	issue(t, m, t0, "renewer")
	for _, verb := range []string{"%v", "%+v", "%#v", "%x"} {
		if got := fmt.Sprintf(verb, m); got != "secret manager of 1 tokens" {
			t.Errorf("%s prints %q", verb, got)
		}
	}
}

func textOf(err error) string {
	if e, ok := errors.AsType[*hadooptest.JavaError](err); ok {
		return e.Message
	}
	return fmt.Sprint(err)
}

// Tokens and keys come through a restart; what is past its renew date does not, and a new renewal is for the interval
// that is configured now.
func TestB24_RestartKeepsWhatIsAlive(t *testing.T) {
	m := hadooptest.NewSecretManager(hadooptest.Lifetimes{RenewInterval: time.Hour, MaxLifetime: 24 * time.Hour})
	alive, expired := issue(t, m, t0.Add(30*time.Minute), "renewer"), issue(t, m, t0, "renewer")
	at := t0.Add(61 * time.Minute)
	m.Restart(at, hadooptest.Lifetimes{RenewInterval: time.Minute, MaxLifetime: 2 * time.Minute})
	if until, err := m.Renew(at, service, alive.Identifier, alive.Password); err != nil || !until.Equal(at.Add(time.Minute)) {
		t.Errorf("the living one was renewed until %v, %v", until, err)
	}
	if _, err := m.Renew(at, service, expired.Identifier, expired.Password); classOf(err) != hadooptest.ClassInvalidToken {
		t.Errorf("the expired one: %v", err)
	}
	if young := issue(t, m, at, "renewer"); parse(t, young).MasterKeyID == parse(t, alive).MasterKeyID {
		t.Error("the key of before the restart signs on")
	}
	// The key of before ends as it was to end, not by the new configuration.
	later := at.Add(10 * time.Hour)
	m.Restart(later, hadooptest.Lifetimes{})
	if _, err := m.Renew(later, service, expired.Identifier, expired.Password); textOf(err) != fmt.Sprintf("Renewal request for unknown token (%s)", parse(t, expired)) {
		t.Errorf("ten hours later: %v", err)
	}
}

// What the real one said to identifiers that it cannot read, or that are not what was issued.
//
// Shows: C-H53.
func TestN31_ForgedIdentifiersAreAnsweredAsByTheReleaseSeen(t *testing.T) {
	m := newManager()
	token := issue(t, m, t0, "renewer")
	noOwner := parse(t, token)
	noOwner.Owner = ""
	ownerless, err := hadooptoken.MarshalIdentifier(noOwner)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name       string
		identifier []byte
		after      time.Duration
		class      string
		text       string
	}{
		{"cut short", token.Identifier[:len(token.Identifier)-1], 0, hadooptest.ClassEOF, "java.io.EOFException"},
		{"empty", nil, 0, hadooptest.ClassEOF, "java.io.EOFException"},
		{"of another version", append([]byte{0x85}, token.Identifier[1:]...), 0, hadooptest.ClassIO, "Unknown version of delegation token -123"},
		{"without an owner", ownerless, 0, hadooptest.ClassNullPointer, `Cannot invoke "org.apache.hadoop.security.UserGroupInformation.getShortUserName()" because the return value of "org.apache.hadoop.hdfs.security.token.delegation.DelegationTokenIdentifier.getUser()" is null`},
		{"without an owner, past the max date", ownerless, 8 * 24 * time.Hour, hadooptest.ClassInvalidToken, fmt.Sprintf(
			"renewer tried to renew an expired token ( SequenceNumber=1 ) max expiration date: %s currentTime: %s",
			t0.Add(7*24*time.Hour).Local().Format("2006-01-02 15:04:05,000-0700"), t0.Add(8*24*time.Hour).Local().Format("2006-01-02 15:04:05,000-0700"),
		)},
	} {
		_, err := m.Renew(t0.Add(c.after), service, c.identifier, token.Password)
		if classOf(err) != c.class || textOf(err) != c.text {
			t.Errorf("%s: got %v\nwant %s: %s", c.name, err, c.class, c.text)
		}
	}
	// Tokens are told apart by their fields; the password is one of the bytes.
	m = newManager()
	token = issue(t, m, t0, "renewer")
	longer := append(bytes.Clone(token.Identifier), 7)
	if _, err := m.Renew(t0, service, longer, token.Password); classOf(err) != hadooptest.ClassAccessControl {
		t.Errorf("renewing with a byte behind the identifier: %v", err)
	}
	if err := m.Cancel(t0, service, longer); err != nil || m.Live() != 0 {
		t.Errorf("cancelling with a byte behind the identifier: %v, %d tokens left", err, m.Live())
	}
}
