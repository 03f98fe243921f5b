package renewer_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/hadooptest"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/renewer"
)

// tape is everything the renewer says: log, events, listings, errors.
type tape struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (p *tape) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf.Write(b)
}

func (p *tape) say(v any) {
	text, _ := json.Marshal(v)
	_, _ = fmt.Fprintf(p, "%v %+v %#v %q %s\n", v, v, v, fmt.Sprint(v), text)
}

// forms are the ways in which a secret could be written.
func forms(secret []byte) map[string]string {
	list := map[string]string{
		"raw": string(secret), "hex": hex.EncodeToString(secret),
		"decimal": strings.Trim(fmt.Sprint(secret), "[]"),
		"quoted":  strings.Trim(fmt.Sprintf("%q", secret), `"`),
	}
	for offset := range 3 {
		padded := append(make([]byte, offset), secret...)
		for name, enc := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "url base64": base64.RawURLEncoding} {
			text := enc.EncodeToString(padded)
			list[fmt.Sprintf("%s at offset %d", name, offset)] = text[(offset*8+5)/6+1 : len(text)-2]
		}
	}
	return list
}

// Shows: P7, W11, C-Y08, T-21.
func TestT20_NothingTheRenewerSaysHoldsASecret(t *testing.T) {
	l, s := newLender(hadooptest.Lifetimes{RenewInterval: time.Hour, MaxLifetime: 5 * time.Hour}), newShelf()
	out := &tape{}
	log := slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	hooks := renewer.Hooks{Each: func(ev renewer.Event) { out.say(ev) }}
	var secrets [][]byte
	running(t, renewer.Config{Providers: providers(l), Stager: s, Logger: log, Hooks: hooks}, func(ctx context.Context, t *testing.T, r *renewer.Renewer) {
		brought := bringing("brought", issued(t, l, "alice"))
		brought.Credentials.Secrets = map[string]plugins.Secret{"spark.secret": []byte("canary-secret-of-spark")}
		must(t, r.Register(ctx, brought))
		must(t, r.Register(ctx, app("asked", "hdfs")))
		forged := issued(t, l, "alice")
		forged.Password = []byte("canary-forged-password")
		out.say(r.Register(ctx, bringing("forged", forged)))
		l.fail(func(op string) error {
			if op == "renew" {
				return errTest(1)
			}
			return nil
		})
		time.Sleep(50 * time.Minute)
		l.fail(nil)
		time.Sleep(12 * time.Hour)
		list, err := r.Entries(ctx)
		must(t, err)
		out.say(list)
		apps, err := r.As(renewer.Caller{Trusted: true}).Apps(ctx)
		must(t, err)
		out.say(apps)
		creds, _, err := r.Current(ctx, key("brought"))
		must(t, err)
		out.say(creds)
		out.say(brought)
		must(t, r.Unregister(ctx, key("brought")))
		time.Sleep(time.Minute)
		secrets = append(secrets, forged.Password, brought.Credentials.Secrets["spark.secret"])
		for _, sets := range s.sets {
			for _, set := range sets {
				out.say(set)
				for _, token := range set.Credentials.Tokens {
					secrets = append(secrets, token.Password)
				}
			}
		}
	})
	said := out.buf.String()
	if len(secrets) < 6 || !strings.Contains(said, "token-replaced") || !strings.Contains(said, "try-failed") {
		t.Fatalf("%d secrets seen in %d bytes: the run was too quiet to show anything", len(secrets), len(said))
	}
	for _, secret := range secrets {
		for form, text := range forms(secret) {
			if strings.Contains(said, text) {
				t.Errorf("a secret of %d bytes is there as %s", len(secret), form)
			}
		}
	}
}
