// Command testplugin is the provider program that the tests of the plugin
// packages start: a good one, and bad ones by the first argument. With "host" as
// that argument it is a host instead, for tests that kill one.
package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/tokenwheel/tokenwheel/examples/gatepass/pass"
	"github.com/tokenwheel/tokenwheel/internal/pluginwire"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/plugins/pluginhost"
	"github.com/tokenwheel/tokenwheel/plugins/pluginmain"
)

func main() {
	mode := "good"
	if len(os.Args) > 1 {
		mode = os.Args[1]
	}
	socket := os.Getenv("PLUGIN_UNIX_SOCKET_DIR") + "/socket"
	switch mode {
	case "good":
		pluginmain.Serve(&provider{})
	case "host":
		host(os.Args[2], os.Args[3])
	case "no-host-pipe": // only the death signal is left
		_ = os.Unsetenv(pluginwire.HostPipe)
		pluginmain.Serve(&provider{})
	case "no-death-signal": // only the pipe is left
		clearDeathSignal()
		pluginmain.Serve(&provider{})
	case "no-cookie":
		_ = os.Unsetenv(pluginwire.CookieKey)
		pluginmain.Serve(&provider{})
	case "no-certificate":
		_ = os.Unsetenv("PLUGIN_CLIENT_CERT")
		pluginmain.Serve(&provider{})
	case "silent":
		fmt.Fprintln(os.Stderr, "no disk space")
		os.Exit(7)
	case "garbage":
		say("Hello, world")
	case "endless":
		say(strings.Repeat("x", 1<<20))
	case "tcp":
		say("1|1|tcp|127.0.0.1:1234|grpc|")
	case "no-tls":
		say("1|1|unix|" + socket + "|grpc|")
	case "bad-certificate":
		say("1|1|unix|" + socket + "|grpc|" + strings.Repeat("A", 100))
	case "elsewhere":
		say("1|1|unix|/tmp/elsewhere/socket|grpc|" + strings.Repeat("A", 100))
	case "version":
		say("1|99|unix|" + socket + "|grpc|")
	case "dies":
		fmt.Println("1|1|unix|" + socket + "|grpc|" + certificate())
	case "hang":
		select {}
	}
}

// certificate is a good one, in the form of the handshake.
func certificate() string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return base64.RawStdEncoding.EncodeToString(der)
}

// say prints a line instead of a handshake and stays.
func say(line string) {
	fmt.Println(line)
	time.Sleep(time.Hour)
}

// host launches this program in a mode, prints the new process's id, and stays.
func host(program, mode string) {
	sum, err := pluginhost.Sum(program)
	if err != nil {
		panic(err)
	}
	p, err := pluginhost.Launch(context.Background(), pluginhost.Command{Path: program, SHA256: sum, Args: []string{mode}})
	if err != nil {
		panic(err)
	}
	grants, err := p.Obtain(context.Background(), plugins.ObtainRequest{User: "pid"})
	if err != nil {
		panic(err)
	}
	say(string(grants[0].Token.Identifier))
}

const floodLines = 50_000

// provider lends gate passes, and does something odd for some users.
type provider struct{ pass.Provider }

func (p *provider) Obtain(ctx context.Context, req plugins.ObtainRequest) ([]plugins.Grant, error) {
	switch req.User {
	case "crash":
		os.Exit(3)
	case "panic":
		panic("a panic whose value holds s3cret-canary")
	case "hang":
		fmt.Fprintln(os.Stderr, "hanging")
		select {}
	case "pid":
		return tell(strconv.Itoa(os.Getpid())), nil
	case "env":
		return tell(strings.Join(os.Environ(), "\n")), nil
	case "child":
		sleep := exec.Command("sleep", "3600")
		if err := sleep.Start(); err != nil {
			return nil, err
		}
		return tell(strconv.Itoa(sleep.Process.Pid)), nil
	case "odd-output":
		fmt.Fprintln(rawStderr(), `{"@message":5,"@level":[],"@timestamp":{}}`)
		fmt.Fprintln(rawStderr(), strings.Repeat("x", 1<<20))
		fmt.Println(strings.Repeat("y", 1<<20))
	case "flood":
		out := bufio.NewWriter(rawStderr())
		for i := range floodLines {
			fmt.Fprintln(out, "flood", i)
		}
		return tell(strconv.Itoa(floodLines)), out.Flush()
	case "huge":
		return tell(strings.Repeat("z", 5<<20)), nil
	}
	return p.Provider.Obtain(ctx, req)
}

// rawStderr is the descriptor itself: os.Stderr goes over gRPC while serving.
func rawStderr() *os.File { return os.NewFile(2, "stderr") }

func tell(text string) []plugins.Grant {
	return []plugins.Grant{{Token: plugins.Token{Kind: pass.Kind, Service: pass.Service, Identifier: []byte(text)}}}
}
