package hrpc

import (
	"fmt"
	"net"
	"regexp"
	"strings"
)

// serverName is what a server may be called (SaslRpcClient.getServerPrincipal). The server names itself in its offer,
// which nobody has authenticated then; without this check any service of the realm could answer in another's place.
type serverName struct {
	exact   string // a principal; realm optional
	pattern string // a glob over principals; realm optional
}

func newServerName(k *Kerberos, addr string) (serverName, error) {
	if k.Pattern != "" {
		return serverName{pattern: k.Pattern}, nil
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return serverName{}, err
	}
	service, rest, _ := strings.Cut(k.Principal, "/")
	instance, realm, _ := strings.Cut(rest, "@")
	if service == "" || instance == "" {
		return serverName{}, fmt.Errorf("principal %q has no host part: %w", k.Principal, ErrServerName)
	}
	if instance == "_HOST" {
		instance = strings.ToLower(host)
	}
	name := service + "/" + instance
	if realm != "" {
		name += "@" + realm
	}
	return serverName{exact: name}, nil
}

// checkService looks at a name without realm, before a ticket is asked for.
func (n serverName) checkService(service string) error {
	want, _, _ := strings.Cut(n.exact, "@")
	pattern, _, _ := strings.Cut(n.pattern, "@")
	return serverName{want, pattern}.match(service)
}

// checkPeer looks at the principal that was authenticated.
func (n serverName) checkPeer(peer string) error {
	if !strings.Contains(n.exact+n.pattern, "@") {
		peer, _, _ = strings.Cut(peer, "@")
	}
	return n.match(peer)
}

func (n serverName) match(name string) error {
	switch {
	case n.pattern == "" && n.exact == name:
		return nil
	case n.pattern == "":
		return fmt.Errorf("it is %q instead of %q: %w", name, n.exact, ErrServerName)
	}
	re, err := compileGlob(n.pattern)
	if err != nil {
		return fmt.Errorf("pattern %q: %w", n.pattern, err)
	}
	if !re.MatchString(name) {
		return fmt.Errorf("%q does not match %q: %w", name, n.pattern, ErrServerName)
	}
	return nil
}

// compileGlob translates what Hadoop's GlobPattern knows: * ? [a-z] [^a-z] {a,b} and the backslash. A star takes
// slashes too.
func compileGlob(glob string) (*regexp.Regexp, error) {
	var b strings.Builder
	inClass, braces := false, 0
	for i := 0; i < len(glob); i++ {
		c := glob[i]
		switch {
		case c == '\\' && i+1 < len(glob):
			i++
			b.WriteString(regexp.QuoteMeta(glob[i : i+1]))
		case inClass:
			inClass = c != ']'
			b.WriteByte(c)
		case c == '[':
			inClass = true
			b.WriteByte(c)
		case c == '*':
			b.WriteString(".*")
		case c == '?':
			b.WriteByte('.')
		case c == '{':
			braces++
			b.WriteString("(?:")
		case c == '}' && braces > 0:
			braces--
			b.WriteByte(')')
		case c == ',' && braces > 0:
			b.WriteByte('|')
		default:
			b.WriteString(regexp.QuoteMeta(glob[i : i+1]))
		}
	}
	return regexp.Compile("^(?:" + b.String() + ")$")
}
