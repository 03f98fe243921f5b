package hadooptoken_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/internal/hadooppb"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// javaToken is one token made by the Java class of its kind.
type javaToken struct {
	plugins.Token
	name     string
	fields   map[string]any
	writable []byte
	url      string
}

func golden(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func javaTokens(t testing.TB) map[string]javaToken {
	t.Helper()
	var list []struct {
		Name, Kind, Service, Identifier, Password string
		Fields                                    map[string]any
		Writable                                  string `json:"token_writable"`
		URL                                       string `json:"url_string"`
	}
	d := json.NewDecoder(bytes.NewReader(golden(t, "id/tokens.json")))
	d.UseNumber()
	if err := d.Decode(&list); err != nil {
		t.Fatal(err)
	}
	all := map[string]javaToken{}
	for _, j := range list {
		all[j.Name] = javaToken{
			Token: plugins.Token{Kind: j.Kind, Service: j.Service, Identifier: unhex(t, j.Identifier), Password: unhex(t, j.Password)},
			name:  j.Name, fields: j.Fields, writable: unhex(t, j.Writable), url: j.URL,
		}
	}
	if len(all) != 13 {
		t.Fatalf("%d golden tokens, want 13", len(all))
	}
	return all
}

// javaCredentials is what the golden token files hold.
func javaCredentials(t testing.TB) map[string]plugins.Credentials {
	t.Helper()
	tokens := javaTokens(t)
	under := func(aliases map[string]string) map[string]plugins.Token {
		m := map[string]plugins.Token{}
		for alias, name := range aliases {
			m[alias] = tokens[name].Token
		}
		return m
	}
	return map[string]plugins.Credentials{
		"empty": {},
		"one": {
			Tokens:  under(map[string]string{"ha-hdfs:lab": "hdfs"}),
			Secrets: map[string]plugins.Secret{"spark.secret": {0x00, 0xff, 0x10, 0xef}},
		},
		"multi": {
			Tokens: under(map[string]string{
				"192.0.2.10:8020": "hdfs-proxy", "ha-hdfs:lab": "hdfs", "kms://http@kms1.lab.test;kms2.lab.test:9600/kms": "kms",
				"192.0.2.20:8032,192.0.2.21:8032": "rm", "6f7d9a1e-cluster-id": "hbase", "hive": "hive",
			}),
			Secrets: map[string]plugins.Secret{"zoë": {}, "mapreduce.job.token": {1, 2, 3, 4, 5}},
		},
		"alias": {Tokens: under(map[string]string{"192.0.2.40:9600": "kms"})},
	}
}

var fileNames = map[hadooptoken.Format]string{hadooptoken.FormatJava: "writable", hadooptoken.FormatProtobuf: "protobuf"}

// eachFile runs f for every token file that Java wrote.
func eachFile(t *testing.T, f func(t *testing.T, want plugins.Credentials, format hadooptoken.Format, file []byte)) {
	for name, want := range javaCredentials(t) {
		for format, word := range fileNames {
			t.Run(name+"-"+word, func(t *testing.T) {
				f(t, want, format, golden(t, "hdts/creds-"+name+"-"+word+".bin"))
			})
		}
	}
}

// Shows: W1, W2.
func TestW2_ReadsFilesOfJava(t *testing.T) {
	eachFile(t, func(t *testing.T, want plugins.Credentials, _ hadooptoken.Format, file []byte) {
		got, err := hadooptoken.Unmarshal(file, hadooptoken.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		diffCredentials(t, want, got)
	})
}

// diffCredentials compares the bytes themselves: a Token shows none.
func diffCredentials(t *testing.T, want, got plugins.Credentials) {
	t.Helper()
	if diff := cmp.Diff(plain(want), plain(got)); diff != "" {
		t.Error(diff)
	}
}

func plain(c plugins.Credentials) map[string][]string {
	m := map[string][]string{}
	for alias, t := range c.Tokens {
		m["token "+alias] = []string{t.Kind, t.Service, hex.EncodeToString(t.Identifier), hex.EncodeToString(t.Password)}
	}
	for alias, s := range c.Secrets {
		m["secret "+alias] = []string{hex.EncodeToString(s)}
	}
	return m
}

// TestW3_WritesFilesOfJava: byte for byte, but for the order of the entries,
// which in Java is that of a hash map. The file "multi" is compared entry by
// entry and in length, the others as a whole.
//
// Shows: W3, C-H37.
func TestW3_WritesFilesOfJava(t *testing.T) {
	eachFile(t, func(t *testing.T, c plugins.Credentials, format hadooptoken.Format, file []byte) {
		got, err := hadooptoken.Marshal(c, format)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Tokens) <= 1 && len(c.Secrets) <= 1 {
			if !bytes.Equal(got, file) {
				t.Errorf("got %x, want %x", got, file)
			}
			return
		}
		if len(got) != len(file) {
			t.Errorf("got %d bytes, want %d", len(got), len(file))
		}
		for _, entry := range entries(t, c, format) {
			if n := bytes.Count(file, entry); n != 1 {
				t.Errorf("entry %x stands %d times in Java's file", entry, n)
			}
		}
	})
}

// entries are the bytes of each entry, taken from a file that holds it alone.
func entries(t *testing.T, c plugins.Credentials, format hadooptoken.Format) [][]byte {
	t.Helper()
	var all [][]byte
	cut := func(c plugins.Credentials, before, after int) {
		b, err := hadooptoken.Marshal(c, format)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b[before:len(b)-after])
	}
	for alias, token := range c.Tokens {
		c := plugins.Credentials{Tokens: map[string]plugins.Token{alias: token}}
		if format == hadooptoken.FormatJava {
			cut(c, 6, 1) // header and count before, count of secrets after
		} else {
			cut(c, 7, 0) // header and a length of two bytes
		}
	}
	for alias, secret := range c.Secrets {
		c := plugins.Credentials{Secrets: map[string]plugins.Secret{alias: secret}}
		if format == hadooptoken.FormatJava {
			cut(c, 7, 0)
		} else {
			cut(c, 6, 0)
		}
	}
	return all
}

// TestW2_ProtobufRuntimeAgrees reads our version 1 with the generated code.
func TestW2_ProtobufRuntimeAgrees(t *testing.T) {
	for name, want := range javaCredentials(t) {
		t.Run(name, func(t *testing.T) {
			b, err := hadooptoken.Marshal(want, hadooptoken.FormatProtobuf)
			if err != nil {
				t.Fatal(err)
			}
			diffCredentials(t, want, readWithRuntime(t, b))
		})
	}
}

func readWithRuntime(t *testing.T, file []byte) plugins.Credentials {
	t.Helper()
	skip := 6 // header and the length, here one or two bytes
	if file[5] >= 0x80 {
		skip++
	}
	var m hadooppb.CredentialsProto
	if err := proto.Unmarshal(file[skip:], &m); err != nil {
		t.Fatal(err)
	}
	c := plugins.Credentials{Tokens: map[string]plugins.Token{}, Secrets: map[string]plugins.Secret{}}
	for _, kv := range m.GetTokens() {
		p := kv.GetToken()
		c.Tokens[kv.GetAlias()] = plugins.Token{Kind: p.GetKind(), Service: p.GetService(), Identifier: p.GetIdentifier(), Password: p.GetPassword()}
	}
	for _, kv := range m.GetSecrets() {
		c.Secrets[kv.GetAlias()] = kv.GetSecret()
	}
	return c
}

// Shows: W4, W8.
func TestW4_TokensAndURLStringsOfJava(t *testing.T) {
	for name, want := range javaTokens(t) {
		t.Run(name, func(t *testing.T) {
			if b, err := hadooptoken.MarshalToken(want.Token); err != nil || !bytes.Equal(b, want.writable) {
				t.Errorf("marshalled to %x, error %v, want %x", b, err, want.writable)
			}
			if s, err := hadooptoken.EncodeURL(want.Token); err != nil || s != want.url {
				t.Errorf("URL string %s, error %v, want %s", s, err, want.url)
			}
			if got, err := hadooptoken.UnmarshalToken(want.writable); err != nil || !got.Equal(want.Token) {
				t.Errorf("unmarshalled to %v, error %v, want %v", got, err, want.Token)
			}
			if got, err := hadooptoken.DecodeURL(want.url); err != nil || !got.Equal(want.Token) {
				t.Errorf("decoded to %v, error %v, want %v", got, err, want.Token)
			}
			if file := golden(t, "id/token-"+name+".bin"); !bytes.Equal(file, want.writable) {
				t.Errorf("file and list differ: %x, %x", file, want.writable)
			}
		})
	}
}
