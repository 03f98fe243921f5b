package namenode

import (
	"fmt"
	"net"
	"os"
	"strings"
)

// host is what _HOST in our own principal stands for: this machine's full name
// in lower case.
func (c *Cluster) host() (string, error) {
	if c.cfg.Host != "" || !strings.Contains(c.cfg.Principal, "/_HOST") {
		return c.cfg.Host, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("_HOST in %q: %w", c.cfg.Principal, err)
	}
	if full, err := net.LookupCNAME(name); err == nil && strings.Contains(full, ".") {
		name = strings.TrimSuffix(full, ".")
	}
	return strings.ToLower(name), nil
}
