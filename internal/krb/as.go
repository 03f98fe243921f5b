package krb

import (
	"context"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
	"github.com/jcmturner/gokrb5/v8/iana/patype"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

const (
	// maxASRounds bounds the questions of one login: plain, pre-authenticated,
	// corrected clock, older keys.
	maxASRounds = 6
	// maxKeysTried bounds failed proofs, which count against account lockout.
	maxKeysTried = 2
)

// asExchange is one login by RFC 4120 section 3.1 with encrypted-timestamp
// pre-authentication.
type asExchange struct {
	client  Principal
	keytab  *Keytab
	conf    *Config
	kdcs    *kdcs
	time    *kdcTime
	body    messages.KDCReqBody
	keys    []keytabEntry // to prove ourselves with, best first; the first is in use
	tried   int
	cookie  *types.PAData
	shift   time.Duration // what the KDC's unproven date says to add to our time
	shifted bool
}

func (x *asExchange) run(ctx context.Context) (*ticket, error) {
	held := x.keytab.etypes(x.client)
	if len(held) == 0 {
		return nil, &Error{Kind: ErrKeytab, Err: errors.New("no key for the principal"), Next: "check the keytab with klist -kte"}
	}
	etypes := slices.DeleteFunc(slices.Clone(x.conf.asEtypes()), func(id int32) bool { return !slices.Contains(held, id) })
	if len(etypes) == 0 {
		return nil, &Error{
			Kind: ErrEtype, Err: fmt.Errorf("the keytab has encryption types %v, allowed are %v", held, x.conf.asEtypes()),
			Next: "add a key of an allowed type to the keytab",
		}
	}
	x.body = newReqBody(x.conf, x.time.now(), tgs(x.client.Realm, x.client.Realm), etypes)
	x.body.CName = x.client.client()
	for range maxASRounds {
		req, err := x.request()
		if err != nil {
			return nil, err
		}
		ans, err := x.kdcs.exchange(ctx, x.client.Realm, req)
		if err != nil {
			return nil, err
		}
		if ans.krbError == nil {
			return x.accept(ans)
		}
		if err := x.adjust(ans); err != nil {
			return nil, err
		}
	}
	return nil, protocolError("the KDC keeps asking for something else")
}

func newReqBody(conf *Config, now time.Time, server Principal, etypes []int32) messages.KDCReqBody {
	options := types.NewKrbFlags()
	if conf.Forwardable {
		types.SetFlag(&options, flags.Forwardable)
	}
	return messages.KDCReqBody{
		KDCOptions: options,
		Realm:      server.Realm,
		SName:      server.service(),
		Till:       now.Add(conf.ticketLifetime()).Truncate(time.Second),
		Nonce:      int(random32()),
		EType:      etypes,
	}
}

func (x *asExchange) request() ([]byte, error) {
	req := messages.ASReq{KDCReqFields: messages.KDCReqFields{PVNO: iana.PVNO, MsgType: msgtype.KRB_AS_REQ, ReqBody: x.body}}
	if len(x.keys) > 0 {
		proof, err := x.timestamp()
		if err != nil {
			return nil, err
		}
		req.PAData = append(req.PAData, proof)
	}
	if x.cookie != nil {
		req.PAData = append(req.PAData, *x.cookie)
	}
	return req.Marshal()
}

// timestamp is PA-ENC-TIMESTAMP, RFC 4120 section 5.2.7.2.
func (x *asExchange) timestamp() (types.PAData, error) {
	at, micro := x.time.stamp(x.shift)
	plain, err := asn1.Marshal(types.PAEncTSEnc{PATimestamp: at, PAUSec: micro})
	if err != nil {
		return types.PAData{}, err
	}
	sealed, err := encrypt(x.keys[0].key, plain, usageASReqTimestamp, 0)
	if err != nil {
		return types.PAData{}, err
	}
	value, err := sealed.Marshal()
	return types.PAData{PADataType: patype.PA_ENC_TIMESTAMP, PADataValue: value}, err
}

// adjust changes the next request by a KRB-ERROR, or gives up with an error.
func (x *asExchange) adjust(ans answer) error {
	e := ans.krbError
	skew := x.time.skew(e.STime)
	switch e.ErrorCode {
	case errorcode.KDC_ERR_PREAUTH_REQUIRED:
		if len(x.keys) > 0 {
			return protocolError("the KDC asks for pre-authentication that it was given")
		}
		if skew.Abs() > x.conf.clockSkew()/2 {
			x.correct(skew)
		}
		return x.chooseKey(e)
	case errorcode.KRB_AP_ERR_SKEW:
		if x.correct(skew) {
			return nil
		}
	case errorcode.KDC_ERR_NEVER_VALID: // what we asked for ends in the KDC's past
		if skew.Abs() > x.conf.clockSkew() && x.correct(skew) {
			return nil
		}
	case errorcode.KDC_ERR_PREAUTH_FAILED, errorcode.KRB_AP_ERR_BAD_INTEGRITY:
		if skew.Abs() > x.conf.clockSkew() && x.correct(skew) { // some KDCs call a wrong clock a wrong password
			return nil
		}
		if x.tried++; x.tried < maxKeysTried && len(x.keys) > 1 {
			x.keys = x.keys[1:]
			return nil
		}
	}
	return kdcRefusal(ans, skew)
}

// correct goes on by the date of a KRB-ERROR, once. Nobody vouches for that date,
// so it becomes the client's only when a login with it works.
func (x *asExchange) correct(skew time.Duration) bool {
	if x.shifted {
		return false
	}
	x.shift, x.shifted = skew, true
	x.body.Till = x.body.Till.Add(skew)
	return true
}

// chooseKey takes the KDC's first encryption type for which there is a key;
// salts do not matter, since a keytab holds keys and not passwords.
func (x *asExchange) chooseKey(e *messages.KRBError) error {
	var methods types.PADataSequence
	if len(e.EData) > 0 {
		if err := parse("METHOD-DATA", func() error { return methods.Unmarshal(e.EData) }); err != nil {
			return err
		}
	}
	offered := x.body.EType
	for _, pa := range methods {
		switch pa.PADataType {
		case patype.PA_FX_COOKIE: // RFC 6113 section 5.2: to be sent back as it came
			x.cookie = &pa
		case patype.PA_ETYPE_INFO2:
			var infos types.ETypeInfo2
			if err := parse("ETYPE-INFO2", func() error { return infos.Unmarshal(pa.PADataValue) }); err != nil {
				return err
			}
			offered = nil
			for _, info := range infos {
				offered = append(offered, info.EType)
			}
		}
	}
	for _, id := range offered {
		if slices.Contains(x.body.EType, id) {
			x.keys = x.keytab.keys(x.client, id)
			return nil
		}
	}
	return &Error{
		Kind: ErrEtype, Err: fmt.Errorf("the KDC offers encryption types %v, the keytab has %v", offered, x.body.EType),
		Next: "export the keytab again with the types of the KDC",
	}
}

// accept verifies an AS-REP. That the keytab's key opens it, with our nonce in
// it, is also the proof that a KDC of our realm wrote it.
func (x *asExchange) accept(ans answer) (*ticket, error) {
	var rep messages.ASRep
	if err := parse("AS-REP", func() error { return rep.Unmarshal(ans.reply) }); err != nil {
		return nil, err
	}
	part, err := x.open(&rep)
	if err != nil {
		return nil, err
	}
	t, err := newTicket(&rep.KDCRepFields, part, x.body.Nonce)
	if err != nil {
		return nil, err
	}
	if !t.client.equal(x.client) || !t.server.equal(tgs(x.client.Realm, x.client.Realm)) {
		return nil, protocolError("the KDC answered with a ticket of %s for %s", t.client, t.server)
	}
	x.time.learn(part.AuthTime)
	return t, nil
}

func (x *asExchange) open(rep *messages.ASRep) (*messages.EncKDCRepPart, error) {
	var keys []types.EncryptionKey
	for _, e := range x.keys {
		keys = append(keys, e.key)
	}
	if key, ok := x.keytab.key(x.client, rep.EncPart.EType, rep.EncPart.KVNO); ok {
		keys = append([]types.EncryptionKey{key}, keys...)
	}
	for _, key := range keys {
		if key.KeyType != rep.EncPart.EType {
			continue
		}
		if plain, err := decrypt(key, rep.EncPart.Cipher, usageASRepPart); err == nil {
			return parseKDCRepPart(plain)
		}
	}
	return nil, &Error{
		Kind: ErrWrongKey,
		Err:  fmt.Errorf("no key of the keytab opens the reply (encryption type %d, key version %d)", rep.EncPart.EType, rep.EncPart.KVNO),
		Next: "export the keytab again",
	}
}

func parseKDCRepPart(plain []byte) (*messages.EncKDCRepPart, error) {
	part := &messages.EncKDCRepPart{}
	return part, parse("KDC reply", func() error { return part.Unmarshal(plain) })
}

// newTicket checks what AS-REP and TGS-REP have in common, RFC 4120 section 3.1.5.
func newTicket(rep *messages.KDCRepFields, part *messages.EncKDCRepPart, nonce int) (*ticket, error) {
	if part.Nonce != nonce {
		return nil, protocolError("the KDC's reply does not belong to the request")
	}
	client, err := fromWire(rep.CName, rep.CRealm)
	if err != nil {
		return nil, err
	}
	server, err := fromWire(part.SName, part.SRealm)
	if err != nil {
		return nil, err
	}
	if !server.equal(Principal{rep.Ticket.SName.NameString, rep.Ticket.Realm}) {
		return nil, protocolError("the reply is for %s and holds another ticket", server)
	}
	if _, err := etypeOf(part.Key); err != nil {
		return nil, err
	}
	start := part.StartTime
	if start.IsZero() {
		start = part.AuthTime
	}
	if !part.EndTime.After(start) {
		return nil, protocolError("the ticket ends at %s, before its start", part.EndTime)
	}
	return &ticket{client: client, server: server, ticket: rep.Ticket, key: part.Key, start: start, end: part.EndTime}, nil
}

// kdcRefusal turns a KRB-ERROR into an Error.
func kdcRefusal(ans answer, skew time.Duration) error {
	e := &Error{Kind: ErrRefused, KDC: ans.kdc, Code: ans.krbError.ErrorCode}
	if text := ans.krbError.EText; text != "" {
		e.Err = errors.New("KDC says " + strconv.QuoteToASCII(text[:min(len(text), 200)]))
	}
	switch e.Code {
	case errorcode.KRB_AP_ERR_SKEW:
		e.Kind, e.Skew, e.Next = ErrClockSkew, skew, "set the clocks of this machine and the KDCs by NTP"
	case errorcode.KDC_ERR_PREAUTH_FAILED, errorcode.KRB_AP_ERR_BAD_INTEGRITY:
		e.Kind, e.Next = ErrWrongKey, "export the keytab again: its key is not the KDC's"
	case errorcode.KDC_ERR_C_PRINCIPAL_UNKNOWN:
		e.Kind, e.Next = ErrUnknownClient, "check the spelling and realm of the principal"
	case errorcode.KDC_ERR_S_PRINCIPAL_UNKNOWN, errorcode.KRB_AP_ERR_NOT_US:
		e.Kind, e.Next = ErrUnknownServer, "check the service's host name and [domain_realm] in krb5.conf"
	case errorcode.KDC_ERR_CLIENT_REVOKED, errorcode.KDC_ERR_KEY_EXPIRED, errorcode.KDC_ERR_NAME_EXP,
		errorcode.KDC_ERR_SERVICE_REVOKED, errorcode.KDC_ERR_SERVICE_EXP, errorcode.KDC_ERR_CLIENT_NOTYET:
		e.Kind, e.Next = ErrRevoked, "have the principal unlocked or its key renewed"
	case errorcode.KDC_ERR_ETYPE_NOSUPP:
		e.Kind, e.Next = ErrEtype, "add a key of a type that the KDC supports"
	case errorcode.KRB_AP_ERR_TKT_EXPIRED:
		e.Kind = ErrExpired
	}
	return e
}
