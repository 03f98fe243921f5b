package hrpc_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	pb "github.com/tokenwheel/tokenwheel/internal/hadooppb"
	"github.com/tokenwheel/tokenwheel/internal/hrpc"
	"github.com/tokenwheel/tokenwheel/internal/sasl"
)

// Answers find their calls whatever their order; a second one to the same call is counted and nothing else.
func TestB18_AnswersOutOfOrder(t *testing.T) {
	const calls = 20
	c := dial(t, tokenConfig(t, func(p *peer) error {
		if err := p.login(); err != nil {
			return err
		}
		var got []call
		for range calls {
			c, err := p.nextCall()
			if err != nil {
				return err
			}
			got = append(got, c)
		}
		for i := len(got) - 1; i >= 0; i-- {
			forged := got[i]
			forged.renewer = "second answer"
			if err := p.send(got[i].echo(), forged.echo()); err != nil {
				return err
			}
		}
		return p.serve()
	}))
	wantEachItsOwn(t, c, calls, 1)
	if _, err := get(t.Context(), c, "one more, so that all was read"); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(hrpc.Stats{Answers: calls + 1, Repeated: calls}, c.Stats()); diff != "" {
		t.Errorf("stats (-want +got):\n%s", diff)
	}
}

// wantEachItsOwn makes calls at the same time, each of which must get its own answer.
func wantEachItsOwn(t *testing.T, c *hrpc.Conn, goroutines, callsEach int) {
	t.Helper()
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for n := range callsEach {
				want := fmt.Sprintf("call %d of %d", n, g)
				if got, err := get(t.Context(), c, want); err != nil || got != want {
					t.Errorf("%q was answered with %q, %v", want, got, err)
				}
			}
		})
	}
	wg.Wait()
}

// Calls pair with answers under load at each quality of protection.
func TestCH36_ManyCallsInFlight(t *testing.T) {
	for _, q := range everyQOP {
		t.Run(q.String(), func(t *testing.T) {
			c := dial(t, kerberosConfig(t, func(p *peer) error {
				p.offer = []sasl.QOP{q}
				return loginAndServe(p)
			}))
			wantEachItsOwn(t, c, 16, 200)
			if diff := cmp.Diff(hrpc.Stats{Answers: 16 * 200}, c.Stats()); diff != "" {
				t.Errorf("stats (-want +got):\n%s", diff)
			}
		})
	}
}

// A WRAP may hold several answers, or a part of one.
func TestCH36_AnswersAcrossWraps(t *testing.T) {
	c := dial(t, kerberosConfig(t, func(p *peer) error {
		p.offer = []sasl.QOP{sasl.AuthConf}
		if err := p.login(); err != nil {
			return err
		}
		first, err := p.nextCall()
		if err != nil {
			return err
		}
		second, err := p.nextCall()
		if err != nil {
			return err
		}
		all := append(second.echo(), first.echo()...)
		for _, cut := range [][]byte{all[:1], nil, all[1:40], all[40:]} {
			if err := p.send(cut); err != nil {
				return err
			}
		}
		return nil
	}))
	wantEachItsOwn(t, c, 2, 1)
}

// A remote error is an answer: it says its class, and the connection lives on.
// Shows: CH35.
func TestB34_ErrorsSayWhetherTheyWereProtected(t *testing.T) {
	for _, q := range everyQOP {
		t.Run(q.String(), func(t *testing.T) {
			c := dial(t, tokenConfig(t, func(p *peer) error {
				p.offer = []sasl.QOP{q}
				if err := p.login(); err != nil {
					return err
				}
				in, err := p.nextCall()
				if err != nil {
					return err
				}
				if err := p.send(failure(in.id, isError, hrpc.InvalidToken, "unknown token\n\tat x")); err != nil {
					return err
				}
				return p.serve()
			}))
			_, err := get(t.Context(), c, "yarn")
			re, ok := errors.AsType[*hrpc.RemoteError](err)
			if !ok {
				t.Fatalf("%v is no answer", err)
			}
			want := &hrpc.RemoteError{Class: hrpc.InvalidToken, Message: "unknown token\n\tat x", Detail: 1, Protected: q > sasl.Auth}
			if diff := cmp.Diff(want, re); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if hrpc.SafeToRetry(err) || hrpc.FailOver(err) {
				t.Error("an invalid token is no reason to try again")
			}
			if got, err := get(t.Context(), c, "next"); got != "next" || err != nil {
				t.Errorf("next call: %q, %v", got, err)
			}
		})
	}
}

// Nobody answers to the context: its refusal arrives where the first call's answer is expected, and refuses every call.
// Shows: N32.
func TestN29_RefusedContextIsTheCallsError(t *testing.T) {
	c := dial(t, kerberosConfig(t, func(p *peer) error {
		if err := p.login(); err != nil {
			return err
		}
		if _, err := p.nextCall(); err != nil {
			return err
		}
		return p.send(failure(-3, isFatal, hrpc.Authorization, "User: spark is not allowed to impersonate bob"))
	}))
	_, err := get(t.Context(), c, "yarn")
	re, ok := errors.AsType[*hrpc.RemoteError](err)
	if !ok || re.Class != hrpc.Authorization || !re.Fatal || hrpc.FailOver(err) {
		t.Fatalf("%v", err)
	}
	if _, transport := errors.AsType[*hrpc.TransportError](err); transport {
		t.Errorf("%v hides that it is an answer", err)
	}
	if c.Err() == nil {
		t.Error("the connection lives on")
	}
	if _, err := get(t.Context(), c, "again"); !errors.Is(err, re) || hrpc.FailOver(err) {
		t.Errorf("the next call: %v", err)
	}
}

// A fatal answer to one call leaves the fate of the others unknown, and says nothing of their tokens; nor of that of a
// call that finds the connection dead.
func TestB15_FatalAnswerToAnotherCall(t *testing.T) {
	c := dial(t, tokenConfig(t, func(p *peer) error {
		if err := p.login(); err != nil {
			return err
		}
		first, err := p.nextCall()
		if err != nil {
			return err
		}
		if _, err := p.nextCall(); err != nil {
			return err
		}
		return p.send(failure(first.id, isFatal, hrpc.InvalidToken, "what?"))
	}))
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i := range errs {
		wg.Go(func() { _, errs[i] = get(t.Context(), c, "yarn") })
	}
	wg.Wait()
	retry, answered := map[bool]int{}, map[bool]int{}
	for _, err := range errs {
		retry[hrpc.SafeToRetry(err)]++
		_, ok := errors.AsType[*hrpc.RemoteError](err)
		answered[ok]++
	}
	one := map[bool]int{true: 1, false: 1}
	if diff := cmp.Diff(one, retry) + cmp.Diff(one, answered); diff != "" {
		t.Errorf("safe to retry, and answered (-want +got):\n%s\n%v", diff, errs)
	}
	_, err := get(t.Context(), c, "yarn")
	if _, ok := errors.AsType[*hrpc.RemoteError](err); ok || !hrpc.FailOver(err) {
		t.Errorf("a call on the dead connection: %v", err)
	}
}

// Clear answers on a wrapped connection are not listened to, be they honest or forged.
// Shows: T-15.
func TestT14_AnswerInClearOnWrappedConnection(t *testing.T) {
	for name, answer := range map[string]func(call) []byte{
		"success": call.echo,
		"error":   func(c call) []byte { return failure(c.id, isError, hrpc.InvalidToken, "forged") },
		"fatal":   func(c call) []byte { return failure(-33, isFatal, hrpc.Standby, "forged") },
		"no WRAP": func(call) []byte { return saslAnswer(&pb.RpcSaslProto{State: pb.RpcSaslProto_SUCCESS.Enum()}) },
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, tokenConfig(t, func(p *peer) error {
				p.offer = []sasl.QOP{sasl.AuthInt}
				if err := p.login(); err != nil {
					return err
				}
				in, err := p.nextCall()
				if err != nil {
					return err
				}
				_, err = p.Write(answer(in))
				return err
			}))
			_, err := get(t.Context(), c, "yarn")
			if !errors.Is(err, hrpc.ErrUnprotected) || hrpc.SafeToRetry(err) {
				t.Errorf("%v", err)
			}
			if _, answered := errors.AsType[*hrpc.RemoteError](err); answered {
				t.Errorf("%v believes the forger", err)
			}
		})
	}
}

// A deadline ends its call. The connection goes with it if nothing came at all, and lives on if others were answered.
// Shows: B13.
func TestB12_SilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		c := dial(t, tokenConfig(t, func(p *peer) error {
			if err := p.login(); err != nil {
				return err
			}
			if _, err := p.nextCall(); err != nil { // never answered
				return err
			}
			in, err := p.nextCall()
			if err != nil {
				return err
			}
			if err := p.send(in.echo()); err != nil {
				return err
			}
			_, err = p.nextCall() // nor this
			<-release
			return err
		}))
		first := make(chan error)
		go func() {
			_, err := get(t.Context(), c, "never")
			first <- err
		}()
		synctest.Wait()
		if _, err := get(t.Context(), c, "answered"); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		wantDeadline(t, <-first)
		if d := time.Since(start); d != 20*time.Second {
			t.Errorf("the call ended after %s", d)
		}
		if err := c.Err(); err != nil {
			t.Fatalf("the connection died of one late answer: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := get(ctx, c, "given up"); !errors.Is(err, context.Canceled) || c.Err() != nil {
			t.Errorf("cancelled call: %v; connection: %v", err, c.Err())
		}
		ctx, cancel = context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start = time.Now()
		_, err := get(ctx, c, "nobody reads this")
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		if c.Err() == nil {
			t.Error("a silent connection lives on")
		}
		if _, err := get(t.Context(), c, "next"); !hrpc.SafeToRetry(err) || !hrpc.FailOver(err) {
			t.Errorf("call on a dead connection: %v", err)
		}
		close(release)
	})
}

// A call that waits for another's blocked write ends with its own context, and nothing of it was sent.
func TestB12_WaitingForATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		c := dial(t, tokenConfig(t, func(p *peer) error {
			err := p.authenticate()
			<-release
			return err
		}))
		blocked := make(chan error)
		go func() {
			_, err := get(t.Context(), c, "nobody reads this")
			blocked <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := get(ctx, c, "yarn"); !errors.Is(err, context.DeadlineExceeded) || !hrpc.SafeToRetry(err) || time.Since(start) != time.Second {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		if err := c.Err(); err != nil {
			t.Errorf("the connection died: %v", err)
		}
		if err := <-blocked; !errors.Is(err, context.DeadlineExceeded) || !hrpc.SafeToRetry(err) || c.Err() == nil {
			t.Errorf("the blocked call: %v; connection: %v", err, c.Err())
		}
		close(release)
	})
}

func wantDeadline(t *testing.T, err error) {
	t.Helper()
	if te, ok := errors.AsType[*hrpc.TransportError](err); !ok || !te.Sent || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want a sent request that met its deadline", err)
	}
}

// Close returns at once though calls wait and the server does not read; they end, and so does everything after.
func TestB13_CloseNeverBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		c := dial(t, tokenConfig(t, func(p *peer) error {
			err := p.authenticate()
			<-release
			return err
		}))
		const waiting = 5
		errs := make(chan error, waiting)
		for range waiting {
			go func() {
				_, err := get(t.Context(), c, "yarn")
				errs <- err
			}()
		}
		synctest.Wait()
		start := time.Now()
		c.Close()
		c.Close()
		for range waiting {
			if err := <-errs; !errors.Is(err, hrpc.ErrClosed) {
				t.Errorf("%v, want ErrClosed", err)
			}
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("took %s", d)
		}
		close(release)
	})
}

// A connection whose call ids are used up is dead, so that its owner opens another.
func TestUsedUpConnectionIsDead(t *testing.T) {
	c := dial(t, tokenConfig(t, loginAndServe))
	hrpc.UseUp(c)
	if _, err := get(t.Context(), c, "the last one"); err != nil {
		t.Fatal(err)
	}
	if _, err := get(t.Context(), c, "one more"); !hrpc.SafeToRetry(err) || c.Err() == nil {
		t.Errorf("%v; the connection: %v", err, c.Err())
	}
}
