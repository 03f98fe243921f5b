package plugins_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/tokenwheel/tokenwheel/plugins"
)

// canary is a password that no printed form may show.
const canary = "s3cret-CANARY-\x00\xfe\xff-p4ssword"

func canaryToken() plugins.Token {
	return plugins.Token{Kind: "KIND", Service: "host:1", Identifier: []byte("id"), Password: plugins.Secret(canary)}
}

// holder is what programs wrap tokens in, with exported fields and embedding.
type holder struct {
	plugins.Token
	Secret plugins.Secret
	Any    any
	Array  [1]plugins.Secret
	Next   *holder
}

// carriers is the secret in every type of this package and in what holds them.
func carriers() map[string]any {
	token, secret := canaryToken(), plugins.Secret(canary)
	set := plugins.Credentials{Tokens: map[string]plugins.Token{"a": token}, Secrets: map[string]plugins.Secret{"b": secret}}
	inner := holder{Token: token, Secret: secret, Any: token, Array: [1]plugins.Secret{secret}}
	named := struct {
		T plugins.Token
		S plugins.Secret
		C *plugins.Credentials
		H holder
	}{token, secret, &set, inner}
	return map[string]any{
		"secret": secret, "pointer to secret": &secret, "secrets": []plugins.Secret{secret}, "map of secrets": set.Secrets,
		"token": token, "pointer to token": &token, "tokens": []plugins.Token{token}, "map of tokens": set.Tokens,
		"token pointers": []*plugins.Token{&token}, "any": []any{token, secret, &set},
		"credentials": set, "pointer to credentials": &set,
		"grant": plugins.Grant{Alias: "x", Token: token}, "grants": []plugins.Grant{{Token: token}}, "pointer to grant": &plugins.Grant{Token: token},
		"embedded": inner, "struct": named, "pointer to struct": &named,
		"error": &plugins.Error{Kind: plugins.KindReplace, Err: fmt.Errorf("renew %v with %q: %w", token, secret, errors.New("gone"))},
	}
}

// TestW11_NoVerbShowsASecret prints each carrier with every verb and flag that
// package fmt knows, and some that it does not. It leaves out %p and %w, at which
// fmt calls no method and which go vet refuses for these types.
// Shows: T-20.
func TestW11_NoVerbShowsASecret(t *testing.T) {
	var formats []string
	for _, verb := range "vTtbcdoOqxXUeEfFgGsz!" {
		for _, flags := range []string{"", "+", "#", "+#", "-40", "040", " ", "# ", ".3", "#+.60"} {
			formats = append(formats, "%"+flags+string(verb))
		}
	}
	formats = append(formats, "no verb at all", "%[1]v %[1]x", "%[2]v") // extra and missing arguments
	for name, v := range carriers() {
		for _, format := range formats {
			wantNoCanary(t, name+" by "+format, fmt.Sprintf(format, v))
		}
		wantNoCanary(t, name+" by Sprint", fmt.Sprint(v))
		wantNoCanary(t, name+" in an error", fmt.Errorf("use %v: %w", v, errors.New("x")).Error())
	}
}

// TestW11_NoEncoderShowsASecret: JSON, and both handlers of log/slog.
// Shows: T-20.
func TestW11_NoEncoderShowsASecret(t *testing.T) {
	for name, v := range carriers() {
		text, err := json.Marshal(v)
		if err != nil {
			t.Errorf("%s as JSON: %v", name, err)
		}
		wantNoCanary(t, name+" as JSON", string(text))

		var out bytes.Buffer
		options := &slog.HandlerOptions{Level: slog.LevelDebug}
		for _, h := range []slog.Handler{slog.NewTextHandler(&out, options), slog.NewJSONHandler(&out, options)} {
			log := slog.New(h)
			log.Info("plain", "v", v)
			log.With("v", v).WithGroup("g").Info("grouped", slog.Group("h", "v", v))
		}
		wantNoCanary(t, name+" by slog", out.String())
	}
}

// TestW11_SecretsAreNamed: what is printed instead tells which token it was.
func TestW11_SecretsAreNamed(t *testing.T) {
	token := canaryToken()
	for _, got := range []string{fmt.Sprint(token), fmt.Sprintf("%#v", &token), token.String()} {
		if want := `token ` + token.Fingerprint() + ` of kind "KIND" for "host:1"`; got != want {
			t.Errorf("want %s, got %s", want, got)
		}
	}
	if got := fmt.Sprintf("%x", plugins.Secret(canary)); got != "[secret]" {
		t.Errorf("got %s", got)
	}
	other := token
	other.Password = plugins.Secret("another")
	if other.Fingerprint() != token.Fingerprint() {
		t.Error("the fingerprint depends on the password")
	}
}

func wantNoCanary(t *testing.T, what, text string) {
	t.Helper()
	for _, form := range canaryForms() {
		if strings.Contains(text, form) {
			t.Errorf("%s shows the secret: %q", what, text)
			return
		}
	}
}

// canaryForms is the canary as the verbs and encoders write bytes. A piece of 8
// bytes is enough to tell.
func canaryForms() []string {
	piece := []byte(canary)[7:15]
	forms := []string{
		"CANARY", "p4ssw", hex.EncodeToString(piece), strings.ToUpper(hex.EncodeToString(piece)),
		strings.Trim(fmt.Sprint(piece), "[]"), strings.Trim(fmt.Sprintf("%b", piece), "[]"),
		strings.Trim(fmt.Sprintf("%o", piece), "[]"), strings.Trim(fmt.Sprintf("%#v", piece), "[]byte{}"),
		strings.Trim(fmt.Sprintf("%U", piece), "[]"), strings.Trim(fmt.Sprintf("% x", piece), "[]"), strings.Trim(fmt.Sprintf("%c", piece), "[]"),
	}
	for offset := range 3 {
		whole := base64.StdEncoding.EncodeToString([]byte(canary)[7+offset : 16+offset])
		forms = append(forms, whole[:8])
	}
	return forms
}
