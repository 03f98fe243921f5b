package pluginhost

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"time"
)

// identity is the host's certificate for one start of one program. It is P-256:
// gRPC in other languages does not speak the curve of go-plugin's own.
type identity struct {
	cert    tls.Certificate
	certPEM string
}

func newIdentity() (*identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "tokenwheel host"},
		DNSNames:     []string{"localhost"},
		NotBefore:    now.Add(-24 * time.Hour), // the wall clock may be set back while the program runs
		NotAfter:     now.AddDate(30, 0, 0),
		// The program has nothing but this certificate to check it against, so it
		// is its own authority.
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return &identity{
		cert:    tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		certPEM: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
	}, nil
}

// tlsConfig trusts nobody until go-plugin puts the certificate of the program's
// handshake into it, and that one alone afterwards.
func (i *identity) tlsConfig() *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{i.cert},
		RootCAs:      x509.NewCertPool(),
		ServerName:   "localhost",
		MinVersion:   tls.VersionTLS13,
	}
}
