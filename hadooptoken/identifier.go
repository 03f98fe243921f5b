package hadooptoken

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Kinds of tokens whose identifiers [ParseIdentifier] reads.
const (
	KindHDFS     = "HDFS_DELEGATION_TOKEN"
	KindWebHDFS  = "WEBHDFS delegation" // of HttpFS too
	KindSWebHDFS = "SWEBHDFS delegation"
	KindKMS      = "kms-dt"
	KindHistory  = "MR_DELEGATION_TOKEN"
	KindHive     = "HIVE_DELEGATION_TOKEN"
	KindRM       = "RM_DELEGATION_TOKEN"
	KindTimeline = "TIMELINE_DELEGATION_TOKEN"
	KindAMRM     = "YARN_AM_RM_TOKEN"
	KindHBase    = "HBASE_AUTH_TOKEN"
	KindOzone    = "OzoneToken"
	KindKafka    = "KAFKA_DELEGATION_TOKEN"
)

// Identifier is what a token says of itself. It is only a claim: it was issued
// by the service, but whoever brought the token may have made it up. A kind that
// lacks a field leaves it zero.
type Identifier struct {
	Kind string

	// Owner is the user whose rights the token lends, as the service knew it: a
	// full principal, or a short name when a proxy user asked for the token.
	Owner string
	// RealUser is who asked on the owner's behalf; "" or the owner: nobody else.
	RealUser string
	// Renewer may renew it: a short name, made by the service's auth_to_local
	// rules. "": nobody may.
	Renewer string

	Issued time.Time // UTC, whole milliseconds, by the service's clock
	Max    time.Time // no renewal goes beyond it

	Sequence    int64 // grows with each token that the service issues
	MasterKeyID int32 // the service's key that made the password

	TokenID    string // Kafka: the id, which is all that the identifier holds
	Attempt    string // AM-RM: the application attempt, appattempt_…
	CertSerial string // Ozone: serial of the manager's signing certificate
	OMService  string // Ozone: the manager's service id
}

// UnknownKindError is the error for an identifier that only its issuer can
// read. The token is as good as any other; it is shown as opaque.
type UnknownKindError struct{ Kind string }

func (e *UnknownKindError) Error() string {
	return fmt.Sprintf("identifier of kind %q is opaque", e.Kind)
}

// parserOf returns what reads the identifiers of a kind, nil for one unknown.
func parserOf(kind string) func(id *Identifier, b []byte) error {
	if isAbstract(kind) {
		return parseAbstract
	}
	switch kind {
	case KindRM, KindTimeline:
		return parseYARN
	case KindAMRM:
		return parseAMRM
	case KindHBase:
		return parseHBase
	case KindOzone:
		return parseOzone
	case KindKafka:
		return parseKafka
	}
	return nil
}

// ParseIdentifier reads the identifier of a token of that kind. Bytes after its
// end are ignored where the kind's Java class ignores them; those kinds that are
// bare protobufs (RM, timeline, AM-RM, Ozone) have no end of their own. A kind
// not listed here is an [*UnknownKindError].
func ParseIdentifier(kind string, b []byte) (Identifier, error) {
	parse := parserOf(kind)
	if parse == nil {
		return Identifier{}, &UnknownKindError{Kind: kind}
	}
	id := Identifier{Kind: kind}
	if err := parse(&id, b); err != nil {
		return Identifier{}, fmt.Errorf("read identifier of kind %q: %w", kind, err)
	}
	return id, nil
}

// String prints the identifier as Java's token tools do: "token for alice:
// HDFS_DELEGATION_TOKEN owner=…, …". The user's name is the first component of
// the owner, since no auth_to_local rules are known here. Texts that hold
// control characters or quotes are quoted.
func (id Identifier) String() string {
	switch id.Kind {
	case KindKafka:
		return id.Kind + " tokenId=" + printable(id.TokenID)
	case KindAMRM:
		return fmt.Sprintf("%s appAttemptId=%s, keyId=%d", id.Kind, id.Attempt, id.MasterKeyID)
	}
	user, _, _ := strings.Cut(id.Owner, "@")
	user, _, _ = strings.Cut(user, "/")
	var s strings.Builder
	_, _ = fmt.Fprintf(&s, "token for %s: %s owner=%s, renewer=%s, realUser=%s, issueDate=%d, maxDate=%d, sequenceNumber=%d, masterKeyId=%d",
		printable(user), printable(id.Kind), printable(id.Owner), printable(id.Renewer), printable(id.RealUser),
		millis(id.Issued), millis(id.Max), id.Sequence, id.MasterKeyID)
	if id.Kind == KindOzone {
		_, _ = fmt.Fprintf(&s, ", omCertSerialId=%s, omServiceId=%s", printable(id.CertSerial), printable(id.OMService))
	}
	return s.String()
}

// printable returns s, quoted where it could forge a line of a log.
func printable(s string) string {
	if q := strconv.Quote(s); q != `"`+s+`"` {
		return q
	}
	return s
}

// date turns Java's milliseconds since 1970 into a time.
func date(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// millis is the inverse of date; a field that the kind lacks is 0.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
