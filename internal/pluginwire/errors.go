package pluginwire

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tokenwheel/tokenwheel/plugins"
)

const (
	maxText = 4 << 10 // of an error, in bytes: it travels in a header
	maxCode = 100     // of its code, in bytes
)

// errorToWire is err as a gRPC status with its meaning in the details; nil stays
// nil.
func errorToWire(err error) error {
	if err == nil {
		return nil
	}
	f := &Failure{Kind: kindToWire(plugins.KindOf(err)), Code: strings.ToValidUTF8(plugins.CodeOf(err), "?")}
	if e, ok := errors.AsType[*plugins.Error](err); ok {
		f.Protected = e.Protected
		if e.RetryAfter > 0 {
			f.RetryAfter = durationpb.New(e.RetryAfter)
		}
	}
	st, detailErr := status.New(codes.Unknown, cutText(err.Error())).WithDetails(f)
	if detailErr != nil {
		return status.Error(codes.Unknown, cutText(err.Error()))
	}
	return st.Err()
}

func cutText(s string) string { return cut(s, maxText) }

// cut keeps a text valid UTF-8 and within a limit.
func cut(s string, limit int) string {
	return strings.ToValidUTF8(s[:min(len(s), limit)], "?")
}

// errorFromWire is the error behind a failed call. Where the call's own context
// ended, errors.Is finds that.
func errorFromWire(ctx context.Context, err error) error {
	st := status.Convert(err)
	for _, d := range st.Details() {
		if f, ok := d.(*Failure); ok {
			return &remoteError{text: cutText(st.Message()), meaning: meaningOf(f)}
		}
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("provider process: %w", ctx.Err())
	case st.Code() == codes.DeadlineExceeded: // its clock was first
		return fmt.Errorf("provider process: %w", context.DeadlineExceeded)
	case st.Code() == codes.Unimplemented:
		return plugins.Refused("unsupported", fmt.Errorf("provider process: %w", errors.ErrUnsupported))
	}
	return fmt.Errorf("provider process: %w", status.Error(st.Code(), cutText(st.Message())))
}

// obtainError marks the failure of an obtain of which nobody knows how far it went: the
// program ended in the middle of it, or its answer could not be taken.
func obtainError(ctx context.Context, err error) error {
	if _, told := errors.AsType[*plugins.Error](err); told || ctx.Err() != nil {
		return err
	}
	return &plugins.Error{Code: plugins.CodeAnswerLost, Err: err}
}

func meaningOf(f *Failure) *plugins.Error {
	e := &plugins.Error{Kind: kindFromWire(f.GetKind()), Code: cut(f.GetCode(), maxCode), Protected: f.GetProtected()}
	if d := f.GetRetryAfter(); d.CheckValid() == nil {
		e.RetryAfter = max(0, d.AsDuration())
	}
	return e
}

// remoteError has the text that the provider's error had, and its meaning beneath.
type remoteError struct {
	text    string
	meaning *plugins.Error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.meaning }

func kindToWire(k plugins.Kind) Failure_Kind {
	switch k {
	case plugins.KindReplace:
		return Failure_KIND_REPLACE
	case plugins.KindDenied:
		return Failure_KIND_DENIED
	case plugins.KindRefused:
		return Failure_KIND_REFUSED
	case plugins.KindSuspect:
		return Failure_KIND_SUSPECT
	default:
		return Failure_KIND_RETRY
	}
}

// kindFromWire reads a kind; one from the future is retried.
func kindFromWire(k Failure_Kind) plugins.Kind {
	switch k {
	case Failure_KIND_REPLACE:
		return plugins.KindReplace
	case Failure_KIND_DENIED:
		return plugins.KindDenied
	case Failure_KIND_REFUSED:
		return plugins.KindRefused
	case Failure_KIND_SUSPECT:
		return plugins.KindSuspect
	default:
		return plugins.KindRetry
	}
}
