package minikdc

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/asn1tools"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/iana"
	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/iana/patype"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/tokenwheel/tokenwheel/internal/krb"
)

// refusal is a KRB-ERROR to be.
type refusal struct {
	code int32
	text string
	data []byte
}

func (r *refusal) Error() string { return errorcode.Lookup(r.code) }

func refuse(code int32, text string) error { return &refusal{code: code, text: text} }

// exchange is one request on its way to an answer.
type exchange struct {
	kdc *KDC
	now time.Time
	log Request
}

// answer gives the reply to one request, a ticket or a KRB-ERROR.
func (k *KDC) answer(network string, req []byte) []byte {
	x := &exchange{kdc: k, now: k.now(), log: Request{Network: network}}
	reply, err := x.handle(req)
	if err == nil && network == "udp" && len(reply) > k.config.MaxDatagram {
		err = refuse(errorcode.KRB_ERR_RESPONSE_TOO_BIG, "")
	}
	if err != nil {
		r := &refusal{code: errorcode.KRB_ERR_GENERIC, text: err.Error()}
		errors.As(err, &r)
		x.log.Error = r.code
		reply = x.krbError(r)
	}
	k.note(x.log)
	return reply
}

// handle recovers, since the parsers beneath index without looking at lengths.
func (x *exchange) handle(req []byte) (reply []byte, err error) {
	defer func() {
		if recover() != nil {
			err = refuse(errorcode.KRB_ERR_GENERIC, "malformed request")
		}
	}()
	if len(req) > 0 && req[0] == 0x60|asnAppTag.TGSREQ {
		x.log.Kind = "TGS"
		var r messages.TGSReq
		if err := r.Unmarshal(req); err != nil {
			return nil, err
		}
		return x.tgs(&r)
	}
	x.log.Kind = "AS"
	var r messages.ASReq
	if err := r.Unmarshal(req); err != nil {
		return nil, err
	}
	return x.as(&r)
}

func (x *exchange) krbError(r *refusal) []byte {
	e := messages.KRBError{
		PVNO: iana.PVNO, MsgType: msgtype.KRB_ERROR, STime: x.now.Truncate(time.Second), Susec: x.now.Nanosecond() / 1000,
		ErrorCode: r.code, Realm: x.kdc.config.Realm, SName: x.krbtgt(), EText: r.text, EData: r.data,
	}
	b, err := e.Marshal()
	if err != nil {
		return nil
	}
	return b
}

func (x *exchange) krbtgt() types.PrincipalName {
	return types.PrincipalName{NameType: nametype.KRB_NT_SRV_INST, NameString: []string{"krbtgt", x.kdc.config.Realm}}
}

func (x *exchange) as(req *messages.ASReq) ([]byte, error) {
	body := &req.ReqBody
	x.log.Client, x.log.Server = body.CName.PrincipalNameString(), body.SName.PrincipalNameString()
	client, ok := x.kdc.find(body.CName, body.Realm)
	if !ok {
		return nil, refuse(errorcode.KDC_ERR_C_PRINCIPAL_UNKNOWN, "")
	}
	if client.revoked {
		return nil, refuse(errorcode.KDC_ERR_CLIENT_REVOKED, "")
	}
	server, ok := x.kdc.find(body.SName, body.Realm)
	if !ok {
		return nil, refuse(errorcode.KDC_ERR_S_PRINCIPAL_UNKNOWN, "")
	}
	offered := slices.DeleteFunc(slices.Clone(body.EType), func(id int32) bool { return client.key(id) == nil })
	if len(offered) == 0 {
		return nil, refuse(errorcode.KDC_ERR_ETYPE_NOSUPP, "")
	}
	key, err := x.preauth(req, client, offered)
	if err != nil {
		return nil, err
	}
	grant, part, err := x.grant(server, body, clientOf(body), x.now, time.Time{})
	if err != nil {
		return nil, err
	}
	rep := messages.ASRep{KDCRepFields: *grant}
	rep.MsgType = msgtype.KRB_AS_REP
	if rep.EncPart, err = seal(part, asnAppTag.EncASRepPart, *key, keyusage.AS_REP_ENCPART, client.kvno); err != nil {
		return nil, err
	}
	return rep.Marshal()
}

// identity is whom a ticket is for.
type identity struct {
	name  types.PrincipalName
	realm string
}

func clientOf(body *messages.KDCReqBody) identity { return identity{body.CName, body.Realm} }

// preauth gives the client's key that proved it.
func (x *exchange) preauth(req *messages.ASReq, client principal, offered []int32) (*types.EncryptionKey, error) {
	for _, pa := range req.PAData {
		if pa.PADataType != patype.PA_ENC_TIMESTAMP {
			continue
		}
		var sealed types.EncryptedData
		if err := sealed.Unmarshal(pa.PADataValue); err != nil {
			return nil, err
		}
		key := client.key(sealed.EType)
		if key == nil {
			return nil, refuse(errorcode.KDC_ERR_ETYPE_NOSUPP, "")
		}
		plain, err := crypto.DecryptEncPart(sealed, *key, keyusage.AS_REQ_PA_ENC_TIMESTAMP)
		if err != nil {
			return nil, refuse(errorcode.KDC_ERR_PREAUTH_FAILED, "")
		}
		var stamp types.PAEncTSEnc
		if err := stamp.Unmarshal(plain); err != nil {
			return nil, err
		}
		return key, x.checkSkew(stamp.PATimestamp)
	}
	data, err := methodData(client, offered)
	if err != nil {
		return nil, err
	}
	return nil, &refusal{code: errorcode.KDC_ERR_PREAUTH_REQUIRED, data: data}
}

func methodData(client principal, offered []int32) ([]byte, error) {
	var infos types.ETypeInfo2
	for _, id := range offered {
		infos = append(infos, types.ETypeInfo2Entry{EType: id, Salt: client.name.Realm + client.name.Components[0]})
	}
	value, err := asn1.Marshal(infos)
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(types.PADataSequence{
		{PADataType: patype.PA_ETYPE_INFO2, PADataValue: value},
		{PADataType: patype.PA_ENC_TIMESTAMP, PADataValue: []byte{}},
		{PADataType: patype.PA_FX_COOKIE, PADataValue: []byte("MIT")},
	})
}

func (x *exchange) checkSkew(at time.Time) error {
	if at.Sub(x.now).Abs() > x.kdc.config.MaxSkew {
		return refuse(errorcode.KRB_AP_ERR_SKEW, "Clock skew too great")
	}
	return nil
}

func (x *exchange) tgs(req *messages.TGSReq) ([]byte, error) {
	body := &req.ReqBody
	x.log.Server = body.SName.PrincipalNameString()
	tgt, auth, err := x.authenticate(req)
	if err != nil {
		return nil, err
	}
	x.log.Client = tgt.CName.PrincipalNameString()
	server, err := x.server(body)
	if err != nil {
		return nil, err
	}
	grant, part, err := x.grant(server, body, identity{tgt.CName, tgt.CRealm}, tgt.AuthTime, tgt.EndTime)
	if err != nil {
		return nil, err
	}
	rep := messages.TGSRep{KDCRepFields: *grant}
	rep.MsgType = msgtype.KRB_TGS_REP
	key, usage := tgt.Key, uint32(keyusage.TGS_REP_ENCPART_SESSION_KEY)
	if len(auth.SubKey.KeyValue) > 0 {
		key, usage = auth.SubKey, keyusage.TGS_REP_ENCPART_AUTHENTICATOR_SUB_KEY
	}
	if rep.EncPart, err = seal(part, asnAppTag.EncTGSRepPart, key, usage, 0); err != nil {
		return nil, err
	}
	return rep.Marshal()
}

// server finds whom a service ticket is for: the service, or the realm further on.
func (x *exchange) server(body *messages.KDCReqBody) (principal, error) {
	if server, ok := x.kdc.find(body.SName, body.Realm); ok {
		if server.revoked {
			return principal{}, refuse(errorcode.KDC_ERR_SERVICE_REVOKED, "")
		}
		return server, nil
	}
	if names := body.SName.NameString; len(names) == 2 {
		x.kdc.mu.Lock()
		realm := x.kdc.referrals[names[1]]
		x.kdc.mu.Unlock()
		next := types.PrincipalName{NameType: nametype.KRB_NT_SRV_INST, NameString: []string{"krbtgt", realm}}
		if server, ok := x.kdc.find(next, body.Realm); ok {
			return server, nil
		}
	}
	return principal{}, refuse(errorcode.KDC_ERR_S_PRINCIPAL_UNKNOWN, "")
}

// authenticate opens the ticket-granting ticket and its authenticator.
func (x *exchange) authenticate(req *messages.TGSReq) (*messages.EncTicketPart, *types.Authenticator, error) {
	i := slices.IndexFunc(req.PAData, func(pa types.PAData) bool { return pa.PADataType == patype.PA_TGS_REQ })
	if i < 0 {
		return nil, nil, refuse(errorcode.KDC_ERR_PADATA_TYPE_NOSUPP, "no AP-REQ")
	}
	var ap messages.APReq
	if err := ap.Unmarshal(req.PAData[i].PADataValue); err != nil {
		return nil, nil, err
	}
	issuer, ok := x.kdc.find(ap.Ticket.SName, ap.Ticket.Realm)
	if !ok || ap.Ticket.SName.NameString[0] != "krbtgt" || !slices.Equal(ap.Ticket.SName.NameString, x.krbtgt().NameString) {
		return nil, nil, refuse(errorcode.KRB_AP_ERR_NOT_US, "")
	}
	key := issuer.key(ap.Ticket.EncPart.EType)
	if key == nil || ap.Ticket.Decrypt(*key) != nil {
		return nil, nil, refuse(errorcode.KRB_AP_ERR_MODIFIED, "")
	}
	tgt := &ap.Ticket.DecryptedEncPart
	if x.now.After(tgt.EndTime) {
		return nil, nil, refuse(errorcode.KRB_AP_ERR_TKT_EXPIRED, "")
	}
	if err := ap.DecryptAuthenticator(tgt.Key); err != nil {
		return nil, nil, refuse(errorcode.KRB_AP_ERR_BAD_INTEGRITY, "")
	}
	auth := &ap.Authenticator
	if !auth.CName.Equal(tgt.CName) || auth.CRealm != tgt.CRealm {
		return nil, nil, refuse(errorcode.KRB_AP_ERR_BADMATCH, "")
	}
	body, err := req.ReqBody.Marshal()
	if err != nil {
		return nil, nil, err
	}
	et, err := crypto.GetEtype(tgt.Key.KeyType)
	if err != nil {
		return nil, nil, err
	}
	if !et.VerifyChecksum(tgt.Key.KeyValue, body, auth.Cksum.Checksum, keyusage.TGS_REQ_PA_TGS_REQ_AP_REQ_AUTHENTICATOR_CHKSUM) {
		return nil, nil, refuse(errorcode.KRB_AP_ERR_MODIFIED, "")
	}
	return tgt, auth, x.checkSkew(auth.CTime)
}

// grant makes a ticket for server, and the part of the reply that tells about it.
func (x *exchange) grant(server principal, body *messages.KDCReqBody, client identity, authTime, limit time.Time) (*messages.KDCRepFields, *messages.EncKDCRepPart, error) {
	i := slices.IndexFunc(body.EType, func(id int32) bool { return slices.Contains(DefaultEtypes(), id) && server.key(id) != nil })
	if i < 0 {
		return nil, nil, refuse(errorcode.KDC_ERR_ETYPE_NOSUPP, "")
	}
	session, err := krb.NewKey(body.EType[i])
	if err != nil {
		return nil, nil, err
	}
	start := x.now.Truncate(time.Second)
	end := x.now.Add(x.kdc.config.TicketLifetime).Truncate(time.Second)
	if body.Till.Before(end) {
		end = body.Till
	}
	if !limit.IsZero() && limit.Before(end) {
		end = limit
	}
	if !end.After(start) {
		return nil, nil, refuse(errorcode.KDC_ERR_NEVER_VALID, "")
	}
	name := types.PrincipalName{NameType: body.SName.NameType, NameString: server.name.Components}
	inner := messages.EncTicketPart{
		Flags: types.NewKrbFlags(), Key: session, CRealm: client.realm, CName: client.name,
		AuthTime: authTime.Truncate(time.Second), StartTime: start, EndTime: end,
	}
	sealed, err := seal(&inner, asnAppTag.EncTicketPart, server.keys[0], keyusage.KDC_REP_TICKET, server.kvno)
	if err != nil {
		return nil, nil, err
	}
	part := &messages.EncKDCRepPart{
		Key: session, LastReqs: []messages.LastReq{{LRValue: start}}, Nonce: body.Nonce, Flags: types.NewKrbFlags(),
		AuthTime: inner.AuthTime, StartTime: start, EndTime: end, SRealm: server.name.Realm, SName: name,
	}
	return &messages.KDCRepFields{
		PVNO: iana.PVNO, CRealm: client.realm, CName: client.name,
		Ticket: messages.Ticket{TktVNO: iana.PVNO, Realm: server.name.Realm, SName: name, EncPart: sealed},
	}, part, nil
}

// seal encodes part under an application tag and encrypts it.
func seal[T any](part *T, tag int, key types.EncryptionKey, usage uint32, kvno uint32) (types.EncryptedData, error) {
	plain, err := asn1.Marshal(*part)
	if err != nil {
		return types.EncryptedData{}, err
	}
	return crypto.GetEncryptedData(bytes.Clone(asn1tools.AddASNAppTag(plain, tag)), key, usage, int(kvno))
}

func (p *principal) key(id int32) *types.EncryptionKey {
	for i := range p.keys {
		if p.keys[i].KeyType == id {
			return &p.keys[i]
		}
	}
	return nil
}
