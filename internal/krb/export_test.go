package krb

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"time"

	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/tokenwheel/tokenwheel/internal/clock"
)

// NewSession is an established security context with given keys and numbers.
func NewSession(etype int32, key []byte, initiator, acceptorKey bool, send, receive uint64) *session {
	return &session{
		key: types.EncryptionKey{KeyType: etype, KeyValue: key}, initiator: initiator, acceptorKey: acceptorKey,
		send: send, receive: receive, done: true, peer: "peer@TEST",
	}
}

// ParseCCacheSummary parses a credential cache and tells what is in it.
func ParseCCacheSummary(b []byte) (string, error) {
	cc, err := parseCCache(b)
	if err != nil {
		return "", err
	}
	s := cc.client.String()
	for _, e := range cc.entries {
		s += fmt.Sprintf("\n%s until %s", e.server, e.end.Format(time.RFC3339))
	}
	return s, nil
}

// CCacheFile gives the client's present ticket-granting ticket as a FILE
// credential cache of the given version.
func (c *Client) CCacheFile(version uint8) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return writeCCache(c.slot(homeTGT).ticket, version)
}

// TapReplies shows each reply that reaches the client.
func TapReplies(c *Client, tap func([]byte)) {
	dial := c.kdcs.dial
	c.kdcs.conf.UDPLimit = 1 << 20 // datagrams: one read is one reply
	c.kdcs.dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		return tapped{conn, tap}, err
	}
}

type tapped struct {
	net.Conn
	tap func([]byte)
}

func (c tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.tap(b[:n])
	return n, err
}

// Stamp gives the date of the client's next authenticator.
func Stamp(c *Client) time.Time {
	at, micro := c.time.stamp(0)
	return at.Add(time.Duration(micro) * time.Microsecond)
}

// VerifyAPRep feeds an AP-REP token to an initiator that has sent its AP-REQ.
func VerifyAPRep(i *Initiator, token []byte) error {
	trial := *i
	_, _, err := trial.Step(token)
	return err
}

// KDCReply feeds a reply to the two readers of KDC replies.
func KDCReply(b []byte) error {
	p := Principal{Components: []string{"app", "host1"}, Realm: "MINI.TEST"}
	as := asExchange{client: p, keytab: &Keytab{}, conf: &Config{}, time: &kdcTime{source: clock.System()}}
	_, err := as.accept(answer{reply: b})
	var refusal messages.KRBError
	if parse("KRB-ERROR", func() error { return refusal.Unmarshal(b) }) == nil {
		err = as.adjust(answer{reply: b, krbError: &refusal})
		return cmp.Or(err, error(ErrRefused))
	}
	if err != nil {
		ts := tgsExchange{tgt: &ticket{client: p, key: types.EncryptionKey{KeyType: 18, KeyValue: make([]byte, 32)}}}
		_, err = ts.accept(answer{reply: b}, 1)
	}
	return err
}
