package hadoopconf_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwheel/tokenwheel/internal/hadoopconf"
)

func TestNamenodes(t *testing.T) {
	ha := []string{
		"dfs.nameservices=Prod", "dfs.ha.namenodes.Prod=nn1, nn2",
		"dfs.namenode.rpc-address.Prod.nn1=NN1.lab.test:8020", "dfs.namenode.rpc-address.Prod.nn2=nn2.lab.test",
	}
	prod := hadoopconf.Nameservice{
		Name: "Prod", Service: "ha-hdfs:Prod",
		Addresses: []string{"nn1.lab.test:8020", "nn2.lab.test:8020"},
		Aliases:   []string{"ha-hdfs:Prod", "nn1.lab.test:8020", "nn2.lab.test:8020"},
	}
	single := func(name, address string) hadoopconf.Nameservice {
		return hadoopconf.Nameservice{Name: name, Service: address, Addresses: []string{address}, Aliases: []string{address}}
	}
	for _, c := range []struct {
		name  string
		lines []string
		want  []hadoopconf.Nameservice
	}{
		{"no HDFS", []string{"fs.defaultFS=s3a://bucket"}, nil},
		{"nothing set", nil, nil},
		{"one host", []string{"fs.defaultFS=hdfs://NN.lab.test:9000/"}, []hadoopconf.Nameservice{single("", "nn.lab.test:9000")}},
		{"one host, default port, old name", []string{"fs.default.name=hdfs://nn.lab.test"}, []hadoopconf.Nameservice{single("", "nn.lab.test:8020")}},
		{"IPv6", []string{"fs.defaultFS=hdfs://[2001:db8::1]:8020"}, []hadoopconf.Nameservice{single("", "[2001:db8::1]:8020")}},
		{"HA, and the default", append([]string{"fs.defaultFS=hdfs://Prod"}, ha...), []hadoopconf.Nameservice{prod}},
		{"HA, one of its hosts the default", append([]string{"fs.defaultFS=hdfs://nn2.lab.test"}, ha...), []hadoopconf.Nameservice{prod}},
		{"HA beside a single default", append([]string{"fs.defaultFS=hdfs://dev.lab.test"}, ha...), []hadoopconf.Nameservice{prod, single("", "dev.lab.test:8020")}},
		{
			"federation without HA",
			[]string{"dfs.federation.nameservices=a,b", "dfs.namenode.rpc-address.a=a.lab.test:8020", "dfs.namenode.rpc-address.b=b.lab.test:8020"},
			[]hadoopconf.Nameservice{single("a", "a.lab.test:8020"), single("b", "b.lab.test:8020")},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := core(t, c.lines...).Namenodes()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNamenodesRefuses(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"no address", []string{"dfs.nameservices=a"}, "core-site.xml:2: nameservice without dfs.namenode.rpc-address.a"},
		{"no address of one", []string{"dfs.nameservices=a", "dfs.ha.namenodes.a=x"}, "core-site.xml:2: nameservice without dfs.namenode.rpc-address.a.x"},
		{"bad address", []string{"dfs.nameservices=a", "dfs.namenode.rpc-address.a=:1:2"}, `core-site.xml:3: dfs.namenode.rpc-address.a is ":1:2": want host:port`},
		{"no host", []string{"fs.defaultFS=hdfs://:8020"}, `core-site.xml:2: fs.defaultFS is "hdfs://:8020": want hdfs://host:port`},
		{"no URI", []string{"fs.defaultFS=hdfs://%zz"}, "want a URI"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := core(t, c.lines...).Namenodes(); err == nil || !strings.HasSuffix(err.Error(), c.want) {
				t.Errorf("got error %v, want %s", err, c.want)
			}
		})
	}
}

func TestSecurity(t *testing.T) {
	for _, c := range []struct {
		name            string
		lines           []string
		secure          bool
		rpc, data       []string
		rules, mech     string
		useIP, encrypts bool
	}{
		{name: "nothing set", rpc: []string{"auth"}, rules: "RULE:[1:$1] RULE:[2:$1]", mech: "hadoop", useIP: true},
		{
			name: "all set",
			lines: []string{
				"hadoop.security.authentication=Kerberos", "hadoop.rpc.protection=privacy, integrity,authentication,privacy",
				"dfs.data.transfer.protection=integrity", "dfs.encrypt.data.transfer=true", "hadoop.security.token.service.use_ip=false",
				"hadoop.security.auth_to_local=\n  RULE:[1:$1]\n  DEFAULT\n", "hadoop.security.auth_to_local.mechanism=MIT",
			},
			secure: true, rpc: []string{"auth-conf", "auth-int", "auth"}, data: []string{"auth-int"},
			rules: "RULE:[1:$1]\n  DEFAULT", mech: "mit", encrypts: true,
		},
		{
			name: "kerberos alone", lines: []string{"hadoop.security.authentication=kerberos"},
			secure: true, rpc: []string{"auth"}, rules: "DEFAULT", mech: "hadoop", useIP: true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			conf := core(t, c.lines...)
			check := func(what string, want, got any, err error) {
				t.Helper()
				if diff := cmp.Diff(want, got); diff != "" || err != nil {
					t.Errorf("%s: error %v, %s", what, err, diff)
				}
			}
			secure, err := conf.SecurityEnabled()
			check("security", c.secure, secure, err)
			rpc, err := conf.RPCProtection()
			check("rpc", c.rpc, rpc, err)
			data, err := conf.DataTransferProtection()
			check("data", c.data, data, err)
			encrypts, err := conf.EncryptDataTransfer()
			check("encrypts", c.encrypts, encrypts, err)
			useIP, err := conf.UseIP()
			check("use ip", c.useIP, useIP, err)
			rules, mech, err := conf.AuthToLocal()
			check("rules", c.rules, rules, err)
			check("mechanism", c.mech, mech, err)
		})
	}
}

func TestSecurityRefuses(t *testing.T) {
	conf := core(t, "hadoop.security.authentication=none", "hadoop.rpc.protection=integrity,privat",
		"dfs.data.transfer.protection=x", "hadoop.security.auth_to_local.mechanism=heimdal")
	_, errSecure := conf.SecurityEnabled()
	_, errRPC := conf.RPCProtection()
	_, errData := conf.DataTransferProtection()
	_, _, errRules := conf.AuthToLocal()
	_, _, errMechanism := core(t, "hadoop.security.auth_to_local.mechanism=heimdal").AuthToLocal()
	for what, err := range map[string]error{
		`:2: hadoop.security.authentication is "none": want simple or kerberos`:              errSecure,
		`:3: hadoop.rpc.protection is "privat": want authentication, integrity or privacy`:   errRPC,
		`:4: dfs.data.transfer.protection is "x": want authentication, integrity or privacy`: errData,
		`: hadoop.security.authentication is "none": want simple or kerberos`:                errRules,
		`:2: hadoop.security.auth_to_local.mechanism is "heimdal": want hadoop or mit`:       errMechanism,
	} {
		if err == nil || !strings.HasSuffix(err.Error(), what) {
			t.Errorf("got error %v, want %s", err, what)
		}
	}
}

func TestPrincipal(t *testing.T) {
	principal, pattern := core(t, "dfs.namenode.kerberos.principal=nn/_HOST@LAB.TEST", "dfs.namenode.kerberos.principal.pattern=nn/*@LAB.TEST").NamenodePrincipal()
	if principal != "nn/_HOST@LAB.TEST" || pattern != "nn/*@LAB.TEST" {
		t.Errorf("got %s and %s", principal, pattern)
	}
}
