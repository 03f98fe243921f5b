package krb

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/crypto/etype"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/types"
)

// Key usage numbers of RFC 4120 section 7.5.1 and RFC 4121 section 2.
const (
	usageASReqTimestamp  = 1
	usageTicket          = 2
	usageASRepPart       = 3
	usageTGSReqChecksum  = 6
	usageTGSReqAuth      = 7
	usageTGSRepPart      = 8
	usageAPReqAuth       = 11
	usageAPRepPart       = 12
	usageAcceptorSeal    = 22
	usageInitiatorSeal   = 24
	checksumTypeGSS      = 0x8003
	gssSequenceMask      = 0x3fffffff
	minSupportedGSSEtype = etypeID.AES128_CTS_HMAC_SHA1_96
	maxSupportedGSSEtype = etypeID.AES256_CTS_HMAC_SHA384_192
)

// gssEtype reports whether an encryption type uses the token format of RFC 4121
// as built here; older types use other formats and are too weak to add.
func gssEtype(id int32) bool { return id >= minSupportedGSSEtype && id <= maxSupportedGSSEtype }

// parse runs a parser over bytes from outside. The parsers of gokrb5 index
// without looking at lengths, so a panic there is an answer about the input,
// and must not end the process.
func parse(what string, f func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = protocolError("malformed %s", what)
		}
	}()
	if err := f(); err != nil {
		return protocolError("malformed %s: %w", what, err)
	}
	return nil
}

func encrypt(key types.EncryptionKey, plain []byte, usage uint32, kvno int) (types.EncryptedData, error) {
	return crypto.GetEncryptedData(plain, key, usage, kvno)
}

// errIntegrity says that a key does not fit the bytes, or that they were changed.
var errIntegrity = errors.New("integrity check failed")

func decrypt(key types.EncryptionKey, cipher []byte, usage uint32) (plain []byte, err error) {
	et, err := crypto.GetEtype(key.KeyType)
	if err != nil {
		return nil, &Error{Kind: ErrEtype, Err: fmt.Errorf("encryption type %d", key.KeyType)}
	}
	if len(key.KeyValue) != keySize(et) || len(cipher) < et.GetConfounderByteSize()+et.GetHMACBitLength()/8 {
		return nil, errIntegrity
	}
	defer func() {
		if recover() != nil {
			plain, err = nil, errIntegrity
		}
	}()
	plain, err = et.DecryptMessage(key.KeyValue, cipher, usage)
	if err != nil {
		return nil, errIntegrity
	}
	return plain, nil
}

func etypeOf(key types.EncryptionKey) (etype.EType, error) {
	et, err := crypto.GetEtype(key.KeyType)
	if err != nil || len(key.KeyValue) != keySize(et) {
		return nil, &Error{Kind: ErrEtype, Err: fmt.Errorf("encryption type %d with a key of %d bytes", key.KeyType, len(key.KeyValue))}
	}
	return et, nil
}

// NewKey makes a random key of an encryption type.
func NewKey(id int32) (types.EncryptionKey, error) {
	et, err := crypto.GetEtype(id)
	if err != nil {
		return types.EncryptionKey{}, &Error{Kind: ErrEtype, Err: err}
	}
	seed := make([]byte, keySize(et))
	rand.Read(seed)
	return types.EncryptionKey{KeyType: id, KeyValue: et.RandomToKey(seed)}, nil
}

// keySize is the length of a protocol key. For aes256-cts-hmac-sha384-192
// gokrb5 gives the 24 bytes of its checksum key; RFC 8009 section 5 has 32.
func keySize(et etype.EType) int {
	if et.GetETypeID() == etypeID.AES256_CTS_HMAC_SHA384_192 {
		return 32
	}
	return et.GetKeyByteSize()
}

// random32 gives a number whose encoding is positive in a signed 32-bit field,
// which is what all implementations agree on for nonces and sequence numbers.
func random32() uint32 {
	var b [4]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint32(b[:]) & gssSequenceMask
}
