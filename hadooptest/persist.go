package hadooptest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// Image is what a NameNode's image and edits keep of its secret manager: the keys
// that sign, and of each token its identifier and renew date, never a password.
type Image struct {
	// Tokens may be changed before a restart, as lost edits change them.
	Tokens []PersistedToken

	keys     map[int32]masterKey
	key      int32
	sequence int32
}

// Format implements [fmt.Formatter]: printed field by field, it would show the keys.
func (i Image) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "image of %d tokens", len(i.Tokens)) }

// PersistedToken is a token as edits keep it (OP_GET_DELEGATION_TOKEN).
type PersistedToken struct {
	Identifier []byte
	RenewDate  time.Time
}

// ForgetKeys drops the keys, as a format does.
func (i *Image) ForgetKeys() { i.keys = nil }

// Save returns what a restart would find, tokens in the order of their numbers.
func (m *SecretManager) Save() Image {
	m.mu.Lock()
	defer m.mu.Unlock()
	img := Image{keys: maps.Clone(m.keys), key: m.key, sequence: m.sequence}
	for raw, kept := range m.tokens {
		img.Tokens = append(img.Tokens, PersistedToken{Identifier: []byte(raw), RenewDate: kept.renewDate})
	}
	slices.SortFunc(img.Tokens, func(a, b PersistedToken) int { return cmp.Compare(sequenceOf(a), sequenceOf(b)) })
	return img
}

func sequenceOf(t PersistedToken) int64 {
	id, _ := hadooptoken.ParseIdentifier(hadooptoken.KindHDFS, t.Identifier)
	return id.Sequence
}

// Reload is a restart that finds img: all else is forgotten. See
// [SecretManager.Restore].
func (m *SecretManager) Reload(img Image) (warnings []string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.running, m.keys, m.tokens, m.sequence = false, map[int32]masterKey{}, map[string]record{}, 0
	m.rolled, m.scanned = time.Time{}, time.Time{}
	return m.restore(img)
}

// activate is what becoming active does: the threads start, and make new keys.
func (m *SecretManager) activate(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.newKey(now)
	m.roll(now)
}

// Restore adds what img holds, each password computed anew. As in the original
// (DelegationTokenSecretManager.addPersistedDelegationToken) it fails once the
// secret manager has served a call, and for a token that is there already; a token
// whose key is not known is skipped with a warning.
func (m *SecretManager) Restore(img Image) (warnings []string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.restore(img)
}

func (m *SecretManager) restore(img Image) (warnings []string, err error) {
	if m.running {
		return nil, javaError(ClassIO, "Can't add persisted delegation token to a running SecretManager.")
	}
	maps.Copy(m.keys, img.keys)
	m.key, m.sequence = max(m.key, img.key), max(m.sequence, img.sequence)
	for _, t := range img.Tokens {
		id, err := decode(t.Identifier)
		if err != nil {
			return warnings, err
		}
		key, ok := m.keys[id.MasterKeyID]
		if !ok {
			warnings = append(warnings, "No KEY found for persisted identifier "+id.String())
			continue
		}
		m.sequence = max(m.sequence, int32(id.Sequence))
		if _, twice := m.tokens[tableKey(id)]; twice {
			return warnings, javaError(ClassIO, "Same delegation token being added twice; invalid entry in fsimage or editlogs")
		}
		password := plugins.Secret(sign(key.secret, t.Identifier))
		m.tokens[tableKey(id)] = record{renewDate: t.RenewDate, password: password}
	}
	return warnings, nil
}
