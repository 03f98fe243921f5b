package hadooptest

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" // #nosec G505 -- HMAC-SHA1 is what Hadoop's servers sign tokens with
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// Lifetimes of tokens and of the keys that sign them. A zero field takes the
// NameNode's own default.
type Lifetimes struct {
	RenewInterval time.Duration // 0: 24 h
	MaxLifetime   time.Duration // 0: 7 d
	KeyUpdate     time.Duration // 0: 24 h
	Scan          time.Duration // how often expired tokens are removed; 0: 1 h
}

func (l Lifetimes) withDefaults() Lifetimes {
	return Lifetimes{
		RenewInterval: cmp.Or(l.RenewInterval, 24*time.Hour),
		MaxLifetime:   cmp.Or(l.MaxLifetime, 7*24*time.Hour),
		KeyUpdate:     cmp.Or(l.KeyUpdate, 24*time.Hour),
		Scan:          cmp.Or(l.Scan, time.Hour),
	}
}

// SecretManager is a NameNode's token table with the rules, and the order of
// checks, of Hadoop's AbstractDelegationTokenSecretManager. It reads no clock:
// every call says what time it is. It is safe for concurrent use.
type SecretManager struct {
	mu       sync.Mutex
	life     Lifetimes
	keys     map[int32]masterKey
	key      int32 // id of the key that signs
	rolled   time.Time
	scanned  time.Time
	sequence int32
	tokens   map[string]record // by tableKey
	running  bool              // has served a call since it was made or loaded
}

// record is what the original keeps of a token (DelegationTokenInformation). The
// password stays beside it when the key that signed it is gone.
type record struct {
	renewDate time.Time
	password  plugins.Secret
}

// Format implements [fmt.Formatter]: the renew date alone.
func (r record) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "token until %s", r.renewDate) }

type masterKey struct {
	secret []byte
	ends   time.Time // when no token signed with it can be alive any more
}

// NewSecretManager returns an empty table.
func NewSecretManager(l Lifetimes) *SecretManager {
	return &SecretManager{life: l.withDefaults(), keys: map[int32]masterKey{}, tokens: map[string]record{}}
}

// Format implements [fmt.Formatter]: printed field by field, it would show the
// passwords of tokens and the keys that sign them.
func (m *SecretManager) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "secret manager of %d tokens", m.Live())
}

// Caller is an authenticated client of the NameNode.
type Caller struct {
	// Principal is who logged in, realm included.
	Principal string
	// Effective is the full name of the user acted for: Principal again, or the
	// proxied user as the client sent it.
	Effective string
	// ByToken tells that the login was by a delegation token.
	ByToken bool
}

// Short is a principal's first component, which is what the rule DEFAULT makes
// of it.
func Short(principal string) string {
	name, _, _ := strings.Cut(principal, "@")
	name, _, _ = strings.Cut(name, "/")
	return name
}

// Issue makes a token for the caller's effective user. Its service is empty:
// clients fill it in.
func (m *SecretManager) Issue(now time.Time, c Caller, renewer string) (plugins.Token, error) {
	if c.ByToken {
		return plugins.Token{}, javaError(ClassIO, "Delegation Token can be issued only with kerberos or web authentication")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.upkeep(now)
	m.sequence++
	id := hadooptoken.Identifier{
		Kind:  hadooptoken.KindHDFS,
		Owner: c.Effective, Renewer: Short(renewer),
		Issued: now, Max: now.Add(m.life.MaxLifetime),
		Sequence: int64(m.sequence), MasterKeyID: m.key,
	}
	if c.Principal != c.Effective {
		id.RealUser = c.Principal
	}
	raw, err := hadooptoken.MarshalIdentifier(id)
	if err != nil {
		return plugins.Token{}, javaError(ClassIO, "%v", err)
	}
	password := sign(m.keys[m.key].secret, raw)
	m.tokens[string(raw)] = record{renewDate: now.Add(m.life.RenewInterval), password: password}
	return plugins.Token{Kind: hadooptoken.KindHDFS, Identifier: raw, Password: bytes.Clone(password)}, nil
}

// Renew extends a token for the caller's effective user, who must be its renewer by
// short name. The checks come in the order of the original, and its answer is the
// new renew date.
func (m *SecretManager) Renew(now time.Time, c Caller, identifier, password []byte) (time.Time, error) {
	if c.ByToken {
		return time.Time{}, javaError(ClassIO, "Delegation Token can be renewed only with kerberos or web authentication")
	}
	id, err := decode(identifier)
	if err != nil {
		return time.Time{}, err
	}
	renewDate, err := m.renew(now, c, id, identifier, password)
	if e, ok := errors.AsType[*JavaError](err); ok && e.Class == ClassAccessControl && id.Owner == "" {
		// For its audit log the original names the token, and falls over the user that it has not.
		err = javaError(ClassNullPointer, `Cannot invoke "org.apache.hadoop.security.UserGroupInformation.getShortUserName()" because the return value of "org.apache.hadoop.hdfs.security.token.delegation.DelegationTokenIdentifier.getUser()" is null`)
	}
	return renewDate, err
}

func (m *SecretManager) renew(now time.Time, c Caller, id hadooptoken.Identifier, identifier, password []byte) (time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.upkeep(now)
	renewer := Short(c.Effective)
	key, known := m.keys[id.MasterKeyID]
	kept, live := m.tokens[tableKey(id)]
	switch {
	case id.Max.Before(now):
		return time.Time{}, javaError(ClassInvalidToken, "%s tried to renew an expired token %s max expiration date: %s currentTime: %s", renewer, name(id), javaTime(id.Max), javaTime(now))
	case id.Renewer == "":
		return time.Time{}, javaError(ClassAccessControl, "%s tried to renew a token %s without a renewer", renewer, name(id))
	case id.Renewer != renewer:
		return time.Time{}, javaError(ClassAccessControl, "%s tries to renew a token %s with non-matching renewer %s", renewer, name(id), id.Renewer)
	case !known:
		return time.Time{}, javaError(ClassInvalidToken, "Unable to find master key for keyId=%d from cache. Failed to renew an unexpired token %s with sequenceNumber=%d", id.MasterKeyID, name(id), id.Sequence)
	case !hmac.Equal(sign(key.secret, identifier), password):
		return time.Time{}, javaError(ClassAccessControl, "%s is trying to renew a token %s with wrong password", renewer, name(id))
	case !live:
		return time.Time{}, javaError(ClassInvalidToken, "Renewal request for unknown token %s", name(id))
	}
	renewDate := now.Add(m.life.RenewInterval)
	if id.Max.Before(renewDate) {
		renewDate = id.Max
	}
	kept.renewDate = renewDate
	m.tokens[tableKey(id)] = kept
	return renewDate, nil
}

// Cancel removes a token. As in the original it does not look at the password:
// whoever is the owner or the renewer may cancel with the identifier alone.
func (m *SecretManager) Cancel(now time.Time, c Caller, identifier []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.upkeep(now)
	id, err := decode(identifier)
	if err != nil {
		return err
	}
	if id.Owner == "" {
		return javaError(ClassInvalidToken, "Token with no owner %s", name(id))
	}
	if c.Effective != id.Owner && (id.Renewer == "" || Short(c.Effective) != id.Renewer) {
		return javaError(ClassAccessControl, "%s is not authorized to cancel the token %s", c.Effective, name(id))
	}
	if _, ok := m.tokens[tableKey(id)]; !ok {
		return javaError(ClassInvalidToken, "Token not found %s", name(id))
	}
	delete(m.tokens, tableKey(id))
	return nil
}

// Password is what a login with the token must prove to know. Its errors name the
// real user alone, as release 3.4.2 has it.
func (m *SecretManager) Password(now time.Time, identifier []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.upkeep(now)
	id, err := decode(identifier)
	if err != nil {
		return nil, err
	}
	kept, ok := m.tokens[tableKey(id)]
	if !ok {
		return nil, javaError(ClassInvalidToken, "Token for real user: %s, can't be found in cache", id.RealUser)
	}
	if kept.renewDate.Before(now) {
		return nil, javaError(ClassInvalidToken, "Token %s has expired, current time: %s expected renewal time: %s", id.RealUser, javaTime(now), javaTime(kept.renewDate))
	}
	return bytes.Clone(kept.password), nil
}

// Restart is what a NameNode's token table goes through when its process starts
// again: tokens and keys come back from the edit log, a new key signs from now on,
// and the remover's first scan, which comes at once, takes what is past its renew
// date. The lifetimes are those of the configuration as it now is; dates that were
// given stay.
func (m *SecretManager) Restart(now time.Time, l Lifetimes) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.life = l.withDefaults()
	m.newKey(now) // the start makes one, and the remover's first round rolls it
	m.roll(now)
	m.scanned = now
	m.removeExpired(now)
}

// Forget drops a token as if its record had been lost.
func (m *SecretManager) Forget(identifier []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.tokens, string(identifier))
}

// ForgetKeys drops every signing key. Tokens can still log in and be cancelled, and
// no longer be renewed, as in the original.
func (m *SecretManager) ForgetKeys() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.keys)
	m.rolled = time.Time{}
}

// Live is how many tokens are in the table.
func (m *SecretManager) Live() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.tokens)
}

// RenewDate tells until when a token is valid unless renewed.
func (m *SecretManager) RenewDate(identifier []byte) (time.Time, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept, ok := m.tokens[string(identifier)]
	return kept.renewDate, ok
}

// upkeep rolls the signing key and removes expired tokens when it is time to.
// The original has a thread for it; here the next call finds it done.
func (m *SecretManager) upkeep(now time.Time) {
	m.running = true
	if m.rolled.IsZero() || !now.Before(m.rolled.Add(m.life.KeyUpdate)) {
		m.roll(now)
	}
	if m.scanned.IsZero() {
		m.scanned = now
	}
	if now.Before(m.scanned.Add(m.life.Scan)) {
		return
	}
	m.scanned = now
	m.removeExpired(now)
}

func (m *SecretManager) removeExpired(now time.Time) {
	maps.DeleteFunc(m.tokens, func(_ string, kept record) bool { return kept.renewDate.Before(now) })
}

func (m *SecretManager) roll(now time.Time) {
	if old, ok := m.keys[m.key]; ok {
		old.ends = now.Add(m.life.MaxLifetime)
		m.keys[m.key] = old
	}
	maps.DeleteFunc(m.keys, func(_ int32, k masterKey) bool { return k.ends.Before(now) })
	m.newKey(now)
	m.rolled = now
}

// newKey signs from now on. The key before it ends as it was to end.
func (m *SecretManager) newKey(now time.Time) {
	m.key++
	secret := make([]byte, 8)
	_, _ = rand.Read(secret) // never fails
	m.keys[m.key] = masterKey{secret: secret, ends: now.Add(m.life.KeyUpdate + m.life.MaxLifetime)}
}

func sign(key, identifier []byte) []byte {
	h := hmac.New(sha1.New, key)
	_, _ = h.Write(identifier)
	return h.Sum(nil)
}

func decode(identifier []byte) (hadooptoken.Identifier, error) {
	id, err := hadooptoken.ParseIdentifier(hadooptoken.KindHDFS, identifier)
	switch {
	case err == nil:
		return id, nil
	case errors.Is(err, io.ErrUnexpectedEOF):
		return hadooptoken.Identifier{}, javaError(ClassEOF, ClassEOF)
	case identifier[0] != 0:
		return hadooptoken.Identifier{}, javaError(ClassIO, "Unknown version of delegation token %d", int8(identifier[0]))
	}
	return hadooptoken.Identifier{}, javaError(ClassIO, "Unable to decode the delegation token identifier: %v", err)
}

// javaTime is an instant as Hadoop's Time.formatTime writes it.
func javaTime(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05,000-0700") }

// tableKey is what makes two identifiers the same token: all fields, and not the
// bytes, behind which there may be more. Whoever signs or checks a password takes
// the bytes.
func tableKey(id hadooptoken.Identifier) string {
	raw, err := hadooptoken.MarshalIdentifier(id)
	if err != nil {
		return "" // holds what no token of ours has
	}
	return string(raw)
}

// name is a token as the release's messages show it.
func name(id hadooptoken.Identifier) string {
	if id.Owner == "" {
		return fmt.Sprintf("( SequenceNumber=%d )", id.Sequence)
	}
	return fmt.Sprintf("(%s)", id)
}
