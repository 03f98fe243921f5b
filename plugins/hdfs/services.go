package hdfs

import (
	"context"
	"errors"
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
// be looked up, and all of them are remembered: a token keeps the text of the
// address that its NameNode had.
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
	found, err := p.lookup(ctx, "ip", host)
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.texts[addr]
	if err != nil || len(found) == 0 {
		if len(known) > 0 {
			return known[len(known)-1], nil
		}
		return "", fmt.Errorf("look up %s: %w", host, err)
	}
	// Java takes the first address, and IPv4 before IPv6.
	slices.SortStableFunc(found, func(a, b netip.Addr) int { return a.Unmap().BitLen() - b.Unmap().BitLen() })
	text := net.JoinHostPort(found[0].Unmap().String(), port)
	known = append(slices.DeleteFunc(known, func(k string) bool { return k == text }), text)
	p.texts[addr] = known[max(0, len(known)-mostTexts):]
	return text, nil
}

// mostTexts bounds the addresses of one NameNode that are remembered.
const mostTexts = 16

// numericTexts are each address of a service as ip:port: as of now, and those
// known from before. An error tells of a name that was never found.
func (p *Provider) numericTexts(ctx context.Context, s hadoopconf.Nameservice) (texts []string, err error) {
	for _, addr := range s.Addresses {
		text, lookupErr := p.byIP(ctx, addr)
		if lookupErr == nil {
			texts = append(texts, text)
		}
		err = errors.Join(err, lookupErr)
		texts = append(texts, p.knownTexts(addr)...)
	}
	return texts, err
}

func (p *Provider) knownTexts(addr string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.texts[addr])
}

// issuer is the authority of a service text. The text is a key, never an address.
// Names are looked up only for a text that nothing else explains, so that no call
// waits for a DNS that it does not need.
func (p *Provider) issuer(ctx context.Context, service string) (string, error) {
	is := func(text string) bool { return strings.EqualFold(text, service) }
	for _, s := range p.services {
		if slices.ContainsFunc(s.Aliases, is) {
			return authorityName(s), nil
		}
		for _, addr := range s.Addresses {
			if known := p.knownTexts(addr); len(known) > 0 && is(known[len(known)-1]) {
				return authorityName(s), nil
			}
		}
	}
	var unknown error
	for _, s := range p.services {
		texts, err := p.numericTexts(ctx, s)
		if slices.ContainsFunc(texts, is) {
			return authorityName(s), nil
		}
		unknown = errors.Join(unknown, err)
	}
	if unknown != nil {
		return "", fmt.Errorf("whose service %q is: %w", service, unknown) // it may be known when names are
	}
	return "", plugins.Refused("service-not-configured", fmt.Errorf("service %q is not in the Hadoop configuration", service))
}
