package differential_test

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// forge is a token as a step shows it.
func forge(t plugins.Token, q step) plugins.Token {
	t = t.Clone()
	t.Password = forgePassword(t.Password, q.password)
	t.Identifier = forgeIdentifier(t.Identifier, q.ident)
	return t
}

func forgePassword(p []byte, how forgery) []byte {
	switch how {
	case "":
		return p
	case "flipped":
		p[len(p)/2] ^= 1
		return p
	case "empty":
		return []byte{}
	case "cut":
		return p[:len(p)-1]
	case "longer":
		return append(p, 0)
	}
	panic("no such forgery of a password: " + how)
}

func forgeIdentifier(raw []byte, how forgery) []byte {
	switch how {
	case "":
		return raw
	case "cut":
		return raw[:len(raw)-1]
	case "empty":
		return []byte{}
	case "trailing":
		return append(raw, 7)
	case "version":
		raw[0] = 3
		return raw
	case "nonsense":
		return bytes.Repeat([]byte{0x55}, 20)
	}
	id, err := hadooptoken.ParseIdentifier(hadooptoken.KindHDFS, raw)
	if err != nil {
		panic(err) // it was read when the token came
	}
	switch how {
	case "owner":
		id.Owner = strangerPrincipal
	case "no owner":
		id.Owner = ""
	case "renewer":
		id.Renewer = strangerPrincipal
	case "no renewer":
		id.Renewer = ""
	case "real user":
		id.RealUser = strangerPrincipal + "@" + realm
	case "later":
		id.Max = id.Max.Add(time.Hour)
	case "earlier":
		id.Max = id.Issued.Add(-time.Hour)
	case "key":
		id.MasterKeyID += 1000
	case "sequence":
		id.Sequence += 1_000_000
	default:
		panic("no such forgery of an identifier: " + how)
	}
	forged, err := hadooptoken.MarshalIdentifier(id)
	if err != nil {
		panic(err)
	}
	return forged
}

// masks are what two services that did the same cannot say alike.
var masks = slices.Collect(func(yield func(*regexp.Regexp) bool) {
	for _, e := range []string{
		`((?:issueDate|maxDate|sequenceNumber|masterKeyId|keyId|SequenceNumber)=)-?\d+`,
		`()\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}[+-]\d{4}`, // Hadoop's Time.formatTime
	} {
		if !yield(regexp.MustCompile(e)) {
			return
		}
	}
})

// masked is the first line of a server's text, which real servers let a stack trace follow.
func masked(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	for _, m := range masks {
		text = m.ReplaceAllString(text, "${1}*")
	}
	return text
}
