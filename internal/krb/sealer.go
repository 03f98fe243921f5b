package krb

import (
	"crypto/hmac"
	"fmt"

	"github.com/jcmturner/gokrb5/v8/crypto/common"
	"github.com/jcmturner/gokrb5/v8/crypto/etype"
	"github.com/jcmturner/gokrb5/v8/crypto/rfc3962"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/types"
)

// sealer protects the messages of one direction of a session. Of the encryption
// types of RFC 3962 it derives each key once; gokrb5 does so for every message,
// which costs several times what the message does. It belongs to one goroutine
// at a time; its zero value works, and serves the first key that it is given.
type sealer struct {
	et      etype.EType // nil: not used yet
	derived map[string][]byte
}

// with makes the sealer one of that key.
func (s *sealer) with(key types.EncryptionKey) error {
	if s.et != nil {
		return nil
	}
	et, err := etypeOf(key)
	if err != nil {
		return err
	}
	s.et = et
	switch key.KeyType {
	case etypeID.AES128_CTS_HMAC_SHA1_96, etypeID.AES256_CTS_HMAC_SHA1_96:
		s.derived = map[string][]byte{}
	}
	return nil
}

func (s *sealer) encrypt(key types.EncryptionKey, plain []byte, usage uint32) (cipher []byte, err error) {
	if err := s.with(key); err != nil {
		return nil, err
	}
	if s.derived == nil {
		_, cipher, err = s.et.EncryptMessage(key.KeyValue, plain, usage)
	} else {
		_, cipher, err = rfc3962.EncryptMessage(key.KeyValue, plain, usage, remembering{s.et, s.derived})
	}
	return cipher, err
}

func (s *sealer) decrypt(key types.EncryptionKey, cipher []byte, usage uint32) (plain []byte, err error) {
	if err := s.with(key); err != nil {
		return nil, err
	}
	if s.derived == nil {
		return decrypt(key, cipher, usage)
	}
	if len(cipher) < s.et.GetConfounderByteSize()+s.et.GetHMACBitLength()/8 {
		return nil, errIntegrity
	}
	defer func() {
		if recover() != nil {
			plain, err = nil, errIntegrity
		}
	}()
	plain, err = rfc3962.DecryptMessage(key.KeyValue, cipher, usage, remembering{s.et, s.derived})
	if err != nil {
		return nil, errIntegrity
	}
	return plain, nil
}

func (s *sealer) checksum(key types.EncryptionKey, message []byte, usage uint32) ([]byte, error) {
	if err := s.with(key); err != nil {
		return nil, err
	}
	if s.derived == nil {
		return s.et.GetChecksumHash(key.KeyValue, message, usage)
	}
	return common.GetChecksumHash(message, key.KeyValue, usage, remembering{s.et, s.derived})
}

// remembering is an encryption type that derives each key once. It serves one
// protocol key.
type remembering struct {
	etype.EType
	derived map[string][]byte // by usage
}

// DeriveKey implements [etype.EType].
func (r remembering) DeriveKey(protocolKey, usage []byte) ([]byte, error) {
	if k, ok := r.derived[string(usage)]; ok {
		return k, nil
	}
	k, err := r.EType.DeriveKey(protocolKey, usage)
	if err != nil {
		return nil, fmt.Errorf("derive a key: %w", err)
	}
	r.derived[string(usage)] = k
	return k, nil
}

// VerifyIntegrity implements [etype.EType].
func (r remembering) VerifyIntegrity(protocolKey, cipher, plain []byte, usage uint32) bool {
	want, err := common.GetIntegrityHash(plain, protocolKey, usage, r)
	return err == nil && len(cipher) >= len(want) && hmac.Equal(want, cipher[len(cipher)-len(want):])
}
