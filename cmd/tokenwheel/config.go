package main

import (
	"cmp"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/tokenwheel/tokenwheel/internal/hadoopconf"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// fullYAML is every key with its default and its meaning. It is decoded before
// the operator's file, so that what it says is what is done.
//
//go:embed full.yaml
var fullYAML []byte

// config is the daemon's configuration; full.yaml says what the keys mean.
type config struct {
	HadoopConf string                    `yaml:"hadoop_conf"`
	Kerberos   kerberosConfig            `yaml:"kerberos"`
	Control    controlConfig             `yaml:"control"`
	Store      string                    `yaml:"store"`
	StoreKey   string                    `yaml:"store-key"`
	Renewal    renewalConfig             `yaml:"renewal"`
	Retry      retryConfig               `yaml:"retry"`
	Staging    stagingConfig             `yaml:"staging"`
	Providers  map[string]providerConfig `yaml:"providers"`
	Access     accessConfig              `yaml:"access"`
	Log        logConfig                 `yaml:"log"`
}

type kerberosConfig struct {
	Principal string `yaml:"principal"`
	Keytab    string `yaml:"keytab"`
	CCache    string `yaml:"ccache"`
	Krb5Conf  string `yaml:"krb5_conf"`
}

// controlConfig may be written as the address alone.
type controlConfig struct {
	Address string `yaml:"address"`
	Mode    string `yaml:"mode"`
	Group   string `yaml:"group"`
}

// UnmarshalYAML implements yaml.NodeUnmarshaler.
func (c *controlConfig) UnmarshalYAML(n ast.Node) error {
	if s, ok := n.(*ast.StringNode); ok {
		c.Address = s.Value
		return nil
	}
	type plain controlConfig
	p := plain(*c)
	err := yaml.NodeToValue(n, &p)
	*c = controlConfig(p)
	return err
}

type renewalConfig struct {
	TimeRatio       float64  `yaml:"time-ratio"`
	Jitter          float64  `yaml:"jitter"`
	MinLead         duration `yaml:"min-lead"`
	ReplaceLead     duration `yaml:"replace-lead"`
	DefaultValidity duration `yaml:"default-validity"`
	Grace           duration `yaml:"grace"`
	Coalesce        duration `yaml:"coalesce"`
	CallTimeout     duration `yaml:"call-timeout"`
	Cooldown        duration `yaml:"cooldown"`
	PerService      int      `yaml:"per-service"`
	CallsPerSecond  float64  `yaml:"calls-per-second"`
}

type retryConfig struct {
	InitialBackoff duration `yaml:"initial-backoff"`
	MaxBackoff     duration `yaml:"max-backoff"`
}

type stagingConfig struct {
	Default       string            `yaml:"default"`
	Targets       map[string]string `yaml:"targets"`
	Keep          int               `yaml:"keep"`
	PerTarget     int               `yaml:"per-target"`
	ClearTransfer bool              `yaml:"clear-transfer"`
}

type providerConfig struct {
	Builtin string         `yaml:"builtin"`
	Command string         `yaml:"command"`
	Args    []string       `yaml:"args"`
	SHA256  string         `yaml:"sha256"`
	PassEnv []string       `yaml:"pass-env"`
	Config  map[string]any `yaml:"config"`
	Policy  string         `yaml:"policy"`
	Exclude []string       `yaml:"exclude"`
	Renewal numbersConfig  `yaml:"renewal"`
}

// numbersConfig is what of the renewal section a provider may have for itself. Zero:
// as there.
type numbersConfig struct {
	TimeRatio       float64  `yaml:"time-ratio"`
	Jitter          *float64 `yaml:"jitter"` // nil: as there; zero is none
	MinLead         duration `yaml:"min-lead"`
	ReplaceLead     duration `yaml:"replace-lead"`
	DefaultValidity duration `yaml:"default-validity"`
}

type accessConfig struct {
	Operators []string            `yaml:"operators"`
	ActsFor   map[string][]string `yaml:"acts-for"`
}

type logConfig struct {
	Level  string `yaml:"level"`
	Format string `yaml:"format"`
}

// duration is a time.Duration whose errors keep their place in the file.
type duration time.Duration

// UnmarshalYAML implements yaml.NodeUnmarshaler.
func (d *duration) UnmarshalYAML(n ast.Node) error {
	text := n.GetToken().Value
	v, err := time.ParseDuration(text)
	if err == nil && v < 0 {
		return &yaml.SyntaxError{Message: fmt.Sprintf("%q is negative", text), Token: n.GetToken()}
	}
	if err != nil {
		return &yaml.SyntaxError{Message: fmt.Sprintf("%q is no duration: write a number with its unit, such as 90s, 5m or 12h", text), Token: n.GetToken()}
	}
	*d = duration(v)
	return nil
}

// What kinds of staging file systems there are.
const (
	stageNowhere = "none"
	stageLocal   = "local"
	stageHDFS    = "hdfs"
)

func (c *config) complete() {
	if c.HadoopConf == "" {
		c.HadoopConf = hadoopconf.Dir()
	}
	for name, p := range c.Providers {
		if p.Builtin == "" && p.Command == "" {
			p.Builtin, _, _ = strings.Cut(name, "@")
			c.Providers[name] = p
		}
	}
}

// socketPath is the control address as a path; "" where it is none.
func (c *config) socketPath() string { return socketPath(c.Control.Address) }

func socketPath(address string) string {
	path, ok := strings.CutPrefix(address, "unix://")
	if !ok || !filepath.IsAbs(path) {
		return ""
	}
	return path
}

func (c *config) socketMode() (os.FileMode, error) {
	mode, err := strconv.ParseUint(c.Control.Mode, 8, 32)
	if err != nil || mode&^0o777 != 0 || mode&0o600 != 0o600 {
		return 0, fmt.Errorf("%q is no mode of a socket: write \"0600\", \"0660\" or \"0666\", in quotes", c.Control.Mode)
	}
	return os.FileMode(mode), nil
}

// storePath is the path of the bolt store; "" for a store in memory.
func (c *config) storePath() (string, error) {
	if c.Store == "memory:" {
		return "", nil
	}
	path, ok := strings.CutPrefix(c.Store, "bolt://")
	if !ok || !filepath.IsAbs(path) {
		return "", fmt.Errorf("%q is no store: write bolt:///PATH, or memory: to forget everything at the end", c.Store)
	}
	return path, nil
}

// localFS tells which staging file systems are directories of this machine.
func (c *config) localFS(name string) bool {
	if name == "" {
		return c.Staging.Default == stageLocal
	}
	return c.Staging.Targets[name] == stageLocal
}

func (c *config) policy() renewer.Policy {
	r := c.Renewal
	p := renewer.Policy{
		Ratio: r.TimeRatio, MinLead: time.Duration(r.MinLead), ReplaceLead: time.Duration(r.ReplaceLead),
		DefaultValidity: time.Duration(r.DefaultValidity), Grace: time.Duration(r.Grace), Coalesce: time.Duration(r.Coalesce),
		FirstRetry: time.Duration(c.Retry.InitialBackoff), MaxRetry: time.Duration(c.Retry.MaxBackoff),
		Cooldown: time.Duration(r.Cooldown),
	}
	p.Jitter = policyJitter(r.Jitter)
	return p
}

// policyJitter is a jitter in the policy's words, where zero is the default.
func policyJitter(j float64) float64 {
	if j == 0 {
		return -1
	}
	return j
}

// instances are the policies of the configured providers. Their modes were
// checked.
func (c *config) instances() map[string]renewer.InstancePolicy {
	out := map[string]renewer.InstancePolicy{}
	for name, section := range c.Providers {
		mode, _ := renewer.ParseMode(section.Policy)
		i := renewer.InstancePolicy{Mode: mode, Exclude: section.Exclude}
		if section.Renewal != (numbersConfig{}) {
			p, own := c.policy(), section.Renewal
			p.Ratio = cmp.Or(own.TimeRatio, p.Ratio)
			if own.Jitter != nil {
				p.Jitter = policyJitter(*own.Jitter)
			}
			p.MinLead = cmp.Or(time.Duration(own.MinLead), p.MinLead)
			p.ReplaceLead = cmp.Or(time.Duration(own.ReplaceLead), p.ReplaceLead)
			p.DefaultValidity = cmp.Or(time.Duration(own.DefaultValidity), p.DefaultValidity)
			i.Policy = &p
		}
		out[name] = i
	}
	return out
}

// policyWords are the providers' policies as status shows them.
func (c *config) policyWords() map[string]string {
	out := map[string]string{}
	for name, i := range c.instances() {
		out[name] = i.Mode.String()
		if len(i.Exclude) > 0 {
			out[name] += ", but not " + strings.Join(i.Exclude, ", ")
		}
	}
	return out
}
