package core

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/tokenwheel/tokenwheel/appregistry"
)

// Mode says what is done with the tokens of one provider instance.
type Mode uint8

// The modes.
const (
	ModeRenew   Mode = iota // renewed, and replaced when that ends
	ModeReplace             // replaced only
	ModeWatch               // delivered, and alarmed about before they end; their service is not touched
	ModeIgnore              // delivered
)

var modeNames = [...]string{"renew", "replace", "watch", "ignore"}

// String returns the mode's word.
func (m Mode) String() string { return modeNames[m%Mode(len(modeNames))] }

// Instance is the operator's policy for one provider instance, that is for one
// cluster. The zero value is the default.
type Instance struct {
	Mode Mode
	// Exclude names services of it, by authority, service text or host, whose
	// tokens are not renewed: YARN's mapreduce.job.hdfs-servers.token-renewal.exclude.
	Exclude []string
	// Policy has this instance's numbers; nil: those of [Config].
	Policy *Policy
}

func (i *Instance) excludes(a appregistry.Authority, service string) bool {
	if len(i.Exclude) == 0 {
		return false
	}
	service = strings.TrimPrefix(service, "ha-hdfs:")
	host, _, err := net.SplitHostPort(service)
	return slices.ContainsFunc(i.Exclude, func(x string) bool {
		return strings.EqualFold(x, a.Name) || strings.EqualFold(x, service) || err == nil && strings.EqualFold(x, host)
	})
}

// instance is the policy for an authority's instance.
func (c *Core) instance(a appregistry.Authority) *Instance {
	if i := c.instances[a.Instance]; i != nil {
		return i
	}
	return &c.plain
}

// closed says why nothing may be asked of an authority; "": it may.
func (c *Core) closed(a appregistry.Authority) string {
	if m := c.instance(a).Mode; m >= ModeWatch {
		return fmt.Sprintf("the policy of %s is %s", a.Instance, m)
	}
	return ""
}

// handsOff says why a token is the operator's wish to be left alone; "": it is not.
func (c *Core) handsOff(t *appregistry.TokenRecord) string {
	if why := c.closed(t.Authority); why != "" {
		return why
	}
	if !t.Obtained && c.instance(t.Authority).excludes(t.Authority, t.Token.Service) {
		return fmt.Sprintf("excluded from renewal: %s", t.Token.Service)
	}
	return ""
}

// ignored reports whether nobody wants to hear of the end of a token.
func (c *Core) ignored(t *token) bool { return c.instance(t.rec.Authority).Mode == ModeIgnore }

// policyAt is the policy for a token that an application holds, or nobody does.
func (c *Core) policyAt(overlay appregistry.Overlay, t *appregistry.TokenRecord) Policy {
	p := c.policyFor(overlay, t.Authority)
	if t.Obtained && c.instance(t.Authority).excludes(t.Authority, t.Token.Service) {
		p.ReplaceOnly = true
	}
	return p
}

// warn tells once that a token ends and nobody here can do anything about it.
func (c *Core) warn(t *token) {
	t.warned = true
	if c.ignored(t) || !c.reg.Referenced(t.rec.ID) {
		return
	}
	n := c.aboutToken(TokenEnding, t)
	n.Next = c.wall(c.lastEnd(t))
	if t.rec.State != appregistry.Foreign {
		n.Reason = "nobody can obtain its successor"
	}
	c.notify(n)
}
