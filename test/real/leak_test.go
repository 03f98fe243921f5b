package real_test

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/hrpc"
	"github.com/tokenwheel/tokenwheel/internal/sasl"
	"github.com/tokenwheel/tokenwheel/test/real/cluster"
)

// wiretap is a connection that keeps all that went over it, either way.
type wiretap struct {
	net.Conn
	mu    sync.Mutex // guards heard
	heard bytes.Buffer
}

func (w *wiretap) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.keep(p[:n])
	return n, err
}

func (w *wiretap) Write(p []byte) (int, error) {
	w.keep(p)
	return w.Conn.Write(p)
}

func (w *wiretap) keep(p []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard.Write(p)
}

func (w *wiretap) text() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Clone(w.heard.Bytes())
}

// A real NameNode answers what is not wrapped too, so that a client that forgot to wrap would work, and leak. Only the
// wire tells. That the password is heard without privacy shows that the tap works.
func TestPrivacyHidesCallsAndPasswordsFromTheWire(t *testing.T) {
	for _, tt := range []struct {
		qop   sasl.QOP
		clear bool
	}{{sasl.Auth, true}, {sasl.AuthInt, true}, {sasl.AuthConf, false}} {
		t.Run(tt.qop.String(), func(t *testing.T) {
			ctx := within(t, time.Minute)
			tap := new(wiretap)
			tapped := func(config hrpc.Config) hrpc.Config {
				config.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
					conn, err := new(net.Dialer).DialContext(ctx, network, addr)
					tap = &wiretap{Conn: conn}
					return tap, err
				}
				return demanding(config, tt.qop)
			}
			byTicket := dial(t, shared, tapped(withKerberos(t, shared, cluster.TokenwheelPrincipal, "alice")))
			token, err := byTicket.get(ctx, "tokenwheel")
			if err != nil {
				t.Fatal(err)
			}
			hears(t, tap, "method", []byte("getDelegationToken"), tt.clear)
			hears(t, tap, "password", token.Password, tt.clear)

			byToken := dial(t, shared, tapped(withToken(token)))
			if err := byToken.cancel(ctx, token); err != nil {
				t.Fatal(err)
			}
			hears(t, tap, "method", []byte("cancelDelegationToken"), tt.clear)
			hears(t, tap, "password", token.Password, tt.clear)
		})
	}
}

func hears(t *testing.T, w *wiretap, what string, secret []byte, want bool) {
	t.Helper()
	if got := bytes.Contains(w.text(), secret); got != want {
		t.Errorf("%s in clear on the wire: %v, want %v", what, got, want)
	}
}
