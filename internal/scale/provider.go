package scale

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/tokenwheel/tokenwheel/plugins"
)

const (
	kind    = "SCALE_DELEGATION_TOKEN"
	service = "scale.example:8020"
	life    = 24 * time.Hour
	longest = 7 * life

	identifierSize = 96 // about that of an HDFS token
	passwordSize   = 20
)

// provider is a service that does nothing: it takes the network out of what is
// measured. Its answers spread the tokens' ends evenly over a day, as they are
// spread once a fleet has run for some days, so that the steady rate of renewals
// is there from the start.
type provider struct {
	begun    time.Time
	renewals atomic.Int64
}

func (*provider) Kinds() []string { return []string{kind} }

func (*provider) Authorities(context.Context) ([]plugins.Authority, error) {
	return []plugins.Authority{{Name: "one", Kinds: []string{kind}, Services: []string{service}}}, nil
}

func (p *provider) Identify(context.Context, plugins.Token) (plugins.Identity, error) {
	return plugins.Identity{
		Owner: "alice", User: "alice", Renewer: "tokenwheel", Ours: true,
		Issued: p.begun, Max: p.begun.Add(longest),
	}, nil
}

func (*provider) Obtain(context.Context, plugins.ObtainRequest) ([]plugins.Grant, error) {
	return nil, plugins.Refused("not-obtainable", fmt.Errorf("nothing is issued here"))
}

func (p *provider) Renew(context.Context, plugins.Token) (time.Time, error) {
	p.renewals.Add(1)
	now := time.Now().Truncate(time.Millisecond) // the unit of services' dates
	if now.Sub(p.begun) < time.Hour {
		return now.Add(time.Minute + rand.N(life)).Truncate(time.Millisecond), nil
	}
	return now.Add(life), nil
}

func (*provider) Cancel(context.Context, plugins.Token) error { return nil }

// token makes the n-th token. No two share their bytes.
func token(n int) plugins.Token {
	id := make([]byte, identifierSize)
	binary.BigEndian.PutUint64(id, uint64(n))
	password := make(plugins.Secret, passwordSize)
	binary.BigEndian.PutUint64(password, uint64(n))
	return plugins.Token{Kind: kind, Service: service, Identifier: id, Password: password}
}
