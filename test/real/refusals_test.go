package real_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/hrpc"
	"github.com/tokenwheel/tokenwheel/internal/krb"
	"github.com/tokenwheel/tokenwheel/plugins"
	"github.com/tokenwheel/tokenwheel/test/real/cluster"
)

// What the real NameNode answers to what it does not do, by class and text.
//
// Shows: N5, N8, N9, N11, N12, N17.
func TestTheNameNodesRefusals(t *testing.T) {
	ctx := within(t, time.Minute)
	self := dial(t, shared, withKerberos(t, shared, cluster.TokenwheelPrincipal, ""))
	asAlice := dial(t, shared, withKerberos(t, shared, cluster.TokenwheelPrincipal, "alice"))
	asBob := dial(t, shared, withKerberos(t, shared, cluster.BobPrincipal, ""))
	issue := func(renewer string) plugins.Token {
		token, err := asAlice.get(ctx, renewer)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	forged := func(token plugins.Token) plugins.Token {
		token.Password = make([]byte, len(token.Password))
		return token
	}
	ours := issue("tokenwheel")
	gone := issue("tokenwheel")
	if err := self.cancel(ctx, gone); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		as    nameNode
		token plugins.Token
		class hrpc.Class
		text  string
	}{
		{"N5 over a token's login", dial(t, shared, withToken(ours)), ours, hrpc.JavaIO, "can be renewed only with kerberos or web authentication"},
		{"N8 no renewer", self, issue(""), hrpc.AccessControl, "without a renewer"},
		{"N9 another renewer", self, issue("yarn"), hrpc.AccessControl, "with non-matching renewer yarn"},
		{"N11 wrong password", self, forged(ours), hrpc.AccessControl, "with wrong password"},
		{"N12 cancelled before", self, gone, hrpc.InvalidToken, "Renewal request for unknown token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.as.renew(ctx, tt.token)
			refusedAs(t, err, tt.class, tt.text)
		})
	}
	t.Run("N17 cancel by a stranger", func(t *testing.T) {
		refusedAs(t, asBob.cancel(ctx, ours), hrpc.AccessControl, "is not authorized to cancel the token")
	})
	t.Run("T-01 cancel does not look at the password", func(t *testing.T) {
		if err := self.cancel(ctx, forged(ours)); err != nil {
			t.Errorf("the renewer's cancel with a wrong password: %v", err)
		}
		_, err := self.renew(ctx, ours)
		refusedAs(t, err, hrpc.InvalidToken, "Renewal request for unknown token")
	})
}

// Shows: N32, and what a login with a wrong or unknown token meets.
func TestTheNameNodesRefusedLogins(t *testing.T) {
	ctx := within(t, time.Minute)
	token := get(t, shared)
	wrong := token
	wrong.Password = make([]byte, len(token.Password))
	for _, tt := range []struct {
		name   string
		config hrpc.Config
		class  hrpc.Class
		text   string
	}{
		{"N32 no proxy right", withKerberos(t, shared, cluster.BobPrincipal, "alice"), hrpc.Authorization, "is not allowed to impersonate alice"},
		{"wrong password", withToken(wrong), hrpc.SASL, "DIGEST-MD5: digest response format violation. Mismatched response."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := hrpc.Dial(ctx, tt.config, shared.NameNodeAddr)
			if err == nil { // the connection context is refused where the first call's answer is awaited
				defer conn.Close()
				_, err = nameNode{conn}.get(ctx, "tokenwheel")
			}
			refusedAs(t, err, tt.class, tt.text)
		})
	}
}

// Shows: N30.
func TestN28_TokenLoginsAskNoKDC(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	const receivers = 10_000
	token := get(t, shared)
	before, err := shared.KDCRequests()
	if err != nil {
		t.Fatal(err)
	}
	shared.StopKDC()
	for range receivers {
		conn, err := hrpc.Dial(ctx, withToken(token), shared.NameNodeAddr)
		if err != nil {
			t.Errorf("token login without a KDC: %v", err)
			break
		}
		conn.Close()
	}
	short, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err = hrpc.Dial(short, withKerberos(t, shared, cluster.BobPrincipal, ""), shared.NameNodeAddr)
	if !errors.Is(err, krb.ErrKDCUnreachable) {
		t.Errorf("Kerberos login without a KDC: %v, want %s", err, krb.ErrKDCUnreachable)
	}
	if err := shared.StartKDC(ctx); err != nil {
		t.Fatal(err)
	}
	after, err := shared.KDCRequests()
	if err != nil {
		t.Fatal(err)
	}
	if before == 0 || after != before {
		t.Errorf("the KDC logged %d requests before and %d after", before, after)
	}
}
