package pluginwire_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tokenwheel/tokenwheel/internal/pluginwire"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// join serves s in memory and connects to it.
func join(t *testing.T, s pluginwire.ProviderServer) *grpc.ClientConn {
	t.Helper()
	return joinWith(t, s, pluginwire.ServerOptions()...)
}

func joinWith(t *testing.T, s pluginwire.ProviderServer, options ...grpc.ServerOption) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer(options...)
	pluginwire.RegisterProviderServer(server, s)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:x", pluginwire.DialOption(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(); server.Stop(); <-served })
	return conn
}

func connect(t *testing.T, p plugins.Provider) *pluginwire.Client {
	t.Helper()
	c, err := pluginwire.NewClient(t.Context(), join(t, pluginwire.NewServer(p, pluginwire.Options{Version: "v1.2.3"})))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// plain is a provider without abilities, made of functions.
type plain struct {
	obtain func(context.Context, plugins.ObtainRequest) ([]plugins.Grant, error)
	renew  func(context.Context, plugins.Token) (time.Time, error)
	cancel func(context.Context, plugins.Token) error
}

func (*plain) Kinds() []string { return []string{"A", "B"} }
func (p *plain) Obtain(ctx context.Context, r plugins.ObtainRequest) ([]plugins.Grant, error) {
	return p.obtain(ctx, r)
}

func (p *plain) Renew(ctx context.Context, t plugins.Token) (time.Time, error) {
	return p.renew(ctx, t)
}
func (p *plain) Cancel(ctx context.Context, t plugins.Token) error { return p.cancel(ctx, t) }

func renewing(expires time.Time, err error) *plain {
	return &plain{renew: func(context.Context, plugins.Token) (time.Time, error) { return expires, err }}
}

// able has every ability.
type able struct {
	plain
	configured  string
	authorities []plugins.Authority
	identity    plugins.Identity
}

func (a *able) Configure(_ context.Context, raw json.RawMessage) error {
	a.configured = string(raw)
	return nil
}

func (a *able) Authorities(context.Context) ([]plugins.Authority, error) {
	return a.authorities, nil
}

func (a *able) Identify(context.Context, plugins.Token) (plugins.Identity, error) {
	return a.identity, nil
}

var day = time.Date(2031, 2, 3, 4, 5, 6, 7, time.UTC)

// TestEverythingArrivesAsItWas: each field of each message, and both ends of the
// optional ones.
func TestEverythingArrivesAsItWas(t *testing.T) {
	request := plugins.ObtainRequest{App: "app", User: "alice", Renewer: "us", Services: []string{"x", "y"}, Conf: map[string]string{"k": "v"}}
	grants := []plugins.Grant{
		{Alias: "one", Token: plugins.Token{Kind: "A", Service: "s", Identifier: []byte{0, 255}, Password: plugins.Secret{1, 0, 2}}, Expires: day, Max: day.Add(time.Hour)},
		{Token: plugins.Token{Kind: "B"}},
	}
	var got plugins.ObtainRequest
	a := &able{
		plain: plain{obtain: func(_ context.Context, r plugins.ObtainRequest) ([]plugins.Grant, error) {
			got = r
			return grants, nil
		}},
		authorities: []plugins.Authority{{Name: "n", Kinds: []string{"A"}, Services: []string{"s", "t"}, Obtains: true}, {Name: "m"}},
		identity:    plugins.Identity{Owner: "o", RealUser: "r", Renewer: "n", User: "u", RealShort: "s", Ours: true, Issued: day, Max: day, Sequence: -7},
	}
	c := connect(t, a)
	diff := func(what string, want, got any) {
		t.Helper()
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s (-want +got):\n%s", what, d)
		}
	}
	diff("kinds", a.Kinds(), c.Kinds())
	diff("abilities", plugins.Abilities{Configure: true, Authorize: true, Identify: true}, plugins.AbilitiesOf(c))
	diff("version", "v1.2.3", c.Version())

	obtained, err := c.Obtain(t.Context(), request)
	diff("obtain's error", nil, err)
	diff("request", request, got)
	diff("grants", grants, obtained)
	authorities, err := c.Authorities(t.Context())
	diff("authorities' error", nil, err)
	diff("authorities", a.authorities, authorities)
	identity, err := c.Identify(t.Context(), plugins.Token{})
	diff("identify's error", nil, err)
	diff("identity", a.identity, identity)
	diff("configure's error", nil, c.Configure(t.Context(), []byte(`{"a": 1}`)))
	diff("section", `{"a": 1}`, a.configured)
}

func TestMissingAbilityIsUnsupported(t *testing.T) {
	c := connect(t, &plain{})
	if got := plugins.AbilitiesOf(c); got != (plugins.Abilities{}) {
		t.Errorf("announced %+v", got)
	}
	_, authorities := c.Authorities(t.Context())
	_, identify := c.Identify(t.Context(), plugins.Token{})
	for name, err := range map[string]error{"configure": c.Configure(t.Context(), nil), "authorities": authorities, "identify": identify} {
		if plugins.KindOf(err) != plugins.KindRefused || !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestB54_DatesAreKeptOrSuspect: an unset time stays unset, a date that the wire
// cannot write is suspect.
func TestB54_DatesAreKeptOrSuspect(t *testing.T) {
	tests := []struct {
		name string
		date time.Time
		kind plugins.Kind
		ok   bool
	}{
		{"unset", time.Time{}, 0, true},
		{"1970", time.Unix(0, 0).UTC(), 0, true},
		{"before 1970", time.Unix(-1, 5).UTC(), 0, true},
		{"end of 9999", time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), 0, true},
		{"year 10000", time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), plugins.KindSuspect, false},
		{"Java's Long.MAX_VALUE", time.UnixMilli(1<<63 - 1), plugins.KindSuspect, false},
		{"before year 1", time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC), plugins.KindSuspect, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn := join(t, pluginwire.NewServer(renewing(tt.date, nil), pluginwire.Options{}))
			raw, err := pluginwire.NewProviderClient(conn).Renew(t.Context(), &pluginwire.RenewRequest{})
			if (err == nil) != tt.ok || (raw.GetExpires() == nil) != (!tt.ok || tt.date.IsZero()) {
				t.Errorf("on the wire: %v, %v", raw, err)
			}
			got, err := connect(t, renewing(tt.date, nil)).Renew(t.Context(), plugins.Token{})
			if (err == nil) != tt.ok || plugins.KindOf(err) != tt.kind {
				t.Fatalf("want kind %s, got %s: %v", tt.kind, plugins.KindOf(err), err)
			}
			if tt.ok && (!got.Equal(tt.date) || got.IsZero() != tt.date.IsZero()) {
				t.Errorf("want %s, got %s", tt.date, got)
			}
		})
	}
}

// TestErrorsKeepTheirMeaning: kind, code, protection, delay and text cross the
// wire, however the error was wrapped.
func TestErrorsKeepTheirMeaning(t *testing.T) {
	whole := &plugins.Error{Kind: plugins.KindDenied, Code: "not-renewer", Protected: true, RetryAfter: 90 * time.Second, Err: errors.New("no")}
	tests := []struct {
		name string
		err  error
		want plugins.Error
	}{
		{"whole", whole, plugins.Error{Kind: plugins.KindDenied, Code: "not-renewer", Protected: true, RetryAfter: 90 * time.Second}},
		{"wrapped", fmt.Errorf("renew x: %w", whole), plugins.Error{Kind: plugins.KindDenied, Code: "not-renewer", Protected: true, RetryAfter: 90 * time.Second}},
		{"code beneath", plugins.Replace(plugins.Refused("inner", errors.New("y"))), plugins.Error{Kind: plugins.KindReplace, Code: "inner"}},
		{"suspect", plugins.Suspect(errors.New("odd")), plugins.Error{Kind: plugins.KindSuspect}},
		{"plain", errors.New("connection reset"), plugins.Error{}},
		{"a status of gRPC's own", status.Error(codes.NotFound, "gone"), plugins.Error{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := connect(t, renewing(time.Time{}, tt.err)).Renew(t.Context(), plugins.Token{})
			var got *plugins.Error
			if !errors.As(err, &got) {
				t.Fatalf("no plugins.Error in %v", err)
			}
			if d := cmp.Diff(tt.want, *got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if err.Error() != tt.err.Error() {
				t.Errorf("text: want %q, got %q", tt.err, err)
			}
		})
	}
}

// foreign is a server that is not ours: it answers as a program in another
// language, or of another time, might.
type foreign struct {
	pluginwire.UnimplementedProviderServer
	kind    pluginwire.Failure_Kind
	details bool
	grants  int
	expires *timestamppb.Timestamp
	text    string
}

func (foreign) Describe(context.Context, *pluginwire.DescribeRequest) (*pluginwire.DescribeResponse, error) {
	return &pluginwire.DescribeResponse{Kinds: []string{"A"}}, nil
}

func (f foreign) Cancel(context.Context, *pluginwire.CancelRequest) (*pluginwire.CancelResponse, error) {
	st := status.New(codes.FailedPrecondition, "no")
	if f.details {
		st, _ = st.WithDetails(&pluginwire.Failure{Kind: f.kind})
	}
	return nil, st.Err()
}

func (f foreign) Obtain(context.Context, *pluginwire.ObtainRequest) (*pluginwire.ObtainResponse, error) {
	return &pluginwire.ObtainResponse{Grants: make([]*pluginwire.Grant, f.grants)}, nil
}

func (f foreign) Renew(context.Context, *pluginwire.RenewRequest) (*pluginwire.RenewResponse, error) {
	return &pluginwire.RenewResponse{Expires: f.expires}, nil
}

func (f foreign) Identify(context.Context, *pluginwire.IdentifyRequest) (*pluginwire.IdentifyResponse, error) {
	return &pluginwire.IdentifyResponse{Owner: f.text}, nil
}

func TestForeignAnswersAreContained(t *testing.T) {
	call := func(f foreign) (obtain, cancel error) {
		c, err := pluginwire.NewClient(t.Context(), join(t, f))
		if err != nil {
			t.Fatal(err)
		}
		_, obtain = c.Obtain(t.Context(), plugins.ObtainRequest{})
		return obtain, c.Cancel(t.Context(), plugins.Token{})
	}
	for name, f := range map[string]foreign{"a kind of the future": {kind: 99, details: true}, "no details": {}} {
		if _, err := call(f); err == nil || plugins.KindOf(err) != plugins.KindRetry {
			t.Errorf("%s: want retry, got %v", name, err)
		}
	}
	for _, n := range []int{1, 257} { // no token in it; too many
		if err, _ := call(foreign{grants: n}); plugins.KindOf(err) != plugins.KindSuspect {
			t.Errorf("%d grants: want suspect, got %v", n, err)
		}
	}
	odd := foreign{expires: &timestamppb.Timestamp{Seconds: 1 << 60}, text: strings.Repeat("x", 5<<20)}
	c, err := pluginwire.NewClient(t.Context(), joinWith(t, odd))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Renew(t.Context(), plugins.Token{}); plugins.KindOf(err) != plugins.KindSuspect {
		t.Errorf("a date that cannot be: want suspect, got %v", err)
	}
	if _, err := c.Identify(t.Context(), plugins.Token{}); err == nil {
		t.Error("an answer of 5 MiB was read")
	}
	if _, err := pluginwire.NewClient(t.Context(), join(t, pluginwire.UnimplementedProviderServer{})); err == nil {
		t.Error("a server that cannot describe itself was accepted")
	}
}

// TestTextOfOtherEncodingsIsAnError: a Hadoop token's texts may hold any bytes,
// protobuf's may not.
func TestTextOfOtherEncodingsIsAnError(t *testing.T) {
	c := connect(t, &plain{
		obtain: func(context.Context, plugins.ObtainRequest) ([]plugins.Grant, error) {
			return []plugins.Grant{{Alias: "\xff"}}, nil
		},
		renew: func(context.Context, plugins.Token) (time.Time, error) {
			return time.Time{}, plugins.Refused("\xff", errors.New("\xff"+strings.Repeat("é", 10000)))
		},
	})
	_, sent := c.Renew(t.Context(), plugins.Token{Kind: "\xff"})
	_, asked := c.Obtain(t.Context(), plugins.ObtainRequest{User: "\xff"})
	_, answered := c.Obtain(t.Context(), plugins.ObtainRequest{})
	_, failed := c.Renew(t.Context(), plugins.Token{})
	for _, tt := range []struct {
		name string
		err  error
		want plugins.Kind
	}{
		{"token to the provider", sent, plugins.KindRefused},
		{"request to the provider", asked, plugins.KindRefused},
		{"grant from the provider", answered, plugins.KindSuspect},
		{"error from the provider", failed, plugins.KindRefused},
	} {
		if tt.err == nil || plugins.KindOf(tt.err) != tt.want {
			t.Errorf("%s: want %s, got %v", tt.name, tt.want, tt.err)
		}
	}
}

// TestContextReachesTheProvider: deadline and cancellation, and what the caller
// sees of them.
func TestContextReachesTheProvider(t *testing.T) {
	seen := make(chan error, 1)
	deadlines := make(chan time.Time, 1)
	c := connect(t, &plain{renew: func(ctx context.Context, _ plugins.Token) (time.Time, error) {
		d, _ := ctx.Deadline()
		deadlines <- d
		<-ctx.Done()
		seen <- ctx.Err()
		return time.Time{}, ctx.Err()
	}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	returned := make(chan error, 1)
	go func() { _, err := c.Renew(ctx, plugins.Token{}); returned <- err }()
	if left := time.Until(<-deadlines); left < 59*time.Minute || left > time.Hour {
		t.Errorf("the provider sees %s left of 1h", left)
	}
	cancel()
	if err := <-seen; !errors.Is(err, context.Canceled) {
		t.Errorf("the provider saw %v", err)
	}
	if err := <-returned; !errors.Is(err, context.Canceled) || plugins.KindOf(err) != plugins.KindRetry {
		t.Errorf("the caller saw %v", err)
	}
}

func TestB50_MessagesAreLimitedBothWays(t *testing.T) {
	c := connect(t, &plain{
		obtain: func(context.Context, plugins.ObtainRequest) ([]plugins.Grant, error) {
			return []plugins.Grant{{Token: plugins.Token{Identifier: make([]byte, 4<<20)}}}, nil
		},
		cancel: func(context.Context, plugins.Token) error { t.Error("a message over the limit arrived"); return nil },
	})
	if _, err := c.Obtain(t.Context(), plugins.ObtainRequest{}); plugins.KindOf(err) != plugins.KindRetry || err == nil {
		t.Errorf("answer over 4 MiB: %v", err)
	}
	if err := c.Cancel(t.Context(), plugins.Token{Identifier: make([]byte, 4<<20)}); err == nil {
		t.Error("request over 4 MiB: no error")
	}
}

// TestPanicTellsTheRuntimesTextOnly: a panic's own value may be a secret.
// Shows: T-20.
func TestPanicTellsTheRuntimesTextOnly(t *testing.T) {
	var calls []string
	p := &plain{
		renew:  func(context.Context, plugins.Token) (time.Time, error) { panic("s3cret-canary") },
		cancel: func(_ context.Context, tok plugins.Token) error { _ = tok.Identifier[3]; return nil },
	}
	s := pluginwire.NewServer(p, pluginwire.Options{Panicked: func(call string, stack []byte) {
		calls = append(calls, call)
		if len(stack) == 0 || strings.Contains(string(stack), "s3cret-canary") {
			t.Errorf("stack of %s: %s", call, stack)
		}
	}})
	c, err := pluginwire.NewClient(t.Context(), join(t, s))
	if err != nil {
		t.Fatal(err)
	}
	_, renew := c.Renew(t.Context(), plugins.Token{})
	cancel := c.Cancel(t.Context(), plugins.Token{})
	if plugins.CodeOf(renew) != "provider-panic" || strings.Contains(renew.Error(), "canary") {
		t.Errorf("renew: %v", renew)
	}
	if !strings.Contains(cancel.Error(), "index out of range") {
		t.Errorf("cancel: %v", cancel)
	}
	if d := cmp.Diff([]string{"renew", "cancel"}, calls); d != "" {
		t.Error(d)
	}
}
