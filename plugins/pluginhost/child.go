package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tokenwheel/tokenwheel/internal/hclogslog"
	"github.com/tokenwheel/tokenwheel/internal/pluginwire"
)

// stopGrace is what a program gets to end by itself before it is killed.
const stopGrace = 2 * time.Second

// child is one start of the program.
type child struct {
	client   *plugin.Client
	process  *process
	provider *pluginwire.Client

	life   context.Context // ends with stop
	end    context.CancelFunc
	probes sync.WaitGroup

	mu      sync.Mutex // guards the end of life, and what follows
	probing bool
}

// startChild starts the program and has it describe itself. On an error nothing
// of it is left.
func startChild(ctx context.Context, command Command) (_ *child, err error) {
	identity, err := newIdentity()
	if err != nil {
		return nil, fmt.Errorf("make the host's certificate: %w", err)
	}
	p := newProcess(command, identity)
	c := &child{process: p, client: plugin.NewClient(clientConfig(p, identity))}
	c.life, c.end = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			c.stop()
			err = p.explain(ctx, err)
		}
	}()
	// go-plugin's start takes no context; it ends when the process does.
	defer context.AfterFunc(ctx, func() { _ = p.Kill(ctx) })()
	protocol, err := c.client.Client()
	if err != nil {
		return nil, err
	}
	rpc, ok := protocol.(*plugin.GRPCClient)
	if !ok {
		return nil, fmt.Errorf("protocol %T is not gRPC", protocol)
	}
	ctx, cancel := context.WithTimeout(ctx, command.StartTimeout)
	defer cancel()
	c.provider, err = pluginwire.NewClient(ctx, rpc.Conn)
	return c, err
}

// clientConfig is made for one start: go-plugin writes into it and into its TLS
// configuration.
func clientConfig(p *process, identity *identity) *plugin.ClientConfig {
	return &plugin.ClientConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion:  pluginwire.ProtocolVersion,
			MagicCookieKey:   pluginwire.CookieKey,
			MagicCookieValue: pluginwire.CookieValue,
		},
		// The connection is used as it is; nothing is dispensed.
		VersionedPlugins: map[int]plugin.PluginSet{pluginwire.ProtocolVersion: {}},
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, dir string) (runner.Runner, error) {
			p.env, p.socketDir = append(p.env, cmd.Env...), dir
			return p, nil
		},
		TLSConfig:        identity.tlsConfig(),
		StartTimeout:     p.command.StartTimeout,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		SkipHostEnv:      true,
		Logger:           hclogslog.Logger(p.command.Logger.With("program", p.command.Path)),
		SyncStdout:       printed{p.command.Logger},
		SyncStderr:       printed{p.command.Logger},
		GRPCDialOptions:  []grpc.DialOption{pluginwire.DialOption(), grpc.WithChainStreamInterceptor(alwaysUnavailable)},
	}
}

// alwaysUnavailable gives every stream that cannot be opened the one code with
// which go-plugin goes on. At any other code it returns without closing the
// connection it made, which nobody could close then.
func alwaysUnavailable(ctx context.Context, d *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, o ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := open(ctx, d, cc, method, o...)
	if err != nil {
		return nil, status.Error(codes.Unavailable, status.Convert(err).Message())
	}
	return stream, nil
}

// returned is told of each call that is over. One that ran out of time may have met a
// service that hangs, or a program that does: a program is asked, at most once at a
// time, and ended if it says nothing.
func (c *child) returned(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) || c.probing || c.life.Err() != nil {
		return
	}
	c.probing = true
	c.probes.Go(func() {
		defer c.probed()
		ctx, cancel := context.WithTimeout(c.life, c.process.command.StartTimeout)
		defer cancel()
		c.provider.Ping(ctx)
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			c.process.command.Logger.Error("provider program hangs and is ended", "program", c.process.command.Path)
			_ = c.process.Kill(ctx)
		}
	})
}

func (c *child) probed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.probing = false
}

// stop ends the process and whatever it started, and waits for it. It may be
// called on a child that never started.
func (c *child) stop() {
	// go-plugin asks the program to end without any deadline.
	force := time.AfterFunc(stopGrace, func() { _ = c.process.Kill(context.Background()) })
	defer force.Stop()
	c.mu.Lock()
	c.end()
	c.mu.Unlock()
	c.client.Kill()
	c.process.close()
	c.probes.Wait()
}

// printed logs what the program prints once it serves.
type printed struct{ log *slog.Logger }

func (p printed) Write(b []byte) (int, error) {
	p.log.Debug("provider program printed", "text", string(b[:min(len(b), maxLogLine)]))
	return len(b), nil
}
