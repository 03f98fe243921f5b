package hrpc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tokenwheel/tokenwheel/internal/hrpc"
	"github.com/tokenwheel/tokenwheel/internal/sasl"
)

// What servers answer in these tests.
var (
	errStandby   = &hrpc.RemoteError{Class: hrpc.Standby}
	errObserver  = &hrpc.RemoteError{Class: hrpc.Observer}
	errRetriable = &hrpc.RemoteError{Class: hrpc.Retriable}
	errUnknown   = &hrpc.RemoteError{Class: hrpc.InvalidToken, Protected: true}
	errDown      = &hrpc.TransportError{Op: "connect to", Addr: "nn", Err: errors.New("refused")}
	errCut       = &hrpc.TransportError{Op: "renew at", Addr: "nn", Sent: true, Err: errors.New("reset")}
)

// servers answer each by what stands under its address, and note who was asked.
type servers struct {
	answers map[string]error
	asked   []string
}

func (s *servers) call(_ context.Context, addr string) error {
	s.asked = append(s.asked, addr)
	if err := s.answers[addr]; err != nil {
		return fmt.Errorf("call at %s: %w", addr, err)
	}
	return nil
}

// takeAsked returns who was asked since the last time.
func (s *servers) takeAsked() []string {
	asked := s.asked
	s.asked = nil
	return asked
}

// The first standby costs one attempt; then the one that serves is asked first.
//
// Shows: N24.
func TestB10_StandbyIsPassedOverAndRemembered(t *testing.T) {
	a := hrpc.NewAddresses("nn0", "nn1", "nn2")
	s := &servers{answers: map[string]error{"nn0": errObserver, "nn1": errStandby}}
	for _, want := range [][]string{{"nn0", "nn1", "nn2"}, {"nn2"}} {
		if err := a.Again(t.Context(), s.call); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, s.takeAsked()); diff != "" {
			t.Errorf("asked (-want +got):\n%s", diff)
		}
	}
	s.answers = map[string]error{"nn0": errDown, "nn2": errStandby} // nn1 serves now
	for _, want := range [][]string{{"nn2", "nn0", "nn1"}, {"nn1"}} {
		if err := a.Once(t.Context(), s.call); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, s.takeAsked()); diff != "" {
			t.Errorf("after a failover asked (-want +got):\n%s", diff)
		}
	}
}

// While nobody serves, but somebody says that this will pass, the call waits for it and does not fail.
//
// Shows: N24.
func TestN24_TransitionIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := hrpc.NewAddresses("nn0", "nn1")
		const transition = 3 * time.Second
		start := time.Now()
		call := func(_ context.Context, addr string) error {
			switch {
			case addr == "nn0":
				return errStandby
			case time.Since(start) < transition:
				return errRetriable
			}
			return nil
		}
		if err := a.Once(t.Context(), call); err != nil {
			t.Fatal(err)
		}
		// Pauses of 0.5, 1, 2 and 4 s, a third more at most: the last may begin just before the end.
		const most = transition + 16*time.Second/3
		if took := time.Since(start); took < transition || took > most {
			t.Errorf("a transition of %s was waited for %s, want at most %s", transition, took, most)
		}
	})
}

// That the active server is overloaded is not hidden by its standby, whoever is asked first: calls are paced by it.
func TestB20_BusyIsHeardOverStandby(t *testing.T) {
	for _, order := range [][]string{{"nn0", "nn1"}, {"nn1", "nn0"}} {
		for name, call := range map[string]func(*hrpc.Addresses, context.Context, func(context.Context, string) error) error{
			"again": (*hrpc.Addresses).Again, "once": (*hrpc.Addresses).Once,
		} {
			synctest.Test(t, func(t *testing.T) {
				s := &servers{answers: map[string]error{"nn0": errRetriable, "nn1": errStandby}}
				err := call(hrpc.NewAddresses(order...), t.Context(), s.call)
				if re, ok := errors.AsType[*hrpc.RemoteError](err); !ok || re.Class != hrpc.Retriable || !strings.Contains(err.Error(), string(hrpc.Standby)) {
					t.Errorf("%s, asked %v first: %v", name, order[0], err)
				}
			})
		}
	}
}

// Nobody waits where nothing will change soon, nor longer than the context allows.
func TestN24_WaitingEnds(t *testing.T) {
	standby := map[string]error{"nn0": errStandby, "nn1": errStandby}
	for _, tt := range []struct {
		name    string
		answers map[string]error
		limit   time.Duration // of the context; 0: none
		most    time.Duration
		want    error
	}{
		{"all are down", map[string]error{"nn0": errDown, "nn1": errDown}, 0, 0, errDown},
		{"safe mode", map[string]error{"nn0": &hrpc.RemoteError{Class: hrpc.SafeMode}}, 0, 0, nil},
		{"all are standby for ever", standby, 0, 10 * time.Second, errStandby},
		{"all are standby for ever, and the caller has 2 s", standby, 2 * time.Second, 2 * time.Second, errStandby},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if tt.limit > 0 {
					ctx, cancel = context.WithTimeout(ctx, tt.limit)
				}
				defer cancel()
				s, start := &servers{answers: tt.answers}, time.Now()
				err := hrpc.NewAddresses("nn0", "nn1").Again(ctx, s.call)
				if took := time.Since(start); err == nil || took > tt.most {
					t.Errorf("%v after %s, want an error within %s", err, took, tt.most)
				}
				if tt.want != nil && !errors.Is(err, tt.want) {
					t.Errorf("%v, want %v", err, tt.want)
				}
			})
		})
	}
}

// A call whose answer was lost is made again at the next server only where that does no harm.
//
// Shows: B15.
func TestB11_LostAnswers(t *testing.T) {
	a := hrpc.NewAddresses("nn0", "nn1")
	s := &servers{answers: map[string]error{"nn0": errCut}}
	if err := a.Once(t.Context(), s.call); !errors.Is(err, errCut) || hrpc.SafeToRetry(err) {
		t.Errorf("a call that may have been done: %v, want the loss, not safe to retry", err)
	}
	if diff := cmp.Diff([]string{"nn0"}, s.takeAsked()); diff != "" {
		t.Errorf("it asked (-want +got):\n%s", diff)
	}
	a = hrpc.NewAddresses("nn0", "nn1")
	if err := a.Again(t.Context(), s.call); err != nil {
		t.Errorf("a call that may be done twice: %v", err)
	}
	if diff := cmp.Diff([]string{"nn0", "nn1"}, s.takeAsked()); diff != "" {
		t.Errorf("it asked (-want +got):\n%s", diff)
	}
}

// That a token is unknown is not believed of one server while another may know better; and if none does, it is the
// first one's word that counts, with the protection under which it came.
func TestN25_UnknownTokenIsAskedForElsewhere(t *testing.T) {
	for _, tt := range []struct {
		name  string
		other error
		want  error // nil: the call worked
	}{
		{"the other knows it", nil, nil},
		{"the other does not know it", &hrpc.RemoteError{Class: hrpc.InvalidToken}, errUnknown},
		{"the other is standby", errStandby, errUnknown},
		{"the other is down", errDown, errUnknown},
		{"the other cut the call", errCut, errUnknown},
		{"the other refuses it", &hrpc.RemoteError{Class: hrpc.AccessControl}, &hrpc.RemoteError{Class: hrpc.AccessControl}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, order := range [][]string{{"nn0", "nn1"}, {"nn1", "nn0"}} {
				synctest.Test(t, func(t *testing.T) {
					s, start := &servers{answers: map[string]error{"nn0": errUnknown, "nn1": tt.other}}, time.Now()
					err := hrpc.NewAddresses(order...).Again(t.Context(), s.call)
					if time.Since(start) != 0 {
						t.Errorf("a server that says that it serves was waited for")
					}
					if tt.want == nil {
						if err != nil {
							t.Errorf("%v, want the answer of the one that knows it", err)
						}
						return
					}
					got, ok := errors.AsType[*hrpc.RemoteError](err)
					if want := tt.want.(*hrpc.RemoteError); !ok || got.Class != want.Class { //nolint:errorlint // itself
						t.Errorf("%v, want %v", err, want)
					}
				})
			}
		})
	}
	t.Run("the other is about to serve", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			err := hrpc.NewAddresses("nn0", "nn1").Again(t.Context(), func(_ context.Context, addr string) error {
				switch {
				case addr == "nn0":
					return errUnknown
				case time.Since(start) < time.Second:
					return errRetriable
				}
				return nil
			})
			if err != nil {
				t.Errorf("%v, want the answer of the one that was about to serve", err)
			}
		})
	})
	t.Run("a call that must not be made twice", func(t *testing.T) {
		s := &servers{answers: map[string]error{"nn0": errUnknown}}
		if err := hrpc.NewAddresses("nn0", "nn1").Once(t.Context(), s.call); !errors.Is(err, errUnknown) || len(s.asked) != 1 {
			t.Errorf("%v after asking %v, want the first answer to count", err, s.asked)
		}
	})
}

// A request that may have been done, and a refusal, are not repeated elsewhere.
func TestB11_FatalKindsStopTheWalk(t *testing.T) {
	for name, err := range map[string]error{
		"sent":          errCut,
		"invalid token": errUnknown,
		"not allowed":   &hrpc.RemoteError{Class: hrpc.Authorization, Fatal: true},
		"safe mode":     &hrpc.RemoteError{Class: hrpc.SafeMode},
		"no encryption": fmt.Errorf("log in: %w", sasl.ErrQOP),
		"cancelled":     &hrpc.TransportError{Err: context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			got := hrpc.NewAddresses("a:1", "b:1").Once(t.Context(), func(context.Context, string) error { asked++; return err })
			if asked != 1 || !errors.Is(got, err) {
				t.Errorf("asked %d, %v", asked, got)
			}
		})
	}
}

// A server that takes calls and never answers them, as one does whose handlers are stuck while another took its place,
// has one call and not every one.
//
// Shows: B12.
func TestB12_NextCallBeginsElsewhereAfterOneThatHung(t *testing.T) {
	hang := func(ctx context.Context) error {
		<-ctx.Done()
		return &hrpc.TransportError{Op: "renew at", Addr: "nn0", Sent: true, Err: ctx.Err()}
	}
	for _, again := range []bool{true, false} {
		t.Run(fmt.Sprintf("may be made twice: %v", again), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := hrpc.NewAddresses("nn0", "nn1")
				call := a.Once
				if again {
					call = a.Again
				}
				try := func() error {
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					return call(ctx, func(ctx context.Context, addr string) error {
						if addr == "nn0" {
							return hang(ctx)
						}
						return nil
					})
				}
				if err := try(); !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("the first call: %v", err)
				}
				if err := try(); err != nil {
					t.Errorf("the second call: %v", err)
				}
			})
		})
	}
}
