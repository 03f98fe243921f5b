package krb_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwheel/tokenwheel/internal/krb"
)

// worldly has what real files have and simple readers trip over.
const worldly = `# comment
; another
module /usr/lib/x/y.so:residual

[logging]
 default = FILE:/var/log/krb5libs.log

[libdefaults]
    default_realm = EXAMPLE.COM
    dns_lookup_kdc = no
    dns_canonicalize_hostname = fallback
    rdns = false
    ticket_lifetime = 1d 12h
    renew_lifetime = 7d
    forwardable = true
    udp_preference_limit = 1
    clockskew = 2:30
    permitted_enctypes = aes256-sha2, aes128-cts-hmac-sha256-128 aes256-cts camellia256-cts des-cbc-crc
    default_tkt_enctypes = aes256-cts aes256-sha2
    default_ccache_name = KEYRING:persistent:%{uid}
    v4_instance_resolve = false
    v4_name_convert = {
        host = {
            rcmd = host
            ftp = ftp
        }
        plain = {
            something = something-else
        }
    }
    EXAMPLE.COM = {
        fcc-mit-ticketflags = true
    }

[realms]*
    EXAMPLE.COM* = {
        kdc = kdc1.example.com
        kdc* = kdc2.example.com:750
        kdc = [2001:db8::1]:88
        kdc = 2001:db8::2
        kdc = https://proxy.example.com/KdcProxy
        admin_server = kdc1.example.com
        auth_to_local_names = {
            root = admin
        }
        auth_to_local = RULE:[1:$1@$0](.*@AD.TEST)s/@.*//
    }*
    ATHENA.MIT.EDU =
    {
        kdc = "kerberos.mit.edu"
    }

[domain_realm]
    .example.com = EXAMPLE.COM
    Odd.Example.COM = ODD.TEST

[capaths]
    CLIENT.TEST = {
        SERVER.TEST = MIDDLE.TEST
        SERVER.TEST = SECOND.TEST
    }

[plugins]
    clpreauth = {
        disable = pkinit
    }
`

func TestConfigOfTheRealWorld(t *testing.T) {
	got, err := krb.ParseConfig("krb5.conf", worldly)
	if err != nil {
		t.Fatal(err)
	}
	want := &krb.Config{
		DefaultRealm: "EXAMPLE.COM",
		Realms: map[string]krb.Realm{
			"EXAMPLE.COM": {
				KDCs:    []string{"kdc1.example.com:88", "kdc2.example.com:750", "[2001:db8::1]:88", "[2001:db8::2]:88"},
				Skipped: []string{"https://proxy.example.com/KdcProxy"},
			},
			"ATHENA.MIT.EDU": {KDCs: []string{"kerberos.mit.edu:88"}},
		},
		DomainRealm:    map[string]string{".example.com": "EXAMPLE.COM", "odd.example.com": "ODD.TEST"},
		CAPaths:        map[string]map[string]string{"CLIENT.TEST": {"SERVER.TEST": "MIDDLE.TEST"}},
		Forwardable:    true,
		TicketLifetime: 36 * time.Hour,
		ClockSkew:      150 * time.Minute,
		UDPLimit:       1,
		ASEtypes:       []int32{18, 20},
		TGSEtypes:      []int32{20, 19, 18},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRealmOf(t *testing.T) {
	c := &krb.Config{DomainRealm: map[string]string{".a.test": "DOT", "a.test": "BARE", "h.b.test": "HOST", "c.test": "PARENT"}}
	for host, want := range map[string]string{
		"x.a.test": "DOT", "y.x.A.TEST": "DOT", "a.test": "BARE", "h.b.test": "HOST", "other.b.test": "", "x.c.test": "PARENT", "": "",
	} {
		if got := c.RealmOf(host); got != want {
			t.Errorf("%q is in realm %q, want %q", host, got, want)
		}
	}
}

func TestConfigIncludes(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "krb5.conf.d")
	if err := os.Mkdir(conf, 0o755); err != nil {
		t.Fatal(err)
	}
	realm := func(name string) string { return "[realms]\n" + name + " = {\n kdc = k\n}\n" }
	for name, text := range map[string]string{
		filepath.Join(conf, "10-a_B"):       realm("PLAIN"),
		filepath.Join(conf, "x.conf"):       realm("CONF"),
		filepath.Join(conf, "x.rpmnew"):     realm("LEFTOVER"),
		filepath.Join(conf, "backup~"):      realm("EDITOR"),
		filepath.Join(conf, ".hidden.conf"): realm("HIDDEN"),
		filepath.Join(dir, "one"):           realm("ONE") + "[libdefaults]\n default_realm = FIRST\n",
		filepath.Join(dir, "krb5.conf"): "[libdefaults]\ninclude " + filepath.Join(dir, "one") + "\nincludedir " + conf +
			"\n default_realm = SECOND\n forwardable = yes\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c, err := krb.LoadConfig(filepath.Join(dir, "krb5.conf"))
	if err != nil {
		t.Fatal(err)
	}
	var realms []string
	for _, name := range []string{"PLAIN", "CONF", "LEFTOVER", "EDITOR", "HIDDEN", "ONE"} {
		if _, ok := c.Realms[name]; ok {
			realms = append(realms, name)
		}
	}
	if diff := cmp.Diff([]string{"PLAIN", "CONF", "ONE"}, realms); diff != "" {
		t.Error(diff)
	}
	if c.DefaultRealm != "FIRST" || !c.Forwardable {
		t.Errorf("default realm %q, forwardable %v: the section does not go on after an include", c.DefaultRealm, c.Forwardable)
	}
}

func TestConfigFaultsNameTheirLine(t *testing.T) {
	dir := t.TempDir()
	loop := filepath.Join(dir, "loop")
	if err := os.WriteFile(loop, []byte("include "+loop+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		text string
		line int
		file string
	}{
		"before a section":  {text: "a = b\n", line: 1},
		"section not ended": {text: "[libdefaults\n", line: 1},
		"no equals":         {text: "[libdefaults]\n\ndefault_realm\n", line: 3},
		"stray brace":       {text: "[realms]\n}\n", line: 2},
		"open block":        {text: "[realms]\nA = {\n kdc = x\n", line: 3},
		"section in block":  {text: "[realms]\nA = {\n[libdefaults]\n", line: 3},
		"open quote":        {text: "[libdefaults]\ndefault_realm = \"A\n", line: 2},
		"lifetime":          {text: "[libdefaults]\nticket_lifetime = soon\n", line: 2},
		"boolean":           {text: "[libdefaults]\nforwardable = maybe\n", line: 2},
		"number":            {text: "[libdefaults]\nudp_preference_limit = many\n", line: 2},
		"no enctype":        {text: "[libdefaults]\npermitted_enctypes = des-cbc-crc\n", line: 2},
		"port":              {text: "[realms]\nA = {\n kdc = x:99999\n}\n", line: 3},
		"IPv6":              {text: "[realms]\nA = {\n kdc = [::1\n}\n", line: 3},
		"relative include":  {text: "include x\n", line: 1},
		"missing include":   {text: "\ninclude " + dir + "/none\n", file: dir + "/none"},
		"include loop":      {text: "include " + loop + "\n", file: loop},
	} {
		t.Run(name, func(t *testing.T) {
			file := tc.file
			if file == "" {
				file = "krb5.conf"
			}
			_, err := krb.ParseConfig("krb5.conf", tc.text)
			var e *krb.ConfigError
			if !errors.As(err, &e) || e.File != file || e.Line != tc.line {
				t.Errorf("error %v, want one at %s:%d", err, file, tc.line)
			}
		})
	}
}

// A file that names no KDC and says nothing of DNS counts on it.
func TestDNSIsAskedUnlessTheFileSaysNo(t *testing.T) {
	for text, want := range map[string]bool{
		"[libdefaults]\n default_realm = A.TEST\n": true, "[libdefaults]\n dns_lookup_kdc = false\n": false,
		"[libdefaults]\n dns_lookup_kdc = true\n": true,
	} {
		c, err := krb.ParseConfig("krb5.conf", text)
		if err != nil || c.DNSLookupKDC != want {
			t.Errorf("%q: %+v, %v; want %v", text, c, err, want)
		}
	}
}
