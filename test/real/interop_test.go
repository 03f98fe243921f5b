package real_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/test/real/cluster"
)

var tokenFileFormats = []struct {
	name string
	ours hadooptoken.Format
	java string // Credentials.SerializedFormat
}{
	{"java", hadooptoken.FormatJava, "WRITABLE"},
	{"protobuf", hadooptoken.FormatProtobuf, "PROTOBUF"},
}

// interopCredentials are credentials whose lengths lie on both sides of every step of a length's encoding, and
// whose texts are not all ASCII.
func interopCredentials() map[string]plugins.Credentials {
	edges := plugins.Credentials{Tokens: map[string]plugins.Token{}, Secrets: map[string]plugins.Secret{}}
	for _, n := range []int{0, 1, 112, 127, 128, 255, 256, 65535, 65536, 100_000} {
		value := bytes.Repeat([]byte{0xfe, 0x00, 0x7f}, n/3+1)[:n]
		edges.Tokens[fmt.Sprintf("token of %d bytes", n)] = plugins.Token{
			Kind: "HDFS_DELEGATION_TOKEN", Service: "127.0.0.1:8020", Identifier: value, Password: value,
		}
		edges.Secrets[fmt.Sprintf("secret of %d bytes", n)] = value
	}
	long := strings.Repeat("ä", 100)
	texts := plugins.Credentials{
		Tokens: map[string]plugins.Token{
			"":                {Identifier: []byte("no texts at all"), Password: []byte("p")},
			"ha-hdfs:größe":   {Kind: "KIND_é", Service: "ha-hdfs:größe", Identifier: []byte("i"), Password: []byte("p")},
			"用户 🎡 beyond BMP": {Kind: "🎡", Service: "用户", Identifier: []byte("i"), Password: []byte("p")},
			long:              {Kind: long, Service: long, Identifier: []byte("i"), Password: []byte("p")},
		},
		Secrets: map[string]plugins.Secret{"": []byte("v"), "schlüssel": []byte("v")},
	}
	return map[string]plugins.Credentials{"empty": {}, "lengths": edges, "texts": texts}
}

// Shows: Y47, C-H37.
func TestJavaReadsWhatWeWrite(t *testing.T) {
	for name, creds := range interopCredentials() {
		for _, format := range tokenFileFormats {
			t.Run(name+"/"+format.name, func(t *testing.T) {
				text, err := hadooptoken.Marshal(creds, format.ours)
				if err != nil {
					t.Fatal(err)
				}
				file := filepath.Join(t.TempDir(), "ours.token")
				if err := os.WriteFile(file, text, 0o600); err != nil {
					t.Fatal(err)
				}
				got, err := shared.JavaSource(within(t, time.Minute), cluster.Identity{}, "TokenFile.java", "read", file)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(listing(creds), sortedLines(got)); diff != "" {
					t.Errorf("what Java read (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestWeReadWhatJavaWrites(t *testing.T) {
	for name, creds := range interopCredentials() {
		for _, format := range tokenFileFormats {
			t.Run(name+"/"+format.name, func(t *testing.T) {
				dir := t.TempDir()
				list, file := filepath.Join(dir, "listing"), filepath.Join(dir, "java.token")
				if err := os.WriteFile(list, []byte(strings.Join(listing(creds), "\n")), 0o600); err != nil {
					t.Fatal(err)
				}
				_, err := shared.JavaSource(within(t, time.Minute), cluster.Identity{}, "TokenFile.java", "write", format.java, file, list)
				if err != nil {
					t.Fatal(err)
				}
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				got, err := hadooptoken.Unmarshal(text, hadooptoken.Limits{})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(listing(creds), listing(got)); diff != "" {
					t.Errorf("what we read (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// listing writes credentials as TokenFile.java does, sorted.
func listing(c plugins.Credentials) []string {
	var lines []string
	line := func(what string, fields ...[]byte) {
		for _, f := range fields {
			what += "\t" + hex.EncodeToString(f)
		}
		lines = append(lines, what)
	}
	for _, alias := range slices.Sorted(maps.Keys(c.Tokens)) {
		t := c.Tokens[alias]
		line("token", []byte(alias), []byte(t.Kind), []byte(t.Service), t.Identifier, t.Password)
	}
	for _, alias := range slices.Sorted(maps.Keys(c.Secrets)) {
		line("secret", []byte(alias), c.Secrets[alias])
	}
	slices.Sort(lines)
	return lines
}

func sortedLines(s string) []string {
	if s == "" {
		return nil
	}
	lines := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
	slices.Sort(lines)
	return lines
}

// The renewer is asked for by its full principal; the NameNode's rules make it short.
//
// Shows: N1 (dates), N3 (owner and renewer without a proxy).
func TestWeReadTheIdentifierOfARealToken(t *testing.T) {
	before := time.Now().Add(-time.Millisecond) // dates are cut to milliseconds
	text, err := os.ReadFile(javaToken(t, shared, cluster.TokenwheelPrincipal, "java"))
	if err != nil {
		t.Fatal(err)
	}
	creds, err := hadooptoken.Unmarshal(text, hadooptoken.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	token, ok := creds.Tokens["127.0.0.1:"+port(t, shared.NameNodeAddr)]
	if !ok || len(creds.Tokens) != 1 {
		t.Fatalf("the file holds %v, want one token under ip:port of the NameNode", creds)
	}
	got, err := hadooptoken.ParseIdentifier(token.Kind, token.Identifier)
	if err != nil {
		t.Fatal(err)
	}
	if got.Issued.Before(before) || got.Issued.After(time.Now()) {
		t.Errorf("issued %v, want between %v and now", got.Issued, before)
	}
	want := hadooptoken.Identifier{
		Kind: "HDFS_DELEGATION_TOKEN", Owner: cluster.AlicePrincipal, Renewer: "tokenwheel",
		Issued: got.Issued, Max: got.Issued.Add(7 * 24 * time.Hour),
		Sequence: got.Sequence, MasterKeyID: got.MasterKeyID, // the server's counters
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("identifier (-want +got):\n%s", diff)
	}
}

func port(t *testing.T, addr string) string {
	t.Helper()
	_, p, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
