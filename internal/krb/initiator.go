package krb

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Initiator is the client side of one security context, with mutual
// authentication always. It is used by one goroutine at a time.
type Initiator struct {
	session
	ticket *ticket
	time   *kdcTime
	ctime  time.Time // of the authenticator; zero: not sent
	cusec  int
	subkey types.EncryptionKey
}

func newInitiator(t *ticket, now *kdcTime) (*Initiator, error) {
	if !gssEtype(t.key.KeyType) {
		return nil, &Error{Kind: ErrEtype, Server: t.server.String(), Err: fmt.Errorf("session key of encryption type %d", t.key.KeyType)}
	}
	return &Initiator{session: session{initiator: true, peer: t.server.String()}, ticket: t, time: now}, nil
}

// Step makes the AP-REQ token from an empty in, then takes the acceptor's
// AP-REP token and is done.
func (i *Initiator) Step(in []byte) (out []byte, done bool, err error) {
	switch {
	case i.done:
		return nil, true, protocolError("a token after the security context is complete")
	case i.ctime.IsZero() && len(in) == 0:
		out, err = i.request()
		return out, false, err
	case i.ctime.IsZero():
		return nil, false, protocolError("a token before the first of ours")
	}
	id, inner, err := unframe(in)
	if err != nil {
		return nil, false, err
	}
	switch id {
	case tokenAPRep:
		err = i.verify(inner)
	case tokenKRBError:
		err = i.refused(inner)
	default:
		err = protocolError("GSS token %#04x where AP-REP is due", id)
	}
	return nil, err == nil, err
}

func (i *Initiator) request() ([]byte, error) {
	subkey, err := NewKey(i.ticket.key.KeyType)
	if err != nil {
		return nil, err
	}
	seq := random32()
	at, micro := i.time.stamp(0)
	auth := types.Authenticator{
		AVNO: iana.PVNO, CRealm: i.ticket.client.Realm, CName: i.ticket.client.client(),
		Cksum: types.Checksum{CksumType: checksumTypeGSS, Checksum: gssChecksum(gssFlags)},
		CTime: at, Cusec: micro, SubKey: subkey, SeqNumber: int64(seq),
	}
	options := types.NewKrbFlags()
	types.SetFlag(&options, flags.APOptionMutualRequired)
	req, err := newAPReq(i.ticket, auth, usageAPReqAuth, options)
	if err != nil {
		return nil, err
	}
	i.ctime, i.cusec, i.subkey, i.send = at, micro, subkey, uint64(seq)
	return frame(tokenAPReq, req), nil
}

// gssChecksum is the authenticator's checksum of RFC 4121 section 4.1.1, without
// channel bindings.
func gssChecksum(flags uint32) []byte {
	b := make([]byte, 24)
	binary.LittleEndian.PutUint32(b, 16)
	binary.LittleEndian.PutUint32(b[20:], flags)
	return b
}

// verify checks that the acceptor could read our authenticator, which only the
// holder of the service's key can.
func (i *Initiator) verify(inner []byte) error {
	var rep messages.APRep
	if err := parse("AP-REP", func() error { return rep.Unmarshal(inner) }); err != nil {
		return err
	}
	plain, err := decrypt(i.ticket.key, rep.EncPart.Cipher, usageAPRepPart)
	if err != nil {
		return protocolError("AP-REP of %s: %w", i.peer, err)
	}
	var part messages.EncAPRepPart
	if err := parse("AP-REP", func() error { return part.Unmarshal(plain) }); err != nil {
		return err
	}
	if !part.CTime.Equal(i.ctime) || part.Cusec != i.cusec {
		return protocolError("AP-REP of %s answers another request", i.peer)
	}
	i.key = i.subkey
	if len(part.Subkey.KeyValue) > 0 {
		if _, err := etypeOf(part.Subkey); err != nil || !gssEtype(part.Subkey.KeyType) {
			return &Error{Kind: ErrEtype, Server: i.peer, Err: fmt.Errorf("subkey of encryption type %d", part.Subkey.KeyType)}
		}
		i.key, i.acceptorKey = part.Subkey, true
	}
	i.receive = uint64(uint32(part.SequenceNumber))
	i.done = true
	return nil
}

func (i *Initiator) refused(inner []byte) error {
	var e messages.KRBError
	if err := parse("KRB-ERROR", func() error { return e.Unmarshal(inner) }); err != nil {
		return err
	}
	out := &Error{Kind: ErrRefused, Op: "authenticate", Principal: i.ticket.client.String(), Server: i.peer, Code: e.ErrorCode}
	if e.ErrorCode == errorcode.KRB_AP_ERR_SKEW {
		out.Kind, out.Skew = ErrClockSkew, i.time.skew(e.STime)
		out.Next = "set the clocks of the service's machine and of the KDCs by NTP"
	}
	return out
}
