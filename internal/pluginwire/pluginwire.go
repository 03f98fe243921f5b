// Package pluginwire carries the provider contract across a process boundary:
// provider.proto, the code generated from it by scripts/generate.sh, and the two
// adapters. [Client] turns a gRPC connection into a plugins.Provider, [NewServer]
// serves one. What an error means, unset times and cancellation come through
// unchanged; no bytes are shared between the two sides.
//
// Both adapters are safe for concurrent use. The generated messages hold
// passwords and their String methods print them: never format or log one.
package pluginwire

import "google.golang.org/grpc"

// What host and program agree on before the first call. The cookie tells a
// provider program started by hand from one started by a host; it protects
// nothing.
const (
	ProtocolVersion = 1
	CookieKey       = "TOKENWHEEL_PROVIDER"
	CookieValue     = "1f2c8b46-a-provider-is-started-by-its-host"
	// HostPipe names the environment variable with the descriptor of a pipe that
	// reaches its end when the host is gone.
	HostPipe = "TOKENWHEEL_HOST_PIPE"
)

// maxMessage bounds one message in bytes, in both directions; gRPC refuses a
// longer one before it allocates for it.
const maxMessage = 4 << 20

// ServerOptions are the message limits of the provider's end.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage)}
}

// DialOption is the message limits of the host's end.
func DialOption() grpc.DialOption {
	return grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage))
}
