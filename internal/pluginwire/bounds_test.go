package pluginwire

import (
	"context"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tokenwheel/tokenwheel/plugins"
)

// An error of a program that is not ours to have cut it is held to the same length:
// it goes into records and logs.
func TestB50_ErrorTextsAreCutHereToo(t *testing.T) {
	long := strings.Repeat("x\xff", 1<<20)
	st, err := status.New(codes.Unknown, strings.ToValidUTF8(long, "?")).WithDetails(&Failure{Kind: Failure_KIND_DENIED, Code: strings.ToValidUTF8(long, "?")})
	if err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string]error{"with a meaning": st.Err(), "without": status.Error(codes.Internal, long)} {
		got := errorFromWire(t.Context(), in)
		if n := len(got.Error()) + len(plugins.CodeOf(got)); n > maxText+2*maxCode || !utf8.ValidString(got.Error()) {
			t.Errorf("%s: %d bytes", name, n)
		}
	}
}

// The program counts the call's time as well, and may be the first to say that it is over.
func TestErrorFromWire_DeadlineOfTheOtherSide(t *testing.T) {
	if err := errorFromWire(t.Context(), status.Error(codes.DeadlineExceeded, "late")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v is no deadline", err)
	}
}

func FuzzFailure(f *testing.F) {
	f.Add(int32(1), "token-dead", int64(3), int32(5), "text")
	f.Add(int32(99), "\xff", int64(-1)<<62, int32(1)<<30, strings.Repeat("y", 1<<13))
	f.Fuzz(func(t *testing.T, kind int32, code string, seconds int64, nanos int32, text string) {
		st, err := status.New(codes.Unknown, text).WithDetails(&Failure{
			Kind: Failure_Kind(kind), Code: code, RetryAfter: &durationpb.Duration{Seconds: seconds, Nanos: nanos},
		})
		if err != nil {
			return // does not travel
		}
		got := errorFromWire(t.Context(), st.Err())
		e, ok := errors.AsType[*plugins.Error](got)
		if !ok || e.RetryAfter < 0 || len(e.Code) > maxCode || len(got.Error()) > maxText+maxCode {
			t.Errorf("%#v", got)
		}
	})
}
