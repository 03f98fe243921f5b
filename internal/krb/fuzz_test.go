package krb_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/tokenwheel/tokenwheel/internal/krb"
	"github.com/tokenwheel/tokenwheel/internal/krb/minikdc"
)

func fuzzRealm(f *testing.F) *minikdc.KDC {
	f.Helper()
	kdc, err := minikdc.New(minikdc.Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { kdc.Close() })
	for _, name := range []string{"app/host1", spn} {
		if err := kdc.AddPrincipal(name); err != nil {
			f.Fatal(err)
		}
	}
	return kdc
}

func FuzzConfig(f *testing.F) {
	f.Add(worldly)
	f.Add("[realms]\nA = {\nkdc = \"x\\\"\n}\n")
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := krb.ParseConfig("f", text); (c == nil) == (err == nil) {
			t.Fatalf("%v, %v", c, err)
		}
	})
}

func FuzzKeytab(f *testing.F) {
	b, err := fuzzRealm(f).Keytab("app/host1", spn)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		kt, err := krb.ParseKeytab(b)
		if err != nil {
			return
		}
		again, err := krb.ParseKeytab(kt.Bytes())
		if err != nil || !bytes.Equal(again.Bytes(), kt.Bytes()) {
			t.Fatalf("not stable: %v", err)
		}
	})
}

func FuzzCCache(f *testing.F) {
	kdc := fuzzRealm(f)
	c := fuzzClient(f, kdc)
	if err := c.Login(context.Background()); err != nil {
		f.Fatal(err)
	}
	for version := uint8(1); version <= 4; version++ {
		whole := c.CCacheFile(version)
		if _, err := krb.ParseCCacheSummary(whole); err != nil {
			f.Fatal(err)
		}
		ok := 0
		for i := range whole {
			if _, err := krb.ParseCCacheSummary(whole[:i]); err == nil {
				ok++
			}
		}
		if ok != 2 { // after the name and after the first entry
			f.Errorf("version %d: %d cuts parsed, want 2", version, ok)
		}
		f.Add(whole)
	}
	f.Fuzz(func(t *testing.T, b []byte) { krb.ParseCCacheSummary(b) })
}

func fuzzClient(f *testing.F, kdc *minikdc.KDC) *krb.Client {
	f.Helper()
	b, err := kdc.Keytab("app/host1")
	if err != nil {
		f.Fatal(err)
	}
	path := writeTemp(f, b)
	c, err := krb.NewClient(krb.Options{
		Conf:      &krb.Config{DefaultRealm: kdc.Realm(), Realms: map[string]krb.Realm{kdc.Realm(): {KDCs: []string{"kdc:88"}}}},
		Principal: "app/host1", Keytab: path, Dial: kdc.Dial,
	})
	if err != nil {
		f.Fatal(err)
	}
	return c
}

func FuzzContextTokens(f *testing.F) {
	kdc := fuzzRealm(f)
	b, err := kdc.Keytab(spn)
	if err != nil {
		f.Fatal(err)
	}
	kt, err := krb.ParseKeytab(b)
	if err != nil {
		f.Fatal(err)
	}
	i, err := fuzzClient(f, kdc).Initiate(context.Background(), spn)
	if err != nil {
		f.Fatal(err)
	}
	req, _, err := i.Step(nil)
	if err != nil {
		f.Fatal(err)
	}
	s := krb.NewService(krb.ServiceOptions{Keytab: kt})
	rep, _, err := s.Acceptor().Step(req)
	if err != nil {
		f.Fatal(err)
	}
	if err := krb.VerifyAPRep(i, rep); err != nil {
		f.Fatal(err)
	}
	for at := range rep {
		if krb.VerifyAPRep(i, rep[:at]) == nil {
			f.Errorf("AP-REP cut to %d bytes was taken", at)
		}
	}
	for at := range req {
		if _, done, err := s.Acceptor().Step(req[:at]); done || err == nil {
			f.Errorf("AP-REQ cut to %d bytes was taken", at)
		}
	}
	f.Add(rep)
	f.Add(req)
	f.Fuzz(func(t *testing.T, token []byte) {
		if !bytes.Equal(token, rep) && krb.VerifyAPRep(i, token) == nil {
			t.Fatalf("a changed AP-REP was taken")
		}
		if _, done, _ := s.Acceptor().Step(token); done && !bytes.Equal(token, req) {
			t.Fatalf("a changed AP-REQ was taken")
		}
	})
}

func FuzzWrapToken(f *testing.F) {
	for _, g := range wrapGoldens(f) {
		f.Add(g.Etype, g.AcceptorSubkeyFlag, g.AcceptorSeq, unhex(f, g.AcceptorToken))
	}
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(0x40 + i)
	}
	f.Fuzz(func(t *testing.T, etype int32, flag bool, seq uint64, token []byte) {
		size := 32
		if etype == 17 || etype == 19 {
			size = 16
		}
		s := krb.NewSession(etype, key[:size], true, flag, 0, seq)
		plain, _, err := s.Unwrap(token)
		if err == nil && len(plain) > len(token) {
			t.Fatalf("%d bytes out of %d", len(plain), len(token))
		}
	})
}

func FuzzKDCReply(f *testing.F) {
	kdc := fuzzRealm(f)
	var replies [][]byte
	c := fuzzClient(f, kdc)
	krb.TapReplies(c, func(b []byte) { replies = append(replies, bytes.Clone(b)) })
	if _, err := c.Initiate(context.Background(), spn); err != nil {
		f.Fatal(err)
	}
	if len(replies) != 3 {
		f.Fatalf("%d replies, want 3", len(replies))
	}
	for _, b := range replies {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if krb.KDCReply(b) == nil {
			t.Fatal("a reply under an unknown key was taken")
		}
	})
}

func FuzzNameRules(f *testing.F) {
	f.Add("RULE:[2:$1@$0]([ndj]n@LAB.TEST)s/.*/hdfs/g/L DEFAULT", "nn/h@LAB.TEST")
	f.Fuzz(func(t *testing.T, rules, principal string) {
		n, err := krb.ParseNameRules(rules, "LAB.TEST", "")
		if err != nil {
			return
		}
		if short, err := n.ShortName(principal); err == nil && short == "" {
			t.Fatal("an empty short name")
		}
	})
}
