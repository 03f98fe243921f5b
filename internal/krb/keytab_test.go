package krb_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/krb"
	"github.com/tokenwheel/tokenwheel/internal/krb/minikdc"
)

func TestKeytabCutAnywhereIsAnError(t *testing.T) {
	r := newRealm(t, minikdc.Config{})
	whole, err := r.Keytab("app/host1", spn)
	if err != nil {
		t.Fatal(err)
	}
	entries := 0
	for i := range whole {
		if _, err := krb.ParseKeytab(whole[:i]); err == nil {
			entries++ // only a cut between entries reads as a shorter keytab
		}
	}
	if entries != 8 {
		t.Errorf("%d cuts parsed, want the 8 between header and entries", entries)
	}
	kt, err := krb.ParseKeytab(whole)
	if err != nil || !bytes.Equal(kt.Bytes(), whole) {
		t.Errorf("a keytab does not come back as it was: %v", err)
	}
}

func TestKeytabHolesAndOldVersions(t *testing.T) {
	hole := []byte{5, 2, 0xff, 0xff, 0xff, 0xfc, 1, 2, 3, 4}
	if _, err := krb.ParseKeytab(hole); err != nil {
		t.Errorf("a deleted entry: %v", err)
	}
	if _, err := krb.ParseKeytab(hole[:8]); err == nil {
		t.Error("a cut deleted entry was taken")
	}
	v1 := []byte("\x05\x01" + "\x22\x00\x00\x00" + "\x02\x00" + "\x04\x00TEST" + "\x03\x00app" + "\x01\x00\x00\x00" + "\x03" + "\x11\x00" + "\x08\x0001234567")
	v1[2] = byte(len(v1) - 6)
	if kt, err := krb.ParseKeytab(v1); err != nil || kt.String() != "keytab of 1 keys" {
		t.Errorf("version 1: %v, %v", kt, err)
	}
	for _, bad := range [][]byte{nil, {5}, {4, 2}, {5, 3}} {
		if _, err := krb.ParseKeytab(bad); err == nil {
			t.Errorf("%x was taken", bad)
		}
	}
}

func TestB05_KeytabReplacedWhileLoggingIn(t *testing.T) {
	r := newRealm(t, minikdc.Config{})
	whole, err := r.Keytab("app/host1")
	if err != nil {
		t.Fatal(err)
	}
	for _, atomic := range []bool{true, false} {
		c := r.client(t, nil)
		if err := c.Login(context.Background()); err != nil {
			t.Fatal(err)
		}
		problems := 0
		for i := range 1000 {
			if atomic {
				temp := r.keytab + ".new"
				if err := os.WriteFile(temp, whole, 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(temp, r.keytab); err != nil {
					t.Fatal(err)
				}
			} else if err := os.WriteFile(r.keytab, whole[:i*len(whole)/1000], 0o600); err != nil { // a writer caught half way
				t.Fatal(err)
			}
			if err := c.Login(context.Background()); err != nil {
				t.Fatalf("atomic %v, replacement %d: %v", atomic, i, err)
			}
			if c.Trouble() != nil {
				problems++
			}
		}
		if atomic && problems > 0 || !atomic && problems < 900 {
			t.Errorf("atomic %v: %d problems told", atomic, problems)
		}
	}
	os.Remove(r.keytab)
	c := r.client(t, nil)
	if err := c.Login(context.Background()); !errors.Is(err, krb.ErrKeytab) {
		t.Errorf("no keytab at all: %v", err)
	}
}

func TestB05_KeytabAheadOfOrBehindTheKDC(t *testing.T) {
	r := newRealm(t, minikdc.Config{})
	c := r.client(t, nil)
	if err := c.Login(context.Background()); err != nil {
		t.Fatal(err)
	}
	old, _ := os.ReadFile(r.keytab)
	other := newRealm(t, minikdc.Config{})
	other.writeKeytab(t, r.keytab, "app/host1") // another KDC's keys of the same name
	if err := c.Login(context.Background()); err != nil {
		t.Errorf("with a wrong keytab the earlier keys must serve: %v", err)
	}
	if err := c.Trouble(); !errors.Is(err, krb.ErrWrongKey) {
		t.Errorf("problem %v, want %v", err, krb.ErrWrongKey)
	}
	if err := r.AddPrincipal("app/host1"); err != nil { // new keys in the KDC
		t.Fatal(err)
	}
	both := mergeKeytabs(t, r, old)
	if err := os.WriteFile(r.keytab, both, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.client(t, nil).Login(context.Background()); err != nil {
		t.Errorf("a keytab with both versions: %v", err)
	}
	for _, req := range r.Requests()[len(r.Requests())-2:] {
		if req.Error == 24 {
			t.Error("an older key was tried before the newest")
		}
	}
	if err := c.Login(context.Background()); err != nil || c.Trouble() != nil {
		t.Errorf("after the keytab was put right: %v, problem %v", err, c.Trouble())
	}
}

// mergeKeytabs appends old to the present keys, as ktutil does.
func mergeKeytabs(t *testing.T, r *realm, old []byte) []byte {
	t.Helper()
	now, err := r.Keytab("app/host1")
	if err != nil {
		t.Fatal(err)
	}
	return append(old, now[2:]...)
}

func TestNewestKeyOfAKeytabNotYetInTheKDC(t *testing.T) {
	r := newRealm(t, minikdc.Config{})
	old, _ := os.ReadFile(r.keytab)
	p, _ := krb.ParsePrincipal("app/host1", r.Realm())
	var next krb.Keytab
	for _, id := range minikdc.DefaultEtypes() {
		key, err := krb.NewKey(id)
		if err != nil {
			t.Fatal(err)
		}
		next.Add(p, 2, time.Now(), key)
	}
	if err := os.WriteFile(r.keytab, append(old, next.Bytes()[2:]...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.client(t, nil).Login(context.Background()); err != nil {
		t.Errorf("the version before the newest must be tried: %v", err)
	}
}

// Shows: T-25.
func TestT25_NoKeyInErrorsOrPrintedValues(t *testing.T) {
	r := newRealm(t, minikdc.Config{})
	whole, err := r.Keytab("app/host1")
	if err != nil {
		t.Fatal(err)
	}
	kt, err := krb.ParseKeytab(whole)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{fmt.Sprintf("%v %+v %#v %s", kt, kt, kt, kt)}
	dir := t.TempDir()
	for i := range whole {
		path := filepath.Join(dir, "cut")
		if err := os.WriteFile(path, whole[:i], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := krb.LoadKeytab(path); err != nil {
			texts = append(texts, err.Error())
		}
	}
	key := whole[len(whole)-4-16 : len(whole)-4] // the last entry's, before its version
	for _, text := range texts {
		for at := range len(key) - 4 {
			part := key[at : at+4]
			if strings.Contains(text, string(part)) || strings.Contains(text, fmt.Sprintf("%x", part)) || strings.Contains(text, fmt.Sprintf("%d", part)) {
				t.Fatalf("key bytes in %q", text)
			}
		}
	}
}

func TestT17_AnotherKDCCannotAnswerALogin(t *testing.T) {
	r, spoof := newRealm(t, minikdc.Config{}), newRealm(t, minikdc.Config{})
	c := r.client(t, func(o *krb.Options) { o.Dial = spoof.Dial })
	if err := c.Login(context.Background()); !errors.Is(err, krb.ErrWrongKey) {
		t.Errorf("a KDC without our key: %v", err)
	}
	i, err := r.client(t, nil).Initiate(context.Background(), spn)
	if err != nil {
		t.Fatal(err)
	}
	req, _, err := i.Step(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := spoof.service(t, nil).Acceptor().Step(req); err == nil {
		t.Error("a service without the key took the ticket")
	}
	s := r.service(t, nil)
	if _, _, err := s.Acceptor().Step(req); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Acceptor().Step(req); !errors.Is(err, krb.ErrProtocol) {
		t.Errorf("a repeated AP-REQ: %v", err)
	}
}

func TestT17_RepliesToOtherRequestsAreRefused(t *testing.T) {
	r := newRealm(t, minikdc.Config{})
	c := r.client(t, nil)
	var replies [][]byte
	krb.TapReplies(c, func(b []byte) { replies = append(replies, bytes.Clone(b)) })
	one, err := c.Initiate(context.Background(), spn)
	if err != nil {
		t.Fatal(err)
	}
	two, err := c.Initiate(context.Background(), spn)
	if err != nil {
		t.Fatal(err)
	}
	req, _, err := one.Step(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := two.Step(nil); err != nil {
		t.Fatal(err)
	}
	rep, _, err := r.service(t, nil).Acceptor().Step(req)
	if err != nil {
		t.Fatal(err)
	}
	if _, done, err := two.Step(rep); done || !errors.Is(err, krb.ErrProtocol) {
		t.Errorf("the AP-REP of another context: done %v, %v", done, err)
	}

	asRep := append(binary.BigEndian.AppendUint32(nil, uint32(len(replies[1]))), replies[1]...)
	replay := r.client(t, func(o *krb.Options) { o.Dial = answering(t, asRep) })
	if err := replay.Login(context.Background()); !errors.Is(err, krb.ErrProtocol) {
		t.Errorf("the AS-REP of an earlier login: %v", err)
	}
}

func TestExpandHost(t *testing.T) {
	for in, want := range map[string]string{
		"nn/_HOST@R": "nn/nn1.test@R", "nn/_HOST": "nn/nn1.test", "nn/other@R": "nn/other@R", "_HOST@R": "_HOST@R", "nn@R": "nn@R",
	} {
		if got := krb.ExpandHost(in, "NN1.test"); got != want {
			t.Errorf("%s became %s, want %s", in, got, want)
		}
	}
}
