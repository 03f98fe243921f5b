package krb

import (
	"time"

	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// ticket is a ticket with its session key. It is immutable.
type ticket struct {
	client     Principal
	server     Principal
	ticket     messages.Ticket
	key        types.EncryptionKey
	start, end time.Time // by the KDC's clock; start is when it came to us
}

// state says what a ticket is good for.
type state int

const (
	dead  state = iota // expired, or so near its end that a service may see it so
	stale              // usable, but the time to replace it has come
	fresh
)

// at judges a ticket at a KDC date: the last fifth of its life is for replacing
// it, as in Hadoop's UserGroupInformation (TICKET_RENEW_WINDOW). A service ticket
// ends with the ticket that it was got with, and needs as much time.
func (t *ticket) at(now time.Time) state {
	if t == nil {
		return dead
	}
	life, left := t.end.Sub(t.start), t.end.Sub(now)
	switch {
	case left <= min(life/20, time.Minute):
		return dead
	case left <= life/5:
		return stale
	}
	return fresh
}

// granting reports whether t is for a ticket-granting service.
func (t *ticket) granting() bool {
	return len(t.server.Components) == 2 && t.server.Components[0] == "krbtgt"
}

// grantsIn is the realm whose KDC takes this ticket-granting ticket.
func (t *ticket) grantsIn() string { return t.server.Components[1] }
