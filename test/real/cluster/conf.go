package cluster

import (
	"context"
	"encoding/xml"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// superuser is the short name that the daemons' principals map to, and so HDFS's superuser.
const superuser = "hdfs"

// authToLocal maps the daemons to the superuser. Hadoop's parser knows no parentheses within the pattern.
const authToLocal = `
RULE:[2:$1@$0]([nd]n@` + Realm + `)s/.*/` + superuser + `/
RULE:[2:$1@$0](.*@` + Realm + `)s/@.*//
DEFAULT
`

const log4jProperties = `log4j.rootLogger=INFO,console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.target=System.err
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %c{2}: %m%n
log4j.logger.org.apache.hadoop.util.NativeCodeLoader=ERROR
`

// writeHadoopConf writes ConfDir and the empty folders of web applications that the daemons look for.
func (c *Cluster) writeHadoopConf(context.Context) error {
	for _, app := range []string{"hdfs", "datanode", "static", "logs"} {
		if err := os.MkdirAll(filepath.Join(c.webDir(), "webapps", app), 0o700); err != nil {
			return fmt.Errorf("write the Hadoop configuration: %w", err)
		}
	}
	if err := os.Mkdir(c.ConfDir, 0o700); err != nil {
		return fmt.Errorf("write the Hadoop configuration: %w", err)
	}
	for name, text := range map[string][]byte{
		"core-site.xml":    siteXML(c.coreSite(), c.opts.Core),
		"hdfs-site.xml":    siteXML(c.hdfsSite(), with(c.haSite(), c.opts.HDFS)),
		"log4j.properties": []byte(log4jProperties),
	} {
		if err := os.WriteFile(filepath.Join(c.ConfDir, name), text, 0o600); err != nil {
			return fmt.Errorf("write the Hadoop configuration: %w", err)
		}
	}
	return nil
}

func (c *Cluster) coreSite() map[string]string {
	protection := c.opts.Protection
	if protection == "" {
		protection = "authentication"
	}
	return map[string]string{
		"fs.defaultFS":                               c.defaultFS(),
		"hadoop.security.authentication":             "kerberos",
		"hadoop.security.authorization":              "true",
		"hadoop.security.auth_to_local":              authToLocal,
		"hadoop.rpc.protection":                      protection,
		"hadoop.proxyuser.tokenwheel.hosts":          "*",
		"hadoop.proxyuser.tokenwheel.users":          "*",
		"hadoop.security.group.mapping":              "org.apache.hadoop.security.NullGroupsMapping",
		"hadoop.tmp.dir":                             filepath.Join(c.Dir, "hadoop"),
		"hadoop.http.authentication.type":            "simple", // readiness is asked of JMX; WebHDFS has its own setting
		"hadoop.kerberos.min.seconds.before.relogin": "1",
		"ipc.client.connect.max.retries":             "3",
	}
}

func (c *Cluster) defaultFS() string {
	if c.opts.HA {
		return "hdfs://" + Nameservice
	}
	return "hdfs://" + c.NameNodeAddr
}

func (c *Cluster) hdfsSite() map[string]string {
	site := map[string]string{
		"dfs.namenode.http-address":                                    c.WebAddr,
		"dfs.namenode.kerberos.principal":                              NameNodePrincipal,
		"dfs.namenode.keytab.file":                                     c.Keytab(NameNodePrincipal),
		"dfs.namenode.delegation.token.always-use":                     "true",
		"dfs.namenode.name.dir":                                        "file://" + filepath.Join(c.Dir, "name"),
		"dfs.namenode.safemode.extension":                              "0", // a restarted NameNode serves as soon as its blocks are reported
		"dfs.namenode.handler.count":                                   "16",
		"dfs.datanode.kerberos.principal":                              dataNodePrincipal,
		"dfs.datanode.keytab.file":                                     c.Keytab(dataNodePrincipal),
		"dfs.datanode.data.dir":                                        "file://" + filepath.Join(c.Dir, "data"),
		"dfs.datanode.address":                                         "127.0.0.1:0",
		"dfs.datanode.http.address":                                    "127.0.0.1:0",
		"dfs.datanode.ipc.address":                                     "127.0.0.1:0",
		"dfs.web.authentication.kerberos.principal":                    webPrincipal,
		"dfs.web.authentication.kerberos.keytab":                       c.Keytab(webPrincipal),
		"dfs.block.access.token.enable":                                "true",
		"dfs.replication":                                              "1",
		"ignore.secure.ports.for.testing":                              "true",
		"dfs.permissions.superusergroup":                               superuser,
		"dfs.heartbeat.interval":                                       "1",
		"dfs.namenode.heartbeat.recheck-interval":                      "60000",
		"dfs.client.block.write.locateFollowingBlock.initial.delay.ms": "50",
	}
	setMillis(site, "dfs.namenode.delegation.token.renew-interval", c.opts.RenewInterval)
	setMillis(site, "dfs.namenode.delegation.token.max-lifetime", c.opts.MaxLifetime)
	return site
}

func setMillis(site map[string]string, key string, d time.Duration) {
	if d > 0 {
		site[key] = strconv.FormatInt(d.Milliseconds(), 10)
	}
}

func (c *Cluster) webDir() string { return filepath.Join(c.Dir, "web") }

// siteXML returns a Hadoop configuration file of the properties in site and then in more.
func siteXML(site, more map[string]string) []byte {
	type property struct {
		Name  string `xml:"name"`
		Value string `xml:"value"`
	}
	all := maps.Clone(site)
	maps.Copy(all, more)
	doc := struct {
		XMLName    xml.Name   `xml:"configuration"`
		Properties []property `xml:"property"`
	}{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		doc.Properties = append(doc.Properties, property{name, all[name]})
	}
	text, err := xml.MarshalIndent(doc, "", "  ")
	if err != nil {
		panic(err) // strings marshal always
	}
	return append([]byte(xml.Header), append(text, '\n')...)
}
