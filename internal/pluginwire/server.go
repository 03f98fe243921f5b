package pluginwire

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/tokenwheel/tokenwheel/plugins"
)

// Options of the provider's end. The zero value works.
type Options struct {
	// Version is the program's own version, for people; "": not told.
	Version string
	// Panicked is told of a provider's panic, with the call's name and the stack;
	// nil: nobody is. The panic becomes an error of that call either way.
	Panicked func(call string, stack []byte)
}

// NewServer serves p to a host. It is safe for concurrent use as far as p is.
func NewServer(p plugins.Provider, o Options) ProviderServer {
	return &server{provider: p, options: o}
}

type server struct {
	UnimplementedProviderServer
	provider plugins.Provider
	options  Options
}

// finish is deferred by every call: it turns a panic into an error and any error
// into a status. A panic's value may hold a secret, so only the runtime's own
// texts are passed on.
func (s *server) finish(call string, err *error) {
	if v := recover(); v != nil {
		if s.options.Panicked != nil {
			s.options.Panicked(call, debug.Stack())
		}
		reason := fmt.Sprintf("%T", v)
		if r, ok := v.(runtime.Error); ok {
			reason = r.Error()
		}
		*err = &plugins.Error{Code: "provider-panic", Err: fmt.Errorf("panic in %s: %s", call, reason)}
	}
	*err = errorToWire(*err)
}

func (s *server) Describe(context.Context, *DescribeRequest) (resp *DescribeResponse, err error) {
	defer s.finish("describe", &err)
	a := plugins.AbilitiesOf(s.provider)
	return &DescribeResponse{
		Kinds:     s.provider.Kinds(),
		Abilities: &Abilities{Configure: a.Configure, Authorize: a.Authorize, Identify: a.Identify},
		Version:   s.options.Version,
	}, nil
}

func (s *server) Configure(ctx context.Context, req *ConfigureRequest) (resp *ConfigureResponse, err error) {
	p, ok := s.provider.(plugins.Configurer)
	if !ok {
		return s.UnimplementedProviderServer.Configure(ctx, req)
	}
	defer s.finish("configure", &err)
	return &ConfigureResponse{}, p.Configure(ctx, req.GetSection())
}

func (s *server) Authorities(ctx context.Context, req *AuthoritiesRequest) (resp *AuthoritiesResponse, err error) {
	p, ok := s.provider.(plugins.Authorizer)
	if !ok {
		return s.UnimplementedProviderServer.Authorities(ctx, req)
	}
	defer s.finish("authorities", &err)
	list, err := p.Authorities(ctx)
	if err != nil {
		return nil, err
	}
	resp = &AuthoritiesResponse{}
	for _, a := range list {
		wire, err := authorityToWire(a)
		if err != nil {
			return nil, err
		}
		resp.Authorities = append(resp.Authorities, wire)
	}
	return resp, nil
}

func (s *server) Obtain(ctx context.Context, req *ObtainRequest) (resp *ObtainResponse, err error) {
	defer s.finish("obtain", &err)
	grants, err := s.provider.Obtain(ctx, requestFromWire(req))
	if err != nil {
		return nil, err
	}
	resp = &ObtainResponse{}
	for _, g := range grants {
		wire, err := grantToWire(g)
		if err != nil {
			return nil, err
		}
		resp.Grants = append(resp.Grants, wire)
	}
	return resp, nil
}

func (s *server) Renew(ctx context.Context, req *RenewRequest) (resp *RenewResponse, err error) {
	defer s.finish("renew", &err)
	expires, err := s.provider.Renew(ctx, tokenFromWire(req.GetToken()))
	if err != nil {
		return nil, err
	}
	wire, err := timeToWire(expires)
	return &RenewResponse{Expires: wire}, err
}

func (s *server) Cancel(ctx context.Context, req *CancelRequest) (resp *CancelResponse, err error) {
	defer s.finish("cancel", &err)
	return &CancelResponse{}, s.provider.Cancel(ctx, tokenFromWire(req.GetToken()))
}

func (s *server) Identify(ctx context.Context, req *IdentifyRequest) (resp *IdentifyResponse, err error) {
	p, ok := s.provider.(plugins.Identifier)
	if !ok {
		return s.UnimplementedProviderServer.Identify(ctx, req)
	}
	defer s.finish("identify", &err)
	id, err := p.Identify(ctx, tokenFromWire(req.GetToken()))
	if err != nil {
		return nil, err
	}
	return identityToWire(id)
}
