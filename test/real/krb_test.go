package real_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/krb"
	"github.com/tokenwheel/tokenwheel/test/real/cluster"
)

const nameNodeService = "nn/localhost"

// elsewhere is a realm that krb5.conf does not know; as long as the real one, so that it fits into a keytab's bytes.
const elsewhere = "ELSE.TEST"

// kerberos returns a client of the cluster's realm with the cluster's own krb5.conf, unless o says otherwise.
func kerberos(t *testing.T, c *cluster.Cluster, o krb.Options) *krb.Client {
	t.Helper()
	if o.Conf == nil {
		conf, err := krb.LoadConfig(c.Krb5Conf)
		if err != nil {
			t.Fatal(err)
		}
		o.Conf = conf
	}
	client, err := krb.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func keytabOptions(c *cluster.Cluster, principal string) krb.Options {
	return krb.Options{Principal: principal, Keytab: c.Keytab(principal)}
}

func TestWeLogInAtTheRealKDC(t *testing.T) {
	ctx := within(t, time.Minute)
	ccache, err := shared.Login(ctx, cluster.AlicePrincipal)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		options krb.Options
		want    string // principal
	}{
		{"keytab", keytabOptions(shared, cluster.TokenwheelPrincipal), cluster.TokenwheelPrincipal},
		{"keytab, default realm", krb.Options{Principal: "alice", Keytab: shared.Keytab("alice")}, cluster.AlicePrincipal},
		{"keytab, UDP alone", udpOnly(t, keytabOptions(shared, cluster.BobPrincipal)), cluster.BobPrincipal},
		{"ccache written by kinit", krb.Options{CCache: ccache}, cluster.AlicePrincipal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := kerberos(t, shared, tt.options)
			if err := client.Login(ctx); err != nil {
				t.Fatal(err)
			}
			if got := client.Principal(); got != tt.want {
				t.Errorf("logged in as %q, want %q", got, tt.want)
			}
			if left, _ := client.TicketLife(); left < 9*time.Hour || left > 11*time.Hour {
				t.Errorf("the ticket lives %v, want the KDC's 10 h", left)
			}
			if _, err := client.Initiate(ctx, nameNodeService); err != nil {
				t.Errorf("service ticket: %v", err)
			}
		})
	}
}

// udpOnly prefers UDP and has no other way.
func udpOnly(t *testing.T, o krb.Options) krb.Options {
	t.Helper()
	text, err := os.ReadFile(shared.Krb5Conf)
	if err != nil {
		t.Fatal(err)
	}
	const tcpOnly = "udp_preference_limit = 1\n"
	if !strings.Contains(string(text), tcpOnly) {
		t.Fatalf("krb5.conf no longer says %q", tcpOnly)
	}
	o.Conf, err = krb.ParseConfig("krb5.conf", strings.Replace(string(text), tcpOnly, "udp_preference_limit = 1465\n", 1))
	if err != nil {
		t.Fatal(err)
	}
	o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if !strings.HasPrefix(network, "udp") {
			return nil, fmt.Errorf("%s is blocked by the test", network)
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	return o
}

func TestTheRealKDCsRefusalsHaveTheirKinds(t *testing.T) {
	ctx := within(t, time.Minute)
	rekeyed := "rekeyed@" + cluster.Realm
	if err := shared.AddPrincipal(ctx, rekeyed); err != nil {
		t.Fatal(err)
	}
	if err := shared.ChangeKey(ctx, rekeyed, filepath.Join(t.TempDir(), "newer.keytab")); err != nil {
		t.Fatal(err)
	}
	expired := "expired@" + cluster.Realm
	if err := shared.AddPrincipal(ctx, expired, "-expire", "2001-01-01 00:00:00 UTC"); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(t.TempDir(), "foreign.keytab")
	for _, tt := range []struct {
		name    string
		options krb.Options
		service string // "": the login itself is refused
		want    krb.Kind
	}{
		{"keytab older than the key", keytabOptions(shared, rekeyed), "", krb.ErrWrongKey},
		{"principal has expired", keytabOptions(shared, expired), "", krb.ErrRevoked},
		{"principal not in the keytab", krb.Options{Principal: "alice", Keytab: shared.Keytab("bob")}, "", krb.ErrKeytab},
		{"no keytab there", krb.Options{Principal: "alice", Keytab: foreign}, "", krb.ErrKeytab},
		{"realm unknown", krb.Options{Principal: "alice@" + elsewhere, Keytab: elsewhereKeytab(t)}, "", krb.ErrUnknownRealm},
		{"service unknown", keytabOptions(shared, cluster.AlicePrincipal), "nn/elsewhere", krb.ErrUnknownServer},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := kerberos(t, shared, tt.options)
			err := client.Login(ctx)
			if tt.service != "" && err == nil {
				_, err = client.Initiate(ctx, tt.service)
			}
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want an error of kind %s", err, tt.want)
			}
		})
	}
}

// elsewhereKeytab is a keytab of alice@ELSE.TEST.
func elsewhereKeytab(t *testing.T) string {
	t.Helper()
	kt, err := krb.LoadKeytab(shared.Keytab("alice"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "elsewhere.keytab")
	text := strings.ReplaceAll(string(kt.Bytes()), cluster.Realm, elsewhere)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A ticket that ran out is replaced when it is needed, and not before a KDC that was away is back.
func TestALoginOutlivesTicketsAndAnAbsentKDC(t *testing.T) {
	ctx := within(t, time.Minute)
	shortLived := "shortlived@" + cluster.Realm
	if err := shared.AddPrincipal(ctx, shortLived, "-maxlife", "3 seconds"); err != nil {
		t.Fatal(err)
	}
	client := kerberos(t, shared, keytabOptions(shared, shortLived))
	if _, err := client.Initiate(ctx, nameNodeService); err != nil {
		t.Fatal(err)
	}
	shared.StopKDC()
	err := eventually(ctx, func() bool {
		short, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		_, err := client.Initiate(short, nameNodeService)
		return errors.Is(err, krb.ErrKDCUnreachable)
	})
	if startErr := shared.StartKDC(ctx); startErr != nil {
		t.Fatal(startErr)
	}
	if err != nil {
		t.Fatalf("without a KDC no ticket ever ran out: %v", err)
	}
	if _, err := client.Initiate(ctx, nameNodeService); err != nil {
		t.Errorf("after the KDC came back: %v", err)
	}
}
