package krb

import (
	"fmt"
	"strings"

	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/types"
)

// maxName bounds a principal's text; names that KDCs hand out are far shorter.
const maxName = 1024

// Principal is a Kerberos name: components joined by "/" and a realm.
type Principal struct {
	Components []string
	Realm      string
}

// ParsePrincipal reads "primary[/instance...][@REALM]". A missing realm becomes
// defaultRealm. Only printable ASCII without blanks and backslashes is taken,
// and one "@" at most: look-alikes and control characters are how one name is
// passed off as another. Errors have kind ErrName.
func ParsePrincipal(s, defaultRealm string) (Principal, error) {
	if err := checkNameText(s); err != nil {
		return Principal{}, err
	}
	name, realm, found := strings.Cut(s, "@")
	if !found {
		realm = defaultRealm
	}
	if realm == "" {
		return Principal{}, nameError(s, "no realm, and no default realm is configured")
	}
	if strings.ContainsAny(realm, "@/") {
		return Principal{}, nameError(s, "more than one @, or a / in the realm")
	}
	parts := strings.Split(name, "/")
	for _, p := range parts {
		if p == "" {
			return Principal{}, nameError(s, "empty component")
		}
	}
	return Principal{Components: parts, Realm: realm}, nil
}

// String gives "primary/instance@REALM".
func (p Principal) String() string { return p.name() + "@" + p.Realm }

func (p Principal) name() string { return strings.Join(p.Components, "/") }

func (p Principal) equal(q Principal) bool {
	return p.Realm == q.Realm && p.wire(0).Equal(q.wire(0))
}

func (p Principal) wire(nameType int32) types.PrincipalName {
	return types.PrincipalName{NameType: nameType, NameString: p.Components}
}

func (p Principal) client() types.PrincipalName  { return p.wire(nametype.KRB_NT_PRINCIPAL) }
func (p Principal) service() types.PrincipalName { return p.wire(nametype.KRB_NT_SRV_INST) }

// tgs is the ticket-granting service of realm "of", as known to realm "at".
func tgs(of, at string) Principal {
	return Principal{Components: []string{"krbtgt", of}, Realm: at}
}

// fromWire turns a name off the wire into a Principal; it refuses names whose
// text would read as another name.
func fromWire(n types.PrincipalName, realm string) (Principal, error) {
	p := Principal{Components: n.NameString, Realm: realm}
	for _, c := range n.NameString {
		if strings.ContainsAny(c, "/@") {
			return Principal{}, nameError(p.String(), "a component holds / or @")
		}
	}
	return ParsePrincipal(p.String(), "")
}

// ExpandHost replaces the instance "_HOST" of a principal by host in lower
// case, as Hadoop's SecurityUtil.getServerPrincipal does. Other principals come
// back unchanged.
func ExpandHost(principal, host string) string {
	name, realm, hasRealm := strings.Cut(principal, "@")
	primary, found := strings.CutSuffix(name, "/_HOST")
	if !found {
		return principal
	}
	expanded := primary + "/" + strings.ToLower(host)
	if hasRealm {
		expanded += "@" + realm
	}
	return expanded
}

func checkNameText(s string) error {
	if s == "" || len(s) > maxName {
		return nameError(s, fmt.Sprintf("length %d is not between 1 and %d", len(s), maxName))
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || s[i] == '\\' {
			return nameError(s, fmt.Sprintf("byte 0x%02x at %d is not printable ASCII", s[i], i))
		}
	}
	return nil
}

func nameError(name, why string) error {
	if len(name) > 100 {
		name = name[:100] + "..."
	}
	return &Error{Kind: ErrName, Err: fmt.Errorf("principal %q: %s", name, why)}
}
