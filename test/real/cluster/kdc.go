package cluster

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	kdcName = "kdc"

	defaultTicketLife    = 10 * time.Hour
	defaultRenewableLife = 7 * 24 * time.Hour
)

// createRealm writes krb5.conf and kdc.conf, the KDC's database, the principals and their keytabs.
func (c *Cluster) createRealm(ctx context.Context) error {
	if err := os.Mkdir(c.keytabDir(), 0o700); err != nil {
		return fmt.Errorf("create realm: %w", err)
	}
	for path, text := range map[string]string{c.Krb5Conf: c.krb5Conf(), c.kdcConf(): c.kdcConfText()} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return fmt.Errorf("create realm: %w", err)
		}
	}
	// The master password guards a database that lives as long as the test.
	if _, err := c.krb5(ctx, c.tools.kdb5util, "-r", Realm, "create", "-s", "-P", "master"); err != nil {
		return fmt.Errorf("create realm: %w", err)
	}
	for _, p := range []string{
		TokenwheelPrincipal, AlicePrincipal, BobPrincipal, SuperuserPrincipal,
		NameNodePrincipal, dataNodePrincipal, webPrincipal,
	} {
		if err := c.AddPrincipal(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// AddPrincipal creates a principal with a random key and its keytab (see Keytab). Options are those of kadmin's
// addprinc, such as "-maxlife", "5 seconds".
func (c *Cluster) AddPrincipal(ctx context.Context, principal string, options ...string) error {
	for _, query := range [][]string{
		append(append([]string{"addprinc", "-randkey"}, options...), principal),
		{"ktadd", "-k", c.Keytab(principal), principal},
	} {
		if _, err := c.krb5(ctx, c.tools.kadminLocal, append([]string{"-r", Realm}, query...)...); err != nil {
			return fmt.Errorf("add principal %s: %w", principal, err)
		}
	}
	return nil
}

// ChangeKey gives a principal a new random key and a higher version; keytabs written before no longer work.
// The new key is written to a keytab at path.
func (c *Cluster) ChangeKey(ctx context.Context, principal, path string) error {
	if _, err := c.krb5(ctx, c.tools.kadminLocal, "-r", Realm, "ktadd", "-k", path, principal); err != nil {
		return fmt.Errorf("change key of %s: %w", principal, err)
	}
	return nil
}

// Keytab returns the path of a principal's keytab; the realm may be left out of the name.
func (c *Cluster) Keytab(principal string) string {
	name, _, _ := strings.Cut(principal, "@")
	return filepath.Join(c.keytabDir(), strings.ReplaceAll(name, "/", "_")+".keytab")
}

// StartKDC starts a stopped KDC on its address and waits until it answers.
func (c *Cluster) StartKDC(ctx context.Context) error {
	cmd := exec.Command(c.tools.krb5kdc, "-n", "-r", Realm, "-P", filepath.Join(c.Dir, "kdc.pid"))
	cmd.Env = c.krb5Env()
	var err error
	if c.kdc, err = startProcess(kdcName, c.logFile(kdcName), cmd); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return c.kdc.await(ctx, func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.KDCAddr)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// StopKDC stops the KDC and leaves the rest running.
func (c *Cluster) StopKDC() {
	c.kdc.stop()
	c.kdc = nil
}

// KDCRequests returns how many AS and TGS requests the KDC has logged since it was created.
func (c *Cluster) KDCRequests() (int, error) {
	log, err := os.ReadFile(c.logFile(kdcName))
	if err != nil {
		return 0, fmt.Errorf("count KDC requests: %w", err)
	}
	return bytes.Count(log, []byte("AS_REQ (")) + bytes.Count(log, []byte("TGS_REQ (")), nil
}

// Login gets a ticket for principal with its keytab and returns the path of a new FILE ccache that holds it.
// Further arguments are kinit's own, such as "-l", "10s".
func (c *Cluster) Login(ctx context.Context, principal string, kinitArgs ...string) (ccache string, err error) {
	dir, err := os.MkdirTemp(c.Dir, "login-")
	if err != nil {
		return "", fmt.Errorf("log in as %s: %w", principal, err)
	}
	ccache = filepath.Join(dir, "ccache")
	args := append([]string{"-c", "FILE:" + ccache, "-k", "-t", c.Keytab(principal)}, kinitArgs...)
	if _, err := c.krb5(ctx, c.tools.kinit, append(args, principal)...); err != nil {
		return "", fmt.Errorf("log in as %s: %w", principal, err)
	}
	return ccache, nil
}

// krb5 runs one of the Kerberos tools on this Cluster's realm.
func (c *Cluster) krb5(ctx context.Context, program string, args ...string) (string, error) {
	cmd := exec.Command(program, args...)
	cmd.Env = c.krb5Env()
	return run(ctx, cmd)
}

func (c *Cluster) krb5Env() []string {
	return append(os.Environ(), "KRB5_CONFIG="+c.Krb5Conf, "KRB5_KDC_PROFILE="+c.kdcConf(), "LC_ALL=C")
}

func (c *Cluster) keytabDir() string { return filepath.Join(c.Dir, "keytabs") }
func (c *Cluster) kdcConf() string   { return filepath.Join(c.Dir, "kdc.conf") }

// krb5Conf is the text of krb5.conf. No name is looked up, forward or back: localhost is what principals say.
// udp_preference_limit makes clients use TCP; a test of UDP writes a krb5.conf of its own.
func (c *Cluster) krb5Conf() string {
	return fmt.Sprintf(`[libdefaults]
  default_realm = %[1]s
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
  ticket_lifetime = %[3]ds
  forwardable = true

[realms]
  %[1]s = {
    kdc = %[2]s
  }

[domain_realm]
  localhost = %[1]s

[logging]
  kdc = STDERR
`, Realm, c.KDCAddr, seconds(c.opts.TicketLife, defaultTicketLife))
}

func (c *Cluster) kdcConfText() string {
	return fmt.Sprintf(`[kdcdefaults]
  kdc_listen = %[2]s
  kdc_tcp_listen = %[2]s

[realms]
  %[1]s = {
    database_name = %[3]s/principal
    key_stash_file = %[3]s/stash
    acl_file = %[3]s/kadm5.acl
    max_life = %[4]ds
    max_renewable_life = %[5]ds
    supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal
    default_principal_flags = +renewable +forwardable +preauth
  }
`, Realm, c.KDCAddr, c.Dir,
		seconds(c.opts.TicketLife, defaultTicketLife), seconds(c.opts.RenewableLife, defaultRenewableLife))
}

// seconds returns d, or def if d is zero, in whole seconds and at least one.
func seconds(d, def time.Duration) int64 {
	if d == 0 {
		d = def
	}
	return max(1, int64(d/time.Second))
}
