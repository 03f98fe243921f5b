package hdfs

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/hadoopconf"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// lookupFor bounds a name look-up, so that a broken DNS delays nobody.
const lookupFor = 2 * time.Second

// serviceText is the text that clients look for in a token of a service
// (SecurityUtil.buildTokenService): the logical name of several NameNodes, else
// the address of the one.
func (p *Provider) serviceText(ctx context.Context, name string) (string, error) {
	i := slices.IndexFunc(p.services, func(s hadoopconf.Nameservice) bool { return authorityName(s) == name })
	s := p.services[i]
	useIP, err := p.cluster.Conf().UseIP()
	if err != nil {
		return "", err
	}
	if !useIP || strings.HasPrefix(s.Service, "ha-hdfs:") {
		return s.Service, nil
	}
	return p.byIP(ctx, s.Service)
}

// byIP is host:port as ip:port. The last good answer serves while names cannot
// be looked up.
func (p *Provider) byIP(ctx context.Context, addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", plugins.Refused("bad-address", err)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return net.JoinHostPort(ip.String(), port), nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupFor)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil || len(found) == 0 {
		if text, ok := p.texts[addr]; ok {
			return text, nil
		}
		return "", fmt.Errorf("look up %s: %w", host, err)
	}
	// Java takes the first address, and IPv4 before IPv6.
	slices.SortStableFunc(found, func(a, b netip.Addr) int { return a.Unmap().BitLen() - b.Unmap().BitLen() })
	p.texts[addr] = net.JoinHostPort(found[0].Unmap().String(), port)
	return p.texts[addr], nil
}

// allTexts are all texts under which tokens of a service go: the aliases of the
// configuration, and each address as ip:port.
func (p *Provider) allTexts(ctx context.Context, s hadoopconf.Nameservice) []string {
	texts := slices.Clone(s.Aliases)
	for _, addr := range s.Addresses {
		if text, err := p.byIP(ctx, addr); err == nil {
			texts = append(texts, text)
		}
	}
	return texts
}

// issuer is the authority of a service text. The text is a key, never an address.
func (p *Provider) issuer(ctx context.Context, service string) (string, error) {
	service = strings.ToLower(service)
	for _, s := range p.services {
		if slices.ContainsFunc(p.allTexts(ctx, s), func(text string) bool { return strings.EqualFold(text, service) }) {
			return authorityName(s), nil
		}
	}
	return "", plugins.Refused("service-not-configured", fmt.Errorf("service %q is not in the Hadoop configuration", service))
}
