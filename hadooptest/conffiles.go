package hadooptest

import (
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// property is one setting of a Hadoop configuration file.
type property struct {
	Name  string `xml:"name"`
	Value string `xml:"value"`
}

// writeConfig writes what clients read: core-site.xml, hdfs-site.xml, krb5.conf.
func (c *Cluster) writeConfig(cfg Config) error {
	c.ConfDir = filepath.Join(c.dir, "conf")
	c.Krb5Conf = filepath.Join(c.dir, "krb5.conf")
	if err := os.MkdirAll(c.ConfDir, 0o700); err != nil {
		return err
	}
	protection := strings.Join(cfg.Protection, ",")
	if protection == "" {
		protection = "privacy"
	}
	defaultFS := c.Addr
	if cfg.Nameservice != "" {
		defaultFS = cfg.Nameservice
	}
	if err := writeSite(filepath.Join(c.ConfDir, "core-site.xml"), []property{
		{"fs.defaultFS", "hdfs://" + defaultFS},
		{"hadoop.security.authentication", "kerberos"},
		{"hadoop.security.authorization", "true"},
		{"hadoop.rpc.protection", protection},
	}); err != nil {
		return err
	}
	if err := writeSite(filepath.Join(c.ConfDir, "hdfs-site.xml"), c.hdfsSite(cfg.Nameservice)); err != nil {
		return err
	}
	krb5 := fmt.Sprintf(`[libdefaults]
  default_realm = %[1]s
  dns_lookup_kdc = false
  udp_preference_limit = 1
[realms]
  %[1]s = {
    kdc = %[2]s
  }
`, c.Realm, c.KDCAddr)
	return os.WriteFile(c.Krb5Conf, []byte(krb5), 0o600)
}

// hdfsSite names the NameNodes; those of a nameservice as HA clients look for them.
func (c *Cluster) hdfsSite(nameservice string) []property {
	site := []property{{"dfs.namenode.kerberos.principal", c.qualify(nnService)}}
	if nameservice == "" {
		return site
	}
	var ids []string
	for _, n := range c.NameNodes {
		ids = append(ids, n.ID)
		site = append(site, property{"dfs.namenode.rpc-address." + nameservice + "." + n.ID, n.Addr})
	}
	return append(
		site,
		property{"dfs.nameservices", nameservice},
		property{"dfs.ha.namenodes." + nameservice, strings.Join(ids, ",")},
		property{"dfs.client.failover.proxy.provider." + nameservice, "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider"},
	)
}

func writeSite(path string, props []property) error {
	doc := struct {
		XMLName    xml.Name   `xml:"configuration"`
		Properties []property `xml:"property"`
	}{Properties: props}
	text, err := xml.MarshalIndent(doc, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append([]byte(xml.Header), text...), 0o600)
}
