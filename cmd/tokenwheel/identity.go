package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tokenwheel/tokenwheel/internal/hadoopconf"
	"github.com/tokenwheel/tokenwheel/internal/krb"
)

// identity is who a command is at the cluster, by its flags and by the
// environment that Kerberos' and Hadoop's own tools heed.
type identity struct {
	confDir   string
	krb5Conf  string
	principal string
	keytab    string
	ccache    string
}

func identityFlags(c *cobra.Command) *identity {
	id := &identity{}
	f := c.Flags()
	f.StringVar(&id.confDir, "hadoop-conf", "", "directory with core-site.xml and hdfs-site.xml (default $HADOOP_CONF_DIR, $HADOOP_HOME/etc/hadoop, /etc/hadoop/conf)")
	f.StringVar(&id.krb5Conf, "krb5-conf", "", "Kerberos configuration (default $KRB5_CONFIG, /etc/krb5.conf)")
	f.StringVar(&id.principal, "principal", "", "who to log in as; with --keytab")
	f.StringVar(&id.keytab, "keytab", "", "keytab to log in with (default: the credential cache $KRB5CCNAME)")
	return id
}

// complete fills in what the flags left to the environment.
func (id *identity) complete() error {
	if err := id.completePaths(); err != nil {
		return err
	}
	if id.keytab != "" {
		if id.principal == "" {
			return advise(fmt.Errorf("--keytab %s without a principal", id.keytab), "add --principal NAME; klist -kt shows which the keytab has")
		}
		return nil
	}
	return id.findCache()
}

func (id *identity) completePaths() error {
	if id.confDir == "" {
		id.confDir = hadoopconf.Dir()
	}
	if id.krb5Conf == "" {
		id.krb5Conf = os.Getenv("KRB5_CONFIG")
	}
	if strings.ContainsRune(id.krb5Conf, filepath.ListSeparator) {
		return advise(fmt.Errorf("KRB5_CONFIG=%s names several files", id.krb5Conf), "name the one to use with --krb5-conf")
	}
	if id.krb5Conf == "" {
		id.krb5Conf = "/etc/krb5.conf"
	}
	return nil
}

// findCache takes the credential cache that kinit wrote.
func (id *identity) findCache() error {
	name := os.Getenv("KRB5CCNAME")
	if name == "" {
		name = fmt.Sprintf("FILE:/tmp/krb5cc_%d", os.Getuid())
	}
	kind, path, ok := strings.Cut(name, ":")
	switch {
	case !ok:
		path = name
	case kind != "FILE":
		return advise(fmt.Errorf("credential cache %s: caches of type %s cannot be read", name, kind), "use KRB5CCNAME=FILE:PATH with kinit, or --keytab")
	}
	id.ccache = path
	return nil
}

// prove logs in once before anything else is tried, so that what is wrong with
// Kerberos is said plainly, and learns whose tickets a credential cache holds.
func (id *identity) prove(ctx context.Context) error {
	if strings.Contains(id.principal, "/_HOST") {
		return nil // the provider knows which host that is
	}
	conf, err := krb.LoadConfig(id.krb5Conf)
	if err != nil {
		return err
	}
	client, err := krb.NewClient(krb.Options{Conf: conf, Principal: id.principal, Keytab: id.keytab, CCache: id.ccache})
	if err != nil {
		return err
	}
	if err := client.Login(ctx); err != nil {
		if id.ccache != "" {
			return advise(err, "run kinit, or give --principal and --keytab")
		}
		return err
	}
	id.principal = client.Principal()
	return nil
}
