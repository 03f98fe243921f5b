package krb_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokenwheel/tokenwheel/internal/clock"
	"github.com/tokenwheel/tokenwheel/internal/krb"
	"github.com/tokenwheel/tokenwheel/internal/krb/minikdc"
)

func TestB06_TicketsAreReplacedAtUse(t *testing.T) {
	bubble(t, func(t *testing.T, r *realm) {
		c := r.client(t, func(o *krb.Options) { o.Clock = clock.Bubble(nil) })
		s := r.service(t, func(o *krb.ServiceOptions) { o.Clock = clock.Bubble(nil) })
		for _, step := range []struct {
			sleep   time.Duration
			as, tgs int // tickets given out so far
		}{
			{0, 1, 1},
			{8*time.Hour - time.Minute, 1, 1},                  // still fresh
			{2 * time.Minute, 2, 2},                            // four fifths are over
			{7 * time.Hour, 2, 2},                              // their successors are fresh
			{400 * time.Hour, 3, 3},                            // a machine that slept: both are long dead
			{10*time.Hour - 30*time.Second, 4, 4},              // too near the end to use
			{10*time.Hour - 4*time.Minute - time.Second, 5, 5}, /* and so on */
		} {
			time.Sleep(step.sleep)
			establish(t, c, s, spn)
			if as, tgs := r.Count("AS"), r.Count("TGS"); as != step.as || tgs != step.tgs {
				t.Errorf("after %v: %d logins and %d service tickets, want %d and %d", step.sleep, as, tgs, step.as, step.tgs)
			}
		}
	})
}

func TestB01_KDCDownUsesTheTicketAtHand(t *testing.T) {
	bubble(t, func(t *testing.T, r *realm) {
		c := r.client(t, func(o *krb.Options) { o.Clock = clock.Bubble(nil) })
		s := r.service(t, func(o *krb.ServiceOptions) { o.Clock = clock.Bubble(nil) })
		establish(t, c, s, spn)
		r.SetHang(true)
		time.Sleep(10*time.Hour - 4*time.Minute)
		start := time.Now()
		establish(t, c, s, spn) // the replacement is tried, for five seconds
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("a use took %v while the KDC hangs", took)
		}
		start = time.Now()
		establish(t, c, s, spn) // and not at every use
		if took := time.Since(start); took != 0 {
			t.Errorf("the next use took %v", took)
		}
		if err := c.Trouble(); !errors.Is(err, krb.ErrKDCUnreachable) {
			t.Errorf("trouble: %v, want that no KDC answers", err)
		}
		time.Sleep(3*time.Minute + 20*time.Second) // half a minute left: a service may see it as ended
		if _, err := c.Initiate(t.Context(), spn); !errors.Is(err, krb.ErrKDCUnreachable) {
			t.Errorf("with a dead ticket: %v", err)
		}
		r.SetHang(false)
		establish(t, c, s, spn)
	})
}

// Who uses connections that stand has no use of a ticket for days: it is kept all
// the same, a KDC that hangs costs him little, and what ails it is told.
//
// Shows: B01, S5.
func TestB01_TicketIsKeptForWhoHasNoUseOfIt(t *testing.T) {
	bubble(t, func(t *testing.T, r *realm) {
		c := r.client(t, func(o *krb.Options) { o.Clock = clock.Bubble(nil) })
		keep := func() time.Duration {
			start := time.Now()
			c.Keep(t.Context())
			return time.Since(start)
		}
		for range 100 { // of half an hour
			keep()
			if left, life := c.TicketLife(); left < life/5 {
				t.Fatalf("%v left of %v", left, life)
			}
			time.Sleep(30 * time.Minute)
		}
		if n := r.Count("AS"); n < 6 || n > 8 {
			t.Errorf("%d logins in 50 hours with tickets of ten, want one for each eight hours", n)
		}
		if err := c.Trouble(); err != nil {
			t.Errorf("trouble of a healthy identity: %v", err)
		}
		time.Sleep(8 * time.Hour)
		r.SetHang(true)
		if d := keep(); d > 5*time.Second {
			t.Errorf("it took %v with a KDC that hangs", d)
		}
		if d := keep(); d != 0 {
			t.Errorf("it took %v right after a failure", d)
		}
		if err := c.Trouble(); !errors.Is(err, krb.ErrKDCUnreachable) {
			t.Errorf("trouble: %v, want that no KDC answers", err)
		}
		var spent time.Duration
		for range 60 * 24 { // minutes, beyond the ticket's end
			spent += keep()
			time.Sleep(time.Minute)
		}
		if spent > 30*time.Minute {
			t.Errorf("a day without a KDC cost %v of waiting", spent)
		}
		r.SetHang(false)
		time.Sleep(5 * time.Minute)
		if keep(); c.Trouble() != nil {
			t.Errorf("trouble after the KDC came back: %v", c.Trouble())
		}
		time.Sleep(8*time.Hour + time.Minute)
		r.SetHang(true)
		keep()
		r.SetHang(false)
		if err := c.Login(t.Context()); err != nil || c.Trouble() != nil {
			t.Errorf("login: %v; trouble after it: %v", err, c.Trouble())
		}
	})
}

// A service that has new keys refuses the tickets of before. One refusal is enough,
// costs a KDC that is down or a service that refuses everybody little, and throws
// nothing away.
func TestRefusedTicketIsReplaced(t *testing.T) {
	bubble(t, func(t *testing.T, r *realm) {
		c := r.client(t, func(o *krb.Options) { o.Clock = clock.Bubble(nil) })
		serve := func() *krb.Service { return r.service(t, func(o *krb.ServiceOptions) { o.Clock = clock.Bubble(nil) }) }
		before := serve()
		establish(t, c, before, spn)
		time.Sleep(time.Hour)
		c.Doubt("nn/never.seen.test")
		r.SetHang(true)
		c.Doubt(spn)
		establish(t, c, before, spn) // the ticket at hand still serves
		r.SetHang(false)
		time.Sleep(time.Minute)
		tickets := r.Count("TGS")
		if err := r.AddPrincipal(spn); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			c.Doubt(spn)
			establish(t, c, serve(), spn)
		}
		if as, tgs := r.Count("AS"), r.Count("TGS"); as != 1 || tgs != tickets+1 {
			t.Errorf("%d logins and %d more service tickets, want 1 of each", as, tgs-tickets)
		}
	})
}

func TestOneFetchForManyCallers(t *testing.T) {
	bubble(t, func(t *testing.T, r *realm) {
		c := r.client(t, nil)
		r.SetHang(true)
		var wg sync.WaitGroup
		first, cancel := context.WithCancel(t.Context())
		for i := range 50 {
			ctx := t.Context()
			if i == 0 {
				ctx = first
			}
			wg.Go(func() {
				if _, err := c.Initiate(ctx, spn); err != nil && ctx != first {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		cancel() // the caller that was fetching gives up; another takes over
		synctest.Wait()
		r.SetHang(false)
		wg.Wait()
		if as, tgs := r.Count("AS"), r.Count("TGS"); as > 2 || tgs != 1 {
			t.Errorf("%d logins and %d service tickets for 50 callers", as, tgs)
		}
	})
}

func TestB03_ClockSkewIsHealed(t *testing.T) {
	for _, skew := range []time.Duration{10 * time.Minute, -10 * time.Minute, 300 * 24 * time.Hour, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			server := clock.Bubble(nil)
			r := newRealm(t, minikdc.Config{Clock: server})
			c := r.client(t, func(o *krb.Options) { o.Clock = clock.Bubble(func() time.Duration { return -skew }) })
			establish(t, c, r.service(t, func(o *krb.ServiceOptions) { o.Clock = server }), spn)
			if off := c.ClockOffset() - skew; skew > time.Minute && off.Abs() > 2*time.Second {
				t.Errorf("skew %v was measured as %v", skew, c.ClockOffset())
			}
		})
	}
}

func TestP11_WallClockStepsChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := clock.Bubble(nil)
		r := newRealm(t, minikdc.Config{Clock: server})
		s := r.service(t, func(o *krb.ServiceOptions) { o.Clock = server })
		var step time.Duration
		c := r.client(t, func(o *krb.Options) { o.Clock = clock.Bubble(func() time.Duration { return step }) })
		for _, step = range []time.Duration{0, 48 * time.Hour, -1000 * time.Hour, 3 * time.Minute} {
			establish(t, c, s, spn)
		}
		if n := len(r.Requests()); n != 3 {
			t.Errorf("%d requests to the KDC, want the first login's 3", n)
		}
	})
}

func TestB03_ClockOfTheKDCJumpsDuringLogin(t *testing.T) {
	r := newRealm(t, minikdc.Config{})
	dials := 0
	c := r.client(t, func(o *krb.Options) {
		o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if dials++; dials == 2 {
				r.SetClockOffset(time.Hour)
			}
			return r.Dial(ctx, network, addr)
		}
	})
	if err := c.Login(t.Context()); err != nil {
		t.Error(err)
	}
	r.SetClockOffset(-time.Hour) // the ticket is from the future now, and requests are an hour ahead
	if _, err := c.Initiate(t.Context(), spn); err != nil {
		t.Error(err)
	}
}

func TestStampsNeverRepeat(t *testing.T) {
	r := newRealm(t, minikdc.Config{})
	frozen := clock.Instant{Wall: time.Now()}
	c := r.client(t, func(o *krb.Options) { o.Clock = clock.Func(func() clock.Instant { return frozen }) })
	seen := map[time.Time]bool{}
	for range 1000 {
		seen[krb.Stamp(c)] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d different stamps of 1000", len(seen))
	}
}

func TestB03_SkewThatCannotBeHealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		offset := 20 * time.Minute
		r := newRealm(t, minikdc.Config{Clock: clock.Func(func() clock.Instant {
			offset += 20 * time.Minute // a KDC whose date runs away from us
			return clock.Instant{Wall: time.Now().Add(offset)}
		})})
		err := r.client(t, nil).Login(t.Context())
		var e *krb.Error
		if !errors.As(err, &e) || e.Kind != krb.ErrClockSkew || e.Skew < 20*time.Minute {
			t.Fatalf("error %v, want %v with its size", err, krb.ErrClockSkew)
		}
	})
}

func TestKindsOfRefusal(t *testing.T) {
	for _, tc := range []struct {
		name string
		want krb.Kind
		do   func(t *testing.T, r *realm, o *krb.Options)
		spn  string
	}{
		{name: "B07_revoked", want: krb.ErrRevoked, do: func(t *testing.T, r *realm, o *krb.Options) { r.Revoke("app/host1", true) }},
		{name: "unknown client", want: krb.ErrUnknownClient, do: func(t *testing.T, r *realm, o *krb.Options) { r.RemovePrincipal("app/host1") }},
		{name: "unknown server", want: krb.ErrUnknownServer, spn: "nn/other.mini.test"},
		{name: "wrong key", want: krb.ErrWrongKey, do: func(t *testing.T, r *realm, o *krb.Options) { r.AddPrincipal("app/host1") }},
		{name: "unknown realm", want: krb.ErrUnknownRealm, do: func(t *testing.T, r *realm, o *krb.Options) { o.Principal = "app/host1@ELSE.TEST"; rename(t, o) }},
		{name: "B07_etype of the KDC", want: krb.ErrEtype, do: func(t *testing.T, r *realm, o *krb.Options) {
			r.AddPrincipal("app/host1", 19)
			r.conf.ASEtypes = []int32{18}
		}},
		{name: "B07_etype of the keytab", want: krb.ErrEtype, do: func(t *testing.T, r *realm, o *krb.Options) { r.conf.ASEtypes = []int32{23} }},
		{name: "KDC down", want: krb.ErrKDCUnreachable, do: func(t *testing.T, r *realm, o *krb.Options) { r.SetDown(true) }},
		{name: "keytab missing", want: krb.ErrKeytab, do: func(t *testing.T, r *realm, o *krb.Options) { os.Remove(r.keytab) }},
		{name: "keytab of others", want: krb.ErrKeytab, do: func(t *testing.T, r *realm, o *krb.Options) { r.writeKeytab(t, r.keytab, spn) }},
		{name: "service name", want: krb.ErrName, spn: "nn"},
		{name: "cache kind", want: krb.ErrCCache, do: func(t *testing.T, r *realm, o *krb.Options) { o.Keytab, o.CCache = "", "/no/such/file" }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRealm(t, minikdc.Config{})
			o := krb.Options{Conf: r.conf, Principal: "app/host1", Keytab: r.keytab, Dial: r.Dial}
			if tc.do != nil {
				tc.do(t, r, &o)
			}
			c, err := krb.NewClient(o)
			if err != nil {
				t.Fatal(err)
			}
			target := tc.spn
			if target == "" {
				target = spn
			}
			if _, err = c.Initiate(context.Background(), target); !errors.Is(err, tc.want) {
				t.Errorf("error %v, want %v", err, tc.want)
			}
		})
	}
}

// rename gives the options a keytab for their principal.
func rename(t *testing.T, o *krb.Options) {
	t.Helper()
	p, err := krb.ParsePrincipal(o.Principal, "")
	if err != nil {
		t.Fatal(err)
	}
	key, err := krb.NewKey(18)
	if err != nil {
		t.Fatal(err)
	}
	var kt krb.Keytab
	kt.Add(p, 1, time.Unix(1, 0), key)
	if err := os.WriteFile(o.Keytab, kt.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTwoRealms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := clock.Bubble(nil)
		ours := newRealm(t, minikdc.Config{Realm: "OURS.TEST", Clock: src})
		theirs := newRealm(t, minikdc.Config{Realm: "THEIRS.TEST", Clock: src})
		far := newRealm(t, minikdc.Config{Realm: "FAR.TEST", Clock: src})
		for _, err := range []error{ours.Trust(theirs.KDC), theirs.Trust(far.KDC)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		conf := &krb.Config{
			DefaultRealm: "OURS.TEST",
			Realms:       map[string]krb.Realm{"OURS.TEST": {KDCs: []string{"ours:88"}}, "THEIRS.TEST": {KDCs: []string{"theirs:88"}}, "FAR.TEST": {KDCs: []string{"far:88"}}},
			DomainRealm:  map[string]string{"nn1.mini.test": "THEIRS.TEST"},
			CAPaths:      map[string]map[string]string{"OURS.TEST": {"FAR.TEST": "THEIRS.TEST"}},
		}
		dial := byAddress(map[string]krb.Dialer{"ours:88": ours.Dial, "theirs:88": theirs.Dial, "far:88": far.Dial})
		client := func() *krb.Client {
			return ours.client(t, func(o *krb.Options) { o.Conf, o.Dial, o.Clock = conf, dial, src })
		}
		serve := func(r *realm) *krb.Service { return r.service(t, func(o *krb.ServiceOptions) { o.Clock = src }) }
		check := func(how string, a *krb.Acceptor) {
			if got := a.Peer(); got != "app/host1@OURS.TEST" {
				t.Errorf("%s: the service sees %s", how, got)
			}
		}
		_, a := establish(t, client(), serve(theirs), spn)
		check("by domain_realm", a)
		_, a = establish(t, client(), serve(theirs), spn+"@THEIRS.TEST")
		check("by name", a)
		_, a = establish(t, client(), serve(far), spn+"@FAR.TEST")
		check("two hops by capaths", a)

		conf.DomainRealm = nil
		ours.RemovePrincipal(spn)
		ours.Refer("nn1.mini.test", "THEIRS.TEST")
		_, a = establish(t, client(), serve(theirs), spn)
		check("by referral", a)
	})
}

func TestCCacheLogin(t *testing.T) {
	for version := uint8(1); version <= 4; version++ {
		bubble(t, func(t *testing.T, r *realm) {
			src := clock.Bubble(nil)
			path := filepath.Join(t.TempDir(), "cc")
			kinit := func() {
				c := r.client(t, func(o *krb.Options) { o.Clock = src })
				if err := c.Login(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, c.CCacheFile(version), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Chtimes(path, time.Now(), time.Now()); err != nil {
					t.Fatal(err)
				}
			}
			kinit()
			c := r.client(t, func(o *krb.Options) { o.Keytab, o.CCache, o.Principal, o.Clock = "", "FILE:"+path, "", src })
			s := r.service(t, func(o *krb.ServiceOptions) { o.Clock = src })
			establish(t, c, s, spn)
			if got := c.Principal(); got != "app/host1@MINI.TEST" {
				t.Errorf("version %d: principal %q", version, got)
			}
			time.Sleep(11 * time.Hour)
			if _, err := c.Initiate(t.Context(), spn); !errors.Is(err, krb.ErrExpired) {
				t.Errorf("version %d: an old cache: %v", version, err)
			}
			kinit()
			establish(t, c, s, spn)
		})
	}
}

// A credential cache that is being written, or is somebody else's by now, takes nothing
// from who has a ticket of it.
func TestCCacheInTheMiddleOfAWrite(t *testing.T) {
	bubble(t, func(t *testing.T, r *realm) {
		src := clock.Bubble(nil)
		user := r.client(t, func(o *krb.Options) { o.Clock = src })
		kinit := func() []byte {
			if err := user.Login(t.Context()); err != nil {
				t.Fatal(err)
			}
			return user.CCacheFile(4)
		}
		path := filepath.Join(t.TempDir(), "cc")
		put := func(b []byte) {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, time.Now(), time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		put(kinit())
		c := r.client(t, func(o *krb.Options) { o.Keytab, o.CCache, o.Principal, o.Clock = "", path, "", src })
		s := r.service(t, func(o *krb.ServiceOptions) { o.Clock = src })
		establish(t, c, s, spn)
		time.Sleep(time.Hour)
		whole := kinit()
		for _, cut := range []int{0, 1, 30, len(whole) / 2} {
			put(whole[:cut])
			establish(t, c, s, spn)
			if err := c.Trouble(); !errors.Is(err, krb.ErrCCache) {
				t.Errorf("cut to %d of %d bytes: trouble %v", cut, len(whole), err)
			}
		}
		put(whole)
		c.Keep(t.Context()) // as one does who needs no ticket for hours
		if left, _ := c.TicketLife(); c.Trouble() != nil || left < 9*time.Hour+59*time.Minute {
			t.Errorf("with the whole file: trouble %v, %v left", c.Trouble(), left)
		}
		establish(t, c, s, spn)
	})
}

func TestCCacheKindsThatCannotBeRead(t *testing.T) {
	for _, name := range []string{"KCM:0", "KEYRING:persistent:0", "DIR:/run/cc", "API:x", "MEMORY:x"} {
		_, err := krb.NewClient(krb.Options{Conf: &krb.Config{}, CCache: name})
		var e *krb.Error
		if !errors.As(err, &e) || e.Kind != krb.ErrCCache || e.Next == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
