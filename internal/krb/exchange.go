package krb

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/asnAppTag"
	"github.com/jcmturner/gokrb5/v8/iana/errorcode"
	"github.com/jcmturner/gokrb5/v8/messages"
)

const (
	// hedge is how long one KDC has the request for itself before the next is
	// asked too; two dead ones thus cost two of these.
	hedge = time.Second
	// loginDeadline bounds all that one login or one ticket may take.
	loginDeadline = 30 * time.Second
	lookupTimeout = 2 * time.Second
)

// kdcs sends requests to the KDCs of realms. Safe for concurrent use.
type kdcs struct {
	conf   *Config
	dial   Dialer
	lookup func(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)

	mu    sync.Mutex          // guards what follows
	good  map[string]string   // realm to the address that answered last
	found map[string][]string // realm to what DNS said last, kept for when DNS fails
}

// answer is what one KDC said. krbError is set where that was a KRB-ERROR.
type answer struct {
	kdc      string
	reply    []byte
	krbError *messages.KRBError
}

type attempt struct{ network, addr string }

// exchange asks the realm's KDCs until one answers: the last good one first, the
// next each time hedge passes or an attempt fails.
func (k *kdcs) exchange(ctx context.Context, realm string, req []byte) (answer, error) {
	addrs, err := k.addresses(ctx, realm)
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()

	type result struct {
		answer
		err error
	}
	attempts := k.plan(addrs, len(req))
	results := make(chan result, len(attempts))
	var failures []error
	timer := time.NewTimer(0)
	defer timer.Stop()
	for started, ended := 0, 0; ; {
		select {
		case <-ctx.Done():
			return answer{}, unreachable(realm, append(failures, context.Cause(ctx)))
		case r := <-results:
			if r.err == nil {
				k.remember(realm, r.kdc)
				return r.answer, nil
			}
			ended++
			failures = append(failures, r.err)
			timer.Reset(0) // the next need not wait for its turn
		case <-timer.C:
			if started < len(attempts) {
				a := attempts[started]
				started++
				wg.Go(func() {
					ans, err := k.try(ctx, a, req)
					results <- result{ans, err}
				})
				timer.Reset(hedge)
			} else if ended == len(attempts) {
				return answer{}, unreachable(realm, failures)
			}
		}
	}
}

// plan puts every KDC by the preferred transport before any by the other.
func (k *kdcs) plan(addrs []string, size int) []attempt {
	networks := []string{"udp", "tcp"}
	if size > k.conf.udpLimit() {
		networks = []string{"tcp", "udp"}
	}
	var plan []attempt
	for _, network := range networks {
		for _, addr := range addrs {
			plan = append(plan, attempt{network, addr})
		}
	}
	return plan
}

func (k *kdcs) try(ctx context.Context, a attempt, req []byte) (answer, error) {
	reply, err := k.dial.ask(ctx, a.network, a.addr, req)
	if err != nil {
		return answer{}, fmt.Errorf("%s %s: %w", a.network, a.addr, err)
	}
	ans := answer{kdc: a.addr, reply: reply}
	if len(reply) == 0 {
		return answer{}, fmt.Errorf("%s %s: empty reply", a.network, a.addr)
	}
	if reply[0] != 0x60|asnAppTag.KRBError {
		if err := checkReply(reply); err != nil {
			return answer{}, fmt.Errorf("%s %s: %w", a.network, a.addr, err)
		}
		return ans, nil
	}
	var krbErr messages.KRBError
	if err := parse("KRB-ERROR", func() error { return krbErr.Unmarshal(reply) }); err != nil {
		return answer{}, fmt.Errorf("%s %s: %w", a.network, a.addr, err)
	}
	ans.krbError = &krbErr
	switch krbErr.ErrorCode {
	case errorcode.KRB_ERR_RESPONSE_TOO_BIG:
		if a.network == "udp" {
			return k.try(ctx, attempt{"tcp", a.addr}, req)
		}
	case errorcode.KDC_ERR_SVC_UNAVAILABLE:
		return answer{}, fmt.Errorf("%s %s: service unavailable", a.network, a.addr)
	}
	return ans, nil
}

// checkReply refuses what is no reply of a KDC: another may have one.
func checkReply(reply []byte) error {
	switch reply[0] {
	case 0x60 | asnAppTag.ASREP:
		return parse("AS-REP", func() error { return new(messages.ASRep).Unmarshal(reply) })
	case 0x60 | asnAppTag.TGSREP:
		return parse("TGS-REP", func() error { return new(messages.TGSRep).Unmarshal(reply) })
	}
	return protocolError("not a reply of a KDC")
}

// addresses lists the realm's KDCs, the last good one first.
func (k *kdcs) addresses(ctx context.Context, realm string) ([]string, error) {
	r := k.conf.Realms[realm]
	addrs := slices.Clone(r.KDCs)
	if len(addrs) == 0 && k.conf.DNSLookupKDC {
		addrs = k.lookupRealm(ctx, realm)
	}
	if len(addrs) == 0 {
		e := &Error{Kind: ErrUnknownRealm, Realm: realm, Next: "name a kdc for it under [realms] in krb5.conf"}
		if len(r.Skipped) > 0 {
			e.Err = fmt.Errorf("cannot use kdc = %s", strings.Join(r.Skipped, ", "))
		}
		return nil, e
	}
	k.mu.Lock()
	good := k.good[realm]
	k.mu.Unlock()
	if i := slices.Index(addrs, good); i > 0 {
		addrs = slices.Insert(slices.Delete(addrs, i, i+1), 0, good)
	}
	return addrs, nil
}

// lookupRealm asks DNS for the realm's KDCs (RFC 4120 section 7.2.3.2) and falls
// back on its last answer.
func (k *kdcs) lookupRealm(ctx context.Context, realm string) []string {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	var addrs []string
	for _, proto := range []string{"udp", "tcp"} {
		_, records, err := k.lookup(ctx, "kerberos", proto, realm+".") // in full: no search domain is tried
		if err != nil {
			continue
		}
		for _, r := range records {
			addr := net.JoinHostPort(strings.TrimSuffix(r.Target, "."), strconv.Itoa(int(r.Port)))
			if !slices.Contains(addrs, addr) {
				addrs = append(addrs, addr)
			}
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(addrs) == 0 {
		return slices.Clone(k.found[realm])
	}
	k.found[realm] = slices.Clone(addrs)
	return addrs
}

func (k *kdcs) remember(realm, addr string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.good[realm] = addr
}

func unreachable(realm string, failures []error) error {
	return &Error{
		Kind: ErrKDCUnreachable, Realm: realm, Err: failureList(failures),
		Next: "check the kdc entries of the realm in krb5.conf and the network",
	}
}

// failureList is what several KDCs had to say, on one line.
type failureList []error

func (f failureList) Error() string {
	texts := make([]string, len(f))
	for i, err := range f {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (f failureList) Unwrap() []error { return f }
