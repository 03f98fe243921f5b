package pluginhost

import (
	"bufio"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/tokenwheel/tokenwheel/internal/pluginwire"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// maxHandshake bounds the handshake line in bytes; a certificate takes about 900.
const maxHandshake = 16 << 10

// handshakeReader is a program's standard output as go-plugin gets to see it: the
// first line, once it was found good. What follows is thrown away without a limit
// on lines, or a full pipe would block the program.
type handshakeReader struct {
	out       *os.File
	socketDir string
	killed    atomic.Bool // we ended the program: its silence means nothing

	read bool
	rest []byte // of the line, still to be handed on
	err  error  // why the line was refused; io.EOF: the program ended without one
}

// Read implements [io.Reader]. go-plugin reads from one goroutine.
func (h *handshakeReader) Read(b []byte) (int, error) {
	if !h.read {
		h.read = true
		h.rest, h.err = h.line()
	}
	if len(h.rest) > 0 {
		n := copy(b, h.rest)
		h.rest = h.rest[n:]
		return n, nil
	}
	if h.err == nil {
		_, _ = io.Copy(io.Discard, h.out)
	}
	return 0, io.EOF
}

// Close implements [io.Closer]; the file is closed by its owner.
func (h *handshakeReader) Close() error { return nil }

func (h *handshakeReader) line() ([]byte, error) {
	line, err := bufio.NewReaderSize(h.out, maxHandshake).ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, plugins.Refused("bad-handshake", fmt.Errorf("the program printed over %d bytes without an end of line instead of a handshake", maxHandshake))
	case err != nil && h.killed.Load():
		return nil, nil
	case err != nil && len(line) == 0:
		return nil, io.EOF
	}
	if err := checkHandshake(strings.TrimSpace(string(line)), h.socketDir); err != nil {
		return nil, err
	}
	return line, nil
}

// checkHandshake judges the line by which a program says how it is reached:
//
//	core version | contract version | network | address | protocol | certificate
//
// It refuses what go-plugin would accept, connect to, or stumble over.
func checkHandshake(line, socketDir string) error {
	parts := strings.Split(line, "|")
	if len(parts) < 6 {
		return plugins.Refused("bad-handshake", fmt.Errorf("the program printed %s instead of a handshake: is it a provider?", strconv.Quote(line[:min(len(line), 80)])))
	}
	core, contract, network, address, protocol, cert := parts[0], parts[1], parts[2], parts[3], parts[4], parts[5]
	switch {
	case core != "1" || contract != strconv.Itoa(pluginwire.ProtocolVersion):
		return plugins.Refused("wrong-version", fmt.Errorf("the program speaks version %q of go-plugin and %q of the provider contract, this host 1 and %d", core, contract, pluginwire.ProtocolVersion))
	case network != "unix":
		return plugins.Refused("not-a-unix-socket", fmt.Errorf("the program listens on %q, where other users could reach it; only a unix socket is accepted", network))
	case filepath.Dir(filepath.Clean(address)) != filepath.Clean(socketDir):
		return plugins.Refused("wrong-socket", fmt.Errorf("the program listens on %q, outside the folder it was given", address))
	case protocol != "grpc":
		return plugins.Refused("not-grpc", fmt.Errorf("the program speaks %q, not gRPC", protocol))
	case cert == "":
		return plugins.Refused("no-tls", errors.New("the program serves without TLS: it gave no certificate"))
	}
	der, err := base64.RawStdEncoding.DecodeString(cert)
	if err == nil {
		_, err = x509.ParseCertificate(der)
	}
	if err != nil {
		return plugins.Refused("bad-handshake", fmt.Errorf("the program's certificate: %w", err))
	}
	return nil
}
