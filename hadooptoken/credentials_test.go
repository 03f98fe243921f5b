package hadooptoken_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tokenwheel/tokenwheel/hadooptoken"
	"github.com/tokenwheel/tokenwheel/internal/writable"
	"github.com/tokenwheel/tokenwheel/plugins"
)

// Shows: W10.
func TestW10_FilesCutAtEachByte(t *testing.T) {
	eachFile(t, func(t *testing.T, _ plugins.Credentials, _ hadooptoken.Format, file []byte) {
		for n := range file {
			_, err := hadooptoken.Unmarshal(file[:n], hadooptoken.Limits{})
			switch {
			case n < 5 && !errors.Is(err, hadooptoken.ErrBadHeader):
				t.Errorf("cut at %d: error %v, want one of the header", n, err)
			case n >= 5 && !errors.Is(err, io.ErrUnexpectedEOF):
				t.Errorf("cut at %d: error %v, want one of truncation", n, err)
			}
		}
	})
}

// TestReadsPaddedFiles: Flink sends its buffer, zeros and all.
func TestReadsPaddedFiles(t *testing.T) {
	eachFile(t, func(t *testing.T, want plugins.Credentials, _ hadooptoken.Format, file []byte) {
		got, err := hadooptoken.Unmarshal(append(file, make([]byte, 100)...), hadooptoken.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		diffCredentials(t, want, got)
	})
}

// Shows: W1, W10, T-10.
func TestW1_RefusesBadFiles(t *testing.T) {
	hdts := func(tail string) string { return "48445453" + tail }
	for _, c := range []struct{ name, hex, want string }{
		{"nothing", "", "read credentials: bad header found in token storage"},
		{"other magic", "4844544c00", "read credentials: bad header found in token storage"},
		{"version 2", hdts("02"), "read credentials: unknown version in token storage: 2"},
		{"negative count", hdts("00ff"), "read credentials: -1 tokens, the limit is 10000"},
		{"10001 tokens", hdts("008e2711"), "read credentials: 10001 tokens, the limit is 10000"},
		{"10001 secrets", hdts("00008e2711"), "read credentials: 10001 secrets, the limit is 10000"},
		{"2 GiB password", hdts("0001016100") + "8c7fffffff", "read credentials: token 1 of 1: read bytes at byte 9: 2147483647 bytes wanted, 0 left: unexpected EOF"},
		{"alias of 1 MiB", hdts("0001") + "8d100000", "read credentials: token 1 of 1: read text length at byte 1: 1048576, the limit is 1048575"},
		{"protobuf of 4 GiB", hdts("01ffffffff0f"), "read credentials: unexpected EOF"},
		{"alias of another wire type", hdts("010412020801"), "read credentials: secret 1: field 1 has wire type 0"},
		{"entry of another wire type", hdts("01020801"), "read credentials: token 1: field 1 has wire type 0"},
		{"entry without alias", hdts("01041202" + "1a00"), "read credentials: secret 1: alias is missing"},
		{"entry without token", hdts("01050a03" + "0a0161"), "read credentials: token 1: token is missing"},
		{"token without password", hdts("010f0a0d" + "0a0161" + "1208" + "0a00" + "1a0161" + "220161"), "read credentials: token 1: password is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := hadooptoken.Unmarshal(unhex(t, c.hex), hadooptoken.Limits{})
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got error %v, want %s", err, c.want)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	c := plugins.Credentials{Tokens: map[string]plugins.Token{"a": {}, "b": {}}, Secrets: map[string]plugins.Secret{"a": nil, "b": nil}}
	for format, word := range fileNames {
		b, err := hadooptoken.Marshal(c, format)
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			name   string
			limits hadooptoken.Limits
			want   string
		}{
			{"both met", hadooptoken.Limits{Bytes: len(b), Entries: 2}, ""},
			{"a byte over", hadooptoken.Limits{Bytes: len(b) - 1}, fmt.Sprintf("read credentials: %d bytes, the limit is %d", len(b), len(b)-1)},
			{"an entry over", hadooptoken.Limits{Entries: 1}, "read credentials: 2 tokens, the limit is 1"},
		} {
			t.Run(word+"/"+tt.name, func(t *testing.T) {
				_, err := hadooptoken.Unmarshal(b, tt.limits)
				if got := text(err); got != tt.want {
					t.Errorf("got error %s, want %s", got, tt.want)
				}
			})
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestMarshalRefusesWhatItCouldNotRead(t *testing.T) {
	long := strings.Repeat("x", writable.MaxText)
	many := plugins.Credentials{Secrets: map[string]plugins.Secret{}}
	for i := range hadooptoken.MaxEntries + 1 {
		many.Secrets[fmt.Sprint(i)] = nil
	}
	for name, c := range map[string]plugins.Credentials{
		"alias":            {Tokens: map[string]plugins.Token{long: {}}},
		"kind":             {Tokens: map[string]plugins.Token{"a": {Kind: long}}},
		"service":          {Tokens: map[string]plugins.Token{"a": {Service: long}}},
		"alias of secret":  {Secrets: map[string]plugins.Secret{long: nil}},
		"too many secrets": many,
	} {
		for format, word := range fileNames {
			if _, err := hadooptoken.Marshal(c, format); err == nil {
				t.Errorf("%s written as %s", name, word)
			}
		}
	}
	if _, err := hadooptoken.Marshal(plugins.Credentials{}, 2); !errors.Is(err, hadooptoken.ErrUnknownVersion) {
		t.Errorf("version 2: error %v", err)
	}
}

// TestLastOfOneAliasWins, as when Java puts entries into its map.
func TestLastOfOneAliasWins(t *testing.T) {
	body := []byte{3}
	for _, service := range []string{"first", "second", "last"} {
		b, err := hadooptoken.MarshalToken(plugins.Token{Kind: "k", Service: service})
		if err != nil {
			t.Fatal(err)
		}
		body = append(writable.AppendText(body, "alias"), b...)
	}
	got, err := hadooptoken.Unmarshal(append([]byte("HDTS\x00"), append(body, 0)...), hadooptoken.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	diffCredentials(t, plugins.Credentials{Tokens: map[string]plugins.Token{"alias": {Kind: "k", Service: "last"}}}, got)
}

func TestWritesSorted(t *testing.T) {
	c := plugins.Credentials{Secrets: map[string]plugins.Secret{"c": nil, "a": nil, "b": nil}}
	got, err := hadooptoken.Marshal(c, hadooptoken.FormatJava)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("HDTS\x00\x00\x03\x01a\x00\x01b\x00\x01c\x00", string(got)); diff != "" {
		t.Error(diff)
	}
}

// TestSharesNoBytes: what a caller does to its input later changes no token.
func TestSharesNoBytes(t *testing.T) {
	eachFile(t, func(t *testing.T, want plugins.Credentials, _ hadooptoken.Format, file []byte) {
		got, err := hadooptoken.Unmarshal(file, hadooptoken.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		clear(file)
		diffCredentials(t, want, got)
	})
}

func TestW4_URLStringsAsJavaTakesThem(t *testing.T) {
	token := javaTokens(t)["hdfs"]
	padded := base64.StdEncoding.EncodeToString(token.writable)
	for name, s := range map[string]string{
		"standard alphabet, padded": padded,
		"URL alphabet, padded":      base64.URLEncoding.EncodeToString(token.writable),
		"wrapped":                   " " + padded[:40] + "\r\n" + padded[40:] + "\n",
	} {
		if got, err := hadooptoken.DecodeURL(s); err != nil || !got.Equal(token.Token) {
			t.Errorf("%s: got %v, error %v", name, got, err)
		}
	}
	for n := range len(token.url) {
		if _, err := hadooptoken.DecodeURL(token.url[:n]); err == nil {
			t.Errorf("cut at %d of %d characters: no error", n, len(token.url))
		}
	}
	for _, s := range []string{"Jg*AO", strings.Repeat("A", 6<<20)} {
		if _, err := hadooptoken.DecodeURL(s); err == nil {
			t.Errorf("%.20q is taken", s)
		}
	}
}

// Shows: C-H41, C-H15 (it encodes and decodes).
func TestCH41_URLStringsAreSafe(t *testing.T) {
	raw := rapid.SliceOf(rapid.Byte())
	rapid.Check(t, func(t *rapid.T) {
		want := plugins.Token{Kind: rapid.String().Draw(t, "kind"), Identifier: raw.Draw(t, "identifier"), Password: raw.Draw(t, "password")}
		s, err := hadooptoken.EncodeURL(want)
		if err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(s, "+/= \n") {
			t.Errorf("%q has characters that mean something in a URL", s)
		}
		if got, err := hadooptoken.DecodeURL(s); err != nil || !got.Equal(want) {
			t.Errorf("read back as %v, error %v", got, err)
		}
	})
	empty, err := hadooptoken.EncodeURL(plugins.Token{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := hadooptoken.DecodeURL(empty); err != nil || !got.Equal(plugins.Token{}) {
		t.Errorf("the empty token: read back as %v, error %v", got, err)
	}
}

func TestRoundTrip(t *testing.T) {
	raw := rapid.SliceOf(rapid.Byte())
	token := rapid.Custom(func(t *rapid.T) plugins.Token {
		return plugins.Token{
			Kind: rapid.String().Draw(t, "kind"), Service: rapid.String().Draw(t, "service"),
			Identifier: raw.Draw(t, "identifier"), Password: raw.Draw(t, "password"),
		}
	})
	secret := rapid.Custom(func(t *rapid.T) plugins.Secret { return raw.Draw(t, "secret") })
	rapid.Check(t, func(t *rapid.T) {
		want := plugins.Credentials{
			Tokens:  rapid.MapOf(rapid.String(), token).Draw(t, "tokens"),
			Secrets: rapid.MapOf(rapid.String(), secret).Draw(t, "secrets"),
		}
		for format := range fileNames {
			b, err := hadooptoken.Marshal(want, format)
			if err != nil {
				t.Fatal(err)
			}
			got, err := hadooptoken.Unmarshal(b, hadooptoken.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(plain(want), plain(got)); diff != "" {
				t.Error(diff)
			}
		}
	})
}

func TestFormats(t *testing.T) {
	for _, f := range []hadooptoken.Format{hadooptoken.FormatJava, hadooptoken.FormatProtobuf} {
		if got, err := hadooptoken.ParseFormat(f.String()); err != nil || got != f {
			t.Errorf("%s: got %s, error %v", f, got, err)
		}
	}
	if _, err := hadooptoken.ParseFormat("Java"); err == nil {
		t.Error("Java is taken for java")
	}
}
