package krb

import (
	"crypto/sha256"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/iana"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/tokenwheel/tokenwheel/internal/clock"
)

// ServiceOptions configure a Service.
type ServiceOptions struct {
	Keytab *Keytab      // required: the keys of the services to be
	Clock  clock.Source // nil: clock.System()
	Skew   time.Duration
	Subkey bool // send an acceptor subkey, as a JDK does with sun.security.krb5.acceptor.subkey
}

// Service is the side that accepts security contexts. It keeps the
// authenticators it has seen, so one Service must serve all its connections.
// Safe for concurrent use.
type Service struct {
	options ServiceOptions

	mu   sync.Mutex             // guards seen
	seen map[[32]byte]time.Time // authenticator to when it may be forgotten
}

// NewService makes a Service; a zero Skew is five minutes.
func NewService(o ServiceOptions) *Service {
	if o.Clock == nil {
		o.Clock = clock.System()
	}
	o.Skew = orDefault(o.Skew, defaultClockSkew)
	return &Service{options: o, seen: map[[32]byte]time.Time{}}
}

// Acceptor starts the security context of one connection.
func (s *Service) Acceptor() *Acceptor { return &Acceptor{service: s} }

// Acceptor is the server side of one security context. It is used by one
// goroutine at a time.
type Acceptor struct {
	session
	service *Service
}

// Step takes the initiator's AP-REQ token and is done; out is the AP-REP token,
// empty where the initiator asked for none.
func (a *Acceptor) Step(in []byte) (out []byte, done bool, err error) {
	if a.done {
		return nil, true, protocolError("a token after the security context is complete")
	}
	id, inner, err := unframe(in)
	if err != nil {
		return nil, false, err
	}
	if id != tokenAPReq {
		return nil, false, protocolError("GSS token %#04x where AP-REQ is due", id)
	}
	var req messages.APReq
	if err := parse("AP-REQ", func() error { return req.Unmarshal(inner) }); err != nil {
		return nil, false, err
	}
	ticket, auth, err := a.service.check(&req)
	if err != nil {
		return nil, false, err
	}
	flags, err := checksumFlags(auth.Cksum)
	if err != nil {
		return nil, false, err
	}
	client, err := fromWire(ticket.CName, ticket.CRealm)
	if err != nil {
		return nil, false, err
	}
	a.peer, a.key = client.String(), ticket.Key
	if len(auth.SubKey.KeyValue) > 0 {
		a.key = auth.SubKey
	}
	a.receive = uint64(uint32(auth.SeqNumber))
	a.send = a.receive // stays so where no AP-REP tells another, as JDK has it
	if flags&gssMutual != 0 {
		if out, err = a.reply(ticket.Key, auth); err != nil {
			return nil, false, err
		}
	}
	if _, err := etypeOf(a.key); err != nil || !gssEtype(a.key.KeyType) {
		return nil, false, &Error{Kind: ErrEtype, Principal: a.peer, Err: fmt.Errorf("session key of encryption type %d", a.key.KeyType)}
	}
	a.done = true
	return out, true, nil
}

// check does the verifications of RFC 4120 section 3.2.3.
func (s *Service) check(req *messages.APReq) (*messages.EncTicketPart, *types.Authenticator, error) {
	server, err := fromWire(req.Ticket.SName, req.Ticket.Realm)
	if err != nil {
		return nil, nil, err
	}
	sealed := req.Ticket.EncPart
	key, ok := s.options.Keytab.key(server, sealed.EType, sealed.KVNO)
	if !ok {
		return nil, nil, &Error{Kind: ErrKeytab, Server: server.String(), Err: fmt.Errorf("no key of encryption type %d and version %d", sealed.EType, sealed.KVNO)}
	}
	plain, err := decrypt(key, sealed.Cipher, usageTicket)
	if err != nil {
		return nil, nil, &Error{Kind: ErrWrongKey, Server: server.String(), Err: err}
	}
	ticket, auth := &messages.EncTicketPart{}, &types.Authenticator{}
	if err := parse("ticket", func() error { return ticket.Unmarshal(plain) }); err != nil {
		return nil, nil, err
	}
	if plain, err = decrypt(ticket.Key, req.EncryptedAuthenticator.Cipher, usageAPReqAuth); err != nil {
		return nil, nil, protocolError("authenticator: %w", err)
	}
	if err := parse("authenticator", func() error { return auth.Unmarshal(plain) }); err != nil {
		return nil, nil, err
	}
	if !auth.CName.Equal(ticket.CName) || auth.CRealm != ticket.CRealm {
		return nil, nil, protocolError("authenticator and ticket name different clients")
	}
	now := s.options.Clock.Now().Wall
	if now.After(ticket.EndTime.Add(s.options.Skew)) || now.Before(ticket.StartTime.Add(-s.options.Skew)) {
		return nil, nil, &Error{Kind: ErrExpired, Server: server.String(), Err: fmt.Errorf("the ticket is for %s to %s", ticket.StartTime, ticket.EndTime)}
	}
	at := auth.CTime.Add(time.Duration(auth.Cusec) * time.Microsecond)
	if skew := at.Sub(now); skew.Abs() > s.options.Skew {
		return nil, nil, &Error{Kind: ErrClockSkew, Server: server.String(), Skew: skew}
	}
	if !s.firstTime(sha256.Sum256(req.EncryptedAuthenticator.Cipher), now, at) {
		return nil, nil, protocolError("authenticator was used before")
	}
	return ticket, auth, nil
}

// firstTime remembers an authenticator for as long as its date is acceptable.
func (s *Service) firstTime(id [32]byte, now, at time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seen)%1024 == 1023 {
		for k, until := range s.seen {
			if now.After(until) {
				delete(s.seen, k)
			}
		}
	}
	_, known := s.seen[id]
	s.seen[id] = at.Add(s.options.Skew)
	return !known
}

// checksumFlags reads the checksum of RFC 4121 section 4.1.1.
func checksumFlags(sum types.Checksum) (uint32, error) {
	if sum.CksumType != checksumTypeGSS || len(sum.Checksum) < 24 || binary.LittleEndian.Uint32(sum.Checksum) != 16 {
		return 0, protocolError("authenticator without a GSS checksum")
	}
	return binary.LittleEndian.Uint32(sum.Checksum[20:]), nil
}

// reply makes the AP-REP and takes over what it promises.
func (a *Acceptor) reply(sessionKey types.EncryptionKey, auth *types.Authenticator) ([]byte, error) {
	a.send = uint64(random32())
	part := messages.EncAPRepPart{CTime: auth.CTime, Cusec: auth.Cusec, SequenceNumber: int64(a.send)}
	if a.service.options.Subkey {
		subkey, err := NewKey(sessionKey.KeyType)
		if err != nil {
			return nil, err
		}
		part.Subkey, a.key, a.acceptorKey = subkey, subkey, true
	}
	plain, err := asn1.Marshal(part)
	if err != nil {
		return nil, err
	}
	sealed, err := encrypt(sessionKey, asn1tools.AddASNAppTag(plain, asnAppTag.EncAPRepPart), usageAPRepPart, 0)
	if err != nil {
		return nil, err
	}
	rep, err := asn1.Marshal(messages.APRep{PVNO: iana.PVNO, MsgType: msgtype.KRB_AP_REP, EncPart: sealed})
	if err != nil {
		return nil, err
	}
	return frame(tokenAPRep, asn1tools.AddASNAppTag(rep, asnAppTag.APREP)), nil
}
