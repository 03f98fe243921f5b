package hadooptoken

import (
	"bytes"
	"cmp"
	"strings"

	"github.com/tokenwheel/tokenwheel/plugins"
)

// clonePrefix begins the alias under which a Java client of an HA cluster keeps
// a private copy of its token for one NameNode: "ha-hdfs://" and the copy's
// service (HAUtilClient.cloneDelegationTokenForLogicalUri).
const clonePrefix = "ha-hdfs://"

// Merge returns what have becomes when add is put over it. Under an alias that
// both hold, the newer token stays; where that cannot be told, and for secrets,
// add wins. A token that is replaced takes its private HA copies with it: they
// keep alias and service, and get the new identifier and password. The result
// shares no map or bytes with either.
func Merge(have, add plugins.Credentials) plugins.Credentials {
	merged := have.Clone()
	for alias, secret := range add.Secrets {
		merged.Secrets[alias] = bytes.Clone(secret)
	}
	for alias, token := range add.Tokens {
		if old, ok := have.Tokens[alias]; !ok || !newer(old, token) {
			merged.Tokens[alias] = token.Clone()
		}
	}
	for alias, old := range have.Tokens {
		if !strings.HasPrefix(alias, clonePrefix) {
			refreshClones(merged.Tokens, old, merged.Tokens[alias])
		}
	}
	return merged
}

// refreshClones puts the successor of old into old's private copies.
func refreshClones(tokens map[string]plugins.Token, old, successor plugins.Token) {
	if sameSecret(old, successor) {
		return
	}
	for alias, clone := range tokens {
		if strings.HasPrefix(alias, clonePrefix) && sameSecret(clone, old) {
			successor := successor.Clone()
			successor.Service = clone.Service
			tokens[alias] = successor
		}
	}
}

// sameSecret reports whether a service could not tell the two apart.
func sameSecret(a, b plugins.Token) bool {
	return a.Kind == b.Kind && bytes.Equal(a.Identifier, b.Identifier) && bytes.Equal(a.Password, b.Password)
}

// newer reports whether a was certainly issued after b. The date counts first
// and the sequence only within one millisecond: sequences start again when a
// service loses its state, and are handed out in blocks where several servers
// share it.
func newer(a, b plugins.Token) bool {
	if a.Kind != b.Kind {
		return false
	}
	x, errX := ParseIdentifier(a.Kind, a.Identifier)
	y, errY := ParseIdentifier(b.Kind, b.Identifier)
	if errX != nil || errY != nil {
		return false
	}
	return cmp.Or(x.Issued.Compare(y.Issued), cmp.Compare(x.Sequence, y.Sequence)) > 0
}
