package krb

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
)

// Defaults of MIT Kerberos for what a krb5.conf leaves open.
const (
	defaultTicketLifetime = 24 * time.Hour
	defaultClockSkew      = 5 * time.Minute
	defaultUDPLimit       = 1465
	kdcPort               = "88"
)

// Config is what this package needs of a krb5.conf. Settings about how host
// names become principals (rdns, dns_canonicalize_hostname) are accepted and not
// used: service names come from the caller in full. The zero value knows no
// realm. A Config is not changed once a Client uses it.
type Config struct {
	DefaultRealm   string
	Realms         map[string]Realm
	DomainRealm    map[string]string            // host or ".domain", lower case, to realm
	CAPaths        map[string]map[string]string // client realm, server realm, first hop ("." is none)
	DNSLookupKDC   bool                         // look for _kerberos SRV records of realms without a KDC here
	Forwardable    bool
	TicketLifetime time.Duration // asked for; 0: a day
	ClockSkew      time.Duration // tolerated without correction; 0: five minutes
	UDPLimit       int           // udp_preference_limit: larger requests start with TCP; 0: MIT's 1465
	ASEtypes       []int32       // encryption types for the login, best first; nil: the AES ones
	TGSEtypes      []int32       // and for service tickets
}

// Realm holds where a realm's KDCs are.
type Realm struct {
	KDCs    []string // host:port, in order of the file
	Skipped []string // entries that cannot be used, such as HTTPS proxies
}

// ConfigError is a fault in a krb5.conf.
type ConfigError struct {
	File string
	Line int // 0: the file as a whole
	Err  error
}

func (e *ConfigError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
}

// Unwrap returns the cause.
func (e *ConfigError) Unwrap() error { return e.Err }

// LoadConfig reads krb5.conf files, with what they include; as with MIT's
// KRB5_CONFIG, the first file that sets a value wins. Errors are *ConfigError.
func LoadConfig(paths ...string) (*Config, error) {
	if len(paths) == 0 {
		return nil, &ConfigError{File: "krb5.conf", Err: errors.New("no file named")}
	}
	var p profile
	for _, path := range paths {
		if err := p.readFile(path, 0); err != nil {
			return nil, err
		}
	}
	return p.config()
}

// ParseConfig reads the text of a krb5.conf; name stands for the file in errors.
func ParseConfig(name, text string) (*Config, error) {
	var p profile
	if err := p.readText(name, text, 0); err != nil {
		return nil, err
	}
	return p.config()
}

// config interprets the relations that were read.
func (p *profile) config() (*Config, error) {
	// As MIT and the JDK have it, and files that name no KDC count on.
	c := &Config{DNSLookupKDC: true, Realms: map[string]Realm{}, DomainRealm: map[string]string{}, CAPaths: map[string]map[string]string{}}
	permitted := defaultEtypes()
	seen := map[string]bool{}
	for _, r := range p.relations {
		key := strings.Join(r.path, "\x00")
		first := !seen[key]
		seen[key] = true
		var err error
		switch {
		case r.is("libdefaults", 2) && first:
			err = c.libdefault(r.path[1], r.value, &permitted)
		case r.is("realms", 3) && r.path[2] == "kdc":
			err = c.addKDC(r.path[1], r.value)
		case r.is("domain_realm", 2) && first:
			c.DomainRealm[strings.ToLower(r.path[1])] = r.value
		case r.is("capaths", 3) && first: // more values are later hops, which the KDCs on the way know
			if c.CAPaths[r.path[1]] == nil {
				c.CAPaths[r.path[1]] = map[string]string{}
			}
			c.CAPaths[r.path[1]][r.path[2]] = r.value
		}
		if err != nil {
			return nil, &ConfigError{File: r.file, Line: r.line, Err: fmt.Errorf("%s: %w", r.path[len(r.path)-1], err)}
		}
	}
	c.ASEtypes = restrict(c.ASEtypes, permitted)
	c.TGSEtypes = restrict(c.TGSEtypes, permitted)
	return c, nil
}

func (c *Config) libdefault(name, value string, permitted *[]int32) (err error) {
	switch name {
	case "default_realm":
		c.DefaultRealm = value
	case "dns_lookup_kdc":
		c.DNSLookupKDC, err = parseBool(value)
	case "forwardable":
		c.Forwardable, err = parseBool(value)
	case "ticket_lifetime":
		c.TicketLifetime, err = parseLifetime(value)
	case "clockskew":
		c.ClockSkew, err = parseLifetime(value)
	case "udp_preference_limit":
		if c.UDPLimit, err = strconv.Atoi(value); err != nil {
			err = fmt.Errorf("%q is not a number", value)
		}
		c.UDPLimit = max(c.UDPLimit, 1) // 0 is MIT's "always TCP", and our zero value's default
	case "permitted_enctypes":
		*permitted, err = parseEtypes(value)
	case "default_tkt_enctypes":
		c.ASEtypes, err = parseEtypes(value)
	case "default_tgs_enctypes":
		c.TGSEtypes, err = parseEtypes(value)
	}
	return err
}

func (c *Config) addKDC(realm, value string) error {
	r := c.Realms[realm]
	defer func() { c.Realms[realm] = r }()
	if strings.Contains(value, "/") {
		r.Skipped = append(r.Skipped, value)
		return nil
	}
	addr, err := kdcAddress(value)
	if err != nil {
		return err
	}
	if !slices.Contains(r.KDCs, addr) {
		r.KDCs = append(r.KDCs, addr)
	}
	return nil
}

// kdcAddress reads host, host:port, [v6]:port, [v6] and a bare IPv6 address.
func kdcAddress(value string) (string, error) {
	host, port := value, kdcPort
	if inner, ok := strings.CutPrefix(value, "["); ok {
		ip, rest, closed := strings.Cut(inner, "]")
		if !closed || net.ParseIP(ip) == nil {
			return "", fmt.Errorf("%q is not [address]:port", value)
		}
		host, port = ip, kdcPort
		if rest != "" {
			port = strings.TrimPrefix(rest, ":")
		}
	} else if strings.Count(value, ":") == 1 {
		host, port, _ = strings.Cut(value, ":")
	} else if strings.Contains(value, ":") && net.ParseIP(value) == nil {
		return "", fmt.Errorf("%q is not host:port", value)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" || strings.ContainsAny(host, " \t") {
		return "", fmt.Errorf("%q is not host:port", value)
	}
	return net.JoinHostPort(host, port), nil
}

// RealmOf finds the realm of a host by [domain_realm], in MIT's order: the host,
// then each parent with and without its dot. It is "" where nothing matches.
func (c *Config) RealmOf(host string) string {
	host = strings.ToLower(host)
	for {
		if realm, ok := c.DomainRealm[host]; ok {
			return realm
		}
		if parent, ok := strings.CutPrefix(host, "."); ok {
			host = parent
			continue
		}
		dot := strings.IndexByte(host, '.')
		if dot < 0 {
			return ""
		}
		host = host[dot:]
	}
}

func (c *Config) clockSkew() time.Duration { return orDefault(c.ClockSkew, defaultClockSkew) }
func (c *Config) ticketLifetime() time.Duration {
	return orDefault(c.TicketLifetime, defaultTicketLifetime)
}
func (c *Config) udpLimit() int { return orDefault(c.UDPLimit, defaultUDPLimit) }

func (c *Config) asEtypes() []int32 {
	if c.ASEtypes == nil {
		return defaultEtypes()
	}
	return c.ASEtypes
}

// tgsEtypes leaves out what the GSS layer cannot speak.
func (c *Config) tgsEtypes() []int32 {
	ids := c.TGSEtypes
	if ids == nil {
		ids = defaultEtypes()
	}
	return slices.DeleteFunc(slices.Clone(ids), func(id int32) bool { return !gssEtype(id) })
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// defaultEtypes is MIT's order without the types that are no longer safe.
func defaultEtypes() []int32 {
	return []int32{
		etypeID.AES256_CTS_HMAC_SHA1_96, etypeID.AES128_CTS_HMAC_SHA1_96,
		etypeID.AES256_CTS_HMAC_SHA384_192, etypeID.AES128_CTS_HMAC_SHA256_128,
	}
}

// restrict keeps of ids what is permitted; no ids means all that is permitted.
func restrict(ids, permitted []int32) []int32 {
	if ids == nil {
		return permitted
	}
	return slices.DeleteFunc(ids, func(id int32) bool { return !slices.Contains(permitted, id) })
}

// parseEtypes reads a list of encryption types as MIT does: names, families,
// DEFAULT, a leading + or -. Names that this package cannot do are left out, so
// that a file with Camellia or single DES in it still loads.
func parseEtypes(value string) ([]int32, error) {
	ids := []int32{}
	for _, word := range strings.FieldsFunc(strings.ToLower(value), func(r rune) bool { return r == ' ' || r == '\t' || r == ',' }) {
		name, remove := strings.CutPrefix(word, "-")
		group := etypesNamed(strings.TrimPrefix(name, "+"))
		ids = slices.DeleteFunc(ids, func(id int32) bool { return slices.Contains(group, id) })
		if !remove {
			ids = append(ids, group...)
		}
	}
	if len(ids) == 0 {
		return nil, fmt.Errorf("no usable encryption type in %q", value)
	}
	return ids, nil
}

func etypesNamed(name string) []int32 {
	switch name {
	case "default", "aes":
		return defaultEtypes()
	case "rc4":
		return []int32{etypeID.RC4_HMAC}
	case "des3":
		return []int32{etypeID.DES3_CBC_SHA1_KD}
	}
	id := etypeID.ETypesByName[name]
	if gssEtype(id) || id == etypeID.RC4_HMAC || id == etypeID.DES3_CBC_SHA1_KD {
		return []int32{id}
	}
	return nil
}

func parseBool(value string) (bool, error) {
	switch strings.ToLower(value) {
	case "y", "yes", "true", "t", "1", "on":
		return true, nil
	case "n", "no", "false", "f", "nil", "0", "off":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither yes nor no", value)
}

// parseLifetime reads MIT's time durations: "36000", "10h", "1d 2h 3m 4s", "h:m[:s]".
func parseLifetime(value string) (time.Duration, error) {
	bad := fmt.Errorf("%q is not a duration such as 10h, 1d12h or 36000", value)
	if strings.Contains(value, ":") {
		parts := strings.Split(value, ":")
		if len(parts) > 3 {
			return 0, bad
		}
		value = parts[0] + "h" + parts[1] + "m"
		if len(parts) == 3 {
			value += parts[2] + "s"
		}
	}
	units := map[byte]time.Duration{'d': 24 * time.Hour, 'h': time.Hour, 'm': time.Minute, 's': time.Second}
	rest := strings.ToLower(strings.ReplaceAll(value, " ", ""))
	var total time.Duration
	for rest != "" {
		digits := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		unit := time.Second
		if digits < 0 {
			digits = len(rest)
		} else if unit = units[rest[digits]]; unit == 0 {
			return 0, bad
		}
		n, err := strconv.ParseUint(rest[:digits], 10, 31)
		if err != nil || time.Duration(n) > (1<<62)/unit {
			return 0, bad
		}
		total += time.Duration(n) * unit
		rest = rest[min(digits+1, len(rest)):]
	}
	if total <= 0 {
		return 0, bad
	}
	return total, nil
}
