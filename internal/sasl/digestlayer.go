package sasl

import (
	"bytes"
	"crypto/cipher"
	"crypto/des"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rc4"
	"encoding/binary"
	"fmt"
)

// Sizes of RFC 2831 sections 2.3 and 2.4.
const (
	digestMACSize  = 10
	digestTailSize = 6 // message type 00 01, sequence number
	digestOverhead = 26
)

type side bool

const (
	clientSide side = false
	serverSide side = true
)

// digestLayer has two directions that share nothing, so that one goroutine may wrap while another unwraps.
type digestLayer struct {
	send, recv digestDirection
	maxPlain   int
}

// digestDirection numbers, signs and, when crypt is not nil, encrypts or decrypts one direction. The state of the cipher
// runs on from message to message.
type digestDirection struct {
	key   []byte
	seq   uint32
	block int                   // 0: no cipher, 1: stream
	crypt func(dst, src []byte) // in the direction's own sense
	err   error                 // the first failure, for ever
}

// newDigestLayer returns nil for Auth.
func newDigestLayer(p proof, cipherName string, maxBuf int, of side) (Layer, error) {
	if p.qop == Auth {
		return nil, nil
	}
	l := &digestLayer{maxPlain: maxBuf - digestMACSize - digestTailSize}
	toServer := digestDirection{key: p.derive(md5.Size, "Digest session key to client-to-server signing key magic constant")}
	toClient := digestDirection{key: p.derive(md5.Size, "Digest session key to server-to-client signing key magic constant")}
	if p.qop == AuthConf {
		n, ok := sealingKeyBytes[cipherName]
		if !ok {
			return nil, fmt.Errorf("cipher %q: %w", cipherName, ErrCipher)
		}
		l.maxPlain = maxBuf - digestOverhead
		toServer.setCipher(cipherName, p.derive(n, "Digest H(A1) to client-to-server sealing key magic constant"), of == clientSide)
		toClient.setCipher(cipherName, p.derive(n, "Digest H(A1) to server-to-client sealing key magic constant"), of == serverSide)
	}
	if of == clientSide {
		l.send, l.recv = toServer, toClient
	} else {
		l.send, l.recv = toClient, toServer
	}
	return l, nil
}

// sealingKeyBytes is how much of H(A1) goes into the sealing key of a cipher.
var sealingKeyBytes = map[string]int{"3des": 16, "rc4": 16, "des": 16, "rc4-56": 7, "rc4-40": 5}

func (p proof) derive(n int, constant string) []byte {
	key := md5.Sum(append(p.ha1[:n:n], constant...))
	return key[:]
}

func (d *digestDirection) setCipher(name string, key []byte, encrypt bool) {
	var b cipher.Block
	var err error
	switch name {
	case "3des":
		k1, k2 := spreadDES(key[0:7]), spreadDES(key[7:14])
		b, err = des.NewTripleDESCipher(bytes.Join([][]byte{k1, k2, k1}, nil))
	case "des":
		b, err = des.NewCipher(spreadDES(key[0:7]))
	default:
		var c *rc4.Cipher
		if c, err = rc4.NewCipher(key); err == nil {
			d.block, d.crypt = 1, c.XORKeyStream
		}
	}
	if err != nil {
		panic(fmt.Sprintf("sasl: key of fixed size for %s: %v", name, err)) // sizes are constants of this file
	}
	if b == nil {
		return
	}
	d.block = b.BlockSize()
	if iv := key[8:16]; encrypt {
		d.crypt = cipher.NewCBCEncrypter(b, iv).CryptBlocks
	} else {
		d.crypt = cipher.NewCBCDecrypter(b, iv).CryptBlocks
	}
}

// spreadDES puts 56 bits into the upper seven bits of eight bytes. The lowest, the parity, is of no effect.
func spreadDES(k []byte) []byte {
	var bits uint64
	for _, b := range k {
		bits = bits<<8 | uint64(b)
	}
	out := make([]byte, 8)
	for i := range out {
		out[i] = byte(bits>>(49-7*i)) << 1
	}
	return out
}

func (l *digestLayer) MaxPlain() int { return l.maxPlain }

func (l *digestLayer) Wrap(plain []byte) ([]byte, error) {
	return l.send.wrap(plain), nil
}

func (d *digestDirection) wrap(plain []byte) []byte {
	out := make([]byte, 0, len(plain)+digestOverhead)
	out = append(out, plain...)
	if d.block > 1 {
		pad := d.block - (len(plain)+digestMACSize)%d.block
		out = append(out, bytes.Repeat([]byte{byte(pad)}, pad)...)
	}
	out = append(out, d.mac(plain)...)
	if d.crypt != nil {
		d.crypt(out, out)
	}
	out = append(out, 0, 1)
	out = binary.BigEndian.AppendUint32(out, d.seq)
	d.seq++
	return out
}

func (l *digestLayer) Unwrap(token []byte) ([]byte, error) {
	if l.recv.err != nil {
		return nil, l.recv.err
	}
	plain, ok := l.recv.unwrap(token)
	if !ok {
		// Which check failed is nobody's business but an attacker's.
		l.recv.err = fmt.Errorf("unwrap message %d of %d bytes: %w", l.recv.seq, len(token), ErrIntegrity)
		return nil, l.recv.err
	}
	return plain, nil
}

func (d *digestDirection) unwrap(token []byte) (plain []byte, ok bool) {
	n := len(token) - digestTailSize
	if n < digestMACSize || d.block > 1 && n%d.block != 0 {
		return nil, false
	}
	tail := token[n:]
	if tail[0] != 0 || tail[1] != 1 || binary.BigEndian.Uint32(tail[2:]) != d.seq {
		return nil, false
	}
	body := bytes.Clone(token[:n])
	if d.crypt != nil {
		d.crypt(body, body)
	}
	plain, mac := body[:n-digestMACSize], body[n-digestMACSize:]
	if d.block > 1 {
		if plain, ok = cutPadding(plain, d.block); !ok {
			return nil, false
		}
	}
	if !hmac.Equal(mac, d.mac(plain)) {
		return nil, false
	}
	d.seq++
	return plain, true
}

func cutPadding(b []byte, block int) ([]byte, bool) {
	if len(b) == 0 {
		return nil, false
	}
	pad := int(b[len(b)-1])
	if pad < 1 || pad > block || pad > len(b) {
		return nil, false
	}
	return b[:len(b)-pad], true
}

// mac is HMAC-MD5 over the sequence number and the message, cut to ten bytes.
func (d *digestDirection) mac(plain []byte) []byte {
	h := hmac.New(md5.New, d.key)
	h.Write(binary.BigEndian.AppendUint32(nil, d.seq))
	h.Write(plain)
	return h.Sum(nil)[:digestMACSize]
}
