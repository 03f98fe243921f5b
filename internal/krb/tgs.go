package krb

import (
	"context"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"

	"github.com/jcmturner/gokrb5/v8/iana"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/iana/flags"
	"github.com/jcmturner/gokrb5/v8/iana/msgtype"
	"github.com/jcmturner/gokrb5/v8/iana/patype"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"
)

// tgsExchange asks the KDC that takes a ticket-granting ticket for a ticket to
// server, RFC 4120 section 3.3.
type tgsExchange struct {
	conf *Config
	kdcs *kdcs
	time *kdcTime
	tgt  *ticket
}

// run does the exchange; where the KDC's date differs it is tried once more with
// that date. learn says whether this KDC's clock is the one that time follows.
func (x *tgsExchange) run(ctx context.Context, server Principal, learn bool) (*ticket, error) {
	var shift time.Duration
	for round := 0; ; round++ {
		body := newReqBody(x.conf, x.time.now().Add(shift), server, x.conf.tgsEtypes())
		types.SetFlag(&body.KDCOptions, flags.Canonicalize) // allows a referral to another realm
		req, err := x.request(body, shift)
		if err != nil {
			return nil, err
		}
		ans, err := x.kdcs.exchange(ctx, server.Realm, req)
		if err != nil {
			return nil, err
		}
		if ans.krbError == nil {
			t, err := x.accept(ans, body.Nonce)
			if err == nil && learn && shift != 0 {
				x.time.learn(x.time.now().Add(shift))
			}
			return t, err
		}
		skew := x.time.skew(ans.krbError.STime)
		if ans.krbError.ErrorCode != errorcode.KRB_AP_ERR_SKEW || round > 0 {
			return nil, kdcRefusal(ans, skew)
		}
		shift = skew
	}
}

func (x *tgsExchange) request(body messages.KDCReqBody, shift time.Duration) ([]byte, error) {
	raw, err := body.Marshal()
	if err != nil {
		return nil, err
	}
	et, err := etypeOf(x.tgt.key)
	if err != nil {
		return nil, err
	}
	sum, err := et.GetChecksumHash(x.tgt.key.KeyValue, raw, usageTGSReqChecksum)
	if err != nil {
		return nil, err
	}
	at, micro := x.time.stamp(shift)
	auth := types.Authenticator{
		AVNO: iana.PVNO, CRealm: x.tgt.client.Realm, CName: x.tgt.client.client(), CTime: at, Cusec: micro,
		Cksum: types.Checksum{CksumType: et.GetHashID(), Checksum: sum},
	}
	ap, err := newAPReq(x.tgt, auth, usageTGSReqAuth, types.NewKrbFlags())
	if err != nil {
		return nil, err
	}
	req := messages.TGSReq{KDCReqFields: messages.KDCReqFields{
		PVNO: iana.PVNO, MsgType: msgtype.KRB_TGS_REQ, ReqBody: body,
		PAData: types.PADataSequence{{PADataType: patype.PA_TGS_REQ, PADataValue: ap}},
	}}
	return req.Marshal()
}

func (x *tgsExchange) accept(ans answer, nonce int) (*ticket, error) {
	var rep messages.TGSRep
	if err := parse("TGS-REP", func() error { return rep.Unmarshal(ans.reply) }); err != nil {
		return nil, err
	}
	plain, err := decrypt(x.tgt.key, rep.EncPart.Cipher, usageTGSRepPart)
	if err != nil {
		return nil, protocolError("the KDC's reply: %w", err)
	}
	part, err := parseKDCRepPart(plain)
	if err != nil {
		return nil, err
	}
	t, err := newTicket(&rep.KDCRepFields, part, nonce)
	if err != nil {
		return nil, err
	}
	if !t.client.equal(x.tgt.client) {
		return nil, protocolError("the KDC answered with a ticket of %s", t.client)
	}
	return t, nil
}

// newAPReq encodes an AP-REQ. The authenticator names the client's own realm,
// also in another realm's exchange (RFC 4120 section 5.5.1).
func newAPReq(t *ticket, auth types.Authenticator, usage uint32, options asn1.BitString) ([]byte, error) {
	plain, err := auth.Marshal()
	if err != nil {
		return nil, err
	}
	sealed, err := encrypt(t.key, plain, usage, 0)
	if err != nil {
		return nil, err
	}
	req := messages.APReq{PVNO: iana.PVNO, MsgType: msgtype.KRB_AP_REQ, APOptions: options, Ticket: t.ticket, EncryptedAuthenticator: sealed}
	return req.Marshal()
}
