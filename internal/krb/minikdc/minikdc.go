// Package minikdc is a Kerberos KDC in the test's own process: logins with
// mandatory encrypted-timestamp pre-authentication, service tickets, trust and
// referrals between realms, and switches for what KDCs do wrong. It answers over
// sockets and over in-memory connections, takes its time from a clock.Source and
// so runs inside testing/synctest. It is for tests and demonstrations: principals
// live in memory and nobody watches for replays.
package minikdc

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/tokenwheel/tokenwheel/internal/clock"
	"github.com/tokenwheel/tokenwheel/internal/krb"
)

// Config configures a KDC.
type Config struct {
	Realm          string        // "": MINI.TEST
	Clock          clock.Source  // nil: clock.System()
	TicketLifetime time.Duration // the longest it grants; 0: ten hours
	MaxSkew        time.Duration // tolerated in clients' clocks; 0: five minutes
	MaxDatagram    int           // larger answers send UDP clients to TCP; 0: 1400
}

// KDC is one realm's KDC. Safe for concurrent use.
type KDC struct {
	config Config
	net    network

	mu         sync.Mutex // guards what follows
	principals map[string]*principal
	referrals  map[string]string // service host to realm
	offset     time.Duration
	journal    []Request
	counts     map[string]int
}

// principal is a database entry.
type principal struct {
	name    krb.Principal
	kvno    uint32
	keys    []types.EncryptionKey
	revoked bool
}

// Request is one journal line. Error is the Kerberos error code answered, 0 for
// a ticket.
type Request struct {
	At             time.Time
	Kind           string // "AS" or "TGS"
	Network        string // "tcp" or "udp"
	Client, Server string
	Error          int32
}

// maxJournal bounds what a long simulation keeps; counts go on.
const maxJournal = 10000

// DefaultEtypes are the encryption types of new principals: 18, 17, 20, 19.
func DefaultEtypes() []int32 {
	return []int32{
		etypeID.AES256_CTS_HMAC_SHA1_96, etypeID.AES128_CTS_HMAC_SHA1_96,
		etypeID.AES256_CTS_HMAC_SHA384_192, etypeID.AES128_CTS_HMAC_SHA256_128,
	}
}

// New makes a KDC that answers on no network yet.
func New(c Config) (*KDC, error) {
	if c.Realm == "" {
		c.Realm = "MINI.TEST"
	}
	if c.Clock == nil {
		c.Clock = clock.System()
	}
	if c.TicketLifetime == 0 {
		c.TicketLifetime = 10 * time.Hour
	}
	if c.MaxSkew == 0 {
		c.MaxSkew = 5 * time.Minute
	}
	if c.MaxDatagram == 0 {
		c.MaxDatagram = 1400
	}
	k := &KDC{config: c, principals: map[string]*principal{}, referrals: map[string]string{}, counts: map[string]int{}}
	k.net.init(k)
	return k, k.AddPrincipal("krbtgt/" + c.Realm)
}

// Realm is the realm's name.
func (k *KDC) Realm() string { return k.config.Realm }

// AddPrincipal makes a principal with random keys, of DefaultEtypes where none
// are named. One that exists gets new keys under the next key version.
func (k *KDC) AddPrincipal(name string, etypes ...int32) error {
	p, err := krb.ParsePrincipal(name, k.config.Realm)
	if err != nil {
		return err
	}
	if len(etypes) == 0 {
		etypes = DefaultEtypes()
	}
	var keys []types.EncryptionKey
	for _, id := range etypes {
		key, err := krb.NewKey(id)
		if err != nil {
			return fmt.Errorf("add principal %s: %w", p, err)
		}
		keys = append(keys, key)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	entry := k.principals[p.String()]
	if entry == nil {
		entry = &principal{name: p}
		k.principals[p.String()] = entry
	}
	entry.keys = keys
	entry.kvno++
	return nil
}

// RemovePrincipal forgets a principal.
func (k *KDC) RemovePrincipal(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.principals, k.full(name))
}

// Keytab gives the present keys of principals, as a keytab file's bytes.
func (k *KDC) Keytab(names ...string) ([]byte, error) {
	now := k.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	kt := &krb.Keytab{}
	for _, name := range names {
		p := k.principals[k.full(name)]
		if p == nil {
			return nil, fmt.Errorf("keytab: no principal %s", name)
		}
		for _, key := range p.keys {
			kt.Add(p.name, p.kvno, now, key)
		}
	}
	return kt.Bytes(), nil
}

// Revoke makes the KDC refuse a client, or accept it again.
func (k *KDC) Revoke(name string, revoked bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.principals[k.full(name)]
	if p == nil {
		return fmt.Errorf("revoke: no principal %s", name)
	}
	p.revoked = revoked
	return nil
}

// Trust lets clients of k get tickets for services of other.
func (k *KDC) Trust(other *KDC) error {
	if k == other {
		return errors.New("trust: a realm trusts itself already")
	}
	name := "krbtgt/" + other.config.Realm + "@" + k.config.Realm
	if err := k.AddPrincipal(name); err != nil {
		return err
	}
	k.mu.Lock()
	shared := *k.principals[name]
	k.mu.Unlock()
	other.mu.Lock()
	defer other.mu.Unlock()
	other.principals[name] = &shared
	return nil
}

// Refer makes the KDC send requests for unknown services on host to realm.
func (k *KDC) Refer(host, realm string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.referrals[host] = realm
}

// SetClockOffset sets the KDC's clock ahead of its source.
func (k *KDC) SetClockOffset(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.offset = d
}

// Requests is a copy of the journal, oldest first, of the latest requests.
func (k *KDC) Requests() []Request {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.journal)
}

// Count tells how many requests of a kind, "AS" or "TGS", were answered by a
// ticket since New.
func (k *KDC) Count(kind string) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.counts[kind]
}

func (k *KDC) now() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.config.Clock.Now().Wall.Add(k.offset).UTC()
}

func (k *KDC) note(r Request) {
	r.At = k.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if r.Error == 0 {
		k.counts[r.Kind]++
	}
	if len(k.journal) == maxJournal {
		k.journal = slices.Delete(k.journal, 0, maxJournal/2)
	}
	k.journal = append(k.journal, r)
}

// full completes a name by the realm; what is no name finds nothing.
func (k *KDC) full(name string) string {
	p, err := krb.ParsePrincipal(name, k.config.Realm)
	if err != nil {
		return ""
	}
	return p.String()
}

// find gives a copy of a principal's entry.
func (k *KDC) find(name types.PrincipalName, realm string) (principal, bool) {
	key := krb.Principal{Components: name.NameString, Realm: realm}.String()
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.principals[key]
	if p == nil {
		return principal{}, false
	}
	return *p, true
}
