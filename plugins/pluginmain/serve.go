// Package pluginmain turns a [plugins.Provider] into a program that tokenwheel
// starts as its own process. [Serve] is all that its main function calls:
//
//	func main() { pluginmain.Serve(&provider{}) }
//
// The program speaks gRPC to its host alone, over a unix socket with mutual TLS,
// and ends when the host does. It logs by log/slog: the default logger's lines
// reach the host's log with their level. Never log a token's password.
package pluginmain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/tokenwheel/tokenwheel/internal/hclogslog"
	"github.com/tokenwheel/tokenwheel/internal/pluginwire"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// Serve answers the host's calls with p until the host is done, then returns.
// Where the program was not started by a host, or without the host's
// certificate, it says so on standard error and exits with 1: a provider is
// never served in clear.
//
// Serve takes over standard output, and sets slog's default logger.
func Serve(p plugins.Provider) {
	if err := checkHost(os.LookupEnv); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	endWithHost(os.LookupEnv)
	log := slog.New(hclogslog.Handler(os.Stderr, slog.LevelInfo))
	slog.SetDefault(log)

	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion:  pluginwire.ProtocolVersion,
			MagicCookieKey:   pluginwire.CookieKey,
			MagicCookieValue: pluginwire.CookieValue,
		},
		Plugins: plugin.PluginSet{"provider": &server{rpc: pluginwire.NewServer(p, pluginwire.Options{
			Version: version(),
			Panicked: func(call string, stack []byte) {
				log.Error("provider panicked", "call", call, "stack", string(stack))
			},
		})}},
		GRPCServer: func(o []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(o, pluginwire.ServerOptions()...)...)
		},
		Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: os.Stderr, JSONFormat: true}),
	})
}

// checkHost says why this program was not started by a host of ours. go-plugin
// serves with TLS only where it finds the host's certificate, and answers with
// one of its own that it made for this one start.
func checkHost(env func(string) (string, bool)) error {
	if cookie, _ := env(pluginwire.CookieKey); cookie != pluginwire.CookieValue {
		return fmt.Errorf("this program is a tokenwheel provider: name it under providers in tokenwheel's configuration, which starts it; it does nothing by hand (%s is not set as a host sets it)", pluginwire.CookieKey)
	}
	if cert, _ := env("PLUGIN_CLIENT_CERT"); cert == "" {
		return errors.New("the host gave no certificate in PLUGIN_CLIENT_CERT: a provider is not served without TLS")
	}
	return nil
}

// endWithHost ends the program when the host's pipe does, which it does even if
// the host was killed. There is none where another go-plugin host started us.
func endWithHost(env func(string) (string, bool)) {
	number, _ := env(pluginwire.HostPipe)
	fd, err := strconv.Atoi(number)
	if err != nil {
		return
	}
	pipe := os.NewFile(uintptr(fd), "host pipe")
	go func() {
		_, _ = io.Copy(io.Discard, pipe)
		os.Exit(0)
	}()
}

// version is that of the program's main module, as the go command stamped it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	return info.Main.Version
}

// server registers the provider with go-plugin's gRPC server.
type server struct {
	plugin.NetRPCUnsupportedPlugin
	rpc pluginwire.ProviderServer
}

func (s *server) GRPCServer(_ *plugin.GRPCBroker, g *grpc.Server) error {
	pluginwire.RegisterProviderServer(g, s.rpc)
	return nil
}

// GRPCClient is the host's side, which this program has not.
func (*server) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.ErrUnsupported
}
