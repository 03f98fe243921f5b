package krb_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/tokenwheel/tokenwheel/internal/krb"
	"github.com/tokenwheel/tokenwheel/internal/krb/minikdc"
)

const spn = "nn/nn1.mini.test"

// realm is a KDC in memory with a user, a service and the user's keytab file.
type realm struct {
	*minikdc.KDC
	conf   *krb.Config
	keytab string
}

func newRealm(t *testing.T, c minikdc.Config) *realm {
	t.Helper()
	kdc, err := minikdc.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kdc.Close() })
	r := &realm{KDC: kdc, keytab: filepath.Join(t.TempDir(), "app.keytab")}
	for _, name := range []string{"app/host1", spn} {
		if err := kdc.AddPrincipal(name); err != nil {
			t.Fatal(err)
		}
	}
	r.writeKeytab(t, r.keytab, "app/host1")
	r.conf = &krb.Config{DefaultRealm: kdc.Realm(), Realms: map[string]krb.Realm{kdc.Realm(): {KDCs: []string{"kdc:88"}}}}
	return r
}

func (r *realm) writeKeytab(t *testing.T, path string, names ...string) {
	t.Helper()
	b, err := r.Keytab(names...)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func writeTemp(t testing.TB, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (r *realm) client(t *testing.T, change func(*krb.Options)) *krb.Client {
	t.Helper()
	o := krb.Options{Conf: r.conf, Principal: "app/host1", Keytab: r.keytab, Dial: r.Dial}
	if change != nil {
		change(&o)
	}
	c, err := krb.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (r *realm) service(t *testing.T, change func(*krb.ServiceOptions)) *krb.Service {
	t.Helper()
	b, err := r.Keytab(spn)
	if err != nil {
		t.Fatal(err)
	}
	kt, err := krb.ParseKeytab(b)
	if err != nil {
		t.Fatal(err)
	}
	o := krb.ServiceOptions{Keytab: kt}
	if change != nil {
		change(&o)
	}
	return krb.NewService(o)
}

// establish runs the context tokens of both sides.
func establish(t *testing.T, c *krb.Client, s *krb.Service, spn string) (*krb.Initiator, *krb.Acceptor) {
	t.Helper()
	i, err := c.Initiate(context.Background(), spn)
	if err != nil {
		t.Fatal(err)
	}
	a := s.Acceptor()
	req, done, err := i.Step(nil)
	if err != nil || done {
		t.Fatalf("first step: done %v, %v", done, err)
	}
	rep, done, err := a.Step(req)
	if err != nil || !done {
		t.Fatalf("acceptor: done %v, %v", done, err)
	}
	if out, done, err := i.Step(rep); err != nil || !done || len(out) != 0 {
		t.Fatalf("second step: out %x, done %v, %v", out, done, err)
	}
	return i, a
}

func TestLoginAndSecurityContext(t *testing.T) {
	for _, subkey := range []bool{false, true} {
		r := newRealm(t, minikdc.Config{})
		i, a := establish(t, r.client(t, nil), r.service(t, func(o *krb.ServiceOptions) { o.Subkey = subkey }), spn)
		if got, want := a.Peer(), "app/host1@MINI.TEST"; got != want {
			t.Errorf("acceptor sees %q, want %q", got, want)
		}
		if got, want := i.Peer(), spn+"@MINI.TEST"; got != want {
			t.Errorf("initiator sees %q, want %q", got, want)
		}
		for n, seal := range []bool{false, true, true, false} {
			for _, end := range []struct {
				from, to interface {
					Wrap([]byte, bool) ([]byte, error)
					Unwrap([]byte) ([]byte, bool, error)
				}
			}{{i, a}, {a, i}} {
				token, err := end.from.Wrap([]byte("message"), seal)
				if err != nil {
					t.Fatal(err)
				}
				plain, sealed, err := end.to.Unwrap(token)
				if err != nil || string(plain) != "message" || sealed != seal {
					t.Errorf("message %d: %q, sealed %v, %v", n, plain, sealed, err)
				}
			}
		}
	}
}
