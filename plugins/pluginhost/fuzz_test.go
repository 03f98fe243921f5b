package pluginhost_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"io"
	"log/slog"
	"math/big"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/plugins/pluginhost"
)

// What passes is what go-plugin can take without stumbling, and leads nowhere but into
// the folder that the program was given.
func FuzzHandshake(f *testing.F) {
	const dir = "/run/plugin"
	for _, line := range []string{
		"", "|", "1|1|unix|/run/plugin/socket|grpc|AAAA", "1|1|tcp|127.0.0.1:1|grpc|", "1|1|unix|/run/plugin/../x|grpc|AAAA",
		"1|1|unix|/run/plugin/socket|grpc||true", "1|1|unix|/run/plugin/x|netrpc|A|b|c",
	} {
		f.Add(line)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("1|1|unix|/run/plugin/socket|grpc|" + base64.RawStdEncoding.EncodeToString(der))
	f.Fuzz(func(t *testing.T, line string) {
		err := pluginhost.CheckHandshake(line, dir)
		if err != nil {
			if plugins.KindOf(err) != plugins.KindRefused {
				t.Errorf("%v is no refusal", err)
			}
			return
		}
		parts := strings.Split(line, "|")
		der, err := base64.RawStdEncoding.DecodeString(parts[5])
		if err == nil {
			_, err = x509.ParseCertificate(der)
		}
		if err != nil || filepath.Dir(filepath.Clean(parts[3])) != dir || strings.Join(parts[:3], "|") != "1|1|unix" || parts[4] != "grpc" {
			t.Errorf("%q passed: %v", line, err)
		}
	})
}

func FuzzLogLine(f *testing.F) {
	for _, line := range []string{"x", `{"@level":"warn","@message":"slow","n":3}`, `{"@level":[],"@message":{}}`, `{"a":{"b":[1,2,{}]}}`, "{", "\x00"} {
		f.Add(line)
	}
	log := slog.New(slog.NewJSONHandler(io.Discard, nil))
	f.Fuzz(func(t *testing.T, line string) {
		if line = strings.TrimSpace(line); line != "" {
			pluginhost.LogLine(log, line)
		}
	})
}
